"""Check an expense claim against the rules of a company, with a package that several programs share."""

import json
import sys
from datetime import date

from ledgerkit import Claim, load_rules, summarise
from ledgerkit.rules import REGISTRY
from openai import OpenAI

import dispatch

SYSTEM = "You check expense claims. Apply every rule by its tool, then decide."
CLAIM = {"person": "Ada", "amount": "184.50", "kind": "travel", "day": "2025-03-08", "receipts": 2}


def converse(messages, offered, call, model="gpt-4o-mini"):
    client = OpenAI()
    while True:
        response = client.chat.completions.create(
            model=model, messages=messages, tools=offered, parallel_tool_calls=True
        )
        message = response.choices[0].message
        if not message.tool_calls:
            return message.content
        messages = [*messages, message.model_dump(exclude_none=True)]
        for asked in message.tool_calls:
            content = call(asked.function.name, json.loads(asked.function.arguments))
            messages = messages + [{"role": "tool", "tool_call_id": asked.id, "content": content}]


def main():
    load_rules()
    claim = Claim.model_validate(CLAIM)
    checker = dispatch.Checker(claim, today=date(2025, 4, 1))
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{summarise(claim)}\nRules: {', '.join(sorted(REGISTRY))}"},
    ]
    decision = converse(messages, checker.offered(), checker.call)
    print(f"{claim.person}: {decision}")
    return 0 if "approved" in decision else 3


if __name__ == "__main__":
    sys.exit(main())
