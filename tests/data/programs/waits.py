"""Says that it is ready, then waits for a signal; `handle` as an argument makes it handle SIGTERM."""

import os
import signal
import sys


def stop(number, frame):
    os.write(1, f"stopped by {signal.Signals(number).name}".encode())
    sys.exit(7)


if "handle" in sys.argv:
    signal.signal(signal.SIGTERM, stop)
os.write(1, f"ready {os.getpid()}\n".encode())  # print is not reentrant
while True:
    signal.pause()
