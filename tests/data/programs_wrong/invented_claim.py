"""The answer has an amount that no result gives."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

PRICES = {"lamp": 49.5, "desk": 210.0}


def price(item):
    """The price of an item in euros."""
    return {"item": item, "price": PRICES[item]}


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer)


TOTAL = "259.50" if GOOD else "284.35"
SCRIPT = [
    say("", call("price", item="lamp"), call("price", item="desk")),
    say(f"The lamp and the desk cost {TOTAL} euros together."),
]

with model(SCRIPT) as client:
    messages = [
        {"role": "system", "content": "You sell furniture."},
        {"role": "user", "content": "What do a lamp and a desk cost together?"},
    ]
    describe(ask(client, messages, [offer("price", item="string")], {"price": price}))
