"""A streamed chat completion with token counts, then one without that is left before its end."""

from openai import OpenAI

client = OpenAI()
messages = [{"role": "user", "content": "please count"}]
stream = client.chat.completions.create(
    model="gpt-4o-mini", messages=messages, stream=True, stream_options={"include_usage": True}
)
for chunk in stream:
    if chunk.choices:
        print(repr(chunk.choices[0].delta.content), chunk.choices[0].finish_reason)
    else:
        print(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)

with client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True) as stream:
    for chunk in stream:
        if chunk.choices[0].delta.content:
            print("first:", chunk.choices[0].delta.content)
            break
