"""The Mistral SDK: a chat, and a stream."""

import os

from mistralai.client import Mistral

client = Mistral(api_key=os.environ["MISTRAL_API_KEY"], server_url=os.environ["MODEL_URL"])
messages = [{"role": "user", "content": "How cold is it in Oslo?"}]
print(client.chat.complete(model="mistral-small-latest", messages=messages).choices[0].message.content)
stream = client.chat.stream(model="mistral-small-latest", messages=messages)
print([event.data.choices[0].delta.content for event in stream])
