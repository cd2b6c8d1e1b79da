"""OpenTelemetry as a program sets it up: two providers, instrumentors of OpenInference and OpenLLMetry, spans by hand."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from openinference.instrumentation import OITracer, TraceConfig
from openinference.instrumentation.openai import OpenAIInstrumentor
from openai import OpenAI
from opentelemetry import trace
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as LLMetryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

MODEL = "gpt-4o-mini"
client = OpenAI()
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("shop")
decorators = OITracer(trace.get_tracer("shop.decorated"), TraceConfig())


def ask(question, **options):
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model=MODEL, messages=messages, **options)


@tracer.start_as_current_span("read the shelf")
def read_shelf(item):
    span = trace.get_current_span()
    span.set_attribute("shop.item", item)
    return f"{item}: 3"


def get_weather(city):
    kind = {"openinference.span.kind": "TOOL", "tool.name": "get_weather"}
    with tracer.start_as_current_span("weather", attributes=kind) as span:
        answer = f"{city}: -3 degrees"
        span.set_attribute("output.value", answer)
        return answer


def answer_question(question):
    with tracer.start_as_current_span("answer") as span:
        span.set_attribute("openinference.span.kind", "AGENT")
        span.set_attribute("agent.name", "clerk")
        span.set_attribute("input.value", question)
        with tracer.start_as_current_span("look", attributes={"openinference.span.kind": "RETRIEVER"}):
            read_shelf("tea")
        text = ask(question).choices[0].message.content
        get_weather("Oslo")
        span.set_attribute("output.value", text)
        return text


@decorators.tool
def convert(celsius):
    return celsius * 9 / 5 + 32


@decorators.agent(name="packer")
def pack(city):
    return [ask(f"What to wear in {city}?").choices[0].message.content, convert(-3)]


OpenAIInstrumentor().instrument(tracer_provider=provider)
print(answer_question("How cold is it in Oslo?"))
print(pack("Oslo"))
with tracer.start_as_current_span("stream") as streaming:
    print([chunk.choices[0].delta.content for chunk in ask("And in Rome?", stream=True) if chunk.choices])
    streaming.set_status(Status(StatusCode.ERROR, "too short"))
with ThreadPoolExecutor(2) as pool, tracer.start_as_current_span("at once"):
    works = [pool.submit(copy_context().run, read_shelf, item) for item in ("milk", "salt")]
    print([work.result() for work in works])
OpenAIInstrumentor().uninstrument()

second_exporter = InMemorySpanExporter()
second = TracerProvider()
second.add_span_processor(SimpleSpanProcessor(second_exporter))
LLMetryInstrumentor().instrument(tracer_provider=second)
queue = second.get_tracer("org.library.queue", "2.0")
with queue.start_as_current_span("orders process", kind=SpanKind.CONSUMER):
    print(ask("What to wear?").choices[0].message.content)
LLMetryInstrumentor().uninstrument()
try:
    with tracer.start_as_current_span("fail"):
        raise ValueError("no wind")
except ValueError as error:
    print(error)
for each in (exporter, second_exporter):
    print(sorted(span.name for span in each.get_finished_spans()))
