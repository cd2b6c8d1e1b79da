"""What it costs a program that its clock, randomness and environment are recorded: a call of each, and its start.

The same loops run in a process that is traced with `record_randomness` and in one that is traced without. No claim
stands on this; the figures are for the guide.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from timing import interleaved, process, show

ROUNDS = 5
CALLS = {
    "time.time()": "time.time",
    "time.time(), beyond the bound": "time.time",
    "datetime.now()": "datetime.datetime.now",
    "uuid4()": "uuid.uuid4",
    "random.random()": "random.random",
    "random.randint(1, 9)": "lambda: random.randint(1, 9)",
    "random.choice(text)": "lambda: random.choice('text')",
    "os.environ.get(name)": "lambda: os.environ.get('HOME')",
}
PROGRAM = f"""
import datetime, json, os, random, sys, time, uuid
def measure(call, n=5000):
    began = time.perf_counter()
    for _ in range(n):
        call()
    return (time.perf_counter() - began) / n * 1e9
results = {{}}
for name, call in json.loads({json.dumps(json.dumps(CALLS))}).items():
    if "bound" in name:
        measure(eval(call), 60000)
    results[name] = min(measure(eval(call)) for _ in range(5))
print(json.dumps(results))
"""
TRACE = [sys.executable, "-c", "from namel3ss_debug.cli.main import debug; debug()", "trace"]


def main() -> int:
    """Measure, print, and return the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(PROGRAM)
        (folder / "empty.py").write_text("")
        rounds: dict[bool, list[dict[str, float]]] = {True: [], False: []}
        for _ in range(ROUNDS):
            for on in (False, True):
                rounds[on].append(calls(folder, on=on))
        print("A call, nanoseconds: without, with")
        for call in CALLS:
            without, with_it = (median(found[call] for found in rounds[on]) for on in (False, True))
            print(f"  {call:32} {without:7.0f} {with_it:7.0f}")
        subjects = {
            f"an empty program, {'with' if on else 'without'}": lambda on=on: (
                process(command(folder, "empty.py"), environ(on=on)).seconds
            )
            for on in (False, True)
        }
        print("A whole process:")
        show(interleaved(subjects, ROUNDS * 3), 1e3, " ms")
    return 0


def command(folder: Path, program: str) -> list[str]:
    """The command that records a program."""
    return [*TRACE, "-o", str(folder / "run.jsonl"), str(folder / program)]


def environ(*, on: bool) -> dict[str, str]:
    """The setting."""
    return {"NAMEL3SS_DEBUG_RECORD_RANDOMNESS": "1" if on else "0"}


def calls(folder: Path, *, on: bool) -> dict[str, float]:
    """Nanoseconds for each call, in a process of its own."""
    import os

    done = subprocess.run(
        command(folder, "app.py"), env=os.environ | environ(on=on), capture_output=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
