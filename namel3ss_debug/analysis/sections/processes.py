"""The samples of each process: CPU, threads, garbage collections, and disk reads and writes.

A sample is cumulative: CPU time, collections and bytes since the process began. The load is the CPU time between the
first and the last sample divided by the time between them. It exceeds 1 where several threads computed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.sections.memory import MOST_PROCESSES, ProcessKey, process_key
from namel3ss_debug.traces.facts import NS_PER_MS, instant, parse_count, whole_ns

if TYPE_CHECKING:
    from namel3ss_debug.traces.events import Event

DISK = ("read_count", "write_count", "read_bytes", "write_bytes")
"""The fields that a sample may have under `metadata.disk`, with the names of psutil."""


class Sample(NamedTuple):
    """One sample; missing values are None. Samples are compared by the number of their events."""

    number: int
    at: int | None
    cpu_ns: int | None
    threads: int
    collections: tuple[int, ...]
    disk: tuple[int, ...] | None


class Processes:
    """The first and the last sample of every process."""

    def __init__(self) -> None:
        self._first: dict[ProcessKey, Sample] = {}
        self._last: dict[ProcessKey, Sample] = {}
        self._samples: dict[ProcessKey, int] = {}
        self._threads: dict[ProcessKey, int] = {}

    def add(self, number: int, event: Event) -> None:
        """Add a sample that has the CPU time of its process; the others have only memory."""
        if "cpu_time_ms" not in event:
            return
        process = process_key(event)
        sample = parse_sample(number, event)
        self._samples[process] = self._samples.get(process, 0) + 1
        self._threads[process] = max(self._threads.get(process, 0), sample.threads)
        self._first.setdefault(process, sample)
        self._last[process] = sample

    def merge(self, later: Processes) -> None:
        """Merge the samples of a later part into these."""
        for process, count in later._samples.items():
            self._samples[process] = self._samples.get(process, 0) + count
            self._threads[process] = max(self._threads.get(process, 0), later._threads[process])
            self._first[process] = min(self._first.get(process, later._first[process]), later._first[process])
            self._last[process] = max(self._last.get(process, later._last[process]), later._last[process])

    def renumber(self, by: int) -> None:
        """Add a number to the numbers of all events."""
        for samples in (self._first, self._last):
            for process, sample in samples.items():
                samples[process] = sample._replace(number=sample.number + by)

    def result(self) -> list[dict[str, Any]]:
        """Return one row for each process, those that computed most first."""
        processes = sorted(self._samples, key=lambda process: (-(self._last[process].cpu_ns or 0), process))
        return [self._process_to_json(process) for process in processes[:MOST_PROCESSES]]

    def _process_to_json(self, process: ProcessKey) -> dict[str, Any]:
        """Return what one process used, from its first sample to its last."""
        first, last = self._first[process], self._last[process]
        elapsed = None if first.at is None or last.at is None else last.at - first.at
        computed = (last.cpu_ns or 0) - (first.cpu_ns or 0)
        known = elapsed is not None and elapsed > 0 and computed >= 0
        return {
            "process": process[1] or "p0",
            "samples": self._samples[process],
            "cpu_ms": None if last.cpu_ns is None else milliseconds(last.cpu_ns),
            "load": round(computed / elapsed, 6) if known and elapsed else None,
            "most_threads": self._threads[process] or None,
            "collections": list(last.collections) or None,
            "disk": None if last.disk is None else dict(zip(DISK, last.disk, strict=True)),
        }


def parse_sample(number: int, event: Event) -> Sample:
    """Return the values of a `resource_sample`."""
    metadata = event.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    collections, disk = metadata.get("collections"), metadata.get("disk")
    at, cpu = event.get("timestamp"), event.get("cpu_time_ms")
    return Sample(
        number,
        instant(at),
        None if cpu is None else whole_ns(cpu, NS_PER_MS),
        parse_count(metadata.get("threads")),
        tuple(map(parse_count, collections)) if isinstance(collections, list) else (),
        tuple(parse_count(disk.get(name)) for name in DISK) if isinstance(disk, dict) else None,
    )
