"""Recorded exceptions, raised again: the class is found by its name, and gets the recorded text.

Nothing is imported to find a class. What an exception of a tool held besides its text is put back as far as it was
recorded. One whose making needs more than is there is made without it: then it has its type and its text.
"""

from __future__ import annotations

import ast
import builtins
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import CodeType, FrameType, TracebackType
from typing import Any

from namel3ss_debug.capture.answers import Raised
from namel3ss_debug.capture.payloads import holders

_HELD: dict[str, type] = {"args": list, "attributes": dict}
_OF_SYSTEM = r"\[Errno (?P<number>-?\d{1,5})\] (?P<what>[^\n]*?)(?:: '(?P<file>[^'\n]*)')?\Z"
_OF_URLLIB = r"(?s:HTTP Error (\d{3}): (.*)\Z|<urlopen error (.*)>\Z)"
_OF_TLS = 1  # the number of nearly all failures of TLS, which their text does not tell
_EXIT = r"exit (?P<status>-?\d{1,10})\Z"
_FRAME = r'^  File "(?P<file>[^"\n]+)", line (?P<line>\d{1,9}), in (?P<name>.+)$'
_LONGEST_LITERAL = 1000


class _Key(str):
    """In place of a key that is no data, such as a class: the error shows the form of its key, which is this text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def recorded_error(raised: Raised) -> BaseException | None:
    """The exception as it was; `None` where the program has no such class, or none that can be made."""
    kind = _class_of(raised.type)
    if kind is None:
        return None
    error: BaseException | None = None
    held = _held(raised.state)
    members = raised.state.get("exceptions")
    if issubclass(kind, ExceptionGroup) and isinstance(members, list) and "args" in held:
        held["args"] = [*held["args"], [_member(told) for told in members if isinstance(told, Mapping)]]
    for make in _ways(kind, raised.text, held.get("args")):
        with suppress(Exception):  # whatever the class does with a text that is none of its own making
            made = make()
            _restore(made, held)
            error = made
            if f"{made}" == raised.text:
                break
    if error is not None:
        _set_reason(error, raised.state)
    return error


def _set_reason(error: BaseException, state: Mapping[str, Any]) -> None:
    """Put back what an exception was raised from, or while what was handled."""
    cause, context = state.get("cause"), state.get("context")
    if isinstance(cause, Mapping):
        error.__cause__ = error.__context__ = _member(cause)
    elif isinstance(context, Mapping):
        error.__context__ = _member(context)
    elif state.get("alone") is True:
        error.__suppress_context__ = True


def _member(told: Mapping[str, Any]) -> BaseException:
    """A member of a group, or a reason; of a class that cannot be had here, RuntimeError."""
    raised = Raised(f"{told.get('type')}", f"{told.get('text')}", state=told)
    return recorded_error(raised) or RuntimeError(f"{raised.type}: {raised.text}")


def error_like(raised: Raised, natures: Mapping[str, Callable[[str], BaseException]]) -> BaseException:
    """The exception as it was, or where there is no such class, one of the same nature.

    Args:
        raised: what was raised: a class, or a nature alone.
        natures: makes exceptions of the natures `timeout` and `connection` of a text.
    """
    if raised.type in natures:
        return natures[raised.type](raised.text)
    error = recorded_error(raised)
    if error is not None:
        return error
    return natures["timeout" if "Timeout" in raised.type else "connection"](raised.text)


def tool_error(raised: Raised) -> BaseException | None:
    """What a tool raised: as `recorded_error`, and the end of the program by `sys.exit` as well."""
    if raised.type != "SystemExit":
        return recorded_error(raised)
    found = re.match(_EXIT, raised.text)
    return SystemExit(raised.text if found is None else int(found["status"]))


def line_in(code: CodeType, stack: str) -> int:
    """The line on which an exception left a function by a recorded stack trace; that of the `def` where none is told.

    Args:
        code: the function. A line that it does not have, because it was edited since, is not told of it.
        stack: the stack trace as Python prints it.
    """
    lines = {line for _, _, line in code.co_lines()}
    for found in re.finditer(_FRAME, stack, re.MULTILINE):
        same = found["name"] in {code.co_name, code.co_qualname}
        if same and os.path.basename(found["file"]) == os.path.basename(code.co_filename):
            return int(found["line"]) if int(found["line"]) in lines else code.co_firstlineno
    return code.co_firstlineno


def traceback_at(frame: FrameType, line: int) -> TracebackType:
    """A traceback of one frame whose body never ran, on a line of it, without marks below a part of that line.

    Python looks for these marks, and from 3.13 on for the line as well, at the instruction, unless this has no line.
    """
    code = frame.f_code
    places = [start for start, _, of_line in code.co_lines() if of_line is None]
    return TracebackType(None, frame, min(places, default=-1), line)


def _class_of(name: str) -> type[BaseException] | None:
    """A class of exceptions that a call may end with: of those that are no `Exception`, the interrupt from the keyboard alone."""
    found: Any = vars(builtins).get(name)
    if found is None:
        found = holders.find_imported(name)
    return found if isinstance(found, type) and issubclass(found, Exception | KeyboardInterrupt) else None


def _held(state: Mapping[str, Any]) -> dict[str, Any]:
    """What an exception held, as it was: `args` and `attributes`, as far as they were recorded and can be had here."""
    if not state:
        return {}
    from namel3ss_debug.wire.values import revive  # noqa: PLC0415  (only here is it needed)

    values = {name: revive(state.get(name), holders.make) for name in _HELD}
    return {
        name: found.value
        for name, found in values.items()
        if found.exact and isinstance(found.value, _HELD[name])
    }


def missing_of(raised: Raised) -> str:
    """The class of something that an exception held and that cannot be made here; "" where there is none such."""
    if not raised.state:
        return ""
    from namel3ss_debug.wire.values import revive  # noqa: PLC0415  (as above)

    flaws = (flaw for name in _HELD for flaw in revive(raised.state.get(name), holders.make).flaws)
    return next((flaw.what for flaw in flaws), "")


def _restore(error: BaseException, held: Mapping[str, Any]) -> None:
    """Put back what an exception held."""
    if "args" in held:
        error.args = tuple(held["args"])
    if "attributes" in held:
        vars(error).update(held["attributes"])


def _ways(
    kind: type[BaseException], text: str, args: list[Any] | None
) -> Iterator[Callable[[], BaseException]]:
    """Ways to make an exception of this class with this text, the likeliest first; its `args`, where they are known."""
    if args is not None:
        yield lambda: kind(*args)
    of_system = re.match(_OF_SYSTEM, text) if issubclass(kind, OSError) else None
    if of_system is not None:
        words = [int(of_system["number"]), of_system["what"], *filter(None, [of_system["file"]])]
        yield lambda: kind(*words)
    if issubclass(kind, OSError) and kind.__module__ == "ssl":
        yield lambda: kind(_OF_TLS, text)
    if issubclass(kind, KeyError):
        yield lambda: kind(ast.literal_eval(text[:_LONGEST_LITERAL]))
        yield lambda: kind(_Key(text))
    if of_urllib := re.match(_OF_URLLIB, text):
        status, said, reason = of_urllib.groups()
        yield (lambda: kind(reason)) if status is None else (lambda: kind("", int(status), said, {}, None))
    if not text:
        yield kind
    yield lambda: kind(text)
    yield lambda: kind.__new__(kind, text)
