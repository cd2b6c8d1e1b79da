"""A correct program with the handlers that correct programs have: none of them hides a failure."""

import asyncio
import json
import logging
from pathlib import Path

from openai import OpenAI
from scripted_model import ScriptedModel, call, say

logger = logging.getLogger("shop")
PRICES = {"lamp": 39.9, "desk": 120.0}
CACHE = {}


def load_notes(path):
    """The notes of earlier runs, of which there are none yet."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        return {}


def is_number(text):
    """Whether a text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def find_discount(item):
    """The discount on an item, if there is one."""
    try:
        return {"desk": 0.1}[item]
    except KeyError:
        return None


def cached(key, make):
    """A value that is computed once."""
    try:
        return CACHE[key]
    except KeyError:
        value = CACHE[key] = make()
        return value


def serve(attempt):
    """What a service answers that is busy twice."""
    if attempt < 2:
        raise TimeoutError("busy")
    return "served"


def insist(attempts):
    """The first answer of a service that is busy twice."""
    for attempt in range(attempts):
        try:
            return serve(attempt)
        except TimeoutError:
            logger.warning("attempt %d was too slow, trying again", attempt)
    return "given up"


def parse_all(texts):
    """The numbers among some texts."""
    numbers = []
    for text in texts:
        try:
            numbers.append(int(text))
        except ValueError:
            continue
    return numbers


def choose_parser(text):
    """A value of JSON, else the text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def price(item: str) -> dict:
    """The price of an item, or what is wrong with the request, for the model to read."""
    try:
        total = PRICES[item]
    except KeyError:
        return {"error": f"there is no item {item!r}"}
    discount = find_discount(item)
    return {"eur": total * (1 - discount) if discount else total}


def count_items(kind: str) -> int:
    """How many items of a kind there are; 0 is an ordinary answer."""
    try:
        return {"lamp": 3}[kind]
    except KeyError:
        return None


async def watch():
    """Wait until somebody has enough."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "stopped"


async def stop_watching():
    """Start something and stop it."""
    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    task.cancel()
    return await task


ASKED = [call("price", item=item) for item in ("lamp", "desk", "sofa")]
SCRIPT = [say("", *ASKED, call("count_items", kind="lamp")), say("A lamp is 39.90, a desk 108 euros.")]
TOOLS = {"price": (price, "item"), "count_items": (count_items, "kind")}


def main():
    """Use all of them once."""
    print(load_notes("notes-of-earlier-runs.json"), is_number("ten"), find_discount("lamp"), insist(3))
    print(
        cached("a", lambda: 1),
        parse_all(["1", "x", "3"]),
        choose_parser("plain"),
        asyncio.run(stop_watching()),
    )
    offered = [
        {
            "type": "function",
            "function": {"name": name, "parameters": {"type": "object", "properties": {key: {}}}},
        }
        for name, (_, key) in TOOLS.items()
    ]
    messages = [{"role": "user", "content": "What do a lamp, a desk and a sofa cost?"}]
    with ScriptedModel(SCRIPT) as model, OpenAI(base_url=f"{model.url}/v1", api_key="unused") as client:
        while True:
            response = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=offered)
            message = response.choices[0].message
            if not message.tool_calls:
                break
            messages.append(message.model_dump(exclude_none=True))
            for asked in message.tool_calls:
                result = TOOLS[asked.function.name][0](**json.loads(asked.function.arguments))
                messages.append({"role": "tool", "tool_call_id": asked.id, "content": json.dumps(result)})
    print(message.content)


if __name__ == "__main__":
    main()
