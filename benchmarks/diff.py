"""Comparing two runs of 100,000 events beside reading them, in one process and in turn.

The runs are the first events of the trace of `read_million.py`, and the same with some answers changed, a few calls
added and a few dropped; then two runs with nothing in common but their program; then one tool that is polled without
end.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import orjson
from read_million import TRACE, make_trace
from timing import holds, interleaved, ratios, spread

from namel3ss_debug.analysis.diff.comparison import diff_traces
from namel3ss_debug.importers.opening import open_trace

COMPARED = 100_000
ROUNDS = 3
MOST_TIMES = 10.0
MOST_MEGABYTES = 250.0
ONE = """import resource, sys
from namel3ss_debug import diff_traces
diff_traces(*sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def lines(start: int) -> Iterator[bytes]:
    """So many events of the trace of a million, from one on."""
    with TRACE.open("rb") as file:
        yield from islice(file, start, start + COMPARED)


def changed(events: Iterator[bytes]) -> Iterator[bytes]:
    """The same run with a few answers changed, a few tool calls dropped, and a few decisions added."""
    for place, event in enumerate(altered(map(orjson.loads, events))):
        yield orjson.dumps(event | {"seq": place}) + b"\n"


def altered(events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events of `changed`, not yet numbered."""
    chance = random.Random(7)
    dropped: set[str] = set()
    for event in events:
        kind = event["event_type"]
        if kind == "tool_call_start" and chance.random() < 0.01:
            dropped.add(event["event_id"])
        if event["event_id"] in dropped or (
            kind == "tool_call_end" and event.get("parent_event_id") in dropped
        ):
            continue
        if kind == "tool_call_end" and chance.random() < 0.01:
            event["outputs"] = {"result": "something else"}
        yield event
        if kind == "tool_call_end" and chance.random() < 0.01:
            yield event | {"event_id": f"more{event['event_id']}", "event_type": "decision"}


def polled(seed: int) -> Iterator[bytes]:
    """A run in which one tool is called again and again, with one of three arguments and one of five results."""
    chance = random.Random(seed)
    for place in range(COMPARED // 2):
        start = {"component": "tool", "component_name": "poll", "timestamp": 1.7e9 + place}
        inputs, outputs = {"arguments": {"n": chance.randrange(3)}}, {"result": chance.randrange(5)}
        begun = {"event_type": "tool_call_start", "event_id": f"s{place}", "inputs": inputs}
        ended = {"event_type": "tool_call_end", "parent_event_id": f"s{place}", "outputs": outputs}
        yield orjson.dumps(start | begun | {"seq": 2 * place}) + b"\n"
        rest = {"event_id": f"e{place}", "status": "completed", "seq": 2 * place + 1}
        yield orjson.dumps(start | ended | rest) + b"\n"


def seconds(work: Callable[[], object]) -> float:
    """The seconds of processor time that some work takes."""
    began = process_time()
    work()
    return process_time() - began


def read(*paths: Path) -> None:
    """Read some runs, and do nothing with their events."""
    for path in paths:
        for _ in open_trace(path).events():
            pass


def measured(name: str, one: Path, other: Path) -> bool:
    """Compare two runs; print how long it takes beside reading them, and how much memory a process needs for it."""
    taken = interleaved(
        {
            "read both": lambda: seconds(lambda: read(one, other)),
            "diff": lambda: seconds(lambda: diff_traces(one, other)),
        },
        ROUNDS,
    )
    times = ratios(taken, "diff", "read both")
    held = int(subprocess.check_output([sys.executable, "-c", ONE, str(one), str(other)]))
    kinds = diff_traces(one, other).kinds
    print(f"{name}: {spread(taken['diff'], 1, ' s')}, {spread(times)} times reading both, {held} MB; {kinds}")
    within = holds(f"{name}, beside reading both", median(times), MOST_TIMES)
    return holds(f"{name}, memory", held, MOST_MEGABYTES, " MB") and within


def main() -> int:
    """Make the runs, compare them, and say whether the claims hold."""
    make_trace()
    with tempfile.TemporaryDirectory() as folder:
        made = {
            "first": lines(0),
            "changed": changed(lines(0)),
            "other": lines(400_000),
            "polled": polled(1),
            "again": polled(2),
        }
        paths = {name: Path(folder, f"{name}.jsonl") for name in made}
        for name, events in made.items():
            with paths[name].open("wb") as file:
                file.writelines(events)
        pairs = {
            "a few changes": ("first", "changed"),
            "nothing in common": ("first", "other"),
            "polling": ("polled", "again"),
        }
        found = [measured(name, paths[one], paths[other]) for name, (one, other) in pairs.items()]
    return 0 if all(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
