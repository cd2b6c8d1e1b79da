"""The circuit breakers of the setting `circuit_breakers`: one circuit for each model, tool and host that a row fits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from importlib import import_module
from inspect import iscoroutine
from typing import Any, Final
from urllib.parse import urlsplit

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.core.answers import CallReply, RecordedError
from namel3ss_debug.capture.seams.functions.circuits import CircuitBreaker, CircuitOpenError, record_fallback
from namel3ss_debug.config.guarding import Breaker
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

_KINDS: Final = {"llm": "model", "tool": "tool"}
_FAULTS_OF_CLIENT: Final = frozenset(range(400, 500)) - {408, 425, 429}
"""The statuses that speak against the request, and not against the server."""


class Breakers:
    """The circuits of one process.

    Args:
        rows: the rows of the setting.
        clock: returns the time in seconds; for tests.
    """

    def __init__(self, rows: Iterable[Breaker], clock: Callable[[], float] | None) -> None:
        self._rows, self._clock = list(rows), clock
        self._circuits: dict[tuple[str, str], tuple[CircuitBreaker, Breaker] | None] = {}
        self._watched: dict[str, list[CircuitBreaker]] = {}

    def refuse(self, event: Event) -> tuple[CircuitBreaker, Breaker] | None:
        """Return the open circuit that refuses the call that begins with this event; `None` lets it be made."""
        if not self._rows:
            return None
        admitted: list[CircuitBreaker] = []
        for kind, name in _targets(event):
            found = self._find(kind, name)
            if found is None:
                continue
            circuit, _ = found
            if not circuit.admit():
                for each in admitted:
                    each.release()
                return found
            admitted.append(circuit)
        if admitted:
            self._watched[event["event_id"]] = admitted
        return None

    def end(self, started: str, event: Event) -> None:
        """Let the outcome of a call count."""
        for circuit in self._watched.pop(started, ()):
            status = lenient.count(_exchange(event).get("status")) or 0
            if event.get("status") == "cancelled":
                circuit.release()
            elif event.get("status") in ("failed", "timeout") and status not in _FAULTS_OF_CLIENT:
                circuit.fail(str(event.get("error_type")))
            else:
                circuit.succeed()

    def release(self, started: str) -> None:
        """Let another call decide, because this one is not made."""
        for circuit in self._watched.pop(started, ()):
            circuit.release()

    def _find(self, kind: str, name: str) -> tuple[CircuitBreaker, Breaker] | None:
        """Return the circuit of a model, tool or host; the first row that fits counts."""
        if (kind, name) not in self._circuits:
            row = next((row for row in self._rows if row.kind == kind and fnmatchcase(name, row.name)), None)
            self._circuits[kind, name] = row and (
                CircuitBreaker(
                    f"{kind} {name}", row.failure_threshold, row.recovery_timeout, self._clock, row.window
                ),
                row,
            )
        return self._circuits[kind, name]


def _targets(event: Event) -> list[tuple[str, str]]:
    """Return what a call calls: a model or a tool by its name, and the host of its request."""
    targets = []
    if (kind := _KINDS.get(event["component"])) is not None:
        targets.append((kind, str(event.get("component_name"))))
    url = _exchange(event).get("url")
    if isinstance(url, str) and url:
        targets.append(("host", urlsplit(url).netloc.rpartition("@")[2]))
    elif event["component"] == "http":
        targets.append(("host", str(event.get("component_name"))))
    return targets


def replace_call(circuit: CircuitBreaker, row: Breaker, event: Event) -> CallReply:
    """Return what happens in place of a call whose circuit is open; a function of the program may run for it."""
    text = circuit.describe_refusal()
    if row.fallback is not None:
        kind, value = row.fallback
        try:
            if kind == "fallback_model" and _exchange(event):
                record_fallback(circuit, f"{value}", text)
                return CallReply(other_model=f"{value}", guarded="breaker")
            if kind != "fallback_model":
                if kind == "fallback_function":
                    value = _call_function(f"{value}", event)
                record_fallback(circuit, f"{row.fallback[1]}", text)
                return _answer(event, value)
        except Exception as error:
            tracer = switch.ACTIVE
            if tracer is not None:
                tracer.problem(f"the fallback of {circuit.name} failed", error)
    # For a library of HTTP, an open circuit is a connection that fails, which programs handle already.
    is_request = bool(_exchange(event)) or event["component"] == "http"
    kind = "connection" if is_request else f"{CircuitOpenError.__module__}.{CircuitOpenError.__name__}"
    return CallReply(raised=RecordedError(kind, text, sent=False), guarded="breaker")


def _answer(event: Event, value: Any) -> CallReply:
    """Return a value as the answer of a call: a text, or outputs of a model by name; the result of a tool; a JSON body."""
    outputs = {"result": value}
    if event["component"] == "llm":
        outputs = value if isinstance(value, dict) else {"text": f"{value}"}
    return CallReply(value, outputs, guarded="breaker")


def _call_function(target: str, event: Event) -> Any:
    """Call a function of the program with the arguments of a tool, or with the inputs of a request."""
    module, _, name = target.partition(":")
    owner = sys.modules.get(module) or import_module(module)
    inputs = lenient.mapping(event.get("inputs"))
    is_tool = event["component"] == "tool"
    value = (
        getattr(owner, name)(**lenient.mapping(inputs.get("arguments")))
        if is_tool
        else getattr(owner, name)(inputs)
    )
    if iscoroutine(value):
        value.close()
        raise TypeError(f"{target} is a coroutine function, and a fallback is called without a loop")
    return value


def _exchange(event: Event) -> dict[str, Any]:
    return lenient.mapping(lenient.mapping(event.get("metadata")).get("exchange"))
