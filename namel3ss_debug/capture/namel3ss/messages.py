"""What the language says of a failure, in a line: its own messages are pages with reasons, ways out and examples."""

from __future__ import annotations

import re

from namel3ss_debug.capture.failures import type_name

_WHAT = re.compile(r"\AWhat happened: (?P<what>.*)(?:\nWhy: (?P<why>.*))?")
_HEADED = re.compile(r"\Aerror: (?P<what>.*)(?:\n[\s\S]*?\nWhy\n- (?P<why>.*))?")
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
    what, why = found["what"].strip(), (found["why"] or "").strip()
    return f"{what.rstrip('.')}: {why}" if why else what


def kind(error: BaseException) -> str:
    """The type of an exception; of a failed tool, that of the exception in it, which only the message tells."""
    found = _WHAT.match(message(error))
    inner = _TYPE.search(found["what"].strip()) if found is not None else None
    return type_name(type(error)) if inner is None else inner["type"]
