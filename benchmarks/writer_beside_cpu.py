"""What an event costs alone and beside one CPU-bound thread, for the ways to hand its line to the kernel.

`os.write` gives the GIL away for the time of the call. A thread that computes then keeps it for a whole switch
interval (5 ms) unless the writer gets it back at once. The writer therefore changes to a write that holds the GIL when
the process starts a second thread; here each way is shown in both situations. The figures are what the choice was made from.
It fails if holding the GIL is the slower way beside a thread.

It also measures what the signature of a line costs: events of several sizes are appended to a signed and to an unsigned
trace in turns, alone and beside the thread, in time of the thread that writes.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import fmean, median, quantiles
from time import perf_counter, thread_time, time

from timing import holds, spread

from namel3ss_debug.traces.writer import TraceWriter

EVENTS = 2000
ROUNDS = 8
MOST_SECONDS = 2.0
WAYS = ("os.write", "holding the GIL")
PLACES = ("alone", "beside a thread")
SIZES = (0, 4_000, 60_000)
"""How many bytes of text an event has beside its other fields."""
SIGNED_BYTES = 8_000_000
SIGNED_ROUNDS = 24
FIXED_US, US_A_BYTE = 1.0, 0.0015


def event(text: str = "") -> dict[str, object]:
    """An event of about 330 bytes, and a text."""
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
        "outputs": {"text": text},
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


def appended(folder: Path, key: bytes | None, size: int) -> tuple[float, float]:
    """Microseconds of the thread for an appended event of a size, and the bytes of its line."""
    writer = TraceWriter(
        folder / "trace.jsonl",
        first_process=True,
        header=lambda _process, _segment, _seq: event() | {"event_type": "trace_start"},
        link_latest=False,
        key=key,
    )
    writer.begin()
    writer.hold_the_gil()
    events = min(SIGNED_BYTES // (size + 400), EVENTS)
    made = [event("x" * size) for _ in range(events)]
    before, began = writer.size, thread_time()
    for each in made:
        writer.append(each)
    taken, written = thread_time() - began, writer.size - before
    writer.close()
    (folder / "trace.jsonl").unlink()
    return taken / events * 1e6, written / events


def signing(folder: Path) -> bool:
    """Measure what a signature costs, and print it with its claims."""
    print(
        "The signature of an event, us of the thread (signed less unsigned, the median of the rounds, least-most):"
    )
    claims = []
    for place in PLACES:
        for size in SIZES:
            more, length = [], 0.0
            for _ in range(SIGNED_ROUNDS):
                with busy() if place != PLACES[0] else nullcontext():
                    plain, _ = appended(folder, None, size)
                    signed, length = appended(folder, b"k" * 32, size)
                more.append(signed - plain)
            limit = FIXED_US + US_A_BYTE * length
            name = f"the signature of an event of {length:.0f} bytes, {place}"
            print(f"  {length:6.0f} bytes  {place:16} {spread(more)}")
            claims.append(holds(name, median(more), round(limit, 2), " us"))
    return all(claims)


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
    held = holds("beside a thread, holding the GIL / os.write", beside[1] / beside[0], 1)
    with tempfile.TemporaryDirectory() as name:
        signed = signing(Path(name))
    return 0 if held and signed else 1


if __name__ == "__main__":
    sys.exit(main())
