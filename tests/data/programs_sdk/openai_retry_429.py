"""A request that is refused twice with 429 and answered at the third attempt; the SDK retries."""

from openai import OpenAI

response = OpenAI().chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "are you busy?"}]
)
print(response.choices[0].message.content)
