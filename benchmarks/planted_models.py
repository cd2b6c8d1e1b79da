"""What the model answers to the programs of `planted_edits.py`: each a function of the request alone.

An answer depends on how many turns the request has and on few of its texts, so that an edited program gets as far as the
program before the edit, and only what the edit changes is different.
"""

from __future__ import annotations

import re
from typing import Any

from scripted_model import Reply, call, say

Json = dict[str, Any]


def _texts(request: Json) -> list[str]:
    """Return the texts of a request, the system prompt first."""
    parts = [part for message in request["messages"] for part in message["parts"]]
    return [part["content"] for part in parts if isinstance(part.get("content"), str)]


def _results(request: Json) -> int:
    """Return how many results of tools a request holds."""
    return sum("response" in part for message in request["messages"] for part in message["parts"])


def support(request: Json) -> Reply:
    match _results(request):
        case 0:
            return say("", call("find_order", order_id="A-1001"))
        case 1:
            quote = call("refund_quote", order_id="A-1001", reason="scratched")
            return say("", quote, call("shipping_estimate", order_id="A-1001"))
        case 3:
            return say("", call("refund_quote", order_id="A-1001"))
        case 4:
            return say("", call("find_order", order_id="A-9"))
        case _:
            return say("I am sorry about the lamp. You get the full price back.")


def briefing(request: Json) -> Reply:
    texts = _texts(request)
    asked = next((text for text in texts if text.startswith("What is new in")), None)
    if asked is None:
        return say("Solar is cheap, wind is slow. Storage helps both.")
    topic = next(each for each in ("solar", "wind", "storage") if each in asked)
    match _results(request):
        case 0:
            return say("", call("search_archive", topic=topic), call("installed_capacity", topic=topic))
        case _:
            return say(
                f"{topic.capitalize()}: "
                + {"solar": "cheap", "wind": "slow permits"}.get(topic, "grows fast")
            )


def warehouse(request: Json) -> Reply:
    match _results(request):
        case 0:
            return say("", call("stock_level", sku="L-1"), call("forecast", sku="L-1"))
        case 2:
            return say("", call("suppliers", sku="L-1"))
        case 3:
            return say("", call("reorder_amount", sku="L-1"))
        case _:
            return say("Order four boxes from Dahl.")


def graph(request: Json) -> Reply:
    if any(text.startswith("Write a plan") for text in _texts(request)):
        return say("Morning: the aquarium. Afternoon: the museum.")
    match _results(request):
        case 0:
            return say("", call("weather", city="Bergen"))
        case 1:
            price = call("ticket_price", adults=2, children=2, day="weekend")
            return say("", call("find_places", city="Bergen"), price)
        case _:
            return say("It rains, so the aquarium and the museum.")


def tariff(request: Json) -> Reply:
    match _results(request):
        case 0:
            return say("", call("green_cost", kwh=3200), call("basic_cost", kwh=3200))
        case 2:
            return say(
                "", call("saving", kwh=3200), call("next_offer", kwh=3200), call("next_offer", kwh=2900)
            )
        case 5:
            return say("", call("co2_emission", kwh=3200), call("heat_pump_demand", kwh=3200))
        case _:
            return say("Take the green tariff.")


def ledger(request: Json) -> Reply:
    match _results(request):
        case 0:
            return say("", call("apply_rule", rule="limit"), call("apply_rule", rule="receipts"))
        case 2:
            return say("", call("apply_rule", rule="strict_receipts"), call("claim_age"))
        case 4:
            return say("", call("in_dollars"), call("weekday_of"))
        case _:
            return say("The claim is approved.")


def report(request: Json) -> Reply:
    match _results(request):
        case 0:
            return say("", call("total_sales"))
        case 1:
            return say("", call("best_day"))
        case _:
            return say("A good week: most was sold in its middle.")


def triage(request: Json) -> Reply:
    number = int(re.findall(r"\d+", _texts(request)[1])[0])
    match _results(request):
        case 0:
            return say("", call("severity", number=number), call("customer_tier", number=number))
        case 2:
            return say("", call("related", number=number))
        case 3 if number == 2:
            return say("", call("severity", number=77))
        case _:
            return say({1: "urgent, send somebody", 2: "normal"}.get(number, "low"))


MODELS = {
    each.__name__: each for each in (support, briefing, warehouse, graph, tariff, ledger, report, triage)
}
"""The name of a program -> what its model answers."""
