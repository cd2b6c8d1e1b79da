"""How much of its context window each model was given, and how that grew over a conversation.

The size of a context is the number of input tokens in the usage of a call; a call without usage is left out. The calls
of a model belong to one conversation where the messages they were sent begin alike: with the same system message and
the same first question, in the same execution. A new conversation begins where there are again as few messages as at
the beginning. Calls whose messages were not recorded belong together by the span they were made in. The growth is the
slope of the input tokens over the calls (`slopes`), in tokens a call.
"""

from __future__ import annotations

from array import array
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import adler32, crc32

from namel3ss_debug.analysis.nesting import LONGEST_NS
from namel3ss_debug.analysis.resources.usage import Asked, asked_by
from namel3ss_debug.analysis.slopes import MOST_POINTS, theil_sen
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namel3ss_debug.analysis.nesting import MeasuredSpan

MOST_CONVERSATIONS = 20
MOST_TURNS = 50
_LEAST_FOR_GROWTH = 3
_OPENING = frozenset({"system", "developer"})


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
        """Return the numbers of the calls with more input tokens."""
        return [number for number, tokens in zip(self.numbers, self.tokens, strict=True) if tokens > least]


class _Conversation(NamedTuple):
    """The calls of one conversation, in order: the number of each, and its input tokens."""

    model: Asked
    window: int | None
    turns: list[tuple[int, int]]

    @property
    def largest(self) -> tuple[int, int]:
        """Return the most input tokens, and the event number of the first call that was given them."""
        number, tokens = max(self.turns, key=lambda turn: (turn[1], -turn[0]))
        return tokens, number


class Contexts:
    """Input tokens of every model call."""

    def __init__(self, full: float) -> None:
        self._full = full
        self._calls: dict[Asked, _Calls] = {}

    def add(self, span: MeasuredSpan, tokens: int) -> None:
        """Take a model call that ended, with its number of input tokens."""
        model = asked_by(span)
        calls = self._calls.get(model)
        if calls is None:
            calls = self._calls[model] = _Calls()
        key, messages = _opening(span)
        calls.numbers.append(span.number)
        calls.tokens.append(min(LONGEST_NS, tokens))
        calls.conversations.append(key)
        calls.messages.append(messages)

    def merge(self, later: Contexts) -> None:
        """Add the calls of a later part."""
        for model, calls in later._calls.items():
            mine = self._calls.get(model)
            if mine is None:
                self._calls[model] = calls
            else:
                mine.merge(calls)

    def renumber(self, by: int) -> None:
        """Add this to the numbers of all events."""
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
            for turns in _by_conversation(calls):
                count += 1
                conversations.append(_Conversation(model, window, turns))
            conversations = sorted(conversations, key=_fullest)[:MOST_CONVERSATIONS]
        return {
            "calls": sum(len(calls.numbers) for calls in self._calls.values()),
            "full_share": self._full,
            "by_model": {name: models[name] for name in sorted(models)},
            "conversation_count": count,
            "conversations": [_row(conversation) for conversation in conversations],
        }


def _add_model(
    models: dict[str, dict[str, Any]], model: Asked, calls: _Calls, window: int | None, full: float
) -> None:
    """Add the calls of a model to those of the same name from another provider."""
    most = max(calls.tokens)
    number = min(calls.above(most - 1))
    share = _share(most, window)
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
        row, other, key=lambda each: (each["max_share"] or 0.0, each["max_input_tokens"], -each["max_number"])
    )
    firsts = [each["first_over_number"] for each in (row, other) if each["first_over_number"] is not None]
    told = [each["calls_over"] for each in (row, other) if each["calls_over"] is not None]
    models[model.name] = ahead | {
        "calls": row["calls"] + other["calls"],
        "calls_over": sum(told) if told else None,
        "first_over_number": min(firsts, default=None),
    }


def _by_conversation(calls: _Calls) -> Iterator[list[tuple[int, int]]]:
    """Yield the calls of each conversation of at least two as (number, input tokens), in order."""
    times = Counter(calls.conversations)
    places: dict[int, list[int]] = {key: [] for key, count in times.items() if count > 1}
    if places:
        for place, key in enumerate(calls.conversations):
            if key in places:
                places[key].append(place)
    numbers, tokens, messages = calls.numbers, calls.tokens, calls.messages
    for group in places.values():
        group.sort(key=numbers.__getitem__)
        begin = 0
        for turn in range(1, len(group) + 1):
            over = turn == len(group)
            sent = 0 if over else messages[group[turn]]
            if over or messages[group[begin]] >= sent < messages[group[turn - 1]]:
                if turn > begin + 1:
                    yield [(numbers[each], tokens[each]) for each in group[begin:turn]]
                begin = turn


def _row(conversation: _Conversation) -> dict[str, Any]:
    """Return one conversation: how its context grew, and for how many more calls there is room at that pace."""
    model, window, turns = conversation
    most, number = conversation.largest
    growth = _growth([tokens for _, tokens in turns])
    last = turns[-1][1]
    left = None
    if window is not None and growth is not None and growth > 0:
        left = max(int((window - last) / growth), 0)
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
        "max_share": _share(most, window),
        "tokens_per_call": growth,
        "calls_left": left,
        "times_cut": sum(after < before for (_, before), (_, after) in pairwise(turns)),
        "turns": [
            {"number": number, "input_tokens": tokens, "share": _share(tokens, window)}
            for number, tokens in turns[-MOST_TURNS:]
        ],
    }


def _growth(tokens: list[int]) -> float | None:
    """By how many tokens the input grew from call to call; None for less than three calls."""
    if len(tokens) < _LEAST_FOR_GROWTH:
        return None
    step = -(-len(tokens) // MOST_POINTS)
    slope = theil_sen([(float(place), float(tokens[place])) for place in range(0, len(tokens), step)])
    return None if slope is None else round(slope.slope, 3)


def _fullest(conversation: _Conversation) -> tuple[float, int, int]:
    """Return a sort key: conversations that came nearest to their window first, then the largest."""
    most, number = conversation.largest
    return -(_share(most, conversation.window) or 0.0), -most, number


def _share(tokens: int, window: int | None) -> float | None:
    return round(tokens / window, 6) if window else None


def _opening(span: MeasuredSpan) -> tuple[int, int]:
    """Return a key for the beginning of the messages of a call, and the number of its messages.

    Of the system message only the length counts, of the first question all of it.
    """
    inputs = span.start.get("inputs")
    messages = inputs.get("messages") if type(inputs) is dict else None
    run = span.start.get("execution_id", "")
    if type(messages) is not list or not messages:
        told = _encoded(run + span.start.get("parent_event_id", ""))
        return crc32(told) << 20 ^ adler32(told), 0
    first = messages[0]
    before, count = 0, len(messages)
    if count > 1 and type(first) is dict and lenient.string(first.get("role")) in _OPENING:
        before, first = len(_text(first)), messages[1]
    told = _encoded(run + _text(first))
    return crc32(told, before) << 20 ^ len(told), count


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace")


def _text(message: Any) -> str:
    """Return the text of a message, or, where it holds more than one, all of it as JSON."""
    if type(message) is dict:
        parts = message.get("parts")
        if type(parts) is list and len(parts) == 1 and type(parts[0]) is dict:
            content = parts[0].get("content")
            if type(content) is str:
                return content
    return lenient.dump(message).decode()
