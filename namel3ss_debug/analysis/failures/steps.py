"""The steps before a failure: spans with their inputs and outputs, and the search for values in them.

Values are searched for as text: JSON without backslashes, in lower case, with single spaces between words and none
beside the marks of JSON. So JSON inside a text is found as well, and a word in a sentence. A value that is common (`0`,
`false`, a number of two digits) is searched for together with its key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from namel3ss_debug.analysis.failures.claims import Claim, claimed_error
from namel3ss_debug.errors import short
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.facts import has_failed
from namel3ss_debug.wire import lenient

_MOST_LEAVES = 200
_DEEPEST = 12
_LONGEST = 96_000
_SHORTEST_VALUE = 3
_SHORTEST_TEXT = 12
_TEXT_HEAD = 160
_EMPTY = (None, "", "[]", "{}", "null", "none", "no results", "no results found", "not found")
_COUNTS = ("count", "total", "total_results", "num_results", "total_count")
_LISTS = ("results", "items", "data", "hits", "matches", "rows", "documents")
_CUT_REASONS = frozenset({"length", "max_tokens", "max_output_tokens", "incomplete", "model_length"})
_WRITERS = frozenset({"llm", "agent", "prompt"})
_QUOTES = frozenset("'\"`")
_MARKS = '{}[],:"'
"""The characters that separate values in JSON; white space beside them is ignored."""


class Leaf(NamedTuple):
    """One value in a payload, with its path."""

    path: str
    key: str
    value: Any

    @property
    def shown(self) -> str:
        """Return the value with its name, as `city='Paris'`; one without a name alone."""
        value = short(repr(self.value), 80, "...")
        return f"{self.path}={value}" if self.path else value


class SpanStep:
    """A span with its payloads, or an event that is no span's start or end.

    Attributes:
        number: the number of its start; of its end, where the start is not known.
        end_number: the number of its end; 0 where it had not ended.
        start: its start event; empty where it is not known.
        end: its end event; empty where it had not ended.
        row: its row in the table of spans; of an event alone that of the span around it.
        parent: the row of the span around it; `AT_TOP` for an event alone.
        info: the result of `suspects.get_failure_info` for it, once that was called; False before.
    """

    __slots__ = (
        *("_claim", "_inputs_text", "_outputs_text", "end", "end_number"),
        *("info", "number", "parent", "row", "start"),
    )

    def __init__(self, number: int, end_number: int, start: Event, end: Event, row: int, parent: int) -> None:
        self.number, self.end_number, self.start, self.end = number, end_number, start, end
        self.row, self.parent = row, parent
        self._outputs_text: str | None = None
        self._inputs_text: str | None = None
        self._claim: Claim | bool | None = False
        self.info: object = False

    def get(self, field: str) -> Any:
        """Return a field of the end, or of the start where the end does not have it."""
        value = self.end.get(field)
        return self.start.get(field) if value is None else value

    @property
    def id(self) -> str | None:
        """Return the id of the span; None where its start is not known."""
        return lenient.string(self.start.get("event_id"))

    @property
    def component(self) -> str:
        """Return its component."""
        return str(self.get("component") or "")

    @property
    def name(self) -> str:
        """Return the component's name; empty where there is none."""
        return str(self.get("component_name") or "")

    @property
    def failed(self) -> bool:
        """Return whether it ended as a failure."""
        return bool(self.end) and has_failed(self.end)

    @property
    def claim(self) -> Claim | None:
        """Return the error that its outputs report, where it did not fail."""
        if self._claim is False:
            self._claim = None if self.failed or not self.end else claimed_error(self.end)
        assert not isinstance(self._claim, bool)
        return self._claim

    @property
    def outputs_text(self) -> str:
        """Return its outputs, as text to search for values."""
        if self._outputs_text is None:
            self._outputs_text = searchable_text(self.end.get("outputs"))
        return self._outputs_text

    @property
    def inputs_text(self) -> str:
        """Return its inputs, as text to search for values."""
        if self._inputs_text is None:
            self._inputs_text = searchable_text(self.start.get("inputs"))
        return self._inputs_text

    @property
    def writes(self) -> bool:
        """Return whether it is of a kind that writes new values: a model, or an agent."""
        return self.component in _WRITERS

    @property
    def arguments(self) -> Any:
        """Return its arguments: those of a tool, all inputs of anything else."""
        inputs = self.start.get("inputs")
        if isinstance(inputs, dict) and "arguments" in inputs:
            return read_json(inputs["arguments"])
        return inputs

    @property
    def empty(self) -> bool:
        """Return whether its result is empty: an empty list or text, no result, or a count of 0."""
        outputs = self.end.get("outputs")
        if self.writes or self.failed or not isinstance(outputs, dict) or "result" not in outputs:
            return False
        return is_empty(read_json(outputs["result"]))

    @property
    def cut_reason(self) -> str | None:
        """Return the reason why a model's answer was cut; None where it was not."""
        outputs = self.end.get("outputs")
        reason = outputs.get("finish_reason") if isinstance(outputs, dict) else None
        return reason if isinstance(reason, str) and reason.lower() in _CUT_REASONS else None

    @property
    def duration_ms(self) -> float | None:
        """Return how long it took, in milliseconds."""
        value = self.end.get("duration_ms")
        if value is None and self.start and self.end:
            began, ended = self.start.get("timestamp"), self.end.get("timestamp")
            value = (ended - began) * 1000 if began is not None and ended is not None else None
        return value if isinstance(value, int | float) and value >= 0 else None

    def calls(self) -> Iterator[dict[str, Any]]:
        """Yield the tool calls that a model asked for."""
        outputs = self.end.get("outputs")
        calls = outputs.get("tool_calls") if isinstance(outputs, dict) else None
        if isinstance(calls, list):
            yield from (call for call in calls if isinstance(call, dict))


def read_json(value: Any) -> Any:
    """Return a text that is JSON, parsed; anything else unchanged."""
    if isinstance(value, str) and value[:1] in {"{", "["} and len(value) <= _LONGEST:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def is_empty(result: Any) -> bool:
    """Return whether a result holds nothing that can be used."""
    if isinstance(result, str):
        return result.strip().lower() in _EMPTY
    if result is None or result in ([], {}):
        return True
    if isinstance(result, dict):
        if any(type(result.get(key)) is int and result[key] == 0 for key in _COUNTS):
            return True
        return any(result.get(key) == [] for key in _LISTS)
    return False


def searchable_text(payload: Any) -> str:
    """Return a payload as text to search for values; of a very long one only the beginning and the end."""
    if payload is None or payload == {}:
        return ""
    try:
        text = orjson.dumps(payload).decode()
    except (TypeError, ValueError):
        return ""
    if len(text) > _LONGEST:
        text = text[: _LONGEST // 3] + text[-2 * _LONGEST // 3 :]
    return normal(text)


def message_text(message: dict[str, Any]) -> str:
    """Return the texts of a message, and what is no text as JSON."""
    parts = lenient.mappings(message.get("parts"))
    if not parts:
        return lenient.dump(message.get("content")).decode()
    texts = (lenient.string(part.get("content", part.get("response"))) for part in parts)
    return "\n".join(
        lenient.dump({key: value for key, value in part.items() if key not in {"type", "id"}}).decode()
        if text is None
        else text
        for part, text in zip(parts, texts, strict=True)
    )


@lru_cache(maxsize=512)  # each failure of a long session searches the same results again
def normal(text: str) -> str:
    """Return a text in lower case, without backslashes, and with at most one space between words."""
    text = " ".join(text.replace("\\n", " ").replace("\\", "").lower().split())
    for mark in _MARKS:
        text = text.replace(f" {mark}", mark).replace(f"{mark} ", mark)
    return text


def iter_leaves(payload: Any) -> Iterator[Leaf]:
    """Yield the first 200 values in a payload, in order; an empty list or object is a value too.

    The values of an object of the program are its fields, named as in expressions, without its class.
    """
    stack: list[tuple[str, str, Any, int]] = [("", "", payload, 0)]
    left = _MOST_LEAVES
    while stack and left:
        path, key, value, depth = stack.pop()
        if isinstance(value, dict) and "$type" in value:
            value = _object_fields(value)
        if isinstance(value, dict) and value and depth < _DEEPEST:
            stack.extend(
                (f"{path}.{name}" if path else str(name), str(name), item, depth + 1)
                for name, item in reversed(list(value.items())[:_MOST_LEAVES])
            )
        elif isinstance(value, list) and value and depth < _DEEPEST:
            stack.extend(
                (f"{path}[{index}]", key, item, depth + 1)
                for index, item in reversed(list(enumerate(value[:_MOST_LEAVES])))
            )
        else:
            left -= 1
            yield Leaf(path or "value", key, value)


def _object_fields(form: dict[str, Any]) -> Any:
    """Return the fields of an object of the program, from its recorded form."""
    for name, kind in (("fields", dict), ("items", list)):
        if isinstance(form.get(name), kind):
            return form[name]
    return {name: value for name, value in form.items() if name != "$type"}


def search_text(leaf: Leaf) -> str:
    """Return the text by which a value is searched for; "" where that would be found by chance."""
    value = leaf.value
    if isinstance(value, str) and len(value.strip()) >= _SHORTEST_VALUE:
        text = normal(value)
        return text[:_TEXT_HEAD] if len(text) >= _SHORTEST_TEXT else f'"{text}"'
    if lenient.is_number(value) and len(str(value).lstrip("-0").rstrip("0.")) >= 3:
        return str(value)
    if leaf.key and not isinstance(value, dict | list):
        with suppress(TypeError):  # half of a surrogate pair, as in damaged files, cannot be dumped
            return normal(f'"{leaf.key}":{orjson.dumps(value).decode()}')
    return ""


def contains(text: str, leaf: Leaf) -> bool:
    """Return whether a text made by `searchable_text` contains a value."""
    trace = search_text(leaf)
    if not trace:
        return False
    if trace in text:
        return True
    inner = trace.strip('"')
    return (
        trace[0] == '"' and ":" not in trace and len(inner) >= _SHORTEST_VALUE and _contains_word(inner, text)
    )


def _contains_word(word: str, text: str) -> bool:
    """Return whether a text contains a short value as a word; one with a digit may be a part of a word."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None or (
        len(word) >= 4 and word in text and re.search(r"\d", word) is not None
    )


def may_contain(text: str, leaf: Leaf) -> bool:
    """Return whether a text made by `searchable_text` may contain a value, in any form.

    A text may be a part of a word, as `OSL` in `Oslo`. A number may be written with decimals or with separators between
    its thousands. A value without content, such as null, may always be there.
    """
    value = leaf.value
    if isinstance(value, str):
        return normal(value) in text
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    digits, _, decimals = f"{abs(value):,}".partition(".")
    number = "[,.' _]?".join(re.escape(part) for part in digits.split(","))
    decimals = decimals.rstrip("0")
    end = rf"[.,]{decimals}0*" if decimals else "(?:[.,]0+)?"
    return contains(text, leaf) or re.search(rf"(?<!\d){number}{end}(?!\d)", text) is not None


def find_named(error: str, leaves: Iterable[Leaf]) -> list[tuple[bool, Leaf]]:
    """Return the values that the text of an error names, with whether it quotes them; the longest first."""
    lowered = error.lower()
    named = []
    for leaf in leaves:
        value = leaf.value
        if isinstance(value, bool) or value is None or isinstance(value, dict | list):
            continue
        text = str(value).lower().strip()
        if (
            not text
            or len(text) > len(lowered)
            or (len(text) < _SHORTEST_VALUE and not text.lstrip("-").isdigit())
        ):
            continue
        match = re.search(rf"(?<![\w.]){re.escape(text)}(?!\w)", lowered)
        if match:
            around = lowered[match.start() - 1 : match.start()], lowered[match.end() : match.end() + 1]
            named.append((around[0] in _QUOTES and around[1] in _QUOTES, leaf))
    return sorted(named, key=lambda item: -len(str(item[1].value)))
