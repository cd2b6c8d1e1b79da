"""Writes what is still in a buffer when the program ends, or is ended by SIGTERM."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from types import FrameType

from namel3ss_debug.traces.writer import TraceWriter


def flush_on_exit(writer: TraceWriter) -> None:
    """Make sure that a buffer is flushed at exit and on SIGTERM; needed only where there is a buffer.

    A handler for SIGTERM is only installed where the program has kept the default. After flushing, it lets the signal
    end the process, as it would have without the handler.
    """
    atexit.register(writer.flush)

    def flush_and_die(number: int, _frame: FrameType | None) -> None:
        writer.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, flush_and_die)
