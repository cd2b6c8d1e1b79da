"""A request whose answer takes longer than the client waits."""

import openai

try:
    openai.OpenAI(max_retries=0, timeout=0.3).chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "something slow"}]
    )
except openai.APITimeoutError as error:
    print(type(error).__name__, error)
