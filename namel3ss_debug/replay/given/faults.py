"""Faults: what the user lets go wrong at a call, how it is written, and how it looks in a walk.

    NAME:timeout               the call is not answered in time
    NAME:error:TYPE:TEXT       it fails by an exception, or a model by an error of its API
    NAME:status:429[:TEXT]     a model, or an HTTP server, answers with this status
    NAME:latency:2s            its answer comes later, by s or ms
    NAME:truncate              its answer is cut in the middle

NAME is as for an answer. In a walk nothing is executed: the end of the call is shown as it would look, marked with
`metadata.fault`, and with what was recorded in `metadata.recorded`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from namel3ss_debug.errors import MockError
from namel3ss_debug.expressions import nearest
from namel3ss_debug.replay.given.calls import in_line, parse_name
from namel3ss_debug.replay.given.grammar import call_text, cuts, readable
from namel3ss_debug.replay.recording.breakpoints import COMPONENTS
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import FORMATS, Answer, decode_error, lenient
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
    """Something that the user lets go wrong.

    Attributes:
        name: at whose calls: a name, a component or `component:name`; quoted where it was written so.
        nth: only at this call of it, from 1; None for every call.
        effect: what goes wrong.
        text: how it was written.
        passes: whether it is passed over where a recording has no such call, as a setting that is not about one
            recording.
    """

    name: str
    nth: int | None
    effect: Effect
    text: str = ""
    passes: bool = False

    @property
    def kind(self) -> str:
        """`timeout`, `error`, `status`, `latency` or `truncate`."""
        return self.effect.kind

    @property
    def replaces(self) -> bool:
        """Whether it comes in place of the answer, so that the call is not made; else the answer is late or cut."""
        return self.effect.replaces

    def fits(self, component: str) -> bool:
        """Whether calls of a component can go wrong so."""
        effect = self.effect
        if effect.kind == "status":
            return component in _WITH_STATUS
        if effect.kind != "error" or effect.raised is not None:
            return True
        return (component == "llm") if effect.error_type in API_ERRORS else component not in _WITH_STATUS

    def outputs(self, number: int, call: Event, recorded: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the program gets instead, as the `outputs` of the call; of an error its `error_type` and `error`.

        Args:
            number: the number of the event with which the call begins.
            call: that event.
            recorded: what was recorded, or is given, of which a fault that does not replace it leaves the rest.
        """
        del number
        if self.replaces:
            return _failure_fields(self.effect, call)[1]
        whole = recorded or {}
        return whole if self.kind == "latency" else _cut(whole, call)[0] or whole

    def check(self, components: frozenset[str]) -> None:
        """Refuse a fault that calls of these components cannot have.

        Args:
            components: those of the calls it is for; none where they are not known.

        Raises:
            MockError: none of them can.
        """
        if not components or any(map(self.fits, components)):
            return
        written = in_line(write_fault(self))
        if self.kind == "status":
            call = in_line(call_text(self.name, self.nth))
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
    """Parse `NAME:FAULT` or `NAME@N:FAULT`; single quotes around all of it are taken away, as by a shell.

    Raises:
        MockError: it does not parse; the message says what was meant.
    """
    problems: list[tuple[bool, MockError]] = []
    for name, rest in cuts(text):
        kind, _, behind = rest.partition(":")
        is_kind = kind.strip() in KINDS
        try:
            effect = _READERS[kind.strip()](behind) if is_kind else _unknown(text, name, kind.strip())
            called, nth = parse_name(name)
            return Fault(called, nth, effect, text)
        except MockError as problem:
            whole = str(problem) if str(problem).startswith(in_line(text)) else f"{in_line(text)}: {problem}"
            problems.append((is_kind or name not in COMPONENTS, MockError(whole)))
    if not problems:
        raise MockError(f"{in_line(text) or 'fault'}: write NAME:FAULT, such as search:timeout; {_forms()}")
    raise next((problem for meant, problem in problems if meant), problems[-1][1])


def write_fault(fault: Fault) -> str:
    """The text that `parse_fault` reads as this fault."""
    return f"{call_text(fault.name, fault.nth)}:{write_effect(fault.effect)}"


def write_effect(effect: Effect) -> str:
    """What goes wrong as it is written behind the name, such as `status:429`."""
    told: dict[str, str] = {
        "error": f":{effect.error_type}",
        "status": f":{effect.status}",
        "latency": f":{_written(effect.delay_ms)}",
    }
    message = f":{effect.message}" if effect.message else ""
    return f"{effect.kind}{told.get(effect.kind, '')}{message}"


def faulted(fault: Fault, end: Event, start: Event, given: Event | None = None) -> Event:
    """The end of a call as it would look with a fault, marked, and with what was recorded beside it.

    Latency changes `duration_ms` only; no later event is moved for it.

    Args:
        fault: what goes wrong.
        end: the end event as recorded.
        start: the start event of the call.
        given: the end event with a mock's answer, where there is one.

    Raises:
        MockError: there is no answer that could be cut.
    """
    effect, shown = fault.effect, end if given is None else given
    exchange: dict[str, Any] = {}
    if effect.kind == "latency":
        fields: dict[str, Any] = {"duration_ms": _number(end.get("duration_ms")) + effect.delay_ms}
        replaced: tuple[str, ...] = ("duration_ms",)
    elif effect.kind == "truncate":
        outputs, status = _cut(lenient.mapping(shown.get("outputs")), start)
        if not outputs:
            raise MockError(f"{in_line(write_fault(fault))}: there is nothing in the recorded answer to cut")
        fields, replaced = {"outputs": outputs, "status": status}, ("outputs", "status")
    else:
        failure, told = _failure_fields(effect, start)
        fields, replaced = {"status": _status(effect)} | told, (*_OF_FAILURE, *_OF_THE_ANSWER)
        if failure is not None:
            exchange = {"exchange": _exchange(failure)}
            if _component(start) == "http":
                head: dict[str, Any] = {"status": failure.status, "headers": dict(failure.headers)}
                fields["outputs"] = head | {"body": lenient.load(failure.body)}
    metadata = lenient.mapping(shown.get("metadata"))
    recorded = lenient.mapping(metadata.get("recorded")) | _values(end, replaced)
    recorded |= _values(lenient.mapping(end.get("metadata")), tuple(exchange))
    metadata = metadata | exchange | {"mocked": True, "fault": write_effect(effect), "recorded": recorded}
    rest = {name: value for name, value in shown.items() if name not in replaced}
    return rest | fields | {"metadata": metadata}


def _values(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}


def _number(value: object) -> float:
    """The value where it is a number, otherwise 0."""
    return value if lenient.is_number(value) else 0.0


def _failure_fields(effect: Effect, call: Event) -> tuple[ErrorResponse | None, dict[str, Any]]:
    """The response by which a call fails, where one comes, and what its end event says of the error."""
    if _component(call) not in _WITH_STATUS or effect.raised is not None:
        error_type = effect.error_type or TimeoutError.__name__
        return None, {"error_type": error_type, "error": effect.text}
    failure = make_error_response(effect, FORMATS.get(_format_of(call)))
    kind, text = decode_error(lenient.load(failure.body)) or (None, None)
    if _component(call) == "http":
        kind = f"HTTP {failure.status}"
    return failure, {"error_type": kind or f"HTTP {failure.status}", "error": text or effect.text}


def _exchange(failure: ErrorResponse) -> dict[str, Any]:
    return {
        "status": failure.status,
        "headers": dict(failure.headers),
        "response_bytes": len(failure.body),
        "body": {"text": failure.body.decode()},
    }


def _status(effect: Effect) -> str:
    """The status of a call that ends so, as capture writes it down."""
    last = effect.error_type.rpartition(".")[2]
    if last == "CancelledError":
        return "cancelled"
    return "timeout" if effect.raised == "timeout" or "Timeout" in last else "failed"


def _cut(outputs: dict[str, Any], call: Event) -> tuple[dict[str, Any], str]:
    """The outputs of a call that are cut, {} where there is nothing to cut, and its status."""
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
    told = {name: value for name, value in outputs.items() if not streamed or name != "finish_reason"}
    said = {
        name: value for name, value in shorter.to_outputs().items() if name in told or name == "finish_reason"
    }
    if streamed:
        said.pop("finish_reason", None)
    return told | said, "partial" if streamed else "completed"


def _component(call: Event) -> str:
    return str(call.get("component"))


def _format_of(call: Event) -> str:
    return lenient.string(lenient.mapping(call.get("metadata")).get("format")) or ""


# --- the text of a fault


def _alone(kind: Kind) -> Callable[[str], Effect]:
    """A kind of fault with nothing behind it."""

    def read(behind: str) -> Effect:
        if behind.strip():
            raise MockError(f"nothing stands behind {kind}, but here is {in_line(behind)!r}")
        return Effect(kind)

    return read


def _error(behind: str) -> Effect:
    word, _, message = behind.partition(":")
    word = word.strip()
    if not word:
        raise MockError("an error needs a type, as in error:ValueError:no such row")
    known = [*BUILTIN_ERRORS, *API_ERRORS]
    if word not in known and ("." not in word or not _TYPE.fullmatch(word)):
        hint = nearest(word, known) or "; a class of the program's own is written as module.Class"
        raise MockError(f"unknown exception type {in_line(word)!r}{hint}")
    return Effect("error", word, readable(message))


def _status_code(behind: str) -> Effect:
    word, _, message = behind.partition(":")
    digits = word.strip()
    if not (digits.isascii() and digits.isdecimal() and _LOWEST_STATUS <= int(digits[:9]) <= _HIGHEST_STATUS):
        raise MockError(
            f"a status is a number from {_LOWEST_STATUS} to {_HIGHEST_STATUS}, as in status:429; "
            f"this is {in_line(digits)!r}"
        )
    return Effect("status", message=readable(message), status=int(digits))


def _latency(behind: str) -> Effect:
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


def _unknown(text: str, name: str, kind: str) -> Effect:
    if name in KINDS:
        raise MockError(f"the name of a call is needed before it, as in search:{in_line(text.strip())}")
    if not kind:
        raise MockError(f"a fault is needed behind the colon; {_forms()}")
    if kind[:1] in ("{", "[", '"', "@"):
        raise MockError("this is an answer and no fault; give it with --mock")
    raise MockError(f"unknown fault {in_line(kind)!r}{nearest(kind, list(KINDS)) or '; ' + _forms()}")


def _forms() -> str:
    return f"there are {', '.join(FORMS)}"


def _written(delay_ms: float) -> str:
    whole = Decimal(repr(delay_ms))
    seconds = whole / 1000
    number, unit = (seconds, "s") if seconds == seconds.to_integral_value() else (whole, "ms")
    return f"{number.normalize():f}{unit}"


_READERS: dict[str, Callable[[str], Effect]] = {
    "timeout": _alone("timeout"),
    "error": _error,
    "status": _status_code,
    "latency": _latency,
    "truncate": _alone("truncate"),
}
