"""The Ollama SDK: a chat with a tool, a stream, and a completion."""

import ollama

client = ollama.Client()


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
      city: its name
    """
    return f"{city}: -3 degrees"


messages = [{"role": "user", "content": "How cold is it in Oslo?"}]
asked = client.chat(model="llama3.2", messages=messages, tools=[get_weather]).message
messages.append(asked)
for each in asked.tool_calls:
    result = get_weather(**each.function.arguments)
    messages.append({"role": "tool", "tool_name": each.function.name, "content": result})
print(client.chat(model="llama3.2", messages=messages, tools=[get_weather]).message.content)
again = [{"role": "user", "content": "And what to wear?"}]
print([part.message.content for part in client.chat(model="llama3.2", messages=again, stream=True)])
print(client.generate(model="llama3.2", prompt="And what to wear?").response)
