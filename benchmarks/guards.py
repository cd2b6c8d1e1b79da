"""What a closed circuit breaker costs a call, and what limits and breakers of the settings cost a recorded tool call."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from timing import differences, holds, interleaved, loop, spread

from namel3ss_debug import circuit_breaker, hooks, initialize_tracing, shutdown_tracing

CALLS = 20_000
SPANS = 500
ROUNDS = 30
LIMIT_US = 5.0
NEVER = 10**9


def ask(question: str) -> str:
    """As short as a function can be."""
    return question


def recorded(call: Callable[[str], Any], **settings: Any) -> Callable[[], float]:
    """Return a round of calls of a tool, recorded with these settings in a new folder."""

    def measure() -> float:
        with tempfile.TemporaryDirectory() as folder:
            initialize_tracing(trace_output_dir=folder, **settings)
            call("warm up")
            began = perf_counter()
            for _ in range(SPANS):
                call("what?")
            taken = (perf_counter() - began) / SPANS
            shutdown_tracing()
        return taken

    return measure


def main() -> int:
    """Measure, print, and return the exit status: 0 when the claims hold."""
    guarded = circuit_breaker(5, 30)(ask)
    taken = interleaved(
        {
            "bare": lambda: loop(lambda: ask("what?"), CALLS),
            "closed": lambda: loop(lambda: guarded("what?"), CALLS),
        },
        ROUNDS,
    )
    closed = differences(taken, "closed", "bare")
    print(f"Python {sys.version.split()[0]}, us a call more than the bare function:")
    print(f"  closed circuit      {spread(closed, 1e6)}")
    tool = hooks.trace_tool_call(ask)
    taken = interleaved(
        {
            "recorded": recorded(tool),
            "breaker": recorded(tool, circuit_breakers={"tool:*": {}}),
            "limit": recorded(tool, limits=[{"calls": NEVER}]),
        },
        ROUNDS,
    )
    breaker, limit = differences(taken, "breaker", "recorded"), differences(taken, "limit", "recorded")
    print("us a call more than a recorded tool:")
    print(f"  breaker of settings {spread(breaker, 1e6)}")
    print(f"  limit of settings   {spread(limit, 1e6)}")
    claims = [holds("closed circuit breaker", median(closed) * 1e6, LIMIT_US, " us")]
    return 0 if all(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
