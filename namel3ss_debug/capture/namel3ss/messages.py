"""The message of a failure of the language in one line: its own messages are pages with reasons and examples."""

from __future__ import annotations

import re

from namel3ss_debug.capture.failures import type_name

_WHAT = re.compile(r"\AWhat happened: (?P<what>.*)(?:\nWhy: (?P<why>.*))?")
_HEADED = re.compile(r"\Aerror: (?P<what>.*)(?:\n[\s\S]*?\nWhy\n- (?P<why>.*))?")
_INNER = "Error message: "
"""What stands before the message of an inner exception, where that is the reason."""

_TYPE = re.compile(r"\bfailed with (?P<type>[A-Za-z_]\w*)\.?\Z")


def message(error: BaseException) -> str:
    """The whole message of an exception, without the place that the language puts before it."""
    found = getattr(error, "message", None)
    return found if isinstance(found, str) else f"{error}"


def words(error: BaseException) -> str:
    """What happened and why, in one line."""
    whole = message(error)
    found = _WHAT.match(whole) or _HEADED.match(whole)
    if found is None:
        return whole
    what, why = found["what"].strip(), (found["why"] or "").strip().removeprefix(_INNER)
    head = what.rstrip(".")
    if why.startswith(head):
        return why
    return f"{head}: {why}" if why else what


def kind(error: BaseException) -> str:
    """The type of an exception, one of the language's own by its name alone.

    Of a failed tool it is that of the exception in it, which only the message tells.
    """
    found = _WHAT.match(message(error))
    inner = _TYPE.search(found["what"].strip()) if found is not None else None
    if inner is not None:
        return inner["type"]
    return type(error).__name__ if is_own(error) else type_name(type(error))


def is_own(error: BaseException) -> bool:
    """Whether an exception is one of the language's own, which says by itself what is wrong with the app."""
    return type(error).__module__.partition(".")[0] == "namel3ss"
