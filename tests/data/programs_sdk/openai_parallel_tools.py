"""Three tool calls in one answer, run by plain functions, their results sent back."""

import json

from openai import OpenAI

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_time")
]


def get_weather(city):
    return {"city": city, "temp_c": {"Paris": 21, "Oslo": 12}[city]}


def get_time(zone):
    return f"12:00 {zone}"


def main():
    client = OpenAI()
    messages = [{"role": "user", "content": "weather?"}]
    first = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
    message = first.choices[0].message
    print(message.content, first.choices[0].finish_reason)
    messages.append(message)
    for call in message.tool_calls:
        function = globals()[call.function.name]
        result = function(**json.loads(call.function.arguments))
        print(call.function.name, result)
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
    second = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
    print(second.choices[0].message.content)


main()
