"""A request that fails with 500 and is not retried."""

import openai

try:
    openai.OpenAI(max_retries=0).chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "something broken"}]
    )
except openai.APIStatusError as error:
    print(type(error).__name__, error.status_code, error.body)
