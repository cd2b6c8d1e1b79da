"""What watching costs: time of a processor of `monitor` beside a program that records 500 events a second, and of that program.

The program answers requests: an agent, two calls of a model with their messages, two of a tool, and the pauses between them.
`monitor` runs on a terminal of its own, where it draws its screen, and then without one. For the cost to the program the
monitor is stopped and continued in turn.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ
from time import perf_counter, sleep

import psutil
from timing import holds, ratios, spread

SECONDS = 60
"""How long each kind of monitor is measured, once it has run for `WARM_UP`."""

WARM_UP = 10
PERIODS, PERIOD_SECONDS = 12, 5
PROGRAM = """
import random
import time

from namel3ss_debug import get_global_tracer, initialize_tracing

initialize_tracing(trace_output_dir="traces")
tracer = get_global_tracer()
SYSTEM = "You answer questions about parcels, shortly and kindly. " * 20
TEXTS = [f"Where is parcel {number}, which was sent on Monday?" for number in range(500)]
FAILS = 0.01

def ask(text):
    messages = [{"role": "system", "parts": [{"type": "text", "content": SYSTEM}]},
                {"role": "user", "parts": [{"type": "text", "content": text}]}]
    with tracer.span("llm", "gpt-4o-mini", {"model": "gpt-4o-mini", "messages": messages}) as span:
        span.set_output({"text": f"Parcel {random.random()} is in Zurich.", "response_model": "gpt-4o-mini"})
        span.set(usage={"input_tokens": 240, "output_tokens": 20}, tokens_used=260)

def find():
    with tracer.span("tool", "find", {"arguments": {"parcel": random.random()}}) as span:
        if random.random() < FAILS:
            raise LookupError("no such parcel")
        span.set_output({"place": "Zurich"})

due = time.monotonic()
while True:
    with tracer.span("agent", "Support"):
        for _ in range(2):
            ask(random.choice(TEXTS))
            try:
                find()
            except LookupError:
                pass
    due += 0.02
    time.sleep(max(due - time.monotonic(), 0))
"""
EVENTS_A_SECOND = 500


@contextmanager
def running(command: list[str], folder: Path, *, on_terminal: bool = False) -> Iterator[psutil.Popen]:
    """Run a command until the block ends, on a terminal of 120 columns whose screen is read, or without one."""
    ours, theirs = pty.openpty()
    ioctl(ours, TIOCSWINSZ, pack("HHHH", 40, 120, 0, 0))
    stdin, stdout = (theirs, theirs) if on_terminal else (None, subprocess.DEVNULL)
    environ = {**os.environ, "TERM": "xterm-256color"}
    with psutil.Popen(
        command, cwd=folder, env=environ, start_new_session=True, stdin=stdin, stdout=stdout
    ) as process:
        os.close(theirs)
        threading.Thread(target=read_all, args=(ours,), daemon=True).start()
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def read_all(descriptor: int) -> None:
    """Read a terminal until it is closed."""
    with suppress(OSError):
        while os.read(descriptor, 65536):
            pass


def share(process: psutil.Popen, seconds: float) -> float:
    """Return which share of a processor a process used within the next seconds, in user and system time."""
    began, before = perf_counter(), process.cpu_times()
    sleep(seconds)
    after, taken = process.cpu_times(), perf_counter() - began
    return (after.user - before.user + after.system - before.system) / taken


def count_events(folder: Path) -> int:
    """Return how many lines the traces have."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("traces/*.jsonl") if not path.is_symlink())  # fmt: skip


def main() -> int:
    """Measure, print, and return the exit status: 0 when the claims hold."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "program.py").write_text(PROGRAM)
        (folder / "traces").mkdir()
        monitor = [sys.executable, "-m", "namel3ss_debug", "monitor", "traces"]
        watched = {}
        with running([sys.executable, "program.py"], folder) as program:
            for kind, options in (("on a terminal", []), ("--format jsonl", ["--format", "jsonl"])):
                with running([*monitor, *options], folder, on_terminal=not options) as watcher:
                    sleep(WARM_UP)
                    began, events = perf_counter(), count_events(folder)
                    watched[kind] = share(watcher, SECONDS)
                    rate = (count_events(folder) - events) / (perf_counter() - began)
                    megabytes = watcher.memory_info().rss / (1 << 20)
                    print(f"monitor {kind}: {watched[kind]:.2%} of a processor, {megabytes:.0f} MB, {rate:.0f} events a second")  # fmt: skip
            taken: dict[str, list[float]] = {"watched": [], "alone": []}
            with running(monitor, folder, on_terminal=True) as watcher:
                sleep(WARM_UP)
                for _ in range(PERIODS):
                    for state, number in (("alone", signal.SIGSTOP), ("watched", signal.SIGCONT)):
                        watcher.send_signal(number)
                        taken[state].append(share(program, PERIOD_SECONDS))
        beside = ratios(taken, "watched", "alone")
        print(f"the program, watched beside alone: {spread(beside)}; {spread(taken['alone'], 100)} % of a processor")  # fmt: skip
    claims = [holds(f"monitor {kind}", 100 * value, 2, " % of a processor") for kind, value in watched.items()]  # fmt: skip
    return 0 if all(claims) and rate > 0.95 * EVENTS_A_SECOND else 1


if __name__ == "__main__":
    sys.exit(main())
