"""Faults: the errors, delays and cut answers that the user injects at a call.

    NAME:timeout               the call is not answered in time
    NAME:error:TYPE:TEXT       it fails by an exception, or a model by an error of its API
    NAME:status:429[:TEXT]     a model, or an HTTP server, answers with this status
    NAME:latency:2s            its answer is delayed, by s or ms
    NAME:truncate              its answer is cut in the middle

NAME is as for a mock. In a trace that is stepped through nothing is executed: the end of the call is shown as it would
look, marked with `metadata.fault`, and with the recorded values in `metadata.recorded`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from namel3ss_debug.errors import MockError
from namel3ss_debug.expressions import nearest
from namel3ss_debug.replay.debugger.locations import COMPONENTS
from namel3ss_debug.replay.overrides.grammar import check_text, format_name, in_line, parse_name, split_names
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import FORMATS, lenient
from namel3ss_debug.wire.contract import Answer
from namel3ss_debug.wire.failures import decode_error
from namel3ss_debug.wire.faults import (
    API_ERRORS,
    BUILTIN_ERRORS,
    KINDS,
    Effect,
    ErrorResponse,
    Kind,
    cut_answer,
    cut_value,
    make_error_response,
)

FORMS: Final = ("timeout", "error:TYPE:TEXT", "status:429", "latency:2s", "truncate")
"""How each kind of fault is written behind the name."""

_FORMS_HINT = f"there are {', '.join(FORMS)}"

MODEL_EXAMPLES: Final = "an error of its API such as rate_limit_error, TimeoutError or ConnectionError"

_WITH_STATUS = frozenset({"llm", "http"})
_OF_THE_ANSWER = ("outputs", "usage", "tokens_used", "cost_estimate", "billing")
_OF_FAILURE = ("status", "error", "error_type", "stack_trace")
_DURATION = re.compile(r"\s*(?P<number>\d{1,9}(?:\.\d{1,6})?)\s*(?P<unit>ms|s)\s*", re.ASCII)
_LONGEST_MS = 24 * 60 * 60 * 1000
_TYPE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_LOWEST_STATUS, _HIGHEST_STATUS = 400, 599


@dataclass(frozen=True)
class Fault:
    """An error, a delay or a cut answer that the user injects.

    Attributes:
        name: at whose calls: a name, a component or `component:name`, in quotes if it was written so.
        nth: only at this call of it, from 1; None for every call.
        effect: what happens.
        text: the fault as it was written.
        optional: whether it is no mistake if a trace has no such call, as for a setting that is not about one trace.
    """

    name: str
    nth: int | None
    effect: Effect
    text: str = ""
    optional: bool = False

    @property
    def kind(self) -> str:
        """`timeout`, `error`, `status`, `latency` or `truncate`."""
        return self.effect.kind

    @property
    def replaces(self) -> bool:
        """Whether it replaces the answer, so that the call is not made; else the answer is late or cut."""
        return self.effect.replaces

    def fits(self, component: str) -> bool:
        """Return whether calls of a component can have this fault."""
        effect = self.effect
        if effect.kind == "status":
            return component in _WITH_STATUS
        if effect.kind != "error" or effect.raised is not None:
            return True
        return (component == "llm") if effect.error_type in API_ERRORS else component not in _WITH_STATUS

    def outputs(self, number: int, call: Event, recorded: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the program gets instead, as the `outputs` of the call; for an error its `error_type` and `error`.

        Args:
            number: the number of the event that begins the call.
            call: that event.
            recorded: the recorded or mocked answer, of which a fault that does not replace it keeps the rest.
        """
        del number
        if self.replaces:
            return _failure_fields(self.effect, call)[1]
        whole = recorded or {}
        return whole if self.kind == "latency" else _cut(whole, call)[0] or whole

    def check(self, components: frozenset[str]) -> None:
        """Refuse a fault that calls of these components cannot have.

        Args:
            components: those of its calls; none if they are not known.

        Raises:
            MockError: none of them can.
        """
        if not components or any(map(self.fits, components)):
            return
        written = in_line(format_fault(self))
        if self.kind == "status":
            call = in_line(format_name(self.name, self.nth))
            raise MockError(
                f"{written}: only a model's call or an HTTP exchange has a status; write {call}:error:TYPE:TEXT"
            )
        if "llm" in components:
            raise MockError(f"{written}: a model's call fails by {MODEL_EXAMPLES}")
        if "http" in components:
            raise MockError(
                f"{written}: an HTTP exchange fails by a status, by TimeoutError or ConnectionError"
            )
        raise MockError(
            f"{written}: this is an error of a model's API; here it is an exception, such as ValueError"
        )


def parse_fault(text: str) -> Fault:
    """Parse `NAME:FAULT` or `NAME@N:FAULT`; single quotes around the whole are removed, as by a shell.

    Raises:
        MockError: it does not parse; the message says what was meant.
    """
    problems: list[tuple[bool, MockError]] = []
    for name, rest in split_names(text):
        kind, _, behind = rest.partition(":")
        is_kind = kind.strip() in KINDS
        try:
            if not is_kind:
                raise _unknown_fault(text, name, kind.strip())
            effect = _PARSERS[kind.strip()](behind)
            called, nth = parse_name(name)
            return Fault(called, nth, effect, text)
        except MockError as problem:
            whole = str(problem) if str(problem).startswith(in_line(text)) else f"{in_line(text)}: {problem}"
            problems.append((is_kind or name not in COMPONENTS, MockError(whole)))
    if not problems:
        raise MockError(
            f"{in_line(text) or 'fault'}: write NAME:FAULT, such as search:timeout; {_FORMS_HINT}"
        )
    raise next((problem for meant, problem in problems if meant), problems[-1][1])


def format_fault(fault: Fault) -> str:
    """Return the text that `parse_fault` reads as this fault."""
    return f"{format_name(fault.name, fault.nth)}:{format_effect(fault.effect)}"


def format_effect(effect: Effect) -> str:
    """Return the effect as it is written behind the name, such as `status:429`."""
    detail: dict[str, str] = {
        "error": f":{effect.error_type}",
        "status": f":{effect.status}",
        "latency": f":{_format_delay(effect.delay_ms)}",
    }
    message = f":{effect.message}" if effect.message else ""
    return f"{effect.kind}{detail.get(effect.kind, '')}{message}"


def apply_fault(fault: Fault, end: Event, start: Event, mocked: Event | None = None) -> Event:
    """Return the end of a call as it would look with a fault, marked, and with the recorded values beside it.

    Latency changes `duration_ms` only; the times of later events stay as they were.

    Args:
        fault: the fault.
        end: the end event as recorded.
        start: the start event of the call.
        mocked: the end event with the answer of a mock, if there is one.

    Raises:
        MockError: there is no answer that could be cut.
    """
    effect, shown = fault.effect, end if mocked is None else mocked
    exchange: dict[str, Any] = {}
    if effect.kind == "latency":
        duration = end.get("duration_ms")
        fields: dict[str, Any] = {
            "duration_ms": (duration if lenient.is_number(duration) else 0.0) + effect.delay_ms
        }
        replaced: tuple[str, ...] = ("duration_ms",)
    elif effect.kind == "truncate":
        outputs, status = _cut(lenient.mapping(shown.get("outputs")), start)
        if not outputs:
            raise MockError(f"{in_line(format_fault(fault))}: there is nothing in the recorded answer to cut")
        fields, replaced = {"outputs": outputs, "status": status}, ("outputs", "status")
    else:
        failure, error = _failure_fields(effect, start)
        fields, replaced = {"status": _status(effect)} | error, (*_OF_FAILURE, *_OF_THE_ANSWER)
        if failure is not None:
            exchange["exchange"] = {
                "status": failure.status,
                "headers": dict(failure.headers),
                "response_bytes": len(failure.body),
                "body": {"text": failure.body.decode()},
            }
            if _component(start) == "http":
                head: dict[str, Any] = {"status": failure.status, "headers": dict(failure.headers)}
                fields["outputs"] = head | {"body": lenient.load(failure.body)}
    metadata = lenient.mapping(shown.get("metadata"))
    recorded = lenient.mapping(metadata.get("recorded")) | {
        name: end[name] for name in replaced if name in end
    }
    before = lenient.mapping(end.get("metadata"))
    recorded |= {name: before[name] for name in exchange if name in before}
    metadata = metadata | exchange | {"mocked": True, "fault": format_effect(effect), "recorded": recorded}
    rest = {name: value for name, value in shown.items() if name not in replaced}
    return rest | fields | {"metadata": metadata}


def _failure_fields(effect: Effect, call: Event) -> tuple[ErrorResponse | None, dict[str, Any]]:
    """Return the response by which a call fails, if there is one, and the error fields of its end event."""
    if _component(call) not in _WITH_STATUS or effect.raised is not None:
        error_type = effect.error_type or TimeoutError.__name__
        return None, {"error_type": error_type, "error": effect.text}
    failure = make_error_response(effect, FORMATS.get(_format_of(call)))
    kind, text = decode_error(lenient.load(failure.body)) or (None, None)
    if _component(call) == "http":
        kind = f"HTTP {failure.status}"
    return failure, {"error_type": kind or f"HTTP {failure.status}", "error": text or effect.text}


def _status(effect: Effect) -> str:
    """Return the status of a call that ends so, as capture records it."""
    last = effect.error_type.rpartition(".")[2]
    if last == "CancelledError":
        return "cancelled"
    return "timeout" if effect.raised == "timeout" or "Timeout" in last else "failed"


def _cut(outputs: dict[str, Any], call: Event) -> tuple[dict[str, Any], str]:
    """Return the cut outputs of a call, {} if there is nothing to cut, and the status of the call."""
    if _component(call) != "llm":
        key = "body" if _component(call) == "http" else "result"
        whole = outputs.get(key, outputs)
        cut = cut_value(whole)
        if cut is whole:
            return {}, "completed"
        return (outputs | {key: cut} if key in outputs else cut), "completed"
    streamed = lenient.mapping(lenient.mapping(call.get("inputs")).get("params")).get("stream") is True
    answer = Answer(
        lenient.string(outputs.get("text")),
        lenient.mappings(outputs.get("tool_calls")),
        refusal=lenient.string(outputs.get("refusal")),
    )
    shorter = cut_answer(answer, _format_of(call))
    if shorter is answer:
        return {}, "completed"
    cut_outputs = outputs | {
        name: value
        for name, value in shorter.to_outputs().items()
        if name in outputs or name == "finish_reason"
    }
    if streamed:  # a stream that is cut never sends its reason
        cut_outputs.pop("finish_reason", None)
    return cut_outputs, "partial" if streamed else "completed"


def _component(call: Event) -> str:
    return str(call.get("component"))


def _format_of(call: Event) -> str:
    return lenient.string(lenient.mapping(call.get("metadata")).get("format")) or ""


# --- the grammar of a fault


def _parse_bare(kind: Kind) -> Callable[[str], Effect]:
    """Return a parser for a kind of fault with nothing behind it."""

    def parse(behind: str) -> Effect:
        if behind.strip():
            raise MockError(f"nothing stands behind {kind}, but here is {in_line(behind)!r}")
        return Effect(kind)

    return parse


def _parse_error(behind: str) -> Effect:
    word, _, message = behind.partition(":")
    word = word.strip()
    if not word:
        raise MockError("an error needs a type, as in error:ValueError:no such row")
    known = [*BUILTIN_ERRORS, *API_ERRORS]
    if word not in known and ("." not in word or not _TYPE.fullmatch(word)):
        hint = nearest(word, known) or "; a class of the program's own is written as module.Class"
        raise MockError(f"unknown exception type {in_line(word)!r}{hint}")
    return Effect("error", word, check_text(message))


def _parse_status(behind: str) -> Effect:
    word, _, message = behind.partition(":")
    digits = word.strip()
    if not (digits.isascii() and digits.isdecimal() and _LOWEST_STATUS <= int(digits[:9]) <= _HIGHEST_STATUS):
        raise MockError(
            f"a status is a number from {_LOWEST_STATUS} to {_HIGHEST_STATUS}, as in status:429; "
            f"this is {in_line(digits)!r}"
        )
    return Effect("status", message=check_text(message), status=int(digits))


def _parse_latency(behind: str) -> Effect:
    found = _DURATION.fullmatch(behind)
    delay_ms = 0.0
    if found is not None:
        delay_ms = float(Decimal(found["number"]) * (1000 if found["unit"] == "s" else 1))
    if found is None or delay_ms > _LONGEST_MS:
        raise MockError(
            "a latency is a number with s or ms of at most a day, as in latency:2s or latency:250ms; "
            f"this is {in_line(behind)!r}"
        )
    return Effect("latency", delay_ms=delay_ms)


def _unknown_fault(text: str, name: str, kind: str) -> MockError:
    if name in KINDS:
        return MockError(f"the name of a call is needed before it, as in search:{in_line(text.strip())}")
    if not kind:
        return MockError(f"a fault is needed after the colon; {_FORMS_HINT}")
    if kind[:1] in ("{", "[", '"', "@"):
        return MockError("this is a mock, not a fault; give it with --mock")
    return MockError(f"unknown fault {in_line(kind)!r}{nearest(kind, list(KINDS)) or '; ' + _FORMS_HINT}")


def _format_delay(delay_ms: float) -> str:
    whole = Decimal(repr(delay_ms))
    seconds = whole / 1000
    number, unit = (seconds, "s") if seconds == seconds.to_integral_value() else (whole, "ms")
    return f"{number.normalize():f}{unit}"


_PARSERS: dict[str, Callable[[str], Effect]] = {
    "timeout": _parse_bare("timeout"),
    "error": _parse_error,
    "status": _parse_status,
    "latency": _parse_latency,
    "truncate": _parse_bare("truncate"),
}
