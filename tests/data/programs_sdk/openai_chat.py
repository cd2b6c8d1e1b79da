"""One chat completion."""

from openai import OpenAI


def ask(client, text):
    return client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
        temperature=0.2,
    )


response = ask(OpenAI(), "hello")
print(response.id, response.model, response.choices[0].finish_reason)
print(response.choices[0].message.content)
print(response.usage.prompt_tokens, response.usage.completion_tokens, response.usage.total_tokens)
