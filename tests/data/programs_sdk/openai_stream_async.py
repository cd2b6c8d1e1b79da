"""A streamed chat completion that asks for tools, read asynchronously."""

import asyncio

from openai import AsyncOpenAI

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_time")
]


async def main():
    async with AsyncOpenAI() as client:
        arguments = {}
        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "weather?"}],
            tools=TOOLS,
            stream=True,
        )
        async for chunk in stream:
            delta = chunk.choices[0].delta
            if delta.content:
                print(delta.content, end="|")
            for call in delta.tool_calls or []:
                if call.function.name:
                    print(call.function.name, end="|")
                arguments[call.index] = arguments.get(call.index, "") + call.function.arguments
        print()
        print(arguments)


asyncio.run(main())
