"""Stop calling what keeps failing: the decorator `circuit_breaker`, which works whether or not tracing is on.

The states and their changes are those of Michael Nygard's circuit breaker, as in Hystrix: closed, open, half open.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any, TypeVar, cast

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.failures import type_name
from namel3ss_debug.capture.seams.functions.wrapping import name_of

F = TypeVar("F", bound=Callable[..., Any])


class CircuitOpenError(RuntimeError):
    """A call was refused, because the calls before it failed and no fallback was named."""


class CircuitBreaker:
    """The circuit of one function in this process; all its threads and tasks share it.

    Args:
        name: the function.
        failure_threshold: how many failures in a row open the circuit.
        recovery_timeout: after how many seconds an open circuit lets one call through.
        now: returns the time in seconds; for tests.
    """

    def __init__(
        self,
        name: str,
        failure_threshold: int,
        recovery_timeout: float,
        now: Callable[[], float] | None = None,
    ) -> None:
        self.name = name
        self.failure_threshold = failure_threshold
        self.recovery_timeout = recovery_timeout
        self.state = "closed"
        self.failures = 0
        self._now = now or _read_clock
        self._opened_at = 0.0
        self._lock = Lock()

    def admit(self) -> bool:
        """Return whether a call may run now; the one after the recovery time decides about the state."""
        with self._lock:
            if self.state == "closed":
                return True
            if self.state == "open" and self._now() - self._opened_at >= self.recovery_timeout:
                self._change("half_open", "the recovery time is over")
                return True
            return False

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Run the body of a `with` statement as a call whose outcome counts.

        Raises:
            CircuitOpenError: the circuit is open, and the body does not run.
        """
        if not self.admit():
            raise CircuitOpenError(
                f"{self.name} is not called: it failed {self.failures} times in a row; "
                f"the next call is tried {self.recovery_timeout:g} s after the last failure"
            )
        try:
            yield
        except Exception as error:
            self.fail(error)
            raise
        except BaseException:  # cancellation and the end of the program are no failures of the function
            self.release()
            raise
        self.succeed()

    def succeed(self) -> None:
        """Note that a call succeeded, which closes the circuit."""
        with self._lock:
            self.failures = 0
            if self.state != "closed":
                self._change("closed", "a call succeeded")

    def fail(self, error: BaseException) -> None:
        """Note that a call failed, which opens the circuit at the threshold, and again after a trial."""
        with self._lock:
            self.failures += 1
            if self.state == "half_open" or (
                self.state == "closed" and self.failures >= self.failure_threshold
            ):
                self._opened_at = self._now()
                self._change(
                    "open", f"{self.failures} failures in a row, the last a {type_name(type(error))}"
                )

    def release(self) -> None:
        """Let another call decide, where the one after the recovery time was cancelled."""
        with self._lock:
            if self.state == "half_open":
                self._change("open", "the call that tried it was cancelled")

    def _change(self, state: str, reason: str) -> None:
        before, self.state = self.state, state
        switch.get_global_tracer().emit(
            "state_change",
            component="app",
            component_name=self.name,
            inputs={"before": before},
            outputs={"after": state},
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
    fallback: Callable[..., Any] | None = None,
    fallback_model: str | None = None,
) -> Callable[[F], F]:
    """Refuse calls of a function, or of a coroutine function, for a while after it failed several times in a row.

    Each change of the circuit is recorded as a `state_change`, each use of a fallback as a `decision`.

    Args:
        failure_threshold: how many failures in a row open the circuit.
        recovery_timeout: after how many seconds an open circuit lets one call through; its outcome decides.
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
        circuit = CircuitBreaker(name_of(function), failure_threshold, recovery_timeout)

        def stand_in(error: Exception, args: Any, kwargs: Any) -> Any:
            """Call the fallback, or raise the error."""
            if use is None:
                if choice is not None:
                    _record_choice(
                        circuit, "no fallback", f"the function takes no model, so {choice} was not used"
                    )
                raise error
            _record_choice(circuit, str(choice), str(error))
            return use(*args, **kwargs)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                with circuit.watch():
                    return function(*args, **kwargs)
            except Exception as error:
                return stand_in(error, args, kwargs)

        @wraps(function)
        async def run(*args: Any, **kwargs: Any) -> Any:
            try:
                with circuit.watch():
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


def _record_choice(circuit: CircuitBreaker, choice: str, reason: str) -> None:
    switch.get_global_tracer().emit(
        "decision",
        component="app",
        component_name=circuit.name,
        inputs={"reasoning": reason},
        outputs={"decision": choice},
        metadata={"circuit": circuit.state},
    )
