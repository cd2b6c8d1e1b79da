"""Record an example with an instrumentation that exists: `python record.py langfuse failing_agent.py`.

What it sends to a receiver on loopback becomes FILE.openinference.jsonl or FILE.openllmetry.jsonl (OTLP, one request on a
line), or FILE.langfuse.json: what the SDK of Langfuse sends, put into the shape of Langfuse's exports.

pip install openai anthropic google-genai langfuse opentelemetry-exporter-otlp-proto-http
pip install openinference-instrumentation-{openai,anthropic,google-genai} opentelemetry-instrumentation-{openai,anthropic}
"""

import base64
import gzip
import json
import os
import runpy
import sys
import sysconfig
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"


class Receiver(BaseHTTPRequestHandler):
    """Keeps the bodies of requests."""

    protocol_version = "HTTP/1.1"
    bodies = []

    def do_POST(self):
        data = self.rfile.read(int(self.headers["content-length"]))
        self.bodies.append(gzip.decompress(data) if self.headers.get("content-encoding") == "gzip" else data)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


def instrument(name, url):
    """Instrument the SDKs, and return the function that sends what is left."""
    if name == "langfuse":
        os.environ |= {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk", "LANGFUSE_BASE_URL": url}
        import langfuse.openai
        from langfuse import get_client

        return get_client().flush
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    trace.set_tracer_provider(provider)
    if name == "openinference":
        from openinference.instrumentation.anthropic import AnthropicInstrumentor
        from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor
        from openinference.instrumentation.openai import OpenAIInstrumentor

        GoogleGenAIInstrumentor().instrument(tracer_provider=provider)
    else:
        from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor
    for each in (OpenAIInstrumentor, AnthropicInstrumentor):
        each().instrument(tracer_provider=provider)
    return provider.force_flush


def spans_of(document):
    """Yield the spans of a request, with ids in hexadecimal digits."""
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key in {"traceId", "spanId", "parentSpanId"} & span.keys():
                    span[key] = base64.b64decode(span[key]).hex()
                yield span


def to_observation(span):
    """Return a span of Langfuse's SDK as an observation of an export."""
    attributes = {each["key"]: next(iter(each["value"].values())) for each in span.get("attributes", [])}

    def read(name, default=None):
        return attributes.get(f"langfuse.observation.{name}", default)

    began, ended = (
        datetime.fromtimestamp(int(span[key]) / 1e9, UTC).isoformat(timespec="milliseconds")
        for key in ("startTimeUnixNano", "endTimeUnixNano")
    )
    return {
        "id": span["spanId"], "traceId": span["traceId"], "type": read("type", "span").upper(),
        "name": span["name"], "startTime": began, "endTime": ended,
        "parentObservationId": span.get("parentSpanId"), "model": read("model.name"),
        "modelParameters": json.loads(read("model.parameters", "{}")),
        "input": read("input"), "output": read("output"),
        "usageDetails": json.loads(read("usage_details", "{}")),
        "level": read("level", "DEFAULT"), "statusMessage": read("status_message"), "metadata": {},
    }  # fmt: skip


def main(name, program):
    """Run the program, and write what was sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    flush = instrument(name, f"http://127.0.0.1:{server.server_port}")
    sys.path[:0] = [str(EXAMPLES), str(HERE)]
    path = next(folder / program for folder in (HERE, EXAMPLES) if (folder / program).exists())
    try:
        runpy.run_path(str(path), run_name="__main__")
    except Exception as error:
        print("the program failed:", error)
    flush()
    documents = []
    for body in Receiver.bodies:
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        document = MessageToDict(request)
        documents.append((document, list(spans_of(document))))
    if name == "langfuse":
        spans = sorted((span for _, spans in documents for span in spans), key=lambda span: span["startTimeUnixNano"])
        first = to_observation(spans[0])
        head = {"id": first["traceId"], "name": Path(program).stem, "timestamp": first["startTime"]}
        export = {"trace": head, "observations": [to_observation(span) for span in spans]}
        text, ending = json.dumps(export, indent=1) + "\n", "json"
    else:
        text, ending = "".join(json.dumps(document) + "\n" for document, _ in documents), "jsonl"
    for folder in (sysconfig.get_path("purelib"), str(HERE), str(EXAMPLES)):
        text = text.replace(f"{folder}/", "")
    (HERE / f"{Path(program).stem}.{name}.{ending}").write_text(text)
    os._exit(0)  # whatever the instrumentation still wants to send


if __name__ == "__main__":
    main(*sys.argv[1:])
