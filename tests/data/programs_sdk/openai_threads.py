"""Three chat completions in three threads that share a client."""

from concurrent.futures import ThreadPoolExecutor

from openai import OpenAI


def ask(number):
    response = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": f"question {number}"}]
    )
    return response.choices[0].message.content


client = OpenAI()
with ThreadPoolExecutor(3) as pool:
    for text in pool.map(ask, (1, 2, 3)):
        print(text)
