"""What an event costs alone and beside one CPU-bound thread, for the ways to hand its line to the kernel.

`os.write` gives the GIL away for the time of the call. A thread that computes then keeps it for a whole switch
interval (5 ms) unless the writer gets it back at once. The writer therefore changes to a write that holds the GIL when
the process starts a second thread; here each way is shown in both situations. There is no limit to hold: the figures are what the choice was made from. It fails
only if holding the GIL is the slower way beside a thread.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median, quantiles
from time import perf_counter, time

from timing import holds, spread

from namel3ss_debug.traces.writer import TraceWriter

EVENTS = 2000
ROUNDS = 8
MOST_SECONDS = 2.0
WAYS = ("os.write", "holding the GIL")
PLACES = ("alone", "beside a thread")


def event() -> dict[str, object]:
    """An event of about 330 bytes."""
    return {
        "event_type": "tool_call_start",
        "event_id": None,
        "seq": 0,
        "timestamp": time(),
        "parent_event_id": "2",
        "execution_id": "5f0c4a7d0e21b964",
        "component": "tool",
        "component_name": "search",
        "status": "started",
        "inputs": {"query": "weather tomorrow", "city": "Zurich", "days": 3},
        "call_site": "agent.py:42",
    }


@contextmanager
def busy() -> Iterator[None]:
    """A thread that computes in Python until the end of the block."""
    ending = threading.Event()

    def compute() -> None:
        number = 1
        while not ending.is_set():
            for _ in range(10_000):
                number = number * 31 % 1_000_003

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def record(folder: Path, way: str) -> list[float]:
    """Microseconds of each of so many appended events; fewer when they take too long."""
    writer = TraceWriter(
        folder / "trace.jsonl",
        first_process=True,
        header=lambda _process, _segment, _seq: event() | {"event_type": "trace_start"},
        link_latest=False,
    )
    writer.begin()
    if way != WAYS[0]:
        writer.hold_the_gil()
    taken: list[float] = []
    ends = perf_counter() + MOST_SECONDS
    while len(taken) < EVENTS and perf_counter() < ends:
        began = perf_counter()
        writer.append(event())
        taken.append((perf_counter() - began) * 1e6)
    writer.close()
    (folder / "trace.jsonl").unlink()
    return taken


def main() -> int:
    """Measure, print, and return the exit status."""
    means: dict[tuple[str, str], list[float]] = {(way, place): [] for way in WAYS for place in PLACES}
    slow: dict[tuple[str, str], list[float]] = {key: [] for key in means}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(ROUNDS):
            for (way, place), mean in means.items():
                if place == "alone":
                    taken = record(Path(name), way)
                else:
                    with busy():
                        taken = record(Path(name), way)
                mean.append(fmean(taken))
                slow[way, place].append(quantiles(taken, n=100)[-1])
    print("An event, us: mean and 99th percentile, each the median of the rounds (least-most):")
    for (way, place), mean in means.items():
        print(f"  {way:16} {place:16} mean {spread(mean):28} p99 {spread(slow[way, place])}")
    beside = [median(means[way, PLACES[1]]) for way in WAYS]
    return 0 if holds("beside a thread, holding the GIL / os.write", beside[1] / beside[0], 1) else 1


if __name__ == "__main__":
    sys.exit(main())
