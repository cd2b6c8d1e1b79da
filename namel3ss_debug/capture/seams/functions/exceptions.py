"""Make recorded exceptions again: the class is found by its name, and the exception gets the recorded text.

Nothing is imported to find a class. The arguments and attributes of a tool's exception are restored as far as they were
recorded; an exception that cannot be made from them still gets its type and its text.
"""

from __future__ import annotations

import ast
import builtins
import gc
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import CodeType, FrameType, TracebackType
from typing import Any

from namel3ss_debug.capture.core.answers import RecordedError
from namel3ss_debug.capture.payloads import data_objects

_STATE_TYPES: dict[str, type] = {"args": list, "attributes": dict}
_SYSTEM_TEXT = r"\[Errno (?P<number>-?\d{1,5})\] (?P<what>[^\n]*?)(?:: '(?P<file>[^'\n]*)')?\Z"
_URLLIB_TEXT = r"(?s:HTTP Error (\d{3}): (.*)\Z|<urlopen error (.*)>\Z)"
_TLS_ERRNO = 1  # nearly all TLS failures have this number, which their text does not contain
_EXIT = r"exit (?P<status>-?\d{1,10})\Z"
_FRAME = r'^  File "(?P<file>[^"\n]+)", line (?P<line>\d{1,9}), in (?P<name>.+)$'
_LONGEST_LITERAL = 1000


class _Key(str):
    """Stands in for the key of a KeyError that is not data, such as a class. Its `repr` is the recorded text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def make_recorded_error(raised: RecordedError) -> BaseException | None:
    """Return the recorded exception, or None if the program has no such class or it cannot be made."""
    kind = _find_class(raised.type)
    if kind is None:
        return None
    error: BaseException | None = None
    state = _read_state(raised.state)
    members = raised.state.get("exceptions")
    if issubclass(kind, ExceptionGroup) and isinstance(members, list) and "args" in state:
        state["args"] = [
            *state["args"],
            [_make_member(each) for each in members if isinstance(each, Mapping)],
        ]
    for make in _ways_to_make(kind, raised.text, state.get("args")):
        with suppress(Exception):  # the constructor is the program's, and may do anything with a foreign text
            made = make()
            if "args" in state:
                made.args = tuple(state["args"])
            if "attributes" in state:
                vars(made).update(state["attributes"])
            error = made
            if f"{made}" == raised.text:
                break
    if error is not None:
        _set_cause(error, raised.state)
    return error


def _set_cause(error: BaseException, state: Mapping[str, Any]) -> None:
    """Restore the exception that this one was raised from, or while handling."""
    cause, context = make_cause(state), state.get("context")
    if cause is not None:
        error.__cause__ = error.__context__ = cause
    elif isinstance(context, Mapping):
        error.__context__ = _make_member(context)
    elif state.get("alone") is True:
        error.__suppress_context__ = True


def make_cause(state: Mapping[str, Any]) -> BaseException | None:
    """Return the exception that a recorded one was raised from; `None` if there was none."""
    cause = state.get("cause")
    return _make_member(cause) if isinstance(cause, Mapping) else None


def _make_member(recorded: Mapping[str, Any]) -> BaseException:
    """Return a member of a group or a cause; a RuntimeError if the program has no such class."""
    raised = RecordedError(f"{recorded.get('type')}", f"{recorded.get('text')}", state=recorded)
    return make_recorded_error(raised) or RuntimeError(f"{raised.type}: {raised.text}")


def make_similar_error(
    raised: RecordedError, natures: Mapping[str, Callable[[str], BaseException]]
) -> BaseException:
    """Return the recorded exception or, if the program has no such class, one of the same nature.

    Args:
        raised: the recorded exception: a class, or only a nature.
        natures: makes exceptions of the natures `timeout` and `connection` from a text.
    """
    if raised.type in natures:
        return natures[raised.type](raised.text)
    error = make_recorded_error(raised)
    if error is not None:
        return error
    base = vars(builtins).get(str(raised.state.get("base")))
    if isinstance(base, type) and issubclass(base, BaseException):
        # A class that a function made as it raised it. An SDK repeats a request that ended with an `Exception`.
        name = raised.type.rpartition(".")[2]
        own: BaseException = type(name, (base,), {})(raised.text)
        return own
    return natures["timeout" if "Timeout" in raised.type else "connection"](raised.text)


def find_raise_line(code: CodeType, stack: str) -> int:
    """Return the line on which an exception left a function, or the line of its `def` if the stack does not show it.

    Args:
        code: the function. If it was edited and does not have the line any more, its `def` counts.
        stack: the recorded stack trace as Python prints it.
    """
    lines = {line for _, _, line in code.co_lines()}
    for found in re.finditer(_FRAME, stack, re.MULTILINE):
        same = found["name"] in {code.co_name, code.co_qualname}
        if same and os.path.basename(found["file"]) == os.path.basename(code.co_filename):
            return int(found["line"]) if int(found["line"]) in lines else code.co_firstlineno
    return code.co_firstlineno


def make_traceback(frame: FrameType, line: int) -> TracebackType:
    """Return a traceback of one frame whose body never ran, on one of its lines.

    Python reads the underlined part of the line, and from 3.13 on the line as well, from the instruction. So the
    traceback names an instruction that has no line, where there is one.
    """
    code = frame.f_code
    offsets = [start for start, _, of_line in code.co_lines() if of_line is None]
    return TracebackType(None, frame, min(offsets, default=-1), line)


def _find_class(name: str) -> type[BaseException] | None:
    """Return the class of this name if it is an exception."""
    found: Any = vars(builtins).get(name)
    if found is None:
        found = data_objects.find_imported(name)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _find_armed(kind: Any, text: str) -> BaseException | None:
    """Return the running timeout of this greenlet with this text.

    The `with` block of a `gevent.Timeout` knows its own exception by identity.
    """
    greenlet = sys.modules["gevent"].getcurrent()
    for each in gc.get_objects():
        if type(each) is kind and each.pending and str(each) == text and each.timer.args[:1] == (greenlet,):
            timeout: BaseException = each
            return timeout
    return None


def _read_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `args` and `attributes` of an exception, as far as they were recorded and can be made here."""
    if not state:
        return {}
    from namel3ss_debug.wire.values import revive  # most tools never raise

    values = {name: revive(state.get(name), data_objects.make) for name in _STATE_TYPES}
    return {
        name: found.value
        for name, found in values.items()
        if found.exact and isinstance(found.value, _STATE_TYPES[name])
    }


def find_missing_class(raised: RecordedError) -> str:
    """Return the class of a value in the state of an exception that cannot be made here, or ""."""
    if not raised.state:
        return ""
    from namel3ss_debug.wire.values import revive

    flaws = (
        flaw for name in _STATE_TYPES for flaw in revive(raised.state.get(name), data_objects.make).flaws
    )
    return next((flaw.what for flaw in flaws), "")


def _ways_to_make(
    kind: type[BaseException], text: str, args: list[Any] | None
) -> Iterator[Callable[[], BaseException]]:
    """Yield functions that make an exception of this class with this text, the likeliest first."""
    if issubclass(kind, SystemExit):
        ended = re.match(_EXIT, text)
        yield partial(kind, text if ended is None else int(ended["status"]))
        return
    if kind.__module__ == "gevent.timeout" and (armed := _find_armed(kind, text)) is not None:
        yield lambda: armed
        return
    if args is not None:
        yield lambda: kind(*args)
    system = re.match(_SYSTEM_TEXT, text) if issubclass(kind, OSError) else None
    if system is not None:
        arguments = [int(system["number"]), system["what"], *filter(None, [system["file"]])]
        yield lambda: kind(*arguments)
    if issubclass(kind, OSError) and kind.__module__ == "ssl":
        yield lambda: kind(_TLS_ERRNO, text)
    if issubclass(kind, KeyError):
        yield lambda: kind(ast.literal_eval(text[:_LONGEST_LITERAL]))
        yield lambda: kind(_Key(text))
    if of_urllib := re.match(_URLLIB_TEXT, text):
        status, message, reason = of_urllib.groups()
        yield (lambda: kind(reason)) if status is None else (lambda: kind("", int(status), message, {}, None))
    if not text:
        yield kind
    yield lambda: kind(text)
    yield lambda: kind.__new__(kind, text)
