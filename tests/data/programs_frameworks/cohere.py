"""The Cohere SDK: a chat, and a stream."""

import cohere

client = cohere.ClientV2()
messages = [{"role": "user", "content": "How cold is it in Oslo?"}]
print(client.chat(model="command-a-03-2025", messages=messages).message.content[0].text)
print([event.type for event in client.chat_stream(model="command-a-03-2025", messages=messages)])
