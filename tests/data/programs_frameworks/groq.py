"""The Groq SDK: a chat, and a stream."""

import groq

client = groq.Groq()
messages = [{"role": "user", "content": "How cold is it in Oslo?"}]
model = "llama-3.3-70b-versatile"
print(client.chat.completions.create(model=model, messages=messages).choices[0].message.content)
stream = client.chat.completions.create(model=model, messages=messages, stream=True)
print([chunk.choices[0].delta.content for chunk in stream if chunk.choices])
