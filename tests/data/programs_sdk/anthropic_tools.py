"""Three tool calls in one answer, run by plain functions, their results sent back."""

import json

from anthropic import Anthropic

TOOLS = [
    {"name": name, "description": name, "input_schema": {"type": "object"}}
    for name in ("get_weather", "get_time")
]


def get_weather(city):
    return {"city": city, "temp_c": {"Paris": 21, "Oslo": 12}[city]}


def get_time(zone):
    return f"12:00 {zone}"


def main():
    client = Anthropic()
    messages = [{"role": "user", "content": "weather?"}]
    first = client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=messages, tools=TOOLS)
    print(first.stop_reason, [block.type for block in first.content])
    results = []
    for block in first.content:
        if block.type == "tool_use":
            result = {"get_weather": get_weather, "get_time": get_time}[block.name](**block.input)
            print(block.name, result)
            results.append({"type": "tool_result", "tool_use_id": block.id, "content": json.dumps(result)})
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=messages, tools=TOOLS)
    print(second.content[0].text)


main()
