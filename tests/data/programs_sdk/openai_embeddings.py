"""Embeddings of two texts."""

from openai import OpenAI

response = OpenAI().embeddings.create(
    model="text-embedding-3-small", input=["first", "second"], dimensions=8
)
print(len(response.data), len(response.data[0].embedding), response.usage.total_tokens)
print([round(number, 4) for number in response.data[1].embedding])
