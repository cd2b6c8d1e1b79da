"""The second prompt is built without the instructions and the history: the lost context of the three planted bugs."""

from loop import GOOD, ask, model
from scripted_model import say

SYSTEM = {"role": "system", "content": "You are a nurse's aid. Never name doses of medicine."}
FIRST = "My mother takes blood thinners. Which drinks are fine for her?"


def prompt(history, text):
    """The messages of the next request."""
    asked = {"role": "user", "content": text}
    return [*history, asked] if GOOD else [asked]


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer)


def script(request):
    """Answer by what the request holds."""
    if len(request["messages"]) == 2:
        return say("Water and tea are fine for her.")
    return say(
        "Please ask her doctor about that." if len(request["messages"]) > 2 else "Ginger tea, two cups."
    )


with model(script) as client:
    messages = [SYSTEM, {"role": "user", "content": FIRST}]
    describe(ask(client, messages))
    describe(ask(client, prompt(messages, "And what about ginger?")))
