"""An agent that restocks a shop and fails at its sixth step; what went wrong began four steps before.

namel3ss debug trace examples/failing_agent.py
namel3ss debug inspect --errors-only
namel3ss debug inspect --tree
"""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI
from scripted_model import Reply, ScriptedModel, call, say

MODEL = "gpt-4o-mini"
STOCK = {"SKU-204": 3, "SKU-305": 80}
SUPPLIERS = {"sku-204": "S-12", "sku-305": "S-31"}
PRICES = {"SKU-204": 11.50, "SKU-305": 2.25}


def low_stock(below: int) -> list[str]:
    """Products of which fewer than `below` pieces are left."""
    return [sku for sku, pieces in STOCK.items() if pieces < below]


def find_suppliers(sku: str) -> list[str]:
    """Suppliers of a product."""
    return [supplier for known, supplier in SUPPLIERS.items() if known == sku]


def unit_price(sku: str) -> float:
    """The price of one piece in EUR."""
    return PRICES[sku]


def check_budget(amount: float) -> dict[str, Any]:
    """Whether the budget of this month covers an amount in EUR."""
    return {"covered": amount <= 600.0, "left": round(600.0 - amount, 2)}


def delivery_day(weekday: str) -> str:
    """The next day of delivery from a day of the week on."""
    return "Thursday" if weekday in ("Monday", "Tuesday", "Wednesday") else "Monday"


def place_order(supplier: str, sku: str, pieces: int) -> str:
    """Order pieces of a product from a supplier."""
    if supplier not in SUPPLIERS.values():
        raise ValueError(f"there is no supplier {supplier!r} to order {pieces} pieces of {sku} from")
    return f"ordered {pieces} pieces of {sku} from {supplier}"


FUNCTIONS = (low_stock, find_suppliers, unit_price, check_budget, delivery_day, place_order)
TOOLS: dict[str, Any] = {function.__name__: function for function in FUNCTIONS}
OFFERED: list[Any] = [
    {
        "type": "function",
        "function": {"name": name, "description": tool.__doc__, "parameters": {"type": "object"}},
    }
    for name, tool in TOOLS.items()
]


def restock(client: OpenAI) -> str:
    """Let the model take one step after the other until it asks for no tool."""
    messages: list[Any] = [
        {"role": "user", "content": "It is Tuesday. Order what runs out, at most for 600 EUR."}
    ]
    while True:
        response = client.chat.completions.create(model=MODEL, messages=messages, tools=OFFERED)
        message = response.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        for asked in message.tool_calls:
            step = sum(seen["role"] == "assistant" for seen in messages)
            print(f"step {step}: {asked.function.name} {asked.function.arguments}")
            result = TOOLS[asked.function.name](**json.loads(asked.function.arguments))
            messages.append({"role": "tool", "tool_call_id": asked.id, "content": json.dumps(result)})


def script(request: dict[str, Any]) -> Reply:
    """What the stand-in for the model says: like a real one, it makes up a supplier where none was found."""
    told = [
        part["response"] for message in request["messages"] for part in message["parts"] if "response" in part
    ]
    supplier = next(iter(json.loads(str(told[1]))), "S-00") if len(told) > 1 else ""
    turns = [
        say("", call("low_stock", below=10), seconds=0.1),
        say("", call("find_suppliers", sku="SKU-204"), seconds=0.05),
        say("", call("unit_price", sku="SKU-204"), seconds=0.05),
        say("", call("check_budget", amount=460.0), seconds=0.1),
        say("", call("delivery_day", weekday="Tuesday"), seconds=0.05),
        say("", call("place_order", supplier=supplier, sku="SKU-204", pieces=40), seconds=0.2),
        say("40 pieces of SKU-204 are ordered and come on Thursday.", seconds=0.1),
    ]
    return turns[len(told)]


def main() -> None:
    """Restock the shop once."""
    with ScriptedModel(script) as model, OpenAI(base_url=f"{model.url}/v1", api_key="unused") as client:
        print(restock(client))


if __name__ == "__main__":
    main()
