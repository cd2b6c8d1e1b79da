"""The tools that the support agent offers."""

import logging

import pricing
from wording import money

log = logging.getLogger(__name__)

ORDERS = {
    "A-1001": {"item": "desk lamp", "price": 39.9, "days_ago": 12, "carrier": "DHL"},
    "A-1002": {"item": "bookshelf", "price": 120.0, "days_ago": 45, "carrier": "GLS"},
}
TRANSIT_DAYS = {"DHL": 2, "GLS": 4}


def find_order(order_id: str) -> dict:
    """Return what is known of an order."""
    order = ORDERS.get(order_id)
    if order is None:
        return {"error": f"there is no order {order_id}"}
    return {"order_id": order_id, "item": order["item"], "price": money(order["price"])}


def refund_quote(order_id: str, reason: str = "damaged", opened: bool = True) -> dict:
    """Return what a customer gets back for an order."""
    order = ORDERS[order_id]
    amount = pricing.refund(order["price"], order["days_ago"], reason, opened)
    log.debug("refund for %s", order_id)
    return {"refund": money(amount), "deadline_days": pricing.days_left(order["days_ago"])}


def shipping_estimate(order_id: str, express: bool = False) -> str:
    """Return how long a replacement takes."""
    days = TRANSIT_DAYS[ORDERS[order_id]["carrier"]]
    if express:
        days = max(1, days - 1)
    return f"{days} days with {ORDERS[order_id]['carrier']}"


REGISTRY = {
    "find_order": find_order,
    "refund_quote": refund_quote,
    "shipping_estimate": shipping_estimate,
}


def offered(name, description, **properties):
    parameters = {"type": "object", "properties": properties, "required": ["order_id"]}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


ORDER_ID = {"type": "string", "description": "the number of the order, such as A-1001"}
OFFERED = [
    offered("find_order", "Look up an order.", order_id=ORDER_ID),
    offered("refund_quote", "What the customer gets back.", order_id=ORDER_ID, reason={"type": "string"}),
    offered("shipping_estimate", "How long a replacement takes.", order_id=ORDER_ID),
]


def call(name, arguments):
    try:
        return REGISTRY[name](**arguments)
    except (KeyError, TypeError) as error:
        return {"error": str(error)}
