"""The share of its context window that each model received, and how that grew over a conversation.

The size of a context is the number of input tokens in the usage of a call; a call without usage is left out. The calls
of a model belong to one conversation where their messages begin alike: with the same system message and the same first
question, in the same execution. A new conversation begins where a call has as few messages as the first one had. Calls
whose messages were not recorded are grouped by the span around them. The growth is the slope of the input tokens over
the calls (`slopes`), in tokens a call.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from namel3ss_debug.analysis.forecasts import steps_until
from namel3ss_debug.analysis.sections.usage import ModelKey, model_key
from namel3ss_debug.analysis.slopes import MOST_POINTS, theil_sen
from namel3ss_debug.traces.span_table import Fact
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from namel3ss_debug.analysis.forecasts import Forecast
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

MOST_CONVERSATIONS = 20
MOST_TURNS = 50
FILLS_AT = 0.8
"""The share of its window at which a context that grows is reported before it gets there."""

_LEAST_FOR_GROWTH = 3
_FORECAST_CALLS = 12
_OPENING_ROLES = frozenset({"system", "developer"})


class _Conversation(NamedTuple):
    """The calls of one conversation: their rows in order, and the one with most input tokens."""

    model: ModelKey
    window: int | None
    rows: list[int]
    largest: int


def describe_contexts(spans: SpanTable, full: float) -> dict[str, Any]:
    """Return the part `context` of the section.

    Args:
        spans: the table of spans, with `CONTEXT_FACTS`.
        full: the share of its window from which on a context counts as full.
    """
    calls: defaultdict[int, list[int]] = defaultdict(list)
    for row in spans.of("llm"):
        if spans.input_tokens[row] and spans.end[row]:
            calls[spans.facts["model"][row]].append(row)
    models: defaultdict[str, list[tuple[int | None, list[int]]]] = defaultdict(list)
    conversations = []
    for model, rows in sorted(
        ((spans.values[index], rows) for index, rows in calls.items()), key=lambda each: repr(each[0])
    ):
        window = model.window()
        models[model.name].append((window, rows))
        conversations += [
            _Conversation(model, window, turns, max(turns, key=lambda row: (spans.input_tokens[row], -row)))
            for turns in _group_by_conversation(spans, rows)
        ]
    fullest = sorted(conversations, key=lambda conversation: _fullness(spans, conversation))
    return {
        "calls": sum(map(len, calls.values())),
        "full_share": full,
        "by_model": {name: _model_to_json(spans, models[name], full) for name in sorted(models)},
        "conversation_count": len(conversations),
        "conversations": [
            _conversation_to_json(spans, conversation) for conversation in fullest[:MOST_CONVERSATIONS]
        ],
    }


def _model_to_json(
    spans: SpanTable, groups: list[tuple[int | None, list[int]]], full: float
) -> dict[str, Any]:
    """Return the row of a model; models of the same name from several providers share one."""
    over: list[int] = []
    best: tuple[float, int, int, int | None] | None = None
    for window, rows in groups:
        most = max(rows, key=lambda row: (spans.input_tokens[row], -row))
        tokens = spans.input_tokens[most]
        ahead = (_window_share(tokens, window) or 0.0, tokens, -most, window)
        best = ahead if best is None or ahead[:3] > best[:3] else best
        if window is not None and tokens > full * window:
            over += [row for row in rows if spans.input_tokens[row] > int(full * window)]
    assert best is not None
    _, tokens, negated, window = best
    return {
        **spans.path(spans.trace[-negated]),
        "window": window,
        "calls": sum(len(rows) for _, rows in groups),
        "max_input_tokens": tokens,
        "max_number": spans.number[-negated],
        "max_share": _window_share(tokens, window),
        "calls_over": len(over) if any(window is not None for window, _ in groups) else None,
        "first_over_number": spans.number[min(over)] if over else None,
    }


def _group_by_conversation(spans: SpanTable, rows: Iterable[int]) -> Iterator[list[int]]:
    """Yield the rows of each conversation of at least two calls, in order."""
    messages = spans.facts["messages"]
    groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row in rows:
        begins = spans.facts["conversation"][row]
        groups[begins, spans.parent[row] if begins < 0 else 0].append(row)
    for group in groups.values():
        begin = 0
        for turn in range(1, len(group) + 1):
            over = turn == len(group)
            sent = 0 if over else messages[group[turn]]
            if over or messages[group[begin]] >= sent < messages[group[turn - 1]]:
                if turn > begin + 1:
                    yield group[begin:turn]
                begin = turn


def _conversation_to_json(spans: SpanTable, conversation: _Conversation) -> dict[str, Any]:
    """Return how the context of one conversation grew, and how many more calls fit at that pace."""
    model, window, rows, largest = conversation
    tokens = [spans.input_tokens[row] for row in rows]
    most, growth = spans.input_tokens[largest], _growth(tokens)
    calls_left = None
    if window is not None and growth is not None and growth > 0:
        calls_left = max(int((window - tokens[-1]) / growth), 0)
    return {
        **spans.path(spans.trace[rows[0]]),
        "model": model.name,
        "window": window,
        "calls": len(rows),
        "first_number": spans.number[rows[0]],
        "last_number": spans.number[rows[-1]],
        "first_tokens": tokens[0],
        "last_tokens": tokens[-1],
        "max_tokens": most,
        "max_number": spans.number[largest],
        "max_share": _window_share(most, window),
        "tokens_per_call": growth,
        "calls_left": calls_left,
        "calls_until_full": None if window is None else _forecast_to_json(tokens, window),
        "times_cut": sum(after < before for before, after in pairwise(tokens)),
        "turns": [
            {
                **spans.path(spans.trace[row]),
                "number": spans.number[row],
                "input_tokens": spans.input_tokens[row],
                "share": _window_share(spans.input_tokens[row], window),
            }
            for row in rows[-MOST_TURNS:]
        ],
    }


def calls_until_full(tokens: Sequence[int], window: int) -> Forecast | None:
    """Return in how many calls a context that holds so many tokens fills `FILLS_AT` of its window; None where that is unknown.

    Read are the latest calls since the context was last cut.
    """
    recent = list(tokens)[-_FORECAST_CALLS:]
    cut = max((index for index in range(1, len(recent)) if recent[index] < recent[index - 1]), default=0)
    return steps_until([float(value) for value in recent[cut:]], FILLS_AT * window)


def _forecast_to_json(tokens: Sequence[int], window: int) -> dict[str, Any] | None:
    found = calls_until_full(tokens, window)
    if found is None:
        return None
    return {"share": FILLS_AT, "calls": int(found.value), "low": int(found.low), "high": int(found.high)}


def _growth(tokens: list[int]) -> float | None:
    """Return by how many tokens the input grew from call to call; None for less than three calls."""
    if len(tokens) < _LEAST_FOR_GROWTH:
        return None
    step = -(-len(tokens) // MOST_POINTS)
    slope = theil_sen([(float(index), float(tokens[index])) for index in range(0, len(tokens), step)])
    return None if slope is None else round(slope.slope, 3)


def _fullness(spans: SpanTable, conversation: _Conversation) -> tuple[float, int, int]:
    """Return a sort key: conversations that came nearest to their window first, then the largest."""
    most = spans.input_tokens[conversation.largest]
    return -(_window_share(most, conversation.window) or 0.0), -most, conversation.largest


def _window_share(tokens: int, window: int | None) -> float | None:
    return round(tokens / window, 6) if window else None


def _messages(start: Event) -> list[Any]:
    return lenient.sequence(lenient.mapping(start.get("inputs")).get("messages"))


def count_messages(start: Event, _end: Event) -> int:
    """Return how many messages the request of a model call has."""
    return len(_messages(start))


def conversation_key(start: Event, _end: Event) -> int:
    """Return a key for the beginning of the messages of a call.

    Of the system message only the length counts, of the first question all of it. Without messages it is below 0, and
    the span around the call counts as well.
    """
    messages, run = _messages(start), start.get("execution_id", "")
    if not messages:
        return -1 - crc32(_encode(run))
    first = messages[0]
    before = 0
    if len(messages) > 1 and type(first) is dict and lenient.string(first.get("role")) in _OPENING_ROLES:
        before, first = len(_text_of(first)), messages[1]
    encoded = _encode(run + _text_of(first))
    return crc32(encoded, before) << 20 ^ len(encoded)


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


_MODELS = frozenset({"llm"})
CONTEXT_FACTS = (
    Fact("model", model_key, _MODELS, interned=True),
    Fact("conversation", conversation_key, _MODELS),
    Fact("messages", count_messages, _MODELS),
)
