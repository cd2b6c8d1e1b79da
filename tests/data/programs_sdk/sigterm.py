"""One call, then a wait until SIGTERM; says when it waits."""

import time

from openai import OpenAI

response = OpenAI().chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}]
)
print(response.choices[0].message.content, flush=True)
print("ready", flush=True)
while True:
    time.sleep(0.05)
