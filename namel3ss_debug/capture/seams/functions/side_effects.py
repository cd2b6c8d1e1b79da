"""Refuse side effects, in a copy of the program in which a tool is tried.

An audit hook sees what the tool is about to do outside its process: open sockets, start processes, write, remove or
rename files, open databases, call C code by ctypes. It raises an error instead. This is not a sandbox: code can get
around it on purpose, and libraries in C that call the system themselves are not seen.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

_REFUSED: Final = {
    "socket": "opens a socket",
    "subprocess": "starts a process",
    "os.system": "starts a process",
    "os.exec": "starts a process",
    "os.spawn": "starts a process",
    "os.posix_spawn": "starts a process",
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.startfile": "starts a process",
    "pty": "starts a process",
    "webbrowser": "starts a process",
    "os.kill": "sends a signal",
    "os.killpg": "sends a signal",
    "signal.pthread_kill": "sends a signal",
    "open": "opens a file for writing",
    "os.truncate": "writes a file",
    "os.remove": "removes a file",
    "os.rename": "renames a file",
    "os.mkdir": "makes a folder",
    "os.rmdir": "removes a folder",
    "os.link": "makes a link",
    "os.symlink": "makes a link",
    "os.chmod": "changes a file's mode",
    "os.chown": "changes a file's owner",
    "os.chflags": "changes a file's flags",
    "os.utime": "changes a file's times",
    "os.setxattr": "changes a file's attributes",
    "os.removexattr": "changes a file's attributes",
    "sqlite3": "opens a database",
    "ctypes": "calls code in C",
    "syslog": "writes to the system log",
}
"""An audit event, or the module of several -> what it does."""

_HARMLESS: Final = frozenset(
    {"socket.gethostname", "sqlite3.connect/handle", "sqlite3.enable_load_extension"}
)
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def refuse(report: Callable[[str], None]) -> None:
    """Refuse side effects from now on, to the end of the process.

    Args:
        report: called with what was refused, such as `opens a socket`.
    """
    sys.dont_write_bytecode = True  # an import inside a tool is not a side effect of the tool
    reporting = False

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal reporting
        what = _REFUSED.get(event) or _REFUSED.get(event.partition(".")[0])
        if what is None or reporting or event in _HARMLESS or _is_allowed(event, arguments):
            return
        reporting = True
        try:
            report(what)
        finally:
            reporting = False
        raise PermissionError(errno.EPERM, f"refused while a tool is tried ({event}): it {what}")

    sys.addaudithook(audit)


def _is_allowed(event: str, arguments: tuple[Any, ...]) -> bool:
    """Return whether an event has no effect outside the process."""
    if event == "open":
        path, mode, flags = (*arguments, None, None, None)[:3]
        if isinstance(path, int) or path in (os.devnull, os.fsencode(os.devnull)):
            return True
        if isinstance(mode, str):
            return not set(mode) & set("wax+")
        return not int(flags or 0) & _WRITES
    if event == "socket.__new__":  # every event loop makes a pair of them
        return bool(arguments[1] == getattr(socket, "AF_UNIX", None))
    if event == "sqlite3.connect":
        return bool(arguments[0] in (":memory:", b":memory:", ""))
    return False
