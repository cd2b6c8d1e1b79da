"""The OpenAI Agents SDK: a guardrail, a hand-off, a streamed run with a tool; with a processor of the program's own."""

import asyncio
from collections import Counter

from agents import (
    Agent,
    GuardrailFunctionOutput,
    Runner,
    TracingProcessor,
    function_tool,
    handoff,
    input_guardrail,
    set_trace_processors,
)


class Counting(TracingProcessor):
    """What a program exports itself, in place of what the SDK uploads."""

    def __init__(self):
        self.ended = Counter()

    def on_span_end(self, span):
        self.ended[span.span_data.type] += 1

    def on_trace_start(self, trace): ...
    def on_trace_end(self, trace): ...
    def on_span_start(self, span): ...
    def shutdown(self): ...
    def force_flush(self): ...


@function_tool(name_override="get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees"


@input_guardrail
def polite(context, agent, text):
    return GuardrailFunctionOutput(output_info="fine", tripwire_triggered=False)


def note(context):
    print("handed over")


def forward(data):
    return data


counting = Counting()
set_trace_processors([counting])
forecaster = Agent(
    name="forecaster", instructions="Tell the weather.", model="gpt-4o-mini", tools=[weather]
)
desk = Agent(
    name="desk",
    instructions="Send questions on.",
    model="gpt-4o-mini",
    handoffs=[
        handoff(forecaster, tool_name_override="transfer_to_weather", on_handoff=note, input_filter=forward)
    ],
    input_guardrails=[polite],
)


async def main():
    print((await Runner.run(desk, "How cold is it in Oslo?")).final_output)
    run = Runner.run_streamed(forecaster, "How cold is it in Oslo?")
    kinds = [event.type async for event in run.stream_events()]
    print(run.final_output, len(kinds) > 0)


asyncio.run(main())
print(sorted(counting.ended.items()))
