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

from typing import TYPE_CHECKING, Any, Final

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.totals import LISTED
from namel3ss_debug.traces.facts import NS_PER_MS, whole_ns

if TYPE_CHECKING:
    from namel3ss_debug.traces.events import Event

EVENT_TYPE: Final = "stack_sample"
MOST_FUNCTIONS: Final = 10
"""The most functions of an operation that are listed, those with most time."""

_SPAWNED = "__mp_main__."
"""The name that `multiprocessing` gives to the program's own file in a spawned child."""

_KB = 1024  # memory is added up in whole KB, because sums of floats depend on the order


class _Operation:
    """The samples of the slow spans of one operation."""

    __slots__ = ("functions", "growth_kb", "sampled_ns", "slowest", "spans")

    def __init__(self) -> None:
        self.spans = 0
        self.sampled_ns = 0
        self.growth_kb: int | None = None
        self.slowest = (-1, 0)  # its duration, and its negated number
        self.functions: dict[tuple[str, str], int] = {}

    def merge(self, later: _Operation) -> None:
        self.spans += later.spans
        self.sampled_ns += later.sampled_ns
        self.add_growth(later.growth_kb)
        self.slowest = max(self.slowest, later.slowest)
        for key, duration in later.functions.items():
            self.functions[key] = self.functions.get(key, 0) + duration

    def add_growth(self, kilobytes: int | None) -> None:
        if kilobytes is not None:
            self.growth_kb = max(self.growth_kb or 0, kilobytes)

    def result(self, component: str, name: str) -> dict[str, Any]:
        """Return the row of the operation."""
        ordered = sorted(self.functions.items(), key=lambda item: (-item[1], item[0]))
        return {
            "component": component,
            "component_name": name or None,
            "spans": self.spans,
            "slowest_number": -self.slowest[1],
            "sampled_ms": milliseconds(self.sampled_ns),
            "memory_growth_mb": None if self.growth_kb is None else round(self.growth_kb / _KB, 2),
            "functions": [
                {
                    "function": function,
                    "at": at or None,
                    "self_ms": milliseconds(duration),
                    "share": round(duration / self.sampled_ns, 4) if self.sampled_ns else None,
                }
                for (function, at), duration in ordered[:MOST_FUNCTIONS]
            ],
        }


class HotFunctions:
    """The functions of slow spans, by operation.

    Args:
        slow_ns: how long a span may take before it counts as slow.
    """

    def __init__(self, slow_ns: int) -> None:
        self._slow_ns = slow_ns
        self._operations: dict[tuple[str, str], _Operation] = {}

    def add(self, number: int, event: Event) -> None:
        """Add one `stack_sample`."""
        metadata = event.get("metadata")
        if not isinstance(metadata, dict):
            return
        elapsed = _ns(metadata.get("elapsed_ms"))
        if elapsed <= self._slow_ns:
            return
        name = event.get("component_name")
        key = str(event.get("component") or ""), name if isinstance(name, str) else ""
        operation = self._operations.setdefault(key, _Operation())
        operation.spans += 1
        operation.sampled_ns += _ns(metadata.get("sampled_ms"))
        operation.slowest = max(operation.slowest, (elapsed, -number))
        operation.add_growth(_growth(metadata.get("memory")))
        functions = metadata.get("functions")
        for row in functions if isinstance(functions, list) else ():
            if isinstance(row, dict) and isinstance(row.get("function"), str):
                at = row.get("at")
                function_key = _normalise_spawned(row["function"]), at if isinstance(at, str) else ""
                operation.functions[function_key] = operation.functions.get(function_key, 0) + _ns(
                    row.get("self_ms")
                )

    def merge(self, later: HotFunctions) -> None:
        """Merge the samples of a later part, or of another trace, into these."""
        for key, operation in later._operations.items():
            self._operations.setdefault(key, _Operation()).merge(operation)

    def renumber(self, by: int) -> None:
        """Add a number to the numbers of events."""
        for operation in self._operations.values():
            duration, minus = operation.slowest
            operation.slowest = duration, minus - by

    def result(self) -> dict[str, Any]:
        """Return `hot_functions`, the operations with most sampled time first; {} where no slow span was sampled."""
        if not self._operations:
            return {}
        ordered = sorted(self._operations.items(), key=lambda item: (-item[1].sampled_ns, item[0]))
        return {"hot_functions": [operation.result(*key) for key, operation in ordered[:LISTED]]}


def _normalise_spawned(function: str) -> str:
    """Return the name of a function with the module name that it has in the main process."""
    return f"__main__.{function.removeprefix(_SPAWNED)}" if function.startswith(_SPAWNED) else function


def _ns(value: object) -> int:
    return whole_ns(value, NS_PER_MS)


def _growth(memory: object) -> int | None:
    """Return by how many KB the memory grew, from the first sample to the highest."""
    if not isinstance(memory, dict):
        return None
    first, peak = (whole_ns(memory.get(key), _KB) for key in ("first_mb", "peak_mb"))  # KB, not a time
    return max(peak - first, 0) if first and peak else None
