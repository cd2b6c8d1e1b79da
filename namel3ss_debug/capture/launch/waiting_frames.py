"""Answer questions of the debugger's shell about the user's frames on the stack of a thread that waits at an event.

A question has the member `about`, one of the keys of `_ANSWERS`. The answer has `frames`, innermost first; the value of
an expression has `value`, or the `problem` why there is none. Secrets are replaced as in the trace, because the shell
shows what it gets, and a session can be saved.
"""

from __future__ import annotations

import ast
import builtins
import linecache
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from types import FrameType
from typing import Any, Final

from namel3ss_debug.capture.core.callsite import CallSites, innermost
from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER
from namel3ss_debug.capture.core.variables import read_variables
from namel3ss_debug.capture.payloads.conversion import JsonValue, Payloads
from namel3ss_debug.capture.payloads.introspection import full_name, instance_dict

MOST_FRAMES: Final = 100
MOST_VARIABLES: Final = 200
"""How many variables of a frame are shown."""

VARIABLE_BYTES: Final = 2048
VALUE_BYTES: Final = 1024 * 1024
_LONGEST_LINE: Final = 500
_OBJECT: Final = frozenset({"$type", "repr"})

EXPRESSION_FILE: Final = f"{PACKAGE_FOLDER}<expression>"
"""The file name of typed code, below our own folder: what it reads and opens is not taken for the program's."""


def answer_question(question: Mapping[str, Any], sites: CallSites, payloads: Payloads) -> dict[str, Any]:
    """Return the answer to a question, in the thread that waits."""
    frames = list(islice(sites.own_frames(innermost(1)), MOST_FRAMES))
    return _ANSWERS[question["about"]](frames, question, sites, payloads)


def waiting_frame(sites: CallSites) -> FrameType | None:
    """Return the innermost user frame of this thread."""
    return next((frame for frame, _name in sites.own_frames(innermost(1))), None)


_Frames = Sequence[tuple[FrameType, str]]


def _describe_stack(
    frames: _Frames, _question: Mapping[str, Any], sites: CallSites, payloads: Payloads
) -> dict[str, Any]:
    return {"frames": [_describe(frame, name, sites, payloads) for frame, name in frames]}


def _describe_variables(
    frames: _Frames, _question: Mapping[str, Any], sites: CallSites, payloads: Payloads
) -> dict[str, Any]:
    small = Payloads(payloads.redactor, VARIABLE_BYTES)
    opened: list[Any] = []
    return {
        "frames": [
            {**_describe(frame, name, sites, payloads), "values": _read_values(frame, small, opened)}
            for frame, name in frames
        ]
    }


def _read_values(frame: FrameType, payloads: Payloads, opened: list[Any]) -> dict[str, JsonValue]:
    """Return the variables of a frame; each is converted by itself, so each has its room.

    Of `self` the attributes are shown as well, once for an object: methods call each other. `opened` has those objects.
    """
    values: dict[str, JsonValue] = {}
    for name, value in islice(read_variables(frame.f_locals).items(), MOST_VARIABLES):
        if name == "self" and not any(value is each for each in opened):
            opened.append(value)
            values[name] = _open(value, payloads)
        else:
            values |= payloads.mapping({name: value})
    return values


def _evaluate(
    frames: _Frames, question: Mapping[str, Any], sites: CallSites, payloads: Payloads
) -> dict[str, Any]:
    """Return the value of an expression in the innermost frame that has all of its names."""
    if not frames:
        return {"frames": []}
    try:
        tree = ast.parse(question["expression"].strip(), EXPRESSION_FILE, "eval")
        code = compile(tree, EXPRESSION_FILE, "eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"frames": [], "syntax": str(error)}
    names = _free_names(tree)
    frame, name = next((each for each in frames if _has_names(each[0], names)), frames[0])
    described = [_describe(frame, name, sites, payloads)]
    try:
        # One namespace, so that the inner scope of a comprehension sees the locals too.
        value = eval(code, {**frame.f_globals, **frame.f_locals})  # noqa: S307  (the user has typed it)
    except BaseException as error:  # also SystemExit of the user's code, and Ctrl-C
        text = payloads.text(str(error)) if _is_printable(error) else ""
        return {"frames": described, "problem": f"{type(error).__name__}: {text}".removesuffix(": ")}
    large = Payloads(payloads.redactor, VALUE_BYTES)
    secret = getattr(tree.body, "attr", None) or getattr(tree.body, "id", "")
    if secret and not payloads.learn(secret):  # what stands under this name is replaced
        return {"frames": described, "value": large.mapping({secret: value}).get(secret)}
    return {"frames": described, "value": _open(value, large)}


_ANSWERS: Final[dict[str, Callable[[_Frames, Mapping[str, Any], CallSites, Payloads], dict[str, Any]]]] = {
    "stack": _describe_stack,
    "variables": _describe_variables,
    "value": _evaluate,
}


def _describe(frame: FrameType, name: str, sites: CallSites, payloads: Payloads) -> dict[str, Any]:
    """Return where a frame is: its line as in call sites, its function, and the text of the line."""
    path = sites.shown(frame.f_code.co_filename)
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals).strip()
    return {
        "at": f"{path}:{frame.f_lineno}",
        "function": name.removeprefix(f"{path}:"),
        "text": payloads.text(text[:_LONGEST_LINE]),
    }


def _open(value: Any, payloads: Payloads) -> JsonValue:
    """Return a value as JSON; of an object that payloads show by its `repr` alone, the attributes, one level deep."""
    converted = payloads.value(value)
    attributes = instance_dict(value)
    if not (attributes and isinstance(converted, dict) and converted.keys() == _OBJECT):
        return converted
    fields: dict[str, JsonValue] = {}
    for name, item in islice(attributes.items(), MOST_VARIABLES):
        if type(name) is str:
            fields |= payloads.mapping({name: item})
    return {"$type": full_name(type(value)), "fields": fields}


def _free_names(tree: ast.Expression) -> set[str]:
    """Return the names that an expression reads and does not bind itself."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in found if not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return {node.id for node in found} - bound


def _has_names(frame: FrameType, names: Iterable[str]) -> bool:
    return all(name in frame.f_locals or name in frame.f_globals or hasattr(builtins, name) for name in names)


def _is_printable(error: BaseException) -> bool:
    try:
        return type(str(error)) is str
    except Exception:  # `__str__` of the program's own exception
        return False
