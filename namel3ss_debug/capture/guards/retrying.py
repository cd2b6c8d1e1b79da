"""Make a failed call again, after growing pauses: by the setting `retries`, and by the decorator `retry`.

The setting is for requests to models and hosts. The seam of the HTTP library sends a request again, so that each attempt is
a call of its own, as it is where an SDK does so. A re-run makes the same attempts, without the pauses. The decorator
works whether or not tracing is on.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import wraps
from random import Random
from typing import Any, Final, TypeVar, cast

from namel3ss_debug.capture.core import delivery, switch
from namel3ss_debug.capture.core.failures import type_name
from namel3ss_debug.capture.seams.functions.wrapping import name_of
from namel3ss_debug.config.guarding import RetryRule

F = TypeVar("F", bound=Callable[..., Any])

_JITTER: Final = 0.5
_PASSING: Final = frozenset({408, 425, 429})
"""The statuses below 500 after which the same request may succeed."""


class Retries:
    """The setting `retries` in one process.

    Args:
        rules: its rows.
    """

    def __init__(self, rules: Iterable[RetryRule]) -> None:
        self._rules = list(rules)
        self._chance = Random()  # noqa: S311  (not the program's, so that its random numbers stay the same)

    def pause(
        self,
        targets: Sequence[tuple[str, str]],
        attempt: int,
        failure: int | Exception,
        retry_after: str | None,
        *,
        answered: bool,
    ) -> float | None:
        """Return the seconds before a request is sent again, and record that it is; `None` if it is not.

        Args:
            targets: what it called: `model` or `host`, and the name.
            attempt: how often it was sent.
            failure: the status of its response, or the exception of a lost connection or a timeout.
            retry_after: the header of that name in the response.
            answered: whether a trace or the user answered it, so that no server needs the pause.
        """
        if isinstance(failure, int) and failure < 500 and failure not in _PASSING:
            return None
        fitting = (
            (rule, kind, name)
            for rule in self._rules
            for kind, name in targets
            if kind == rule.kind and fnmatchcase(name, rule.name)
        )
        rule, kind, name = next(fitting, (None, "", ""))
        if rule is None or attempt >= rule.attempts:
            return None
        pause = _choose_pause(attempt, rule.delay, 2.0, rule.longest, _JITTER, self._chance)
        with suppress(ValueError):  # it may be a date
            pause = max(pause, min(rule.longest, float(retry_after or "")))
        if answered:
            pause = 0.0
        reason = f"HTTP {failure}" if isinstance(failure, int) else f"{type_name(type(failure))}: {failure}"
        _record_retry(f"{kind} {name}", attempt + 1, rule.attempts, pause, reason)
        return pause


def _choose_pause(
    attempt: int, delay: float, factor: float, longest: float, jitter: float, chance: Random
) -> float:
    """Return the seconds to wait after an attempt that failed."""
    return min(longest, delay * factor ** (attempt - 1)) * (1 - jitter * chance.random())


def _record_retry(name: str, attempt: int, attempts: int, pause: float, reason: str) -> None:
    switch.get_global_tracer().emit(
        "retried",
        component="guard",
        component_name=name,
        metadata={
            "attempt": attempt,
            "attempts": attempts,
            "delay_seconds": round(pause, 3),
            "reason": reason,
        },
    )


def retry(
    attempts: int = 3,
    *,
    on: type[Exception] | tuple[type[Exception], ...] = Exception,
    delay: float = 0.5,
    factor: float = 2.0,
    longest: float = 30.0,
    jitter: float = 0.5,
) -> Callable[[F], F]:
    """Call a function, or a coroutine function, again after it failed; the last failure reaches the caller.

    Each further attempt is recorded as `retried`.

    Args:
        attempts: how often it is called at most.
        on: the exceptions after which it is called again.
        delay: the seconds before the second attempt.
        factor: by how much each further pause is longer.
        longest: the seconds of the longest pause.
        jitter: the share of a pause that is random, from 0 to 1, so that many programs do not come back at once.

    Raises:
        TypeError: the function is a generator.
    """

    def decorate(function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"retry: {name_of(function)} is a generator; decorate the function that reads it")
        name = name_of(function)
        chance = Random()  # noqa: S311  (not the program's, so that its random numbers stay the same)

        def pauses() -> Iterator[float]:
            for number in range(1, attempts):
                yield _choose_pause(number, delay, factor, longest, jitter, chance)

        def note(number: int, pause: float, error: Exception) -> None:
            _record_retry(name, number, attempts, pause, f"{type_name(type(error))}: {error}")

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for number, pause in enumerate(pauses(), 2):
                try:
                    return function(*args, **kwargs)
                except on as error:
                    note(number, pause, error)
                time.sleep(pause)
            return function(*args, **kwargs)

        @wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            for number, pause in enumerate(pauses(), 2):
                try:
                    return await function(*args, **kwargs)
                except on as error:
                    note(number, pause, error)
                await delivery.sleep(pause)
            return await function(*args, **kwargs)

        return cast("F", run if inspect.iscoroutinefunction(function) else call)

    return decorate
