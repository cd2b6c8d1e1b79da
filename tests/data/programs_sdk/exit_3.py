"""One call, then sys.exit(3)."""

import sys

from openai import OpenAI

response = OpenAI().chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}]
)
print(response.choices[0].message.content, flush=True)
sys.exit(3)
