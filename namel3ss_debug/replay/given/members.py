"""Members of an answer: how they are named, as in `result.hits[0].price`, and an answer with one of them changed."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.given.calls import in_line
from namel3ss_debug.wire.values import TYPE, revive

Step = str | int
Path = tuple[Step, ...]

MODEL_TEXTS: Final = ("text", "finish_reason", "response_model", "reasoning", "refusal")
"""What of a model's answer is a text."""

MODEL_MEMBERS: Final = (*MODEL_TEXTS, "tool_calls")
"""What a model's answer has."""

RESULT: Final = "result"
"""What the answer of a tool, and of everything else, has."""

STEP: Final = r"""(?>\.[^\s.\[\]{}=:"']+|\[\s*(?>-?\d{1,9}|"(?:\\.|[^"\\])*+"|'[^']*+')\s*\])"""
"""One step into an answer: `.name`, `[3]` or `["any name"]`."""

MOST_STEPS: Final = 50

_STEP = re.compile(STEP)
_WORD = re.compile(r"""[^\s.\[\]{}=:"']+\Z""")
_INDEX = re.compile(r"-?\d{1,9}\Z", re.ASCII)
_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


_OF_VALUE = frozenset({"fold", "name", "zone"})
"""What a form says of the very value that stood in it."""


class Change(NamedTuple):
    """A member of an answer, and what it shall be."""

    path: Path
    value: Any


def parse_path(text: str) -> Path:
    """The steps of a path, which is nothing but steps.

    Raises:
        MockError: it has very many, or a name in it is not written as JSON.
    """
    steps = _STEP.findall(text)
    if len(steps) > MOST_STEPS:
        raise MockError(f"{in_line(text)}: a member is at most {MOST_STEPS} steps inside an answer")
    return tuple(map(_step, steps))


def write_path(path: Path) -> str:
    """A path as `parse_path` reads it."""
    return "".join(map(_written, path))


def changed(whole: Any, change: Change, name: str) -> Any:
    """An answer with one of its members changed; nothing in the answer itself is touched.

    An object of JSON may get a member that it did not have. Where a text is JSON, as tools often answer, its members
    are those of the JSON. Of an object of the program's own the members are its fields, and no others. What stands in
    place of a date, a member of an enumeration or the like is one as well.

    Args:
        whole: the `outputs` of a call.
        change: the member, and its new value.
        name: whose answer it is, for the message.

    Raises:
        MockError: the answer has no such member, or what stands there cannot be this.
    """
    return _with(whole, change, 0, name)


def _with(holder: Any, change: Change, depth: int, name: str) -> Any:
    """The holder with the value at the rest of the path; JSON inside a text is a holder as well."""
    if depth == len(change.path):
        form = _in_place_of(holder, change.value)
        if form is not change.value and not revive(form).exact:
            what = f"{in_line(json.dumps(change.value, ensure_ascii=False))} is no {form[TYPE]}"
            raise MockError(f"{in_line(name + write_path(change.path))}: {what}")
        return form
    step = change.path[depth]
    if isinstance(holder, str):
        held = _json(holder)
        if isinstance(held, dict | list):
            return _text(_with(held, change, depth, name), name)
    if isinstance(holder, dict):
        form = _form(holder)
        if form is not None:
            if "made" in holder and form == "fields" and str(step) not in holder[form]:
                raise _missing(holder[form], change, depth, name)
            inner = _with(holder[form], change, depth, name)
            return {key: part for key, part in holder.items() if key != "same"} | {form: inner}
        if "$truncated" not in holder and "$type" not in holder:
            return _in_object(holder, change, depth, name)
    if isinstance(holder, list):
        place = _place(holder, step)
        if place is not None:
            return [*holder[:place], _with(holder[place], change, depth + 1, name), *holder[place + 1 :]]
    raise _missing(holder, change, depth, name)


def _in_place_of(before: Any, value: Any) -> Any:
    """The new value; of the type of the old one where that is a date, a member of an enumeration or the like, and told by such a value."""
    if isinstance(before, dict) and "$type" in before and type(before.get("value")) is type(value):
        return {key: part for key, part in before.items() if key not in _OF_VALUE} | {"value": value}
    return value


def _in_object(holder: dict[str, Any], change: Change, depth: int, name: str) -> dict[str, Any]:
    key = str(change.path[depth])
    if key not in holder and depth + 1 < len(change.path):
        raise _missing(holder, change, depth, name)
    return holder | {key: _with(holder.get(key), change, depth + 1, name)}


def _form(holder: dict[str, Any]) -> str | None:
    """Where an object that stands for a value of Python holds what that value holds."""
    if "$type" not in holder:
        return None
    fields, items = holder.get("fields"), holder.get("items")
    return "fields" if isinstance(fields, dict) else "items" if isinstance(items, list) else None


def _place(holder: list[Any], step: Step) -> int | None:
    """The place in a list that a step means."""
    if isinstance(step, str) and not _INDEX.match(step):
        return None
    place = int(step)
    place += len(holder) if place < 0 else 0
    return place if 0 <= place < len(holder) else None


def _missing(holder: Any, change: Change, depth: int, name: str) -> MockError:
    """What to say of a member that is not there: what is there instead."""
    whole, here = write_path(change.path[: depth + 1]), write_path(change.path[:depth])
    if isinstance(holder, dict) and "$truncated" in holder:
        what = f"{in_line(here[1:])} was cut when it was recorded; max_payload_size 0 keeps 100 levels whole"
    elif isinstance(holder, dict) and "$type" in holder:
        what = (
            f"{in_line(here[1:])} is recorded as {in_line(str(holder['$type']))}, whose members are not known"
        )
    elif isinstance(holder, list):
        what = f"{in_line(here[1:])} has {len(holder)} items"
    elif isinstance(holder, dict):
        there = ", ".join(map(str, list(holder)[:6]))
        what = f"there are {in_line(there)}" if there else "it is empty"
    else:
        what = f"{in_line(here[1:])} is {_NAMES.get(type(holder), 'a number')}"
    return MockError(f"{in_line(name + whole)}: the answer has no such member; {what}")


def _step(text: str) -> Step:
    """One step of a path as it is written: `.name`, `[0]` or `["name"]`."""
    if text[0] == ".":
        return text[1:]
    inner = text[1:-1].strip()
    if _INDEX.match(inner):
        return int(inner)
    if inner[0] == "'":
        return inner[1:-1]
    try:
        named = json.loads(inner)
        named.encode()
    except ValueError as problem:
        raise MockError(f"{in_line(inner)}: this is no name of a member: {problem}") from None
    return str(named)


def _written(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _WORD.match(step) else f"[{json.dumps(step, ensure_ascii=False)}]"


def _text(value: Any, name: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise MockError(f"{in_line(name)}: the answer is nested too deeply to be changed") from None


def _json(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
