"""Find which operations took the time of a run, and why: the model, the tool, waiting, computing, or retries.

An operation's weight is its self time, as a share of the wall time. Its computing and waiting times are parts of that
time as well. The cause is the first of these that applies:

- `retries`: at least half of the time went into attempts that followed a failed one;
- `cpu`: the process computed for at least `MOSTLY` of the time, where CPU time was recorded;
- `model`, `tool`, `memory`: the component is that;
- `io`: the component is `http`, or the process computed for less than 1 - `MOSTLY` of the time;
- `unknown`: none of these.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from namel3ss_debug.analysis.distributions import milliseconds

MOSTLY = 0.7
LEAST_SHARE = 0.01
MOST_LISTED = 10

_CAUSE_OF_COMPONENT = {"llm": "model", "tool": "tool", "memory": "memory", "http": "io"}


class Effort(NamedTuple):
    """Where the time of one operation went, in nanoseconds.

    Attributes:
        component, name: the operation.
        self_ns: the time of its spans less that of the spans inside them.
        total_ns: the time of all its spans.
        retried_ns: the time of those that followed a failed attempt.
        cpu_ns: for how much of `measured_ns` the process computed; other threads may have computed as well.
        measured_ns: the part of `self_ns` of which that is known.
    """

    component: str
    name: str
    self_ns: int
    total_ns: int
    retried_ns: int
    cpu_ns: int
    measured_ns: int

    @property
    def working_ns(self) -> int | None:
        """Return for how long the process computed; None where not known."""
        return self.cpu_ns if self.measured_ns else None

    @property
    def waiting_ns(self) -> int | None:
        """Return for how long the process did not compute; None where not known."""
        return self.measured_ns - self.cpu_ns if self.measured_ns else None

    def cause(self) -> str:
        """Return the cause of its time, in a word."""
        if self.total_ns and 2 * self.retried_ns >= self.total_ns:
            return "retries"
        if self.measured_ns and self.cpu_ns >= MOSTLY * self.measured_ns:
            return "cpu"
        if self.component in _CAUSE_OF_COMPONENT:
            return _CAUSE_OF_COMPONENT[self.component]
        return "io" if self.measured_ns and self.cpu_ns < (1 - MOSTLY) * self.measured_ns else "unknown"


def find_bottlenecks(efforts: list[Effort], wall_ns: int | None) -> list[dict[str, Any]]:
    """Return the operations whose self time is at least `LEAST_SHARE` of the wall time, the heaviest first."""
    if not wall_ns:
        return []
    heavy = [effort for effort in efforts if effort.self_ns >= LEAST_SHARE * wall_ns]
    heavy.sort(key=lambda effort: (-effort.self_ns, effort.component, effort.name))
    return [
        {
            "component": effort.component,
            "component_name": effort.name or None,
            "self_ms": milliseconds(effort.self_ns),
            "share": round(effort.self_ns / wall_ns, 6),
            "cause": effort.cause(),
            "working_ms": None if effort.working_ns is None else milliseconds(effort.working_ns),
            "waiting_ms": None if effort.waiting_ns is None else milliseconds(effort.waiting_ns),
        }
        for effort in heavy[:MOST_LISTED]
    ]
