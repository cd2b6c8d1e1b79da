"""Find on which ports a program waits for connections."""

from __future__ import annotations

from contextlib import suppress


def find_listening(pid: int) -> set[int]:
    """Return the ports on which a program waits for connections.

    Args:
        pid: its first process; those that it has started count as well.
    """
    import psutil  # needed where a program hangs, or asks itself

    found: set[int] = set()
    with suppress(psutil.Error, OSError):
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            with suppress(psutil.Error, OSError):  # the process is gone
                connections = process.net_connections("tcp")
                found |= {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}
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
        if port not in self._found:
            self._found |= find_listening(self._pid)
        return port in self._found
