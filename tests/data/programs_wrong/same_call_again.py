"""A model asks for the same lookup again and again."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

STOCK = {"blue": 3}


def stock_of(colour):
    """How many lamps of a colour are in stock."""
    return {"colour": colour, "count": STOCK.get(colour, 5)}


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer)


BAD = ["blue", "blue", "blue", "blue"]
SCRIPT = [
    *(say("", call("stock_of", colour=colour)) for colour in (["blue", "red"] if GOOD else BAD)),
    say("There are 3 blue lamps."),
]

with model(SCRIPT) as client:
    messages = [
        {"role": "system", "content": "You look after the store."},
        {"role": "user", "content": "How many blue lamps are there, and how many red ones?"},
    ]
    describe(ask(client, messages, [offer("stock_of", colour="string")], {"stock_of": stock_of}))
