"""A million events in a thousand recordings: how much faster two processes read them than one, and in how much memory.

The recordings are made once and kept in the temporary directory (about 500 MB); they are those of `read_million.py`, a
thousand events each, a recording every hour. One process and two take turns, and the ratio is taken within each turn.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from statistics import median

import psutil
from read_million import DEBUG, TRACE, Recording, answers
from timing import holds, interleaved, process, ratios, spread

RECORDINGS = 1000
EVENTS_EACH = 1000
TIMED = 200
ROUNDS = 3
HOUR = 3600.0
BEGAN = 1_735_689_600.0
FOLDER = TRACE.parent / "thousand"
EVERY_SECONDS = 0.2
ANALYZE = """
import sys
from pathlib import Path
from namel3ss_debug.analysis.aggregate.many import AnalysisRequest, analyze_many
paths = sorted(Path(sys.argv[1]).glob("*.jsonl"))[:int(sys.argv[2])]
analyze_many(paths, AnalysisRequest(), processes=int(sys.argv[3]))
"""


def make_recordings() -> None:
    """Write the recordings, unless an earlier run has."""
    if FOLDER.exists():
        return
    print(f"making {FOLDER} ...", flush=True)
    unfinished = FOLDER.with_suffix(".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for number in range(RECORDINGS):
        with (unfinished / f"desk_{number:04}.jsonl").open("wb") as file:
            recording = Recording(file, seed=number, began=BEGAN + number * HOUR)
            for _ in answers(recording):
                if recording.written >= EVENTS_EACH - 30:
                    break
            while recording.written < EVENTS_EACH - 1:
                recording.event("performance_marker", "app", component_name="queue", metadata={"value": 3})
            recording.event("trace_end", "app", metadata={"events": recording.written, "tracing_us": 9e3})
    unfinished.rename(FOLDER)


def seconds(processes: int, spent: list[float]) -> float:
    """How long so many processes take for some of the recordings; what processors they spent goes into the list."""
    ended = process([sys.executable, "-c", ANALYZE, str(FOLDER), str(TIMED), str(processes)])
    spent.append(ended.cpu)
    return ended.seconds


def most_memory(words: list[str]) -> tuple[float, float]:
    """The most that a command and its processes held together, and the most that one of them held, in MB."""
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    ended = threading.Event()
    together = alone = 0.0
    root = psutil.Process(running.pid)

    def wait() -> None:
        running.wait()
        ended.set()

    threading.Thread(target=wait).start()
    while not ended.wait(EVERY_SECONDS):
        try:
            tree = (root, *root.children(recursive=True))
            held = [each.memory_full_info().pss / 2**20 for each in tree]
        except psutil.Error:
            continue
        together, alone = max(together, sum(held)), max(alone, *held)
    if running.returncode:
        sys.exit(f"many_traces.py: {' '.join(words)}: status {running.returncode}")
    return together, alone


def main() -> int:
    """Measure, print, and return the exit status: 0 when all claims hold."""
    make_recordings()
    spent: dict[str, list[float]] = {"one": [], "two": []}
    rounds = {"one": lambda: seconds(1, spent["one"]), "two": lambda: seconds(2, spent["two"])}
    taken = interleaved(rounds, ROUNDS)
    faster = median(ratios(taken, "two", "one"))
    print(f"{TIMED} recordings of {EVENTS_EACH:,} events, all sections:")
    print(f"  one process    {spread(taken['one'])} s, of processors {spread(spent['one'])} s")
    print(f"  two processes  {spread(taken['two'])} s, of processors {spread(spent['two'])} s", flush=True)
    memory = {
        kind: most_memory([*DEBUG, "analyze", str(FOLDER), "--format", kind]) for kind in ("table", "json")
    }
    print(f"{RECORDINGS:,} recordings, {RECORDINGS * EVENTS_EACH:,} events, all processes together:")
    for kind, (together, alone) in memory.items():
        print(f"  --format {kind:<6} {together:.0f} MB, the largest process {alone:.0f} MB")
    claims = [
        holds("two processes / one", faster, 0.6),
        *(
            holds(f"memory of --format {kind}, all processes", together, 300, " MB")
            for kind, (together, _) in memory.items()
        ),
    ]
    return 0 if all(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
