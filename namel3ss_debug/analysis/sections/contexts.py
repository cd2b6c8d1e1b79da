"""The share of its context window that each model received, and how that grew over a conversation.

The size of a context is the number of input tokens in the usage of a call; a call without usage is left out. The calls
of a model belong to one conversation where their messages begin alike: with the same system message and the same first
question, in the same execution. A new conversation begins where a call has as few messages as the first one had. Calls
whose messages were not recorded are grouped by the span around them. The growth is the slope of the input tokens over
the calls (`slopes`), in tokens a call.
"""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import adler32, crc32

from namel3ss_debug.analysis.sections.usage import ModelKey, model_key
from namel3ss_debug.analysis.slopes import MOST_POINTS, theil_sen
from namel3ss_debug.traces.facts import LONGEST_NS
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namel3ss_debug.analysis.facts import MeasuredSpan

MOST_CONVERSATIONS = 20
MOST_TURNS = 50
_LEAST_FOR_GROWTH = 3
_OPENING_ROLES = frozenset({"system", "developer"})


class _Calls:
    """The calls of one model: thirty-two bytes each."""

    __slots__ = ("conversations", "messages", "numbers", "tokens")

    def __init__(self) -> None:
        self.numbers = array("q")
        self.tokens = array("q")
        self.conversations = array("q")
        self.messages = array("q")

    def merge(self, later: _Calls) -> None:
        self.numbers.extend(later.numbers)
        self.tokens.extend(later.tokens)
        self.conversations.extend(later.conversations)
        self.messages.extend(later.messages)

    def above(self, least: int) -> list[int]:
        """Return the numbers of the calls with more input tokens than `least`."""
        return [number for number, tokens in zip(self.numbers, self.tokens, strict=True) if tokens > least]


class _Conversation(NamedTuple):
    """The calls of one conversation, in order: the number of each, and its input tokens."""

    model: ModelKey
    window: int | None
    turns: list[tuple[int, int]]

    @property
    def largest(self) -> tuple[int, int]:
        """Return the most input tokens, and the event number of the first call that had them."""
        number, tokens = max(self.turns, key=lambda turn: (turn[1], -turn[0]))
        return tokens, number


class Contexts:
    """The input tokens of every model call."""

    def __init__(self, full: float) -> None:
        self._full = full
        self._calls: dict[ModelKey, _Calls] = {}

    def add(self, span: MeasuredSpan, tokens: int) -> None:
        """Add a model call that ended, with its number of input tokens."""
        model = model_key(span)
        calls = self._calls.get(model)
        if calls is None:
            calls = self._calls[model] = _Calls()
        key, messages = _conversation_key(span)
        calls.numbers.append(span.number)
        calls.tokens.append(min(LONGEST_NS, tokens))
        calls.conversations.append(key)
        calls.messages.append(messages)

    def merge(self, later: Contexts) -> None:
        """Merge the calls of a later part into these."""
        for model, calls in later._calls.items():
            mine = self._calls.get(model)
            if mine is None:
                self._calls[model] = calls
            else:
                mine.merge(calls)

    def renumber(self, by: int) -> None:
        """Add a number to the numbers of all events."""
        for calls in self._calls.values():
            calls.numbers = array("q", [number + by for number in calls.numbers])

    def result(self) -> dict[str, Any]:
        """Return the part `context` of the section."""
        models: dict[str, dict[str, Any]] = {}
        conversations: list[_Conversation] = []
        count = 0
        for model in sorted(self._calls, key=repr):
            calls, window = self._calls[model], model.window()
            _add_model(models, model, calls, window, self._full)
            for turns in _group_by_conversation(calls):
                count += 1
                conversations.append(_Conversation(model, window, turns))
            conversations = sorted(conversations, key=_by_fullness)[:MOST_CONVERSATIONS]
        return {
            "calls": sum(len(calls.numbers) for calls in self._calls.values()),
            "full_share": self._full,
            "by_model": {name: models[name] for name in sorted(models)},
            "conversation_count": count,
            "conversations": [_conversation_to_json(conversation) for conversation in conversations],
        }


def _add_model(
    models: dict[str, dict[str, Any]], model: ModelKey, calls: _Calls, window: int | None, full: float
) -> None:
    """Add a row for the calls of a model; models of the same name from several providers share one row."""
    most = max(calls.tokens)
    number = min(calls.above(most - 1))
    share = _window_share(most, window)
    over = [] if window is None or most <= full * window else sorted(calls.above(int(full * window)))
    row = {
        "window": window,
        "calls": len(calls.numbers),
        "max_input_tokens": most,
        "max_number": number,
        "max_share": share,
        "calls_over": len(over) if window is not None else None,
        "first_over_number": over[0] if over else None,
    }
    other = models.get(model.name)
    if other is None:
        models[model.name] = row
        return
    ahead = max(
        row,
        other,
        key=lambda model: (model["max_share"] or 0.0, model["max_input_tokens"], -model["max_number"]),
    )
    firsts = [
        number for number in (row["first_over_number"], other["first_over_number"]) if number is not None
    ]
    known = [count for count in (row["calls_over"], other["calls_over"]) if count is not None]
    models[model.name] = ahead | {
        "calls": row["calls"] + other["calls"],
        "calls_over": sum(known) if known else None,
        "first_over_number": min(firsts, default=None),
    }


def _group_by_conversation(calls: _Calls) -> Iterator[list[tuple[int, int]]]:
    """Yield the calls of each conversation of at least two as (number, input tokens), in order."""
    times = Counter(calls.conversations)
    indexes: dict[int, list[int]] = {key: [] for key, count in times.items() if count > 1}
    if indexes:
        for index, key in enumerate(calls.conversations):
            if key in indexes:
                indexes[key].append(index)
    numbers, tokens, messages = calls.numbers, calls.tokens, calls.messages
    for group in indexes.values():
        group.sort(key=numbers.__getitem__)
        begin = 0
        for turn in range(1, len(group) + 1):
            over = turn == len(group)
            sent = 0 if over else messages[group[turn]]
            if over or messages[group[begin]] >= sent < messages[group[turn - 1]]:
                if turn > begin + 1:
                    yield [(numbers[index], tokens[index]) for index in group[begin:turn]]
                begin = turn


def _conversation_to_json(conversation: _Conversation) -> dict[str, Any]:
    """Return how the context of one conversation grew, and how many more calls fit at that pace."""
    model, window, turns = conversation
    most, number = conversation.largest
    growth = _growth([tokens for _, tokens in turns])
    last = turns[-1][1]
    calls_left = None
    if window is not None and growth is not None and growth > 0:
        calls_left = max(int((window - last) / growth), 0)
    return {
        "model": model.name,
        "window": window,
        "calls": len(turns),
        "first_number": turns[0][0],
        "last_number": turns[-1][0],
        "first_tokens": turns[0][1],
        "last_tokens": last,
        "max_tokens": most,
        "max_number": number,
        "max_share": _window_share(most, window),
        "tokens_per_call": growth,
        "calls_left": calls_left,
        "times_cut": sum(after < before for (_, before), (_, after) in pairwise(turns)),
        "turns": [
            {"number": number, "input_tokens": tokens, "share": _window_share(tokens, window)}
            for number, tokens in turns[-MOST_TURNS:]
        ],
    }


def _growth(tokens: list[int]) -> float | None:
    """Return by how many tokens the input grew from call to call; None for less than three calls."""
    if len(tokens) < _LEAST_FOR_GROWTH:
        return None
    step = -(-len(tokens) // MOST_POINTS)
    slope = theil_sen([(float(index), float(tokens[index])) for index in range(0, len(tokens), step)])
    return None if slope is None else round(slope.slope, 3)


def _by_fullness(conversation: _Conversation) -> tuple[float, int, int]:
    """Return a sort key: conversations that came nearest to their window first, then the largest."""
    most, number = conversation.largest
    return -(_window_share(most, conversation.window) or 0.0), -most, number


def _window_share(tokens: int, window: int | None) -> float | None:
    return round(tokens / window, 6) if window else None


def _conversation_key(span: MeasuredSpan) -> tuple[int, int]:
    """Return a key for the beginning of the messages of a call, and the number of its messages.

    Of the system message only the length counts, of the first question all of it.
    """
    inputs = span.start.get("inputs")
    messages = inputs.get("messages") if type(inputs) is dict else None
    run = span.start.get("execution_id", "")
    if type(messages) is not list or not messages:
        encoded = _encode(run + span.start.get("parent_event_id", ""))
        return crc32(encoded) << 20 ^ adler32(encoded), 0
    first = messages[0]
    before, count = 0, len(messages)
    if count > 1 and type(first) is dict and lenient.string(first.get("role")) in _OPENING_ROLES:
        before, first = len(_text_of(first)), messages[1]
    encoded = _encode(run + _text_of(first))
    return crc32(encoded, before) << 20 ^ len(encoded), count


def _encode(text: str) -> bytes:
    """Return a text as UTF-8, with a question mark for half of a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace")


def _text_of(message: Any) -> str:
    """Return the text of a message, or all of it as JSON where it holds more than a text."""
    if type(message) is dict:
        parts = message.get("parts")
        if type(parts) is list and len(parts) == 1 and type(parts[0]) is dict:
            content = parts[0].get("content")
            if type(content) is str:
                return content
    return lenient.dump(message).decode()
