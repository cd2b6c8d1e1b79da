"""The loop that the agents of this folder share: a model, its tools, until it calls none."""

import json
import sys
from contextlib import contextmanager

from openai import OpenAI
from scripted_model import ScriptedModel

GOOD = "good" in sys.argv


@contextmanager
def model(script):
    """A client of a scripted model."""
    with ScriptedModel(script) as server, OpenAI(base_url=f"{server.url}/v1", api_key="unused") as client:
        yield client


def offer(function, **properties):
    """The description of a tool whose arguments have these types."""
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    schema["required"] = list(properties)
    return {"type": "function", "function": {"name": function, "parameters": schema}}


def ask(client, messages, offered=(), tools=None, limit=None, show=str, **more):
    """Ask until the model calls no tool, and return its last text; `messages` grow."""
    while True:
        if offered:
            more["tools"] = list(offered)
        response = client.chat.completions.create(model="gpt-4o-mini", messages=messages, **more)
        message = response.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content
        for asked in message.tool_calls:
            result = tools[asked.function.name](**json.loads(asked.function.arguments))
            messages.append({"role": "tool", "tool_call_id": asked.id, "content": show(json.dumps(result))})


def last_text(request):
    """The text of the last message that a scripted model was sent."""
    return str(request["messages"][-1].get("parts") and request["messages"][-1]["parts"][-1].get("content"))
