"""What a decorated function costs while tracing is off: a call of it against a call of the bare function."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from statistics import median
from time import perf_counter
from typing import Any

from timing import Round, differences, holds, interleaved, loop, spread

from namel3ss_debug import hooks

CALLS = 20_000
ROUNDS = 60
LIMIT_US = 0.1
WITHIN = ("function", "method", "keywords", "coroutine")
"""The kinds the claim is about; of the others the call itself is more: a mapping made anew, a second generator."""


class Agent:
    """Something with a method."""

    def method(self, question: str, turn: int = 0) -> str:  # noqa: ARG002  (the parameters are what is measured)
        """As short as a method can be."""
        return question

    traced = hooks.trace_agent_execution(method)


def function(question: str, turn: int) -> str:  # noqa: ARG001
    """As short as a function can be."""
    return question


def keywords(question: str, *, turn: int = 0) -> str:  # noqa: ARG001
    """The same with a keyword argument."""
    return question


def anything(question: str, **more: Any) -> str:  # noqa: ARG001
    """The same with whatever keyword arguments there are."""
    return question


async def coroutine(question: str) -> str:
    """A coroutine that never waits."""
    return question


def generator(question: str) -> Generator[str, None, None]:
    """A generator of one item."""
    yield question


def awaited(call: Callable[[str], Any]) -> Round:
    """Await so many calls in one event loop."""

    async def rounds() -> float:
        numbers = range(CALLS)
        began = perf_counter()
        for _ in numbers:
            await call("what?")
        return (perf_counter() - began) / CALLS

    return lambda: asyncio.run(rounds())


def called(call: Callable[[], object]) -> Round:
    """Call so many times in a plain loop."""
    return lambda: loop(call, CALLS)


def pairs() -> dict[str, tuple[Round, Round]]:
    """Kind of function -> rounds of the bare one and of the decorated one."""
    agent = Agent()
    traced = hooks.trace_tool_call(function)
    traced_keywords = hooks.trace_tool_call(keywords)
    traced_anything = hooks.trace_tool_call(anything)
    traced_coroutine = hooks.trace_tool_call(coroutine)
    traced_generator = hooks.trace_tool_call(generator)
    return {
        "function": (called(lambda: function("what?", 1)), called(lambda: traced("what?", 1))),
        "method": (called(lambda: agent.method("what?")), called(lambda: agent.traced("what?"))),
        "keywords": (
            called(lambda: keywords("what?", turn=1)),
            called(lambda: traced_keywords("what?", turn=1)),
        ),
        "coroutine": (awaited(coroutine), awaited(traced_coroutine)),
        "**keywords": (
            called(lambda: anything("what?", turn=1)),
            called(lambda: traced_anything("what?", turn=1)),
        ),
        "generator": (
            called(lambda: list(generator("what?"))),
            called(lambda: list(traced_generator("what?"))),
        ),
    }


def main() -> int:
    """Measure, print, and return the exit status: 0 when every kind stays within the limit."""
    print(f"Python {sys.version.split()[0]}, tracing off, us a call more than the bare function:")
    more: dict[str, float] = {}
    for kind, (bare, decorated) in pairs().items():
        taken = interleaved({"bare": bare, "decorated": decorated}, ROUNDS)
        extra = differences(taken, "decorated", "bare")
        more[kind] = median(extra) * 1e6
        print(f"  {kind:11} {spread(extra, 1e6)}")
    claims = [holds(f"decorated, off: {kind}", more[kind], LIMIT_US, " us") for kind in WITHIN]
    return 0 if all(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
