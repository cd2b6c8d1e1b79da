"""What recording adds to a command, in time of a processor: `subprocess.run` with its output captured, and asyncio."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from statistics import median
from time import process_time

from timing import differences, holds, interleaved, spread

from namel3ss_debug import initialize_tracing, shutdown_tracing

CALLS = 15
ROUNDS = 30
LIMIT_MS = 2.0


def run(times: int) -> None:
    """Run a command that answers a line."""
    for _ in range(times):
        subprocess.run(["/bin/echo", "a line"], capture_output=True, text=True, check=True)


def shell(times: int) -> None:
    """Run a shell with some input."""
    for _ in range(times):
        subprocess.run(
            "sort | head -1", shell=True, input="b\na\n", capture_output=True, text=True, check=True
        )


def on_loop(times: int) -> None:
    """Run commands of asyncio on one loop."""

    async def several() -> None:
        for _ in range(times):
            process = await asyncio.create_subprocess_exec("/bin/echo", "a line", stdout=subprocess.PIPE)
            await process.communicate()

    asyncio.run(several())


SUBJECTS = {"run": run, "shell": shell, "asyncio": on_loop}


def plain(call: Callable[[int], None]) -> float:
    """Return the time of a processor that a command takes in this process, in seconds; the command's own does not count."""
    call(1)
    began = process_time()
    call(CALLS)
    return (process_time() - began) / CALLS


def traced(call: Callable[[int], None], folder: str) -> float:
    """Return the same while tracing is on; starting and ending it is not measured."""
    initialize_tracing(trace_output_dir=folder, record_randomness=False)
    try:
        return plain(call)
    finally:
        shutdown_tracing()


def main() -> int:
    """Measure, print, and hold the claims."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, call in SUBJECTS.items():
            subjects = {"plain": partial(plain, call), "recorded": partial(traced, call, folder)}
            taken = interleaved(subjects, ROUNDS)
            added = [each * 1e3 for each in differences(taken, "recorded", "plain")]
            print(f"{name:8} plain {median(taken['plain']) * 1e3:.2f} ms, recording adds {spread(added)} ms")
            results.append(holds(f"recording adds to a command ({name})", median(added), LIMIT_MS, "ms"))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
