"""The responses API: whole, streamed, and with a tool call and its result."""

import json

from openai import OpenAI

TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}, "strict": False}
    for name in ("get_weather", "get_time")
]


def get_weather(city):
    return {"city": city, "temp_c": 21}


def get_time(zone):
    return f"12:00 {zone}"


client = OpenAI()
response = client.responses.create(model="gpt-4o-mini", instructions="Be brief.", input="hello")
print(response.id, response.status, response.output_text, response.usage.total_tokens)

with client.responses.create(model="gpt-4o-mini", input="please count", stream=True) as events:
    for event in events:
        print(event.type, getattr(event, "delta", ""))

items = [{"role": "user", "content": "weather?"}]
response = client.responses.create(model="gpt-4o-mini", input=items, tools=TOOLS)
items += response.output
for item in response.output:
    if item.type == "function_call":
        result = {"get_weather": get_weather, "get_time": get_time}[item.name](**json.loads(item.arguments))
        items.append({"type": "function_call_output", "call_id": item.call_id, "output": json.dumps(result)})
print(client.responses.create(model="gpt-4o-mini", input=items, tools=TOOLS).output_text)
