"""Stop calling what keeps failing: the decorator `circuit_breaker`, which works whether or not tracing is on.

The states and their changes are those of Michael Nygard's circuit breaker, as in Hystrix: closed, open, half open.
"""

from __future__ import annotations

import inspect
import time
from collections import deque
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any, TypeVar, cast

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.failures import type_name
from namel3ss_debug.capture.seams.functions.wrapping import name_of

F = TypeVar("F", bound=Callable[..., Any])

_EVENTS = {"open": "breaker_opened", "half_open": "breaker_half_open", "closed": "breaker_closed"}


class CircuitOpenError(RuntimeError):
    """A call was refused, because the calls before it failed and no fallback was named."""


class CircuitBreaker:
    """The circuit of one function in this process; all its threads and tasks share it.

    Args:
        name: the function.
        failure_threshold: how many failures in a row open the circuit.
        recovery_timeout: after how many seconds an open circuit lets one call through.
        now: returns the time in seconds; for tests.
        window: the seconds within which the failures lie; 0: any time.
    """

    def __init__(
        self,
        name: str,
        failure_threshold: int,
        recovery_timeout: float,
        now: Callable[[], float] | None = None,
        window: float = 0,
    ) -> None:
        self.name = name
        self.failure_threshold = failure_threshold
        self.recovery_timeout = recovery_timeout
        self.state = "closed"
        self.window = window
        self._failed: deque[float] = deque()  # when, since the last success
        self._now = now or _read_clock
        self._opened_at = 0.0
        self._lock = Lock()

    @property
    def failures(self) -> int:
        """How many calls have failed in a row."""
        return len(self._failed)

    def admit(self) -> bool:
        """Return whether a call may run now; the one after the recovery time decides about the state."""
        if self.state == "closed":  # as nearly always, so that it takes no lock
            return True
        with self._lock:
            if self.state == "closed":
                return True
            if self.state == "open" and self._now() - self._opened_at >= self.recovery_timeout:
                self._change("half_open", "the recovery time is over")
                return True
            return False

    def describe_refusal(self) -> str:
        """Return why a call is refused."""
        return (
            f"{self.name} is not called: it failed {self.failures} times in a row; "
            f"the next call is tried {self.recovery_timeout:g} s after the last failure"
        )

    def __enter__(self) -> None:
        """Begin a call whose outcome counts.

        Raises:
            CircuitOpenError: the circuit is open.
        """
        if not self.admit():
            raise CircuitOpenError(self.describe_refusal())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.succeed()
        elif isinstance(error, Exception):
            self.fail(type_name(type(error)))
        else:  # cancellation and the end of the program are no failures of the function
            self.release()

    def succeed(self) -> None:
        """Note that a call succeeded, which closes the circuit."""
        if not self._failed and self.state == "closed":
            return
        with self._lock:
            self._failed.clear()
            if self.state != "closed":
                self._change("closed", "a call succeeded")

    def fail(self, reason: str) -> None:
        """Note that a call failed, which opens the circuit at the threshold, and again after a trial."""
        with self._lock:
            now = self._now()
            while self.window and self._failed and now - self._failed[0] > self.window:
                self._failed.popleft()
            self._failed.append(now)
            if self.state == "half_open" or (
                self.state == "closed" and self.failures >= self.failure_threshold
            ):
                self._opened_at = now
                times = "1 failure" if self.failures == 1 else f"{self.failures} failures in a row"
                self._change("open", f"{times}, the last a {reason}")

    def release(self) -> None:
        """Let another call decide, where the one after the recovery time was cancelled."""
        with self._lock:
            if self.state == "half_open":
                self._change("open", "the call that tried it was cancelled")

    def _change(self, state: str, reason: str) -> None:
        self.state = state
        switch.get_global_tracer().emit(
            _EVENTS[state],
            component="guard",
            component_name=self.name,
            metadata={
                "reason": reason,
                "failure_threshold": self.failure_threshold,
                "recovery_timeout": self.recovery_timeout,
            },
        )


def circuit_breaker(
    failure_threshold: int = 5,
    recovery_timeout: float = 60,
    *,
    window: float = 0,
    fallback: Callable[..., Any] | None = None,
    fallback_model: str | None = None,
) -> Callable[[F], F]:
    """Refuse calls of a function, or of a coroutine function, for a while after it failed several times in a row.

    Each change of the circuit is recorded as `breaker_opened`, `breaker_half_open` or `breaker_closed`, each use of a
    fallback as `fallback_used`.

    Args:
        failure_threshold: how many failures in a row open the circuit.
        recovery_timeout: after how many seconds an open circuit lets one call through; its outcome decides.
        window: the seconds within which the failures lie; 0: any time.
        fallback: called with the same arguments in place of a call that failed or was refused.
        fallback_model: passed as `model` in a second call of the function, likewise.

    Returns:
        The decorator; the function it returns has its `CircuitBreaker` as the attribute `circuit`.

    Raises:
        TypeError: the function is a generator, or takes no `model` though a `fallback_model` is named.
        CircuitOpenError: when called, while the circuit is open and there is no fallback.
    """

    def decorate(function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"circuit_breaker: {name_of(function)} is a generator; decorate the function that reads it"
            )
        use, choice = fallback, name_of(fallback) if fallback is not None else fallback_model
        if fallback is None and fallback_model is not None and _takes_model(function):
            use = lambda *args, **kwargs: function(*args, **{**kwargs, "model": fallback_model})  # noqa: E731
        circuit = CircuitBreaker(name_of(function), failure_threshold, recovery_timeout, window=window)

        def stand_in(error: Exception, args: Any, kwargs: Any) -> Any:
            """Call the fallback, or raise the error."""
            if use is None:
                if choice is not None:
                    record_fallback(circuit, None, f"the function takes no model, so {choice} was not used")
                raise error
            record_fallback(circuit, str(choice), str(error))
            return use(*args, **kwargs)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                with circuit:
                    return function(*args, **kwargs)
            except Exception as error:
                return stand_in(error, args, kwargs)

        @wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            try:
                with circuit:
                    return await function(*args, **kwargs)
            except Exception as error:
                result = stand_in(error, args, kwargs)
            return await result if inspect.isawaitable(result) else result

        decorated: Any = run if inspect.iscoroutinefunction(function) else call
        decorated.circuit = circuit
        return cast("F", decorated)

    return decorate


def _read_clock() -> float:
    """Return the time, by a function that is looked up at each call: a re-run may replace the clock later."""
    return time.monotonic()


def _takes_model(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters
    return "model" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def record_fallback(circuit: CircuitBreaker, choice: str | None, reason: str) -> None:
    """Record what answers in place of a call that failed or was refused; `None`: nothing could."""
    switch.get_global_tracer().emit(
        "fallback_used",
        component="guard",
        component_name=circuit.name,
        outputs={"fallback": choice},
        metadata={"reason": reason, "circuit": circuit.state},
    )
