"""The user names an order, and another one from a list is cancelled."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

ORDERS = ["ORD-3301", "ORD-3318", "ORD-3340"]
cancelled = []


def list_orders(customer):
    """The orders of a customer."""
    return {"orders": ORDERS}


def cancel(order_id):
    """Cancel an order."""
    cancelled.append(order_id)
    return {"cancelled": True}


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer, cancelled)


SCRIPT = [
    say("", call("list_orders", customer="Ada")),
    say("", call("cancel", order_id="ORD-3318" if GOOD else "ORD-3340")),
    say("Your order is cancelled."),
]

with model(SCRIPT) as client:
    messages = [{"role": "user", "content": "I am Ada. Cancel my order ORD-3318."}]
    offered = [offer("list_orders", customer="string"), offer("cancel", order_id="string")]
    describe(ask(client, messages, offered, {"list_orders": list_orders, "cancel": cancel}))
