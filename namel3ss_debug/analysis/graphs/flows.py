"""Data flow between spans: which span produced a value that a later span was given.

A value belongs to the span that was the first in the trace to give it, unless it had been among the inputs of a span
that began before that one ended: then it came from outside. Every later span whose inputs hold the value takes it
from there. A value that a span got through the last span it took anything from, or through the span around it, is
not counted again. Each value is looked at once for each span that holds it, so the time is linear in their number.

A call that a model asked for, and the result of a call that a model reads, are known by the id of the call: they come
from the latest span that gave them, whatever their content.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from namel3ss_debug.analysis.graphs.spangraph import Row

_MOST_LINKS = 256


def flows(rows: Sequence[Row], parents: Sequence[int]) -> dict[tuple[int, int], int]:
    """The places of giver and taker -> how many values went that way.

    Args:
        rows: the spans by number.
        parents: the place of the span around each, by place from 1; 0 at the top.
    """
    first: dict[int, int] = {}
    for place in sorted(range(len(rows)), key=lambda place: rows[place].end_number):
        for key in rows[place].given:
            first.setdefault(key, place)
    takers: dict[int, set[int]] = {}
    for place, row in enumerate(rows):
        if row.taken:
            keys = {key for key in row.taken if key in first}
            for key in [key for key in keys if row.number < rows[first[key]].end_number]:
                del first[key]
                keys.discard(key)
            if keys:
                takers[place] = keys
    counts: Counter[tuple[int, int]] = Counter()
    nothing: set[int] = set()
    for place in sorted(takers):
        keys = {key for key in takers[place] if key in first} - takers.get(parents[place + 1] - 1, nothing)
        latest = max((first[key] for key in keys), default=-1)
        for key in keys - takers.get(latest, nothing):
            counts[first[key] + 1, place + 1] += 1
    for pair in _by_ids(rows):
        counts[pair] = max(counts[pair], 1)
    return dict(counts)


def _by_ids(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """The edges by ids of calls: who gave a call or its result, and who took it; the latest giver before the taker."""
    handed_on: dict[str, list[tuple[int, int]]] = {}
    for place, row in enumerate(rows, 1):
        if row.end_number:
            for link in row.hands_on:
                handed_on.setdefault(link, []).append((row.end_number, place))
    for givers in handed_on.values():
        givers.sort()
    pairs = []
    for taker, row in enumerate(rows, 1):
        for link in row.goes_on_with:
            givers = handed_on.get(link, [])
            before = bisect_left(givers, (row.number, 0))
            if before:
                pairs.append((givers[before - 1][1], taker))
    return pairs


def handed(component: str, inputs: Any, outputs: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The calls and results that a span gave and was given, by their ids.

    A model gives the calls that it asks for, and is given the results that follow its last answer.
    """
    if component == "llm":
        asked = (call.get("id") for call in lenient.mappings(lenient.mapping(outputs).get("tool_calls")))
        return _links("call", asked), _links("result", _results(lenient.mapping(inputs)))
    call_id = lenient.mapping(inputs).get("call_id")
    return _links("result", [call_id]), _links("call", [call_id])


def _results(inputs: dict[str, Any]) -> Iterator[Any]:
    for message in reversed(lenient.mappings(inputs.get("messages"))):
        if message.get("role") == "assistant":
            return
        for part in lenient.mappings(message.get("parts")):
            if part.get("type") == "tool_call_response":
                yield part.get("id")


def _links(kind: str, ids: Iterable[Any]) -> tuple[str, ...]:
    known = (f"{kind} {call_id}" for call_id in ids if call_id and isinstance(call_id, str))
    return tuple(islice(known, _MOST_LINKS))
