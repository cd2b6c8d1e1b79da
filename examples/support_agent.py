"""A support agent with two tools, written with the OpenAI SDK; its first request is refused and retried.

namel3ss debug trace examples/support_agent.py
"""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI
from scripted_model import ScriptedModel, call, fail, say

MODEL = "gpt-4o-mini"
QUESTION = "My order A-1001 arrived broken. Can I have my money back?"

ORDERS = {"A-1001": {"item": "desk lamp", "price": 39.90, "currency": "EUR", "delivered": "2025-01-03"}}
POLICIES = {"damaged": "A full refund within 30 days of delivery.", "unwanted": "A voucher within 14 days."}


def lookup_order(order_id: str) -> dict[str, Any]:
    """Find an order by its number."""
    return ORDERS[order_id]


def refund_policy(reason: str) -> str:
    """What the shop offers for a return of this kind."""
    return POLICIES[reason]


TOOLS = {"lookup_order": lookup_order, "refund_policy": refund_policy}


def described(function: Any, argument: str) -> Any:
    """A function with one text argument, in the form in which the model is offered it."""
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    name, description = function.__name__, function.__doc__
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


def answer(client: OpenAI, question: str) -> str:
    """Ask the model until it no longer asks for a tool."""
    messages: list[Any] = [
        {"role": "system", "content": "You help the customers of a small shop. Be brief."},
        {"role": "user", "content": question},
    ]
    offered = [described(lookup_order, "order_id"), described(refund_policy, "reason")]
    while True:
        response = client.chat.completions.create(model=MODEL, messages=messages, tools=offered)
        message = response.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        for asked in message.tool_calls:
            result = TOOLS[asked.function.name](**json.loads(asked.function.arguments))
            print(f"[{asked.function.name}] {result}")
            messages.append({"role": "tool", "tool_call_id": asked.id, "content": json.dumps(result)})


# What the stand-in for the model says, one entry for each turn; with a key of your own, leave out `base_url`.
SCRIPT = [
    [
        fail(429, "Rate limit reached, try again in 50 ms.", retry_after_ms="50"),
        say("", call("lookup_order", order_id="A-1001"), seconds=0.15),
    ],
    say("", call("refund_policy", reason="damaged"), seconds=0.1),
    say("I am sorry about the lamp. You get the full 39.90 EUR back within five days.", seconds=0.3),
]


def main() -> None:
    """Answer one question."""
    with ScriptedModel(SCRIPT) as model, OpenAI(base_url=f"{model.url}/v1", api_key="unused") as client:
        print(f"Customer: {QUESTION}")
        print(f"Agent: {answer(client, QUESTION)}")


if __name__ == "__main__":
    main()
