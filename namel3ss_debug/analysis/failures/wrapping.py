"""Decide whether one failure wraps another one: a library often raises its own exception in place of that of a call.

Then the text contains that of the other, or the stack trace has the other as a direct cause, or as a member where the
exception is a group. An exception that was raised while another one was handled, without naming it as its cause, is a
failure of its own.
"""

from __future__ import annotations

import re
from itertools import islice

_LEAST_COMPARED = 8
"""A shorter text may be part of another one by chance."""

_CAUSED = "\n\nThe above exception was the direct cause of the following exception:\n\n"
_HEAD = "Traceback (most recent call last):\n"
_GROUP = "Exception Group Traceback"
_MEMBER = re.compile(r"^ *\| (?!Traceback )(\S.*)$", re.MULTILINE)
_MOST_CAUSES = 8
_MOST_MEMBERS = 64


def find_direct_causes(stack_trace: object) -> tuple[str, ...]:
    """Return the direct causes and group members in a stack trace, as `type: text` by their first lines."""
    if not isinstance(stack_trace, str):
        return ()
    parts = stack_trace.split(_CAUSED)[:-1][-_MOST_CAUSES:]
    causes = [line for part in parts if (line := _last_exception(part))]
    if _GROUP in stack_trace:
        causes += (match[1] for match in islice(_MEMBER.finditer(stack_trace), _MOST_MEMBERS))
    return tuple(causes)


def _last_exception(trace: str) -> str:
    """Return the line of a stack trace that names the exception: the first one after its indented frames."""
    lines = trace.rpartition(_HEAD)[2].split("\n")
    return next((line for line in lines if line and not line.startswith(" ")), "")


def names_failure(
    text: str | None, causes: tuple[str, ...], other_type: str | None, other: str | None
) -> bool:
    """Return whether a failure names another one.

    Args:
        text: the text of the failure.
        causes: the result of `find_direct_causes` for its stack trace.
        other_type: the exception type of the other failure.
        other: the text of the other failure.
    """
    if text is not None and other is not None and len(other) >= _LEAST_COMPARED and other in text:
        return True
    first = (other or "").partition("\n")[0]
    if len(first) >= _LEAST_COMPARED and any(first in cause for cause in causes):
        return True
    return other_type is not None and (f"{other_type}: {first}" if first else other_type) in causes
