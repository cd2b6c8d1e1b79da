"""Blank what other processes see of this one: a secret in its environment, and its command line.

The kernel shows both from the memory of the process (`/proc/PID/environ`, `/proc/PID/cmdline`), as they were when it
began; `os.environ` and `sys.argv` are copies. `/proc/self/stat` tells where they are. Only Linux has these files.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

_ARGUMENTS, _ENVIRONMENT = 45, 47
"""Where `arg_start` and `env_start` are among the fields of `/proc/self/stat` behind the name; each end is the next field."""

SHOWN: Final = b"namel3ss-debug"
"""The command line that other processes see."""


def blank_variable(name: str) -> None:
    """Overwrite the value that a variable had when this process began."""
    prefix = b"%s=" % os.fsencode(name)
    with suppress(OSError, ValueError, IndexError), open("/proc/self/mem", "r+b", buffering=0) as memory:
        start, end = _find(_ENVIRONMENT)
        memory.seek(start)
        for entry in memory.read(end - start).split(b"\0"):
            if entry.startswith(prefix):
                memory.seek(start)
                memory.write(prefix + b" " * (len(entry) - len(prefix)))
            start += len(entry) + 1


def blank_command_line() -> None:
    """Show other processes the name of this package in place of the command line.

    A program that looks for others of its kind, to run only once, would else find itself in our arguments.
    """
    with suppress(OSError, ValueError, IndexError), open("/proc/self/mem", "r+b", buffering=0) as memory:
        start, end = _find(_ARGUMENTS)
        size = end - start
        # Without a NUL at its end, the kernel takes it for the title of a process, and shows it up to the first NUL.
        title = SHOWN[: max(size - 2, 0)].ljust(max(size - 1, 0), b"\0") + b" "
        memory.seek(start)
        memory.write(title[:size])


def _find(field: int) -> tuple[int, int]:
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[field]), int(fields[field + 1])
    if not 0 < start < end:
        raise ValueError("the kernel does not tell")
    return start, end
