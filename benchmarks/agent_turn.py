"""Compare what recording adds to a turn of an agent with what another version of this package adds.

The agent is the one of `rerun.py`: a turn is one model call through the OpenAI SDK and one tool call. It measures its
own turns in time of a processor, so that neither the model server, in another process, nor the start of Python blurs the
figure. Usage: `python benchmarks/agent_turn.py OTHER_PYTHON`, the Python of an environment that holds
the other version.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from rerun import AGENT, MOST, SCRIPT
from serving import serving
from timing import Rounds, differences, holds, interleaved, show, spread

TURNS = 300
WARM_UP = 50
ROUNDS = 7
MEASURED = f"""
import resource


def seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


messages = [{{"role": "user", "content": "Where are my parcels?"}}]
with client() as model:
    for _ in range({WARM_UP}):
        turn(model, messages)
    began = seconds()
    for _ in range(turns):
        turn(model, messages)
    print((seconds() - began) / turns)
"""
TRACE = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace", "-o", "run.jsonl"]
THIS, OTHER = "this version", "the other version"


def main() -> int:
    """Measure, print, and return the exit status: 0 when the claim holds."""
    if len(sys.argv) != 2:
        print("usage: agent_turn.py OTHER_PYTHON", file=sys.stderr)
        return 2
    pythons = {THIS: sys.executable, OTHER: os.path.abspath(sys.argv[1])}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("script.py").write_text(SCRIPT)
        Path("agent.py").write_text(AGENT.partition("\nmessages = ")[0] + MEASURED)
        subjects = {
            f"{version}, {how}": partial(turn_seconds, [python, *before])
            for version, python in pythons.items()
            for how, before in {"plain": [], "traced": TRACE}.items()
        }
        os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        with serving("script") as url:
            os.environ["AGENT_URL"] = url
            taken = interleaved(subjects, ROUNDS)
    print(f"A turn of the agent, in time of a processor, {TURNS} turns a round:")
    show(taken, 1e6, " µs")
    for version in pythons:
        print(f"{version} adds {spread(added(taken, version), 1e6, ' µs')} to a turn")
    pairs = zip(added(taken, THIS), added(taken, OTHER), strict=True)
    ratio = median(this / other for this, other in pairs)
    return 0 if holds("recording a turn / with the other version", ratio, 1.10) else 1


def turn_seconds(command: list[str]) -> float:
    """Run the agent, and return what it measured for a turn, in seconds.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    Path("run.jsonl").unlink(missing_ok=True)
    agent = [*command, "agent.py", os.environ["AGENT_URL"], str(TURNS), str(MOST)]
    return float(subprocess.run(agent, check=True, capture_output=True, text=True).stdout)


def added(taken: Rounds, version: str) -> list[float]:
    """Return what tracing adds to a turn, in seconds, round by round."""
    return differences(taken, f"{version}, traced", f"{version}, plain")


if __name__ == "__main__":
    sys.exit(main())
