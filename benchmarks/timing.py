"""What the benchmarks share: subjects measured in turn, medians of ratios, and one line for each claim.

A machine is never quiet. So the subjects of a comparison take turns in short rounds (A B A B ...), a ratio is taken
within each round, and the median of the ratios counts: what slows a whole second down slows both sides.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

Round = Callable[[], float]
"""Runs one short round of a subject and returns what it took, in seconds a call."""

Rounds = dict[str, list[float]]
"""Subject -> what each of its rounds took, in seconds a call; the n-th rounds of all subjects belong together."""


def interleaved(subjects: Mapping[str, Round], rounds: int) -> Rounds:
    """Measure subjects in turn; a first round of each, which warms up, does not count.

    Args:
        subjects: name -> what runs one round.
        rounds: how many rounds of each count.
    """
    taken: Rounds = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, run in subjects.items():
            gc.collect()
            seconds = run()
            if number:
                taken[name].append(seconds)
    return taken


def loop(call: Callable[[], object], calls: int) -> float:
    """Seconds a call of `call`, over a plain loop of so many calls."""
    numbers = range(calls)
    began = perf_counter()
    for _ in numbers:
        call()
    return (perf_counter() - began) / calls


class Ended(NamedTuple):
    """A process that has ended with status 0: what it took in seconds, and the most memory it held in MB.

    `cpu` are the seconds in which it, and what it waited for, had a processor.
    """

    seconds: float
    megabytes: float
    cpu: float = 0.0


def process(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Ended:
    """Run a command to its end, without its output.

    Args:
        command: the program and its arguments.
        environ: variables besides those of this process.

    Raises:
        RuntimeError: it did not end with status 0.
    """
    with tempfile.TemporaryFile() as errors:
        began = perf_counter()
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **(environ or {})},
        )
        _, status, used = os.wait4(running.pid, 0)
        seconds = perf_counter() - began
        running.returncode = os.waitstatus_to_exitcode(status)
        if running.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)}: status {running.returncode}\n{said}")
    return Ended(seconds, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime)


def ratios(taken: Rounds, ours: str, rival: str) -> list[float]:
    """Ours divided by the rival's, round by round."""
    return [mine / theirs for mine, theirs in zip(taken[ours], taken[rival], strict=True)]


def differences(taken: Rounds, ours: str, rival: str) -> list[float]:
    """Ours less the rival's in seconds, round by round."""
    return [mine - theirs for mine, theirs in zip(taken[ours], taken[rival], strict=True)]


def fastest(taken: Rounds, names: Sequence[str]) -> str:
    """The subject of the smallest median."""
    return min(names, key=lambda name: statistics.median(taken[name]))


def spread(values: Sequence[float], scale: float = 1.0, unit: str = "") -> str:
    """Median, and in brackets the least and the most."""
    middle, least, most = (value * scale for value in (statistics.median(values), min(values), max(values)))
    return f"{_short(middle)}{unit} ({_short(least)}-{_short(most)})"


def show(taken: Rounds, scale: float, unit: str) -> None:
    """Print a line for each subject."""
    width = max(map(len, taken))
    for name, values in taken.items():
        print(f"  {name:{width}}  {spread(values, scale, unit)}")


def holds(claim: str, value: float, limit: float, unit: str = "") -> bool:
    """Print whether a value stays within the limit of a claim, in one line, and return it."""
    within = value <= limit
    print(f"{'PASS' if within else 'over'}  {claim}: {_short(value)}{unit}, at most {limit:g}{unit}")
    return within


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
