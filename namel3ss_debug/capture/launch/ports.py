"""Find on which ports a program waits for connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # needed where a program hangs, or asks itself
    import psutil


def find_listening(pid: int) -> set[int]:
    """Return the ports on which a program waits for connections.

    Args:
        pid: its first process; those that it has started count as well.
    """
    import psutil  # needed where a program hangs, or asks itself

    found: set[int] = set()
    with suppress(psutil.Error, OSError):
        for process in _processes(pid):
            found |= _ports(process)
    return found


class OwnPorts:
    """Knows on which ports a program waits for connections. A port is looked up once, because that is slow.

    Args:
        pid: its first process; those that it has started count as well.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._found: set[int] = set()

    def __call__(self, port: int) -> bool:
        """Return whether the program waits on this port."""
        import psutil

        with suppress(psutil.Error, OSError):
            if port not in self._found and any(port in _ports(each) for each in _processes(self._pid)):
                self._found.add(port)
        return port in self._found


def _ports(process: psutil.Process) -> set[int]:
    """Return the ports on which a process waits; none if it is gone."""
    import psutil

    try:
        found = process.net_connections("tcp")
    except (psutil.Error, OSError):
        return set()
    return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}


def _processes(pid: int) -> Iterator[psutil.Process]:
    """Yield a process, and all that it has started.

    Raises:
        psutil.Error: the process is gone.
    """
    import psutil

    first = psutil.Process(pid)
    yield first
    yield from first.children(recursive=True)
