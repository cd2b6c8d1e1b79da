"""Compare what recording adds to a turn of an agent with what another version of this package adds.

The agent is the one of `rerun.py`: a turn is one model call through the OpenAI SDK and one tool call, and the model
answers at once. Usage: `python benchmarks/agent_turn.py OTHER_PYTHON`, the Python of an environment that holds the other
version. The time of a processor counts, because it repeats within a few percent on a machine that others work on too;
the clock is shown beside it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from rerun import AGENT, MOST, SCRIPT, TURNS
from serving import serving
from timing import Rounds, differences, holds, interleaved, process, spread

ROUNDS = 9
TRACE = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace", "-o"]


def main() -> int:
    """Measure, print, and return the exit status: 0 when the claim holds."""
    if len(sys.argv) != 2:
        print("usage: agent_turn.py OTHER_PYTHON", file=sys.stderr)
        return 2
    pythons = {"this version": sys.executable, "the other version": os.path.abspath(sys.argv[1])}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, text in {"script.py": SCRIPT, "agent.py": AGENT}.items():
            Path(name).write_text(text)
        os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        clock, cpu = measure(pythons)
    turns = {name: added(cpu, name) for name in pythons}
    for name, seconds in turns.items():
        on_the_clock = spread(added(clock, name), 1e6, " µs")
        print(
            f"{name} adds {spread(seconds, 1e6, ' µs')} of a processor to a turn; on the clock {on_the_clock}"
        )
    pairs = zip(turns["this version"], turns["the other version"], strict=True)
    ratio = median(ours / other for ours, other in pairs)
    return 0 if holds("recording a turn / with the other version", ratio, 1.10) else 1


def measure(pythons: dict[str, str]) -> tuple[Rounds, Rounds]:
    """Run the agent for one turn and for many, plain and traced; return seconds on the clock and of a processor."""
    cpu: Rounds = {}
    number = 0

    def run(name: str, python: str, *, traced: bool, turns: int) -> float:
        nonlocal number
        number += 1
        before = [python, *TRACE, f"run{number}.jsonl"] if traced else [python]
        ended = process([*before, "agent.py", url, str(turns), str(MOST)])
        for file in Path().glob(f"*run{number}.jsonl*"):
            file.unlink()
        cpu.setdefault(name, []).append(ended.cpu)
        return ended.seconds

    with serving("script") as url:
        subjects = {
            subject: (lambda s=subject, p=python, t=traced, n=turns: run(s, p, traced=t, turns=n))
            for version, python in pythons.items()
            for traced in (False, True)
            for turns in (1, TURNS)
            for subject in [f"{version}, {'traced' if traced else 'plain'}, {turns}"]
        }
        clock = interleaved(subjects, ROUNDS)
    return clock, {name: seconds[1:] for name, seconds in cpu.items()}  # without the round that warms up


def added(taken: Rounds, version: str) -> list[float]:
    """Return what tracing adds to each turn, in seconds, round by round."""
    traced = differences(taken, f"{version}, traced, {TURNS}", f"{version}, traced, 1")
    plain = differences(taken, f"{version}, plain, {TURNS}", f"{version}, plain, 1")
    return [(more - less) / (TURNS - 1) for more, less in zip(traced, plain, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
