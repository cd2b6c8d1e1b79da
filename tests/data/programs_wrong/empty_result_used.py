"""A search finds nothing, and the answer asserts something all the same."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

NOTES = {"parking": "Parking costs two euros an hour."}


def search_notes(query):
    """The notes that hold a word."""
    return [text for key, text in NOTES.items() if key in query]


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer)


ANSWER = "The pool opens at seven in the morning and is heated in winter."
SCRIPT = [
    say("", call("search_notes", query="pool hours")),
    say("I found nothing about the pool in the notes." if GOOD else ANSWER),
]

with model(SCRIPT) as client:
    messages = [
        {"role": "system", "content": "Answer from the notes of the house."},
        {"role": "user", "content": "When does the pool open?"},
    ]
    describe(ask(client, messages, [offer("search_notes", query="string")], {"search_notes": search_notes}))
