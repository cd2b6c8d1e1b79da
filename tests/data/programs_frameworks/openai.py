"""The OpenAI SDK: a chat with a tool, a stream, a response, an embedding; a chat, a stream and a response on Azure."""

import json
import os

from openai import AzureOpenAI, OpenAI

client = OpenAI()
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def get_weather(city):
    return {"city": city, "temp_c": -3}


def chat(messages, **more):
    return client.chat.completions.create(model="gpt-4o-mini", messages=messages, **more)


messages = [{"role": "user", "content": "How cold is it in Oslo?"}]
asked = chat(messages, tools=TOOLS).choices[0].message
messages.append(asked)
for each in asked.tool_calls:
    result = get_weather(**json.loads(each.function.arguments))
    messages.append({"role": "tool", "tool_call_id": each.id, "content": json.dumps(result)})
print(chat(messages, tools=TOOLS).choices[0].message.content)
stream = chat(
    [{"role": "user", "content": "And what to wear?"}], stream=True, stream_options={"include_usage": True}
)
print([chunk.choices[0].delta.content for chunk in stream if chunk.choices])
print(client.responses.create(model="gpt-4o-mini", input="And what to wear?").output_text)
print(len(client.embeddings.create(model="text-embedding-3-small", input=["cold"]).data[0].embedding))
azure = AzureOpenAI(azure_endpoint=os.environ["MODEL_URL"], api_key="unused", api_version="2024-10-21")
messages = [{"role": "user", "content": "How cold is it in Oslo?"}]
print(azure.chat.completions.create(model="our-gpt", messages=messages).choices[0].message.content)
stream = azure.chat.completions.create(
    model="our-gpt", messages=messages, stream=True, stream_options={"include_usage": True}
)
print([chunk.choices[0].delta.content for chunk in stream if chunk.choices])
print(azure.responses.create(model="our-gpt", input="And what to wear?").output_text)
