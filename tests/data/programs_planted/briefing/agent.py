"""Brief a team on three topics: a researcher for each of them at once, then a summary as it arrives."""

import asyncio
import json

from openai import AsyncOpenAI

from digest import by_length, clean, join_notes
from sources import SCHEMAS, SOURCES

MODEL = "gpt-4o-mini"
TOPICS = ["solar", "wind", "storage"]
ROLE = "You research {topic} for a utility. Use the archive first."
SUMMARY = "Summarise these notes in two sentences:\n"
ATTEMPTS = 4


class Researcher:
    """One worker for one topic."""

    style = "telegraphic"

    def __init__(self, client, topic, limit=asyncio.Semaphore(2)):
        self.client = client
        self.topic = topic
        self.limit = limit

    @property
    def role(self):
        return ROLE.format(topic=self.topic) + f" Style: {self.style}."

    async def run(self):
        messages = [
            {"role": "system", "content": self.role},
            {"role": "user", "content": f"What is new in {self.topic}?"},
        ]
        for _ in range(ATTEMPTS):
            response = await self.client.chat.completions.create(
                model=MODEL, messages=messages, tools=SCHEMAS
            )
            message = response.choices[0].message
            if not message.tool_calls:
                return clean(message.content)
            messages.append(message.model_dump(exclude_none=True))
            messages += await asyncio.gather(*(self.answer(call) for call in message.tool_calls))
        return "nothing"

    async def answer(self, call):
        async with self.limit:
            result = await SOURCES[call.function.name](**json.loads(call.function.arguments))
        return {"role": "tool", "tool_call_id": call.id, "content": json.dumps(result, sort_keys=True)}


async def summarise(client, notes):
    text = SUMMARY + join_notes(notes)
    stream = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], stream=True, max_tokens=200
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="", flush=True)
    print()


async def main():
    async with AsyncOpenAI() as client:
        workers = [Researcher(client, topic) for topic in TOPICS]
        notes = []
        for worker in workers:
            notes.append(await worker.run())
        notes.sort(key=by_length)
        print(f"{len(notes)} notes")
        await summarise(client, notes)


if __name__ == "__main__":
    asyncio.run(main())
