"""What a program does of which nothing is heard: how busy it is, and on which ports it waits for somebody to come."""

from __future__ import annotations


def state_of(pid: int) -> tuple[float, set[int]]:
    """The processor time of a program so far in seconds, and the ports that it listens on; none where somebody is connected.

    Args:
        pid: its first process; those that it has started count as well.
    """
    import psutil  # noqa: PLC0415  (needed where a program falls silent)

    used, listening, busy = 0.0, set[int](), set[int]()
    try:
        first = psutil.Process(pid)
        for process in (first, *first.children(recursive=True)):
            times = process.cpu_times()
            used += times.user + times.system
            for found in process.net_connections("tcp"):
                if found.status == psutil.CONN_LISTEN:
                    listening.add(found.laddr.port)
                elif found.status == psutil.CONN_ESTABLISHED:
                    busy |= {found.laddr.port, found.raddr.port}
    except (psutil.Error, OSError):
        return used, set()
    return used, set() if listening & busy else listening
