"""A travel agent that warns of frost, written with the OpenAI SDK: a small program to run again on its recorded answers.

namel3ss debug trace examples/weather_agent.py
namel3ss debug rerun --mock 'get_weather:{"temp_c": -30}'
"""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI
from scripted_model import ScriptedModel, call, say

MODEL = "gpt-4o-mini"
QUESTION = "What shall I pack for Oslo, Lisbon and Bergen?"
TEMPERATURES = {"Oslo": 4, "Lisbon": 19, "Bergen": 6}
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


def get_weather(city: str) -> dict[str, Any]:
    """The weather in a city."""
    return {"temp_c": TEMPERATURES[city]}


def forecast(city: str) -> dict[str, Any]:
    """What the model is told of a city; the user is warned of frost."""
    try:
        weather = get_weather(city)
    except TimeoutError:
        print(f"No weather for {city}")
        return {"temp_c": None}
    if weather["temp_c"] < 0:
        print(f"Frost in {city}: {weather['temp_c']} °C")
    return weather


def answer(client: OpenAI, question: str) -> str:
    """Ask the model until it no longer asks for the weather."""
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        response = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
        message = response.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        for asked in message.tool_calls:
            weather = forecast(**json.loads(asked.function.arguments))
            messages.append({"role": "tool", "tool_call_id": asked.id, "content": json.dumps(weather)})


# What the stand-in for the model says, one entry for each turn; with a key of your own, leave out `base_url`.
SCRIPT = [
    say("", *(call("get_weather", city=city) for city in TEMPERATURES), seconds=0.2),
    say("A coat for Oslo and Bergen, a shirt for Lisbon.", seconds=0.4),
]


def main() -> None:
    """Answer one question."""
    with ScriptedModel(SCRIPT) as model, OpenAI(base_url=f"{model.url}/v1", api_key="unused") as client:
        print(answer(client, QUESTION))


if __name__ == "__main__":
    main()
