"""Print a line of the debugger's own to the stderr of the traced program."""

from __future__ import annotations

import sys

from namel3ss_debug.errors import short

_LONGEST_MESSAGE = 500


def print_message(text: str) -> None:
    """Print a line to the process's real stderr, even if the program has replaced `sys.stderr`.

    The message may contain a name from a trace, so control characters are escaped.
    """
    shown = short(text, _LONGEST_MESSAGE)
    if not shown.isprintable():
        shown = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown
        )
    try:
        if sys.__stderr__ is not None:
            sys.__stderr__.write(f"namel3ss debug: {shown}\n")
    except (OSError, ValueError):  # stderr is closed
        pass
