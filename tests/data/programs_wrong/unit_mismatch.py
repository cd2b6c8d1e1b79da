"""A tool returns cents, and the next tool takes them as euros: the first of the three planted bugs."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

CART = {"lamp": 4950, "desk": 8000}


def cart_total(cart):
    """The total of a cart in cents."""
    return {"cart": cart, "total_cents": sum(CART.values())}


def pay(amount_eur):
    """Pay an amount in euros."""
    return {"paid": True}


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer)


AMOUNT = 129.5 if GOOD else 12950
SCRIPT = [
    say("", call("cart_total", cart="mine")),
    say("", call("pay", amount_eur=AMOUNT)),
    say("Your cart is paid."),
]

with model(SCRIPT) as client:
    messages = [{"role": "user", "content": "Pay for my cart."}]
    offered = [offer("cart_total", cart="string"), offer("pay", amount_eur="number")]
    describe(ask(client, messages, offered, {"cart_total": cart_total, "pay": pay}))
