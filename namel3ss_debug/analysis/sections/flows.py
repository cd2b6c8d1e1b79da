"""Find the data flow between spans: which span produced a value that a later span used.

A value belongs to the first span in the trace whose outputs hold it. It belongs to no span if the inputs of a span that
began before that one ended hold it: then it came from outside. Every later span whose inputs hold the value takes it
from there. A value is not counted again where a span got it through the last span it took anything from, or through the
span around it. Each value is looked at once for each span that holds it, so the time is linear in their number.

A call that a model asked for, and the result of a call that a model reads, are known by the id of the call. They come
from the latest span that produced them, whatever their content.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from namel3ss_debug.analysis.sections.spangraph import GraphSpan

_MOST_LINKS = 256


def find_flows(rows: Sequence[GraphSpan], parents: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return the indexes of source and target -> how many values went that way.

    Args:
        rows: the spans by number.
        parents: the index of the span around each, by index from 1; 0 at the top.
    """
    first: dict[int, int] = {}
    for index in sorted(range(len(rows)), key=lambda index: rows[index].end_number):
        for key in rows[index].output_keys:
            first.setdefault(key, index)
    targets: dict[int, set[int]] = {}
    for index, row in enumerate(rows):
        if row.input_keys:
            keys = {key for key in row.input_keys if key in first}
            for key in [key for key in keys if row.number < rows[first[key]].end_number]:
                del first[key]
                keys.discard(key)
            if keys:
                targets[index] = keys
    counts: Counter[tuple[int, int]] = Counter()
    nothing: set[int] = set()
    for index in sorted(targets):
        keys = {key for key in targets[index] if key in first} - targets.get(parents[index + 1] - 1, nothing)
        latest = max((first[key] for key in keys), default=-1)
        for key in keys - targets.get(latest, nothing):
            counts[first[key] + 1, index + 1] += 1
    for pair in _match_ids(rows):
        counts[pair] = max(counts[pair], 1)
    return dict(counts)


def _match_ids(rows: Sequence[GraphSpan]) -> list[tuple[int, int]]:
    """Return the edges by ids of calls: from the latest span that produced a call or result to the span that used it."""
    produced: dict[str, list[tuple[int, int]]] = {}
    for index, row in enumerate(rows, 1):
        if row.end_number:
            for link in row.produced_ids:
                produced.setdefault(link, []).append((row.end_number, index))
    for sources in produced.values():
        sources.sort()
    pairs = []
    for target, row in enumerate(rows, 1):
        for link in row.consumed_ids:
            sources = produced.get(link, [])
            before = bisect_left(sources, (row.number, 0))
            if before:
                pairs.append((sources[before - 1][1], target))
    return pairs


def call_links(component: str, inputs: Any, outputs: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids of the calls and results that a span produced, and of those that it used.

    A model produces the calls that it asks for, and uses the results that follow its last answer.
    """
    if component == "llm":
        call_ids = (call.get("id") for call in lenient.mappings(lenient.mapping(outputs).get("tool_calls")))
        return _links("call", call_ids), _links("result", _results(lenient.mapping(inputs)))
    call_id = lenient.mapping(inputs).get("call_id")
    return _links("result", [call_id]), _links("call", [call_id])


def _results(inputs: dict[str, Any]) -> Iterator[Any]:
    """Yield the ids of the results that follow the last answer in the messages of a request."""
    for message in reversed(lenient.mappings(inputs.get("messages"))):
        if message.get("role") == "assistant":
            return
        for part in lenient.mappings(message.get("parts")):
            if part.get("type") == "tool_call_response":
                yield part.get("id")


def _links(kind: str, ids: Iterable[Any]) -> tuple[str, ...]:
    known = (f"{kind} {call_id}" for call_id in ids if call_id and isinstance(call_id, str))
    return tuple(islice(known, _MOST_LINKS))
