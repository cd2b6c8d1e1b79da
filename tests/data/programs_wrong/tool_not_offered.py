"""The model calls a tool of an earlier version, which is not offered any more; the program still has it."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say


def weather(city):
    """The weather of today."""
    return {"city": city, "temp_c": 6}


def old_weather(city):
    """The weather of a year ago, as a stub of the old version returned it."""
    return {"city": city, "temp_c": 21}


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer)


SCRIPT = [
    say("", call("weather" if GOOD else "old_weather", city="Oslo")),
    say(f"It is {6 if GOOD else 21} degrees in Oslo."),
]

with model(SCRIPT) as client:
    messages = [{"role": "user", "content": "How warm is it in Oslo?"}]
    tools = {"weather": weather, "old_weather": old_weather}
    describe(ask(client, messages, [offer("weather", city="string")], tools))
