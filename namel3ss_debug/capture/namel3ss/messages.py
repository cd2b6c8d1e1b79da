"""Error messages of the language in one line; its own messages are pages with reasons and examples."""

from __future__ import annotations

import re

from namel3ss_debug.capture.core.failures import type_name

_WHAT_HAPPENED = re.compile(r"\AWhat happened: (?P<what>.*)(?:\nWhy: (?P<why>.*))?")
_WITH_HEADINGS = re.compile(r"\Aerror: (?P<what>.*)(?:\n[\s\S]*?\nWhy\n- (?P<why>.*))?")
_INNER = "Error message: "
"""The prefix of the message of an inner exception, if that is the reason."""

_TOOL_ERROR_TYPE = re.compile(r"\bfailed with (?P<type>[A-Za-z_]\w*)\.?\Z")


def full_message(error: BaseException) -> str:
    """Return the whole message of an exception, without the location that the language puts before it."""
    text = getattr(error, "message", None)
    return text if isinstance(text, str) else f"{error}"


def describe_error(error: BaseException) -> str:
    """Return what happened and why, in one line."""
    text = full_message(error)
    match = _WHAT_HAPPENED.match(text) or _WITH_HEADINGS.match(text)
    if match is None:
        return text
    what, why = match["what"].strip(), (match["why"] or "").strip().removeprefix(_INNER)
    head = what.rstrip(".")
    if why.startswith(head):
        return why
    return f"{head}: {why}" if why else what


def error_type(error: BaseException) -> str:
    """Return the type of an exception; for one of the language's own the bare class name.

    For a failed tool, it is the type of the tool's exception, which only the message contains.
    """
    match = _WHAT_HAPPENED.match(full_message(error))
    inner = _TOOL_ERROR_TYPE.search(match["what"].strip()) if match is not None else None
    if inner is not None:
        return inner["type"]
    return type(error).__name__ if is_language_error(error) else type_name(type(error))


def is_language_error(error: BaseException) -> bool:
    """Return whether an exception is one of the language's own, which explains by itself what is wrong with the app."""
    return type(error).__module__.partition(".")[0] == "namel3ss"
