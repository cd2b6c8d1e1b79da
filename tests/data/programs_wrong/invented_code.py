"""The model books with a customer number that nobody gave it."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

QUESTION = "Please refund my last order, I am customer C-20417."


def refund(customer_id, reason):
    """Refund the last order of a customer."""
    return {"refunded": True, "amount": "19.90"}


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer)


SCRIPT = [
    say("", call("refund", customer_id="C-20417" if GOOD else "C-88310", reason="wish of the customer")),
    say("I have refunded your last order: 19.90."),
]

with model(SCRIPT) as client:
    messages = [
        {"role": "system", "content": "You help the customers of a shop."},
        {"role": "user", "content": QUESTION},
    ]
    offered = [offer("refund", customer_id="string", reason="string")]
    describe(ask(client, messages, offered, {"refund": refund}))
