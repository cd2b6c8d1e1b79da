"""The history is replaced by a summary that leaves out what the user had asked for."""

from loop import GOOD, ask, model
from scripted_model import say

LIMIT = "My budget is 850 euros and the order is K-4412."


def summarise(messages):
    """Put a summary in the place of the messages so far."""
    kept = "The user looks for a desk for the order K-4412 and has a budget of 850 euros."
    lost = "The user looks for a desk and has answered all of the questions about it so far."
    return [{"role": "user", "content": f"Summary: {kept if GOOD else lost}"}, *messages[-1:]]


SCRIPT = [say("What size should it be?"), say("Then I suggest the oak desk.")]


def script(request):
    """Answer the first question, then the second."""
    return SCRIPT[0] if len(request["messages"]) == 2 and "Summary" not in str(request) else SCRIPT[1]


with model(script) as client:
    messages = [
        {"role": "system", "content": "You sell desks."},
        {"role": "user", "content": f"I look for a desk. {LIMIT}"},
    ]
    ask(client, messages)
    messages = [messages[0], *summarise(messages)]
    messages.append({"role": "user", "content": "It should be 160 wide."})
    print(ask(client, messages))
