"""Decode a line into the events on it, even where it is damaged, with every known field of its right type.

Two things make this cheap. A line that orjson can parse is parsed only once. And the fields of an event are not
checked one by one: events of a kind have the same field names with the same types in the same order, so this
`shape` is checked once and then only looked up (`SHAPES`).

After reading, every field of `events.FIELDS` is of its type or absent, numbers are between 0 and 1e15,
`event_type` and `component` are there, and a value that could not be converted is kept under `unreadable`.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from namel3ss_debug.fields import FIELDS
from namel3ss_debug.traces.events import EXECUTION_PREFIX, Event

SHAPES: dict[tuple[object, ...], tuple[tuple[str, ...], tuple[str, ...]]] = {}
"""Shape of an event -> the names of its numbers, whose range is still to be checked, and of the fields that are left out.

Only valid shapes are in it.
"""

OTHER_SHAPES: dict[tuple[object, ...], tuple[tuple[str, ...], tuple[str, ...]]] = {}
"""The same for events of other writers, which lack ids; fields that are null are left out."""

TIME_LIMIT = 4102444800.0
"""2100-01-01 in seconds since the epoch: a later timestamp is an error."""

NUMBER_LIMIT = 1e15
"""Any other number of an event is smaller; sums of nanoseconds and picodollars rely on it."""

REPAIR_LIMIT = 16 * 1024 * 1024
"""A damaged line longer than this many bytes is not repaired: the slow parser would need too much memory."""

NESTING_LIMIT = 1024
"""How deep JSON may be nested: the limit of orjson."""

_NEEDED = ("event_type", "event_id", "seq", "timestamp", "component")
_LEAST = ("event_type", "timestamp", "component")
_KINDS = {field.name: field.type for field in FIELDS}
_TYPES: dict[str, frozenset[type]] = {
    "string": frozenset({str}),
    "int": frozenset({int}),
    "float": frozenset({int, float}),
    "object": frozenset({dict}),
    "list": frozenset({list}),
}
_NUMBERS = frozenset(name for name, kind in _KINDS.items() if kind in {"int", "float"})
_COMPONENTS = {prefix: component for component, prefix in EXECUTION_PREFIX.items()} | {
    "agent_turn": "agent",
    "agent_message": "agent",
    "chain_step": "chain",
    "memory_operation": "memory",
    "memory_summarization": "memory",
    "stream_chunk": "llm",
    "log_record": "log",
    "file_access": "file",
    "validation": "validation",
}
_SURROGATES = re.compile("[\ud800-\udfff]")
_BETWEEN = re.compile(r"[\s,\[\]\x00]*")
_EVENT_BEGINS = re.compile(r'\{\s*"event_type"\s*:')
_MOST_ATTEMPTS = 100
_INT_DIGITS = 20
_MOST_SHAPES = 4096
_LONGEST_SHAPE = 256


def shape_of(event: Event) -> tuple[object, ...]:
    """Return the names and types of the fields of an event, in their order: the key of `SHAPES`."""
    return (*event, *map(type, event.values()))


def is_sound(event: Event) -> bool:
    """Return whether an event needs no normalising; remembers its shape when it is valid."""
    shape = shape_of(event)
    known = SHAPES.get(shape)
    if known is None:
        if not all(name in event for name in _NEEDED) or not _has_right_types(event):
            return False
        numbers = tuple(name for name in event if name in _NUMBERS and name not in {"seq", "timestamp"})
        if len(shape) <= _LONGEST_SHAPE and len(SHAPES) < _MOST_SHAPES:
            SHAPES[shape] = numbers, ()
    else:
        numbers = known[0]
    return (
        0 <= event["timestamp"] < TIME_LIMIT
        and 0 <= event["seq"] < NUMBER_LIMIT
        and all(0 <= event[name] < NUMBER_LIMIT for name in numbers)
    )


def learn_shape(event: Event) -> None:
    """Remember the shape of an event of another writer, before it is normalised, if only its range needs a check."""
    shape = shape_of(event)
    if shape in OTHER_SHAPES or len(shape) > _LONGEST_SHAPE or len(OTHER_SHAPES) >= _MOST_SHAPES:
        return
    nulls = tuple(name for name, value in event.items() if value is None and name in _KINDS)
    rest = {name: value for name, value in event.items() if name not in nulls}
    if all(name in rest for name in _LEAST) and _has_right_types(rest):
        OTHER_SHAPES[shape] = tuple(name for name in rest if name in _NUMBERS and name != "timestamp"), nulls


def _has_right_types(event: Event) -> bool:
    return all(name not in _KINDS or type(value) in _TYPES[_KINDS[name]] for name, value in event.items())


def looks_like_event(value: object) -> bool:
    """Return whether a JSON value is an event: an object with a type, or at least with an id or a number."""
    return isinstance(value, dict) and any(name in value for name in ("event_type", "event_id", "seq"))


def normalise(event: Event) -> list[str]:
    """Give every known field its right type, in place, and return the names of those that had another type.

    Null fields are removed silently. A number in a string is read, and so is a time in ISO 8601. Any other value in
    place of a string becomes its JSON text, in place of an object `{"value": ...}`, in place of a list a list of
    one item. What cannot be converted moves to the field `unreadable`.
    """
    changed = []
    unreadable: Event = {}
    for name in [name for name in event if name in _KINDS]:
        value = event[name]
        if value is None:
            del event[name]
            continue
        repaired = _repair(name, value)
        if repaired is value:
            continue
        changed.append(name)
        if repaired is None:
            unreadable[name] = event.pop(name)
        else:
            event[name] = repaired
    if unreadable:
        event["unreadable"] = unreadable
    if "event_type" not in event:
        event["event_type"] = "unknown"
        changed.append("event_type")
    if "component" not in event:
        event["component"] = component_of(event["event_type"])
    return changed


def component_of(event_type: str) -> str:
    """Return the component that an event type belongs to, for events without one."""
    prefix = event_type.removesuffix("_start").removesuffix("_end")
    if prefix in _COMPONENTS:
        return _COMPONENTS[prefix]
    return prefix if prefix not in {event_type, "trace"} else "app"


def decode(line: bytes, *, whole: bool = True) -> tuple[list[Any], str]:
    """Read the JSON values on a line, repairing what can be repaired.

    Args:
        line: the line without its line feed.
        whole: whether it had a line feed.

    Returns:
        The values (an array of objects counts as its items) and what was wrong, empty when nothing was.
    """
    text = line.strip()
    what = ""
    if b"\0" in text:
        text, what = text.replace(b"\0", b"").strip(), "NUL bytes, left out"
    if not text:
        return [], what
    try:
        return items_of(orjson.loads(text)), what
    except orjson.JSONDecodeError:
        pass
    broken = "not JSON" if whole else "a torn last line"
    if len(text) > REPAIR_LIMIT:
        return [], broken
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        decoded, what = text.decode(errors="replace"), "not UTF-8, shown with replacement characters"
    values, complete = decode_text(decoded)
    if not values:
        return [], broken
    if not complete:
        return values, "damaged, only a part could be read"
    return values, what or ("not quite JSON, repaired" if len(values) == 1 else "several events on a line")


def decode_text(text: str, *, lenient: bool = False) -> tuple[list[Any], bool]:
    """Read one JSON value after another from a text for which orjson is too strict.

    Numbers that JSON does not have become null, lone surrogates become replacement characters. After a damaged
    place, the next beginning of an event is looked for. What is found there counts only if everything up to the end
    of the text can be read, because otherwise it may be the inside of the damaged event; `lenient` accepts it anyway.

    Returns:
        The values, and whether nothing was left out.
    """
    values: list[Any] = []
    complete = True
    attempts = position = sure = 0
    while True:
        position = _skip_between(text, position, values)
        if position >= len(text):
            return values, complete
        try:
            value, position = _DECODER.raw_decode(text, position)
            values += items_of(_plain(value))
        except (ValueError, RecursionError):
            attempts += 1
            if complete or lenient:
                sure = len(values)
            del values[sure:]
            complete = False
            found = _EVENT_BEGINS.search(text, position + 1)
            if found is None or attempts >= _MOST_ATTEMPTS:
                return values, False
            position = found.start()


def _skip_between(text: str, position: int, values: list[Any]) -> int:
    """Return where the next value begins; an array is entered only where it cannot be read as one value."""
    if not values and text.startswith("[", position):
        try:
            _, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            pass
        else:
            return min(end, position)
    found = _BETWEEN.match(text, position)
    return found.end() if found else position


def items_of(value: Any) -> list[Any]:
    """Return the events of a JSON value: of an array of objects its items, of `{"events": [...]}` those."""
    if isinstance(value, dict) and isinstance(value.get("events"), list) and not looks_like_event(value):
        value = value["events"]
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    return [value]


# orjson, too, returns a float for an integer of this many digits.
_DECODER = json.JSONDecoder(parse_int=lambda text: int(text) if len(text) < _INT_DIGITS else float(text))


def _plain(value: Any) -> Any:
    """Return a value of the standard library's `json` without what is not JSON; not recursive, since it may be nested deeply.

    Raises:
        ValueError: it is nested deeper than orjson would take.
    """
    top = [value]
    level: list[Any] = [top]
    depth = 0
    while level:
        depth += 1
        if depth > NESTING_LIMIT:
            raise ValueError("nested too deeply")
        following: list[Any] = []
        for container in level:
            if isinstance(container, dict) and any(_SURROGATES.search(key) for key in container):
                items = [(_SURROGATES.sub("\ufffd", key), item) for key, item in container.items()]
                container.clear()
                container.update(items)
            for key, item in container.items() if isinstance(container, dict) else enumerate(container):
                if isinstance(item, dict | list):
                    following.append(item)
                elif isinstance(item, float) and not -1.8e308 < item < 1.8e308:
                    container[key] = None
                elif isinstance(item, str) and _SURROGATES.search(item):
                    container[key] = _SURROGATES.sub("\ufffd", item)
        level = following
    return top[0]


def _repair(name: str, value: Any) -> Any:
    """Return the value itself when it is valid, else an equivalent valid value, or None where there is none."""
    kind = _KINDS[name]
    if kind in {"int", "float"}:
        return _number(name, kind, value)
    if type(value) in _TYPES[kind]:
        return value
    if kind == "string":
        return _as_text(value)
    return {"value": value} if kind == "object" else [value]


def _number(name: str, kind: str, value: Any) -> int | float | None:
    limit = TIME_LIMIT if name == "timestamp" else NUMBER_LIMIT
    number = value
    if isinstance(value, str):
        number = _number_in(value[:64], is_time=name == "timestamp")
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < limit:
        return None
    return int(number) if kind == "int" and isinstance(number, float) else number


def _number_in(text: str, *, is_time: bool) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    if not is_time:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _as_text(value: Any) -> str | None:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError, RecursionError):
        return None
