"""instructor: answers that are objects; one of them can be used only when it is asked for again."""

import asyncio

import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, field_validator


class Place(BaseModel):
    city: str


class Checked(Place):
    @field_validator("city")
    @classmethod
    def is_asked_twice(cls, city):
        seen.append(city)
        if len(seen) % 2:
            raise ValueError("not so fast")
        return city


def ask(client, kind):
    question = [{"role": "user", "content": "Where is it cold?"}]
    return client.chat.completions.create(model="gpt-4o-mini", response_model=kind, messages=question)


async def main():
    client = instructor.from_openai(AsyncOpenAI())
    print(await asyncio.gather(ask(client, Place), ask(client, Checked)))


seen = []
print(ask(instructor.from_openai(OpenAI()), Place))
print(ask(instructor.from_openai(OpenAI()), Checked))
asyncio.run(main())
