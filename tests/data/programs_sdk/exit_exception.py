"""One call, then an exception that nothing catches."""

from openai import OpenAI

response = OpenAI().chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}]
)
print(response.choices[0].message.content, flush=True)
raise RuntimeError("after the call")
