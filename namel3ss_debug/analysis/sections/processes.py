"""The samples of each process: CPU, threads, garbage collections, and disk reads and writes.

A sample is cumulative: CPU time, collections and bytes since the process began. The load is the CPU time between the
first and the last sample divided by the time between them. It exceeds 1 where several threads computed at once.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.analysis.distributions import milliseconds
from namel3ss_debug.analysis.sections.memory import MOST_PROCESSES, ProcessKey, process_key
from namel3ss_debug.traces.facts import NS_PER_MS, instant, parse_count, whole_ns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.span_table import SpanTable

DISK = ("read_count", "write_count", "read_bytes", "write_bytes")
"""The fields that a sample may have under `metadata.disk`, with the names of psutil."""


class Sample(NamedTuple):
    """One sample; missing values are None."""

    number: int
    at: int | None
    cpu_ns: int | None
    threads: int
    collections: tuple[int, ...]
    disk: tuple[int, ...] | None


def describe_processes(spans: SpanTable) -> list[dict[str, Any]]:
    """Return one row for each process, those that computed most first. Samples without CPU time have only memory."""
    samples: defaultdict[ProcessKey, list[Sample]] = defaultdict(list)
    for _, number, event in spans.points["resource_sample"]:
        if "cpu_time_ms" in event:
            samples[process_key(event)].append(parse_sample(number, event))
    ordered = sorted(samples, key=lambda process: (-(samples[process][-1].cpu_ns or 0), process))
    return [_process_to_json(process, samples[process]) for process in ordered[:MOST_PROCESSES]]


def _process_to_json(process: ProcessKey, samples: Sequence[Sample]) -> dict[str, Any]:
    """Return what one process used, from its first sample to its last."""
    first, last = samples[0], samples[-1]
    elapsed = None if first.at is None or last.at is None else last.at - first.at
    computed = (last.cpu_ns or 0) - (first.cpu_ns or 0)
    known = elapsed is not None and elapsed > 0 and computed >= 0
    return {
        "process": process[1] or "p0",
        "samples": len(samples),
        "cpu_ms": None if last.cpu_ns is None else milliseconds(last.cpu_ns),
        "load": round(computed / elapsed, 6) if known and elapsed else None,
        "most_threads": max(sample.threads for sample in samples) or None,
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
