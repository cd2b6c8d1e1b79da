"""What the level `comprehensive` costs beside the level `detailed`: calls of tools next to a large list.

The program makes 40 trivial calls beside a list of its module of 10 MB. Each level records it in a process of its own; the
last line has the same for a program without large values, whose variables all change.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from timing import holds, interleaved, process, ratios, show, spread

CALLS = 40
ROUNDS = 15
MOST_MB = 5
MOST_TIME = 1.15
PROGRAM = f"""\
rows = [f"row {{number:06}} " + "x" * 40 for number in range(100_000)]

from namel3ss_debug.hooks import trace_tool_call


@trace_tool_call
def add(number):
    return number + 1


total = 0
for turn in range({CALLS}):
    total += add(turn)
"""
SMALL = PROGRAM.replace("100_000", "3")
TRACE = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace"]


def main() -> int:
    """Measure, print, and return the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes: dict[str, int] = {}
        tracing: dict[str, list[float]] = {}

        def run(kind: str, level: str) -> float:
            program, trace = folder / f"{kind}.py", folder / f"{kind}-{level}.jsonl"
            program.write_text(SMALL if kind == "small" else PROGRAM)
            trace.unlink(missing_ok=True)
            command = [sys.executable, *TRACE, "--level", level, "-o", str(trace), str(program)]
            seconds = process(command).seconds
            sizes[f"{kind}, {level}"] = trace.stat().st_size
            end = json.loads(trace.read_text().splitlines()[-1])
            tracing.setdefault(f"{kind}, {level}", []).append(end["metadata"]["tracing_us"] / CALLS)
            return seconds

        subjects = [(kind, level) for kind in ("large", "small") for level in ("detailed", "comprehensive")]
        taken = interleaved({", ".join(subject): partial(run, *subject) for subject in subjects}, ROUNDS)
    print(f"{CALLS} calls of a tool, whole processes:")
    show(taken, 1e3, " ms")
    for subject, size in sizes.items():
        print(f"  {subject}: {size / 1e3:.0f} KB; tracing took {spread(tracing[subject], 1, ' µs')} a call")
    time = median(ratios(taken, "large, comprehensive", "large, detailed"))
    print(f"beside small values: {median(ratios(taken, 'small, comprehensive', 'small, detailed')):.2f}")
    claims = [
        holds("a trace at comprehensive", sizes["large, comprehensive"] / 1e6, MOST_MB, " MB"),
        holds("its time, in that of detailed", time, MOST_TIME),
    ]
    return 0 if all(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
