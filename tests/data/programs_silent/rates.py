"""An agent whose tool returns 0 for an amount that it cannot read: the third of three."""

import json

from openai import OpenAI
from scripted_model import ScriptedModel, call, say

RATE = 0.9
QUESTION = "What are 10, 25 and 1.200,50 dollars in euros?"
AMOUNTS = ("10", "25", "1.200,50")


def convert(amount: str) -> dict:
    """The amount in euros."""
    try:
        return {"eur": round(float(amount) * RATE, 2)}
    except ValueError:
        return {"eur": 0}


OFFERED = {"name": "convert", "parameters": {"type": "object", "properties": {"amount": {"type": "string"}}}}
SCRIPT = [
    say("", *(call("convert", amount=amount) for amount in AMOUNTS)),
    say("That is 9 and 22.50 euros; the last amount is worth nothing."),
]

with ScriptedModel(SCRIPT) as model, OpenAI(base_url=f"{model.url}/v1", api_key="unused") as client:
    messages = [{"role": "user", "content": QUESTION}]
    while True:
        tools = [{"type": "function", "function": OFFERED}]
        response = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=tools)
        message = response.choices[0].message
        if not message.tool_calls:
            break
        messages.append(message.model_dump(exclude_none=True))
        for asked in message.tool_calls:
            result = convert(**json.loads(asked.function.arguments))
            messages.append({"role": "tool", "tool_call_id": asked.id, "content": json.dumps(result)})
print(message.content)
