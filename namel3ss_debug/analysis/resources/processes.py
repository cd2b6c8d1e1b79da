"""What the samples of each process show: CPU, threads, garbage collections, and disk reads and writes.

A sample is cumulative: CPU time, collections and bytes since the process began. The load is the CPU time between the
first and the last sample by the time between them; more than 1 where several threads computed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import NS_PER_MS, milliseconds
from namel3ss_debug.analysis.nesting import instant, whole_ns
from namel3ss_debug.analysis.resources.memory import MOST_PROCESSES, Lane, lane_of
from namel3ss_debug.analysis.resources.usage import whole

if TYPE_CHECKING:
    from namel3ss_debug.traces.events import Event

DISK = ("read_count", "write_count", "read_bytes", "write_bytes")
"""The fields that a sample may have under `metadata.disk`, named as in psutil."""


class Sample(NamedTuple):
    """One sample; values that it does not have are None. Compared by the number of its event."""

    number: int
    at: int | None
    cpu_ns: int | None
    threads: int
    collections: tuple[int, ...]
    disk: tuple[int, ...] | None


class Processes:
    """The first and the last sample of every process."""

    def __init__(self) -> None:
        self._first: dict[Lane, Sample] = {}
        self._last: dict[Lane, Sample] = {}
        self._samples: dict[Lane, int] = {}
        self._threads: dict[Lane, int] = {}

    def add(self, number: int, event: Event) -> None:
        """Take a sample with the CPU time of its process; others have only memory."""
        if "cpu_time_ms" not in event:
            return
        lane = lane_of(event)
        told = sample_of(number, event)
        self._samples[lane] = self._samples.get(lane, 0) + 1
        self._threads[lane] = max(self._threads.get(lane, 0), told.threads)
        self._first.setdefault(lane, told)
        self._last[lane] = told

    def merge(self, later: Processes) -> None:
        """Add the samples of a later part."""
        for lane, count in later._samples.items():
            self._samples[lane] = self._samples.get(lane, 0) + count
            self._threads[lane] = max(self._threads.get(lane, 0), later._threads[lane])
            self._first[lane] = min(self._first.get(lane, later._first[lane]), later._first[lane])
            self._last[lane] = max(self._last.get(lane, later._last[lane]), later._last[lane])

    def renumber(self, by: int) -> None:
        """Add this to the numbers of all events."""
        for samples in (self._first, self._last):
            for lane, sample in samples.items():
                samples[lane] = sample._replace(number=sample.number + by)

    def result(self) -> list[dict[str, Any]]:
        """Return one row for each process, those that computed most first."""
        lanes = sorted(self._samples, key=lambda lane: (-(self._last[lane].cpu_ns or 0), lane))
        return [self._row(lane) for lane in lanes[:MOST_PROCESSES]]

    def _row(self, lane: Lane) -> dict[str, Any]:
        """Return what one process took, from its first reading to its last."""
        first, last = self._first[lane], self._last[lane]
        lasted = None if first.at is None or last.at is None else last.at - first.at
        computed = (last.cpu_ns or 0) - (first.cpu_ns or 0)
        known = lasted is not None and lasted > 0 and computed >= 0
        return {
            "process": lane[1] or "p0",
            "samples": self._samples[lane],
            "cpu_ms": None if last.cpu_ns is None else milliseconds(last.cpu_ns),
            "load": round(computed / lasted, 6) if known and lasted else None,
            "most_threads": self._threads[lane] or None,
            "collections": list(last.collections) or None,
            "disk": None if last.disk is None else dict(zip(DISK, last.disk, strict=True)),
        }


def sample_of(number: int, event: Event) -> Sample:
    """Return the values of a `resource_sample`."""
    metadata = event.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    collections, disk = metadata.get("collections"), metadata.get("disk")
    at, cpu = event.get("timestamp"), event.get("cpu_time_ms")
    return Sample(
        number,
        instant(at),
        None if cpu is None else whole_ns(cpu, NS_PER_MS),
        whole(metadata.get("threads")),
        tuple(map(whole, collections)) if isinstance(collections, list) else (),
        tuple(whole(disk.get(name)) for name in DISK) if isinstance(disk, dict) else None,
    )
