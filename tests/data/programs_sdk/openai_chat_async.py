"""Three chat completions at once."""

import asyncio

from openai import AsyncOpenAI


async def ask(client, text):
    response = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": text}]
    )
    return response.choices[0].message.content


async def main():
    async with AsyncOpenAI() as client:
        for text in await asyncio.gather(*(ask(client, f"question {number}") for number in (1, 2, 3))):
            print(text)


asyncio.run(main())
