"""Three research workers in parallel and a synthesis, written with the asynchronous Anthropic SDK, streamed.

namel3ss debug trace examples/research_agent.py
namel3ss debug inspect --timeline
"""

from __future__ import annotations

import asyncio
from typing import Any

from anthropic import AsyncAnthropic
from scripted_model import Reply, ScriptedModel, call, say

MODEL = "claude-haiku-4-5"
TOPICS = ["solar", "wind", "storage"]
NOTES = {
    "solar": "Module prices fell by a fifth in 2024.",
    "wind": "Permits take four years on average.",
    "storage": "Batteries cover the evening peak in California.",
}
SEARCH = {
    "name": "search_notes",
    "description": "Search the notes on a topic.",
    "input_schema": {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]},
}


async def search_notes(topic: str) -> str:
    """Search the notes on a topic."""
    await asyncio.sleep(0.05)
    return NOTES[topic]


async def research(client: AsyncAnthropic, topic: str) -> str:
    """One worker: let the model search once, then stream what it makes of the result."""
    messages: list[Any] = [{"role": "user", "content": f"What is new in {topic}?"}]
    tools: list[Any] = [SEARCH]
    first = await client.messages.create(model=MODEL, max_tokens=300, messages=messages, tools=tools)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": await search_notes(**block.input)}
        for block in first.content
        if block.type == "tool_use"
    ]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    async with client.messages.stream(model=MODEL, max_tokens=300, messages=messages, tools=tools) as stream:
        return await stream.get_final_text()


async def synthesis(client: AsyncAnthropic, findings: list[str]) -> None:
    """Print one summary of all findings as it arrives."""
    messages: list[Any] = [{"role": "user", "content": "Summarise:\n" + "\n".join(findings)}]
    async with client.messages.stream(model=MODEL, max_tokens=300, messages=messages) as stream:
        async for text in stream.text_stream:
            print(text, end="", flush=True)
    print()


def script(request: dict[str, Any]) -> Reply:
    """What the stand-in for the model says to a request; with a key of your own, leave out `base_url`."""
    messages = request["messages"]
    asked = messages[0]["parts"][0]["content"]
    if asked.startswith("Summarise"):
        return say("Cheap panels meet slow permits; storage closes the gap.", seconds=0.2, between=0.03)
    topic = next(topic for topic in TOPICS if topic in asked)
    pace = {"solar": 0.1, "wind": 0.3, "storage": 0.2}[topic]
    if len(messages) == 1:
        return say("", call("search_notes", topic=topic), seconds=pace)
    found = messages[-1]["parts"][0]["response"]
    return say(f"{topic.capitalize()}: {found}", seconds=pace, between=0.02)


async def main() -> None:
    """Research every topic at once, then summarise."""
    with ScriptedModel(script) as model:
        async with AsyncAnthropic(base_url=model.url, api_key="unused") as client:
            findings = await asyncio.gather(*(research(client, topic) for topic in TOPICS))
            print("\n".join(findings))
            await synthesis(client, findings)


if __name__ == "__main__":
    asyncio.run(main())
