"""An agent whose model is hardly ever satisfied: it searches on and on, until a limit stops it.

namel3ss debug trace examples/endless_agent.py
namel3ss debug rerun
"""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI
from scripted_model import Reply, ScriptedModel, call, say

from namel3ss_debug import LimitExceeded, limits

MODEL = "gpt-4o"
TURNS = 100
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Search the archive.",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
            },
        },
    }
]


def search(query: str) -> str:
    """Search the archive."""
    return f"Nothing on {query!r}."


@limits(cost=0.05)
def answer(client: OpenAI, question: str) -> str:
    """Ask the model until it no longer asks for a search."""
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        response = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, max_tokens=500)
        message = response.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        for asked in message.tool_calls:
            found = search(**json.loads(asked.function.arguments))
            messages.append({"role": "tool", "tool_call_id": asked.id, "content": found})


def script(request: dict[str, Any]) -> Reply:
    """What the stand-in for the model says to a request."""
    if len(request["messages"]) > TURNS:  # where nothing is traced, no limit acts
        return say("There are no unicorns.")
    return say("", call("search", query="unicorns"), usage={"input_tokens": 900, "output_tokens": 400})


def main() -> None:
    """Ask once, and print what it led to."""
    with ScriptedModel(script) as model:
        client = OpenAI(base_url=f"{model.url}/v1", api_key="unused")
        try:
            print(answer(client, "How do I catch a unicorn?"))
        except LimitExceeded as error:
            print(f"Gave up: {error}")


if __name__ == "__main__":
    main()
