"""What the scripted model answers to the programs beside this file; each program has a prompt of its own."""

from __future__ import annotations

from scripted_model import call, fail, say

USAGE = {"input_tokens": 40, "output_tokens": 12, "cache_read_tokens": 24, "reasoning_tokens": 5}
WEATHER = [call("get_weather", city="Paris"), call("get_weather", city="Oslo"), call("get_time", zone="CET")]
BUSY = [
    fail(429, "slow down", retry_after_ms="20"),
    fail(429, "slow down", retry_after_ms="20"),
    say("Third time lucky."),
]


def answer(request):
    """The reply to a decoded request."""
    asked = next(
        (part["content"] for part in request["messages"][-1]["parts"] if part["type"] == "text"), ""
    )
    results = [
        part["response"]
        for message in request["messages"]
        for part in message["parts"]
        if part["type"] == "tool_call_response"
    ]
    if results:
        return say(f"The tools said: {'; '.join(map(str, results))}.", between=0.01)
    if "weather" in asked:
        return say("Let me look.", *WEATHER, seconds=0.02)
    if "busy" in asked:
        return BUSY
    if "broken" in asked:
        return fail(500, "the model fell over")
    if "slow" in asked:
        return say("Too late.", seconds=60.0)
    if "count" in asked:
        return say("one two three four five six seven eight", between=0.01, usage=USAGE)
    return say(f"You said: {asked}", usage=USAGE, seconds=0.01)
