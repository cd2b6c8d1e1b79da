"""Print why a program cannot be run as wished."""

from __future__ import annotations

import sys
from typing import NoReturn


def exit_with_error(message: str) -> NoReturn:
    """Print why the program cannot be run, and end with status 2."""
    print_message(message)
    raise SystemExit(2)


def print_message(message: str) -> None:
    """Print a line to stderr, if there is one."""
    if sys.stderr is not None:  # else `print` would take stdout
        print(f"namel3ss debug: {message}", file=sys.stderr)
