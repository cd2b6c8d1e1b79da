"""Find the functions in which the time of slow spans went, where the stacks of the program were sampled.

A row for each operation of which a slow span was sampled, `number` that of the `stack_sample` of its slowest span:

    {"component": "tool", "component_name": "search", "spans": 3, "slowest_number": 17, "sampled_ms": 4510.2,
     "memory_growth_mb": 31.5,
     "functions": [{"function": "json.decoder.JSONDecoder.decode", "at": "app.py:42", "self_ms": 2709.3, "share": 0.6007}]}

The time of inner spans counts for those alone. A spawned child has another name for the program's own file; a function
of that file is the same one there. `share` is the share of the time that was sampled in the operation, and
`memory_growth_mb` the most that the memory of the process grew within one of its spans, from the first sample to the
highest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import NS_PER_MS, whole_ns
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.traces.span_table import SpanTable

EVENT_TYPE: Final = "stack_sample"
MOST_FUNCTIONS: Final = 10
"""The most functions of an operation that are listed, those with most time."""

_SPAWNED = "__mp_main__."
"""The name that `multiprocessing` gives to the program's own file in a spawned child."""

_KB = 1024  # memory is added up in whole KB, because sums of floats depend on the order


class _Samples:
    """The samples of the slow spans of one operation."""

    __slots__ = ("functions", "growth_kb", "sampled_ns", "slowest", "spans")

    def __init__(self) -> None:
        self.spans = self.sampled_ns = 0
        self.growth_kb: int | None = None
        self.slowest = (-1, 0, 0)  # its duration, the negated index of its trace and its negated number
        self.functions: Counter[tuple[str, str]] = Counter()


def find_hot_functions(spans: SpanTable, slow_ns: int) -> dict[str, Any]:
    """Return `hot_functions`, the operations with most sampled time first; {} where no slow span was sampled.

    Args:
        spans: the table of spans, with the events of `EVENT_TYPE`.
        slow_ns: how long a span may take before it counts as slow.
    """
    operations: defaultdict[tuple[str, str], _Samples] = defaultdict(_Samples)
    for trace, number, event in spans.points[EVENT_TYPE]:
        metadata = lenient.mapping(event.get("metadata"))
        elapsed = whole_ns(metadata.get("elapsed_ms"), NS_PER_MS)
        if elapsed <= slow_ns:
            continue
        samples = operations[event["component"], event.get("component_name", "")]
        samples.spans += 1
        samples.sampled_ns += whole_ns(metadata.get("sampled_ms"), NS_PER_MS)
        samples.slowest = max(samples.slowest, (elapsed, -trace, -number))
        growth = _growth(metadata.get("memory"))
        if growth is not None:
            samples.growth_kb = max(samples.growth_kb or 0, growth)
        for row in lenient.sequence(metadata.get("functions")):
            if isinstance(row, dict) and isinstance(row.get("function"), str):
                at = row.get("at")
                key = _normalise_spawned(row["function"]), at if isinstance(at, str) else ""
                samples.functions[key] += whole_ns(row.get("self_ms"), NS_PER_MS)
    ordered = sorted(operations, key=lambda key: (-operations[key].sampled_ns, key))
    rows = [_operation_to_json(spans, key, operations[key]) for key in ordered[:LISTED]]
    return {"hot_functions": rows} if rows else {}


def _operation_to_json(spans: SpanTable, key: tuple[str, str], samples: _Samples) -> dict[str, Any]:
    _, trace, number = samples.slowest
    ordered = sorted(samples.functions.items(), key=lambda item: (-item[1], item[0]))
    return {
        **spans.path(-trace),
        "component": key[0],
        "component_name": key[1] or None,
        "spans": samples.spans,
        "slowest_number": -number,
        "sampled_ms": milliseconds(samples.sampled_ns),
        "memory_growth_mb": None if samples.growth_kb is None else round(samples.growth_kb / _KB, 2),
        "functions": [
            {
                "function": function,
                "at": at or None,
                "self_ms": milliseconds(duration),
                "share": round(duration / samples.sampled_ns, 4) if samples.sampled_ns else None,
            }
            for (function, at), duration in ordered[:MOST_FUNCTIONS]
        ],
    }


def _normalise_spawned(function: str) -> str:
    """Return the name of a function with the module name that it has in the main process."""
    return f"__main__.{function.removeprefix(_SPAWNED)}" if function.startswith(_SPAWNED) else function


def _growth(memory: object) -> int | None:
    """Return by how many KB the memory grew, from the first sample to the highest."""
    if not isinstance(memory, dict):
        return None
    first, peak = (whole_ns(memory.get(key), _KB) for key in ("first_mb", "peak_mb"))  # KB, not a time
    return max(peak - first, 0) if first and peak else None
