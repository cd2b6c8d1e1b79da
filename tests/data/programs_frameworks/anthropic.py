"""The Anthropic SDK: a message with a tool, and a stream."""

import json

from anthropic import Anthropic

client = Anthropic()
TOOLS = [{"name": "get_weather", "description": "The weather of a city.", "input_schema": {"type": "object"}}]


def get_weather(city):
    return {"city": city, "temp_c": -3}


def ask(messages):
    return client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=messages, tools=TOOLS)


messages = [{"role": "user", "content": "How cold is it in Oslo?"}]
asked = ask(messages)
results = [
    {"type": "tool_result", "tool_use_id": block.id, "content": json.dumps(get_weather(**block.input))}
    for block in asked.content
    if block.type == "tool_use"
]
messages += [{"role": "assistant", "content": asked.content}, {"role": "user", "content": results}]
print(ask(messages).content[0].text)
again = [{"role": "user", "content": "And what to wear?"}]
with client.messages.stream(model="claude-haiku-4-5", max_tokens=100, messages=again) as stream:
    print(list(stream.text_stream))
