"""The fields of an end event for an exception that ends a span."""

from __future__ import annotations

import builtins
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from namel3ss_debug.capture.callsite import CallSites
from namel3ss_debug.capture.payloads import Exact, Payloads, exact

if TYPE_CHECKING:
    from namel3ss_debug.capture.tracer import ExecutionTracer

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


_HANDED_ON = {
    "langgraph.errors.GraphInterrupt": "pending",
    "langgraph.errors.GraphBubbleUp": "completed",
    "pydantic_ai.exceptions.CallDeferred": "pending",
    "pydantic_ai.exceptions.ApprovalRequired": "pending",
}
"""Exceptions by which a framework is told how to go on: that a person is asked, or a command is sent to the graph around."""


_MOST_REASONS = 4


@dataclass(frozen=True)
class Failure:
    """The fields of an end event whose span did not end in order."""

    status: str
    error: str | None = None
    error_type: str | None = None
    stack_trace: str | None = None
    variables: dict[str, Any] | None = None
    """The variables of the user's code where it failed; no field of the event, but part of its metadata."""

    def fields(self) -> dict[str, Any]:
        """The fields that are not null, by name."""
        return {
            name: value for name, value in vars(self).items() if value is not None and name != "variables"
        }


def describe(error: BaseException, payloads: Payloads, *, with_trace: bool = True) -> Failure:
    """Put an exception into the words of the event format.

    Args:
        error: what ended the span.
        payloads: redacts the texts.
        with_trace: whether the stack trace is told too; an inner span may have told it already.
    """
    if isinstance(error, GeneratorExit):
        return Failure("cancelled")
    if isinstance(error, SystemExit):
        code = error.code
        if code in (None, 0):
            return Failure("completed")
        words = code if isinstance(code, str) else f"exit {code}"  # Python prints words, and no status
        return Failure("failed", payloads.text(words), "SystemExit")
    trace = _stack_trace(error, payloads) if with_trace else None
    return Failure(_status(error), payloads.text(_message(error)), type_name(type(error)), trace)


def handed_on(error: BaseException) -> str | None:
    """The status of a span that such an exception ends, which has not failed; `None` of any other exception."""
    names = map(type_name, type(error).__mro__)
    return next((_HANDED_ON[name] for name in names if name in _HANDED_ON), None)


def ending(error: BaseException, payloads: Payloads, *, with_trace: bool = True) -> Failure:
    """How an exception ends a span: as `describe`, but one that tells a framework how to go on is no failure."""
    status = handed_on(error)
    return describe(error, payloads, with_trace=with_trace) if status is None else Failure(status)


def state_of(error: BaseException, payloads: Payloads, sites: CallSites) -> dict[str, Any]:
    """What an exception of a tool holds besides its type and text, so that it can be raised again with it; {} for nothing.

    Args:
        error: what ended the call.
        payloads: redacts the values, and says how large they may be.
        sites: knows which classes are the program's own.

    Returns:
        `args`, where these are not the text alone, and `attributes`, in the forms of results. Of a class of the
        program's own what is no plain data stands there too, with what JSON would hide of it in `inexact`, so that no
        one takes the exception for the one that it was. Libraries keep requests, responses and the like in theirs,
        which few programs read: of these classes what is no plain data is left out, and named in `lost`. An exception
        that tells a framework how to go on is as one of the program's own, for what it holds is what it is raised for;
        it has its `type` and `text` here, because its span has not failed. Of a group `exceptions` holds its members,
        each with `type`, `text` and what is told of it here. `cause` is what it was raised from, else `context` what
        was handled then, each with `type`, `text` and what is plain data in it; `alone` says that it was raised `from
        None`.
    """
    if not isinstance(error, Exception):
        return {}
    told = _state_alone(error, payloads, sites) | _reason(error, payloads)
    if not isinstance(error, ExceptionGroup):
        return told
    members = [
        {
            "type": type_name(type(each)),
            "text": payloads.text(_message(each)),
            **state_of(each, payloads, sites),
        }
        for each in error.exceptions
    ]
    return told | {"exceptions": members}


def _state_alone(error: Exception, payloads: Payloads, sites: CallSites) -> dict[str, Any]:
    """The same, of an exception without the members of a group."""
    held = _held_by(error)
    parts = {name: exact(payloads, part) for name, part in held.items()}
    told: dict[str, Any] = dict(parts)
    passed = handed_on(error) is not None
    if passed:
        told |= {"type": type_name(type(error)), "text": payloads.text(_message(error))}
    if all(map(_is_plain, parts.values())):
        return told
    if passed or _is_of_program(type(error), sites):
        return told | {"inexact": [name for part in parts.values() for name in part.inexact]}
    return _plain_parts(held, parts, payloads)


def _reason(error: Exception, payloads: Payloads, left: int = _MOST_REASONS) -> dict[str, Any]:
    """What an exception was raised from, or while what was handled, as a traceback tells it; of a long chain the nearest."""
    if error.__suppress_context__ and error.__cause__ is None:
        return {"alone": True}
    name = "context" if error.__cause__ is None else "cause"
    reason = error.__context__ if error.__cause__ is None else error.__cause__
    if not left or not isinstance(reason, Exception):
        return {}
    held = _held_by(reason)
    parts = _plain_parts(held, {name: exact(payloads, part) for name, part in held.items()}, payloads)
    told = {"type": type_name(type(reason)), "text": payloads.text(_message(reason)), **parts}
    return {name: told | _reason(reason, payloads, left - 1)}


def _held_by(error: Exception) -> dict[str, Any]:
    """What an exception holds that its text does not tell."""
    attributes, args = dict(vars(error)), error.args
    if isinstance(error, ExceptionGroup):
        args = (error.message,)
    held: dict[str, Any] = {"attributes": attributes} if attributes else {}
    message = _message(error)
    plain = repr if isinstance(error, KeyError) else str  # of a key its text is the form
    is_text = len(args) == 1 and type(args[0]) is str and plain(args[0]) == message
    if not is_text and (args or message or attributes):
        held["args"] = list(args)
    return held


def _plain_parts(held: Mapping[str, Any], parts: Mapping[str, Exact], payloads: Payloads) -> dict[str, Any]:
    """The parts that are plain data, of the attributes those that are; the others are named in `lost`."""
    kept: dict[str, Any] = {name: part for name, part in parts.items() if _is_plain(part)}
    lost = ["args"] if "args" in held and "args" not in kept else []
    if "attributes" in held and "attributes" not in kept:
        every: dict[str, Any] = held["attributes"]
        plain = {name: value for name, value in every.items() if _is_plain(exact(payloads, {name: value}))}
        attributes = exact(payloads, plain)
        if plain and _is_plain(attributes):  # each by itself may be small enough, and all of them not
            kept["attributes"] = attributes
        else:
            plain = {}
        lost += every.keys() - plain.keys()
    return {**kept, "lost": sorted(lost)} if lost else kept


def _is_plain(part: Exact) -> bool:
    """Whether a value comes back from its form as it was."""
    from namel3ss_debug.wire.values import revive  # noqa: PLC0415  (only here is it needed)

    return not part.inexact and revive(part.json).exact


def _is_of_program(kind: type, sites: CallSites) -> bool:
    """Whether a class is defined in a file of the program."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return kind.__module__ == "__main__" or (isinstance(file, str) and sites.shown(file) is not None)


def call_site_of(error: BaseException, sites: CallSites) -> str | None:
    """The innermost line of the user's own code that the exception passed."""
    site, trace = None, error.__traceback__
    while trace is not None:
        path = sites.shown(trace.tb_frame.f_code.co_filename)
        if path is not None:
            site = f"{path}:{trace.tb_lineno}"
        trace = trace.tb_next
    return site


def tell_uncaught(tracer: ExecutionTracer, error: BaseException) -> None:
    """Record an exception that nobody has caught."""
    fields = describe(error, tracer.payloads).fields()
    site = call_site_of(error, tracer.sites)
    tracer.emit("error_occurred", component="app", call_site=site, metadata={"uncaught": True}, **fields)


def type_name(kind: type[BaseException]) -> str:
    """The name of an exception type, with its module unless it is a built-in."""
    if getattr(builtins, kind.__name__, None) is kind:
        return f"{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _status(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "CancelledError":
        return "cancelled"
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "timeout"
    return "failed"


def _message(error: BaseException) -> str:
    try:
        return f"{error}"
    except Exception:
        return f"<{type(error).__name__} whose text cannot be read>"


def _stack_trace(error: BaseException, payloads: Payloads) -> str | None:
    """The traceback as Python prints it, without the frames of the debugger."""
    try:
        told = traceback.TracebackException.from_exception(
            error, limit=None, capture_locals=False, compact=True
        )
        _drop_own_frames(told)
        return payloads.text("".join(told.format()))
    except Exception:
        return None


def _drop_own_frames(told: traceback.TracebackException) -> None:
    """Remove the frames of this package, in causes and groups as well."""
    waiting: list[traceback.TracebackException | None] = [told]
    while waiting:
        one = waiting.pop()
        if one is None:
            continue
        own = [frame for frame in one.stack if frame.filename.startswith(_OWN)]
        for frame in own:
            one.stack.remove(frame)
        waiting += [one.__cause__, one.__context__, *(one.exceptions or ())]
