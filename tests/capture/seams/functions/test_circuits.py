"""A circuit opens after failures in a row, lets one call through after a while, and records its changes."""

from __future__ import annotations

import asyncio

import pytest

from namel3ss_debug import CircuitOpenError, circuit_breaker, shutdown_tracing
from namel3ss_debug.capture.seams.functions.circuits import CircuitBreaker
from namel3ss_debug.traces.reader import open_trace


class Clock:
    """A clock that the test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        """Return the time in seconds."""
        return self.now


def test_a_circuit_opens_at_the_threshold_and_tries_one_call_later():
    """Two failures open it; after ten seconds one call decides, and the others wait for it."""
    clock = Clock()
    circuit = CircuitBreaker("ask", 2, 10, clock)
    circuit.fail("ValueError")
    circuit.succeed()
    circuit.fail("ValueError")
    assert (circuit.state, circuit.admit()) == ("closed", True)
    circuit.fail("ValueError")
    assert (circuit.state, circuit.admit()) == ("open", False)
    clock.now = 10.0
    assert [circuit.admit(), circuit.admit(), circuit.state] == [True, False, "half_open"]
    circuit.fail("ValueError")
    assert (circuit.state, circuit.admit()) == ("open", False)
    clock.now = 20.0
    assert circuit.admit()
    circuit.succeed()
    assert (circuit.state, circuit.failures) == ("closed", 0)


def test_a_refused_call_is_an_error_that_says_why():
    """The function is not called any more."""
    calls = []

    @circuit_breaker(failure_threshold=2, recovery_timeout=30)
    def ask(question):
        calls.append(question)
        raise ConnectionError("down")

    for _ in range(2):
        with pytest.raises(ConnectionError):
            ask("a")
    with pytest.raises(CircuitOpenError, match="ask is not called: it failed 2 times in a row"):
        ask("b")
    assert calls == ["a", "a"]


def test_a_fallback_is_called_with_the_same_arguments(tracing):
    """In place of a call that fails, and of one that is refused; each use is an event in the trace."""
    tracing()

    @circuit_breaker(1, 30, fallback=lambda question: question.upper())
    def ask(question):
        raise ConnectionError("down")

    assert [ask("a"), ask("b")] == ["A", "B"]
    events = list(open_trace(shutdown_tracing()).events())
    (change,) = (event for event in events if event["event_type"] == "breaker_opened")
    assert (change["component"], change["component_name"]) == ("guard", "ask")
    assert (change["metadata"]["failure_threshold"], change["metadata"]["recovery_timeout"]) == (1, 30)
    reasons = [event["metadata"]["reason"] for event in events if event["event_type"] == "fallback_used"]
    assert reasons[0] == "down"
    assert reasons[1].startswith("ask is not called")


def test_a_fallback_model_is_passed_to_a_coroutine_function():
    """The second call gets it as `model`; the first keeps its own."""
    models = []

    @circuit_breaker(failure_threshold=5, recovery_timeout=30, fallback_model="tinyllama")
    async def ask(prompt, model="llama3"):
        models.append(model)
        if model == "llama3":
            raise TimeoutError
        return f"{model}: {prompt}"

    assert asyncio.run(ask("hello")) == "tinyllama: hello"
    assert models == ["llama3", "tinyllama"]


def test_a_model_that_cannot_be_passed_is_recorded(tracing):
    """The function takes no model: its error reaches the caller, and the trace says that no fallback was used."""
    tracing()

    @circuit_breaker(fallback_model="tinyllama")
    def ask(prompt):
        raise TimeoutError("slow")

    with pytest.raises(TimeoutError):
        ask("hello")
    (used,) = (
        event for event in open_trace(shutdown_tracing()).events() if event["event_type"] == "fallback_used"
    )
    assert used["outputs"] == {"fallback": None}
    assert "tinyllama was not used" in used["metadata"]["reason"]


@pytest.mark.parametrize(("failures", "seconds"), [(5, 30), (3, 10), (10, 60)])
def test_a_circuit_opens_at_exactly_its_threshold_and_tries_again_on_time(failures, seconds):
    """The thresholds of production-debugging-platform.txt; the clock is that of the test."""
    clock = Clock()
    circuit = CircuitBreaker("ask", failures, seconds, clock)
    for _ in range(failures - 1):
        circuit.fail("TimeoutError")
    assert circuit.admit()
    circuit.fail("TimeoutError")
    assert not circuit.admit()
    clock.now = seconds - 0.001
    assert not circuit.admit()
    clock.now = float(seconds)
    assert (circuit.admit(), circuit.state) == (True, "half_open")


def test_failures_count_within_the_window_alone():
    """What failed before it is forgotten."""
    clock = Clock()
    circuit = CircuitBreaker("ask", 3, 10, clock, window=5)
    for clock.now in (0.0, 1.0, 6.5, 7.0):
        circuit.fail("TimeoutError")
    assert (circuit.state, circuit.failures) == ("closed", 2)
    circuit.fail("TimeoutError")
    assert circuit.state == "open"


def test_a_cancelled_trial_leaves_the_decision_to_the_next_call():
    """Cancellation is no failure of the function."""
    clock = Clock()

    @circuit_breaker(1, 10)
    async def ask(kind):
        raise kind

    ask.circuit._now = clock
    with pytest.raises(ValueError, match="bad"):
        asyncio.run(ask(ValueError("bad")))
    clock.now = 10.0

    async def cancel():
        with pytest.raises(asyncio.CancelledError):
            await ask(asyncio.CancelledError())

    asyncio.run(cancel())
    assert (ask.circuit.state, ask.circuit.admit()) == ("open", True)


def test_generators_are_refused():
    """A generator fails while it is read, which no breaker around its call would see."""
    with pytest.raises(TypeError, match="stream is a generator"):

        @circuit_breaker()
        def stream():
            yield
