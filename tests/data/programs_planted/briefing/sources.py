"""Where the researchers look."""

import asyncio
import functools
import itertools
import re

ARCHIVE = {
    "solar": ["Module prices fell by a fifth.", "Installers are short of staff."],
    "wind": ["Permits take four years.", "Turbines reach 15 MW.", "Steel is cheaper."],
    "storage": ["Batteries cover the evening peak."],
}
FIGURES = {"solar": 1865, "wind": 1021, "storage": 88}


def labelled(label):
    """Put the name of the source with each answer."""

    def decorate(function):
        @functools.wraps(function)
        async def wrapper(*arguments, **named):
            return {"source": label, "data": await function(*arguments, **named)}

        return wrapper

    return decorate


def retried(times=2, pause=0):
    def decorate(function):
        @functools.wraps(function)
        async def wrapper(*arguments, **named):
            for attempt in itertools.count(1):
                try:
                    return await function(*arguments, **named)
                except LookupError:
                    if attempt >= times:
                        return f"failed {attempt} times"
                    await asyncio.sleep(pause)

        return wrapper

    return decorate


def keywords(text, shortest=6):
    return sorted(word.lower() for word in re.findall(r"\w+", text) if len(word) >= shortest)


@labelled("archive")
async def search_archive(topic: str, most: int = 2):
    """Search the archive for notes on a topic."""
    await asyncio.sleep(0)
    found = ARCHIVE[topic][:most]
    return {"notes": found, "keywords": keywords(" ".join(found))}


def scaled(value, factor=1000):
    return value * factor


@labelled("statistics")
@retried(times=2)
async def installed_capacity(topic: str, unit: str = "MW"):
    """Return the installed capacity of a technology."""
    value = scaled(FIGURES[topic])
    return f"{value:,} {unit}"


SOURCES = {function.__name__: function for function in (search_archive, installed_capacity)}
SCHEMAS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": (function.__doc__ or "").strip(),
            "parameters": {
                "type": "object",
                "properties": {"topic": {"type": "string"}},
                "required": ["topic"],
            },
        },
    }
    for name, function in SOURCES.items()
]
