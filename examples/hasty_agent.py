"""An agent that gives up when its model is busy for a moment; `suggest` shows the setting that would have helped.

namel3ss debug trace examples/hasty_agent.py
namel3ss debug suggest
"""

from __future__ import annotations

from itertools import count
from typing import Any

from openai import OpenAI
from scripted_model import Reply, ScriptedModel, fail, say

MODEL = "gpt-4o-mini"
REQUESTS = count(1)


def translate(client: OpenAI, text: str) -> str:
    """Ask the model once."""
    messages: list[Any] = [{"role": "user", "content": f"Translate into German: {text}"}]
    response = client.chat.completions.create(model=MODEL, messages=messages)
    return response.choices[0].message.content or ""


def script(request: dict[str, Any]) -> Reply:
    """What the stand-in for the model says: it is busy at the second request."""
    if next(REQUESTS) == 2:
        return fail(429, "too many requests, try again in a second")
    return say("Guten Morgen." if "morning" in str(request["messages"]) else "Gute Nacht.")


def main() -> None:
    """Translate two texts."""
    with (
        ScriptedModel(script) as model,
        OpenAI(base_url=f"{model.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        print(translate(client, "Good morning."))
        print(translate(client, "Good night."))


if __name__ == "__main__":
    main()
