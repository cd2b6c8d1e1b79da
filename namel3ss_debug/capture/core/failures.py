"""Describe exceptions: the fields of the end event of a failed span, and what a re-run needs to raise them again."""

from __future__ import annotations

import builtins
import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER
from namel3ss_debug.capture.payloads.conversion import Payloads
from namel3ss_debug.capture.payloads.exact import Exact, exact
from namel3ss_debug.traces.events import CANCELLATIONS

if TYPE_CHECKING:
    from traceback import TracebackException

_CONTROL_FLOW = {
    "langgraph.errors.GraphInterrupt": "pending",
    "langgraph.errors.GraphBubbleUp": "completed",
    "pydantic_ai.exceptions.CallDeferred": "pending",
    "pydantic_ai.exceptions.ApprovalRequired": "pending",
}
"""Exceptions that are no failures: a framework raises them to ask a person, or to send a command to the outer graph."""

_MOST_CAUSES = 4


@dataclass(frozen=True)
class Failure:
    """The fields of an end event whose span was ended by an exception."""

    status: str
    error: str | None = None
    error_type: str | None = None
    stack_trace: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields that are not null, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def to_failure(error: BaseException, payloads: Payloads, *, with_trace: bool = True) -> Failure:
    """Return the fields of an event for an exception.

    Args:
        error: what ended the span.
        payloads: redacts the texts.
        with_trace: whether the stack trace is part of it; an inner span may have it already.
    """
    if isinstance(error, GeneratorExit):
        return Failure("cancelled")
    if isinstance(error, SystemExit):
        if error.code in (None, 0):
            return Failure("completed")
        return Failure("failed", payloads.text(_message(error)), "SystemExit")
    trace = _stack_trace(error, payloads) if with_trace else None
    return Failure(_status(error), payloads.text(_message(error)), type_name(type(error)), trace)


def control_flow_status(error: BaseException) -> str | None:
    """Return the status of a span that a control-flow exception of a framework ends; `None` for a failure."""
    names = map(type_name, type(error).__mro__)
    return next((_CONTROL_FLOW[name] for name in names if name in _CONTROL_FLOW), None)


def span_failure(error: BaseException, payloads: Payloads, *, with_trace: bool = True) -> Failure:
    """Return the fields of the end event of a span; a control-flow exception of a framework is no failure."""
    status = control_flow_status(error)
    return to_failure(error, payloads, with_trace=with_trace) if status is None else Failure(status)


def to_raised(error: BaseException, payloads: Payloads, sites: CallSites) -> dict[str, Any] | None:
    """Return an exception that ended a request so that a re-run can raise it again; `None` for a cancellation."""
    if _is_cancellation(error):
        return None
    state = exception_state(error, payloads, sites)
    for unused in ("lost", "type", "text", *(("args", "attributes") if state.pop("inexact", None) else ())):
        state.pop(unused, None)
    if not isinstance(error, Exception):
        state["base"] = next(one.__name__ for one in type(error).__mro__ if one.__module__ == "builtins")
    kind = "SystemExit" if isinstance(error, SystemExit) else type_name(type(error))
    return {"type": kind, "text": payloads.text(_message(error)), **({"state": state} if state else {})}


def exception_state(error: BaseException, payloads: Payloads, sites: CallSites) -> dict[str, Any]:
    """Return what an exception contains besides its type and text, so that it can be raised again; {} for nothing.

    Args:
        error: what ended the call.
        payloads: redacts the values, and says how large they may be.
        sites: knows which classes are the program's own.

    Returns:
        `args`, unless these are the text alone, and `attributes`, both in the form of results.

        - An exception class of the program keeps values that are not plain data. `inexact` names what JSON loses of
          them, so that a re-run does not take the copy for the original.
        - A class of a library often refers to requests and responses, which few programs read. Its values that are
          not plain data are left out and named in `lost`.
        - A control-flow exception of a framework is kept like one of the program, because it is raised for what it
          contains. It has its `type` and `text` here, because its span has not failed, and so has `sys.exit(0)`.
        - A group has its members as `exceptions`, each with `type`, `text` and its own state.
        - `cause` is the exception that it was raised from, otherwise `context` the one that was being handled, each
          with `type`, `text` and its plain data. `alone` marks one that was raised `from None`.
    """
    if isinstance(error, SystemExit):
        return {} if error.code not in (None, 0) else {"type": "SystemExit", "text": _message(error)}
    if _is_cancellation(error):
        return {}
    state = _own_state(error, payloads, sites) | _cause_state(error, payloads)
    if not isinstance(error, ExceptionGroup):
        return state
    members = [
        {
            "type": type_name(type(each)),
            "text": payloads.text(_message(each)),
            **exception_state(each, payloads, sites),
        }
        for each in error.exceptions
    ]
    return state | {"exceptions": members}


def _own_state(error: BaseException, payloads: Payloads, sites: CallSites) -> dict[str, Any]:
    """Return the state of an exception without its cause and without the members of a group."""
    contents = _contents_of(error)
    parts = {name: exact(payloads, part) for name, part in contents.items()}
    state: dict[str, Any] = dict(parts)
    is_control_flow = control_flow_status(error) is not None
    if is_control_flow:
        state |= {"type": type_name(type(error)), "text": payloads.text(_message(error))}
    if all(map(_is_plain, parts.values())):
        return state
    file = getattr(sys.modules.get(type(error).__module__), "__file__", None)
    is_own = type(error).__module__ == "__main__" or (isinstance(file, str) and sites.shown(file) is not None)
    if is_control_flow or is_own:
        return state | {"inexact": [name for part in parts.values() for name in part.inexact]}
    return _plain_parts(contents, parts, payloads)


def _cause_state(error: BaseException, payloads: Payloads, left: int = _MOST_CAUSES) -> dict[str, Any]:
    """Return the state of the exception behind another one, as a traceback shows it; the nearest ones of a long chain."""
    if error.__suppress_context__ and error.__cause__ is None:
        return {"alone": True}
    name = "context" if error.__cause__ is None else "cause"
    cause = error.__context__ if error.__cause__ is None else error.__cause__
    if not left or not isinstance(cause, Exception):
        return {}
    contents = _contents_of(cause)
    parts = _plain_parts(contents, {name: exact(payloads, part) for name, part in contents.items()}, payloads)
    state = {"type": type_name(type(cause)), "text": payloads.text(_message(cause)), **parts}
    return {name: state | _cause_state(cause, payloads, left - 1)}


def _contents_of(error: BaseException) -> dict[str, Any]:
    """Return the arguments and attributes of an exception that its text does not show."""
    attributes, args = dict(vars(error)), error.args
    if isinstance(error, ExceptionGroup):
        args = (error.message,)
    contents: dict[str, Any] = {"attributes": attributes} if attributes else {}
    message = _message(error)
    plain = repr if isinstance(error, KeyError) else str  # `str` of a KeyError is the repr of its key
    is_text = len(args) == 1 and type(args[0]) is str and plain(args[0]) == message
    if not is_text and (args or message or attributes):
        contents["args"] = list(args)
    return contents


def _plain_parts(
    contents: Mapping[str, Any], parts: Mapping[str, Exact], payloads: Payloads
) -> dict[str, Any]:
    """Return the parts that are plain data, and the names of the others under `lost`."""
    kept: dict[str, Any] = {name: part for name, part in parts.items() if _is_plain(part)}
    lost = ["args"] if "args" in contents and "args" not in kept else []
    if "attributes" in contents and "attributes" not in kept:
        every: dict[str, Any] = contents["attributes"]
        plain = {name: value for name, value in every.items() if _is_plain(exact(payloads, {name: value}))}
        attributes = exact(payloads, plain)
        if plain and _is_plain(attributes):  # each alone may be within the size limit, but not all together
            kept["attributes"] = attributes
        else:
            plain = {}
        lost += every.keys() - plain.keys()
    return {**kept, "lost": sorted(lost)} if lost else kept


def _is_plain(part: Exact) -> bool:
    """Return whether a value can be restored exactly from its JSON form."""
    from namel3ss_debug.wire.values import revive  # most programs never get here

    return not part.inexact and revive(part.json).exact


def call_site_of(error: BaseException, sites: CallSites) -> tuple[str | None, str, str]:
    """Return the innermost line of the user's own code that the exception passed, its function, and its text."""
    site, function, text, trace = None, "", "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        path = sites.shown(code.co_filename)
        if path is not None:
            site, function = f"{path}:{trace.tb_lineno}", code.co_qualname
            text = linecache.getline(code.co_filename, trace.tb_lineno, trace.tb_frame.f_globals).strip()
        trace = trace.tb_next
    return site, function, text


def type_name(kind: type[BaseException]) -> str:
    """Return the name of an exception type, with its module unless it is a built-in."""
    if getattr(builtins, kind.__name__, None) is kind:
        return f"{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _status(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt) or _is_cancellation(error):
        return "cancelled"
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "timeout"
    return "failed"


def _is_cancellation(error: BaseException) -> bool:
    return type(error).__name__ in CANCELLATIONS


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit) and not isinstance(error.code, str):
        return f"exit {error.code or 0}"  # Python prints a text, but no number
    try:
        return f"{error}"
    except Exception:
        return f"<{type(error).__name__} whose text cannot be read>"


def _stack_trace(error: BaseException, payloads: Payloads) -> str | None:
    """Return the traceback as Python prints it, without the frames of the debugger."""
    from traceback import TracebackException  # most programs never get here

    try:
        shown = TracebackException.from_exception(error, compact=True)
        _drop_own_frames(shown)
        return payloads.text("".join(shown.format()))
    except Exception:
        return None


def _drop_own_frames(shown: TracebackException) -> None:
    """Remove the frames of this package, in causes and groups as well."""
    waiting: list[TracebackException | None] = [shown]
    while waiting:
        one = waiting.pop()
        if one is None:
            continue
        own = [frame for frame in one.stack if frame.filename.startswith(PACKAGE_FOLDER)]
        for frame in own:
            one.stack.remove(frame)
        waiting += [one.__cause__, one.__context__, *(one.exceptions or ())]
