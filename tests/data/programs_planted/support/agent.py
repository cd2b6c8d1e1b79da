"""Answer a customer's question about an order."""

import json
import logging
import sys

from openai import OpenAI

import tools
from prompts import build_messages
from wording import shorten, signature

log = logging.getLogger("support")

MODEL = "gpt-4o-mini"
MAX_TURNS = 6
QUESTION = "My lamp from order A-1001 arrived broken. What do I get back?"


def run(question):
    client = OpenAI()
    messages = build_messages(question)
    for turn in range(MAX_TURNS):
        response = client.chat.completions.create(
            model=MODEL, messages=messages, tools=tools.OFFERED, temperature=0.2
        )
        message = response.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            arguments = json.loads(call.function.arguments)
            print(f"[{turn}] {call.function.name}")
            result = tools.call(call.function.name, arguments)
            content = shorten(json.dumps(result))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    raise RuntimeError("the model did not come to an answer")


def main():
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    answer = run(QUESTION)
    print("Customer:", QUESTION)
    print("Agent:", answer)
    print(signature())
    return 0


if __name__ == "__main__":
    sys.exit(main())
