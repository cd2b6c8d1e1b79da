"""A message and two streams at once, asynchronously, after a 429 that the SDK retries."""

import asyncio

from anthropic import AsyncAnthropic


async def told(client, text):
    asked = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
    async with client.messages.stream(**asked) as stream:
        return [piece async for piece in stream.text_stream]


async def main():
    async with AsyncAnthropic() as client:
        message = await client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=100,
            messages=[{"role": "user", "content": "are you busy?"}],
        )
        print(message.content[0].text)
        for pieces in await asyncio.gather(told(client, "please count"), told(client, "hello")):
            print(pieces)


asyncio.run(main())
