"""Find what makes a program non-deterministic, by running it on its own recorded answers with changed inputs.

The first run is recorded as any other. The second has its answers, but another clock, other random numbers, another
hash seed, and concurrent answers in another order. A program that still does the same needs no third run, unless a file
that it reads has changed by now, which it may find by a random name. Otherwise it is run once with everything as
recorded. If that run differs too, nothing can be separated. If not, it is run with each kind of input changed alone.
Of each run the first difference counts: what comes later may follow from it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import short
from namel3ss_debug.replay.rerun.divergences import CHANGED, EFFECTS, MISSING, NEW, RESULT, Divergence
from namel3ss_debug.replay.rerun.divergences import ORDER as OTHER_ORDER
from namel3ss_debug.replay.rerun.outcomes import RerunOutcome
from namel3ss_debug.replay.rerun.plan import Plan
from namel3ss_debug.replay.rerun.recorded_calls import START, RecordedCalls, Step
from namel3ss_debug.replay.rerun.requests import TaskKey
from namel3ss_debug.replay.rerun.unanswered import describe_unanswered
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.wire import lenient

CLOCK: Final = "clock"
RANDOMNESS: Final = "randomness"
HASH_SEED: Final = "hash seed"
ORDER: Final = "order"

_SECOND: Final = 1_000_000_000
MOVED: Final = ((400 * 24 + 5) * 3600 + 7 * 60 + 13) * _SECOND + 123_456_789
"""How far the clock is moved on, in nanoseconds. Year, month, day, weekday, hour, minute and every smaller part change."""

_SEEDS: Final = 2**32


class RunInputs(NamedTuple):
    """The inputs and answers of a re-run."""

    inputs: Inputs
    plan: Plan


def move_clock(inputs: RunInputs, form: int, only: Collection[str] | None = None) -> RunInputs:
    """Let the clock show a later time.

    Args:
        inputs: the recorded inputs.
        form: how many times the clock is moved on.
        only: the places in the code that read the moved clock; all of them, and unrecorded ones, if left out.
    """
    by = MOVED * form
    clock = {
        path: {
            place: [value + by for value in values] if only is None or place in only else values
            for place, values in places.items()
        }
        for path, places in inputs.inputs.clock.items()
    }
    started = inputs.inputs.started + (by if only is None else 0)
    return inputs._replace(inputs=replace(inputs.inputs, clock=clock, started=started))


def change_seed(inputs: RunInputs, form: int) -> RunInputs:
    """Draw random numbers from another seed, and let `uuid1` be the current one."""
    seed = (int(inputs.inputs.seed or "0", 16) + form) % (1 << 128)
    return inputs._replace(inputs=replace(inputs.inputs, seed=f"{seed:032x}", uuid1={}))


def change_hash_seed(inputs: RunInputs, form: int) -> RunInputs:
    """Hash by another seed, so that sets are iterated in another order."""
    # A prime near 2**32 divided by the golden ratio spreads the seeds. Seed 0 would switch hash randomization off.
    seed = ((inputs.inputs.hash_seed or 0) + form * 0x9E3779B1) % _SEEDS or form
    return inputs._replace(inputs=replace(inputs.inputs, hash_seed=seed))


def change_order(inputs: RunInputs, form: int) -> RunInputs:
    """Deliver concurrent answers in another order: those of the task that got its last one last come first."""
    del form
    recorded = inputs.plan.recorded
    task_keys = {number: recorded_call.request.task_key for number, recorded_call in recorded.calls.items()}
    steps = tuple(step for cluster in clusters(recorded.steps) for step in _last_first(cluster, task_keys))
    other = copy.copy(recorded)
    other.steps = steps
    return inputs._replace(plan=replace(inputs.plan, recorded=other))


PERTURBATIONS: Final[Mapping[str, Callable[[RunInputs, int], RunInputs]]] = {
    CLOCK: move_clock,
    RANDOMNESS: change_seed,
    HASH_SEED: change_hash_seed,
    ORDER: change_order,
}
"""Kind of input -> the function that changes it in a re-run, in its n-th form, from 1."""


def parallel(recorded: RecordedCalls) -> Iterator[list[int]]:
    """Yield groups of calls that overlapped in different tasks, by their numbers."""
    for cluster in clusters(recorded.steps):
        numbers = list(dict.fromkeys(step.call_number for step in cluster))
        if len({recorded.calls[number].request.task_key for number in numbers}) > 1:
            yield numbers


def clusters(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Split the steps of deliveries wherever no call is open."""
    last = {step.call_number: place for place, step in enumerate(steps)}
    cluster: list[Step] = []
    until = -1
    for place, step in enumerate(steps):
        cluster.append(step)
        until = max(until, last[step.call_number])
        if place == until:
            yield cluster
            cluster = []


def _last_first(cluster: list[Step], task_keys: dict[int, TaskKey]) -> Iterator[Step]:
    """Yield the steps task by task, the one that finished last first; all tasks have started their first call before."""
    lines = list(dict.fromkeys(task_keys[step.call_number] for step in cluster))
    if len(lines) == 1:
        yield from cluster
        return
    first = {
        line: next(step.call_number for step in cluster if task_keys[step.call_number] == line)
        for line in lines
    }
    yield from (Step(first[line], START) for line in lines)
    done = {task_keys[step.call_number]: place for place, step in enumerate(cluster)}
    for line in sorted(lines, key=lambda line: -done[line]):
        begun = Step(first[line], START)
        yield from (step for step in cluster if task_keys[step.call_number] == line and step != begun)


UNKNOWN: Final = "unknown"
NETWORK: Final = "network"
ANSWER: Final = "answer"

_ANOTHER: Final = {
    CLOCK: "another clock",
    RANDOMNESS: "other random numbers",
    HASH_SEED: "another hash seed",
    ORDER: "parallel answers in another order",
}

OUTPUT: Final = "output"
STATUS: Final = "status"

MOST_SITES: Final = 8
"""How many places that read the clock are examined one by one, at a run each."""

_MOST_CHARACTERS = 60
_DEEPEST = 50

_WORDS: Final = {
    NEW: "a new call",
    MISSING: "no longer called",
    OTHER_ORDER: "called in another order",
    RESULT: "a tool, or a server of the program, returned another result",
}


class DoctorRun(NamedTuple):
    """The result of one run.

    Attributes:
        stdout: what it printed.
        status: its exit status, or the negative number of the signal it died by.
        outcome: the outcome of the re-run; None for the first run.
        printed: number of a line of output, from 0 -> the line of code that printed it, as far as known.
    """

    stdout: bytes
    status: int
    outcome: RerunOutcome | None = None
    printed: Mapping[int, str] = {}


class DoctorDifference(NamedTuple):
    """The first difference between two runs.

    Attributes:
        reaches: what differs: `llm`, `http`, `tool`, `output`, `status`; `network` for a refused connection, `answer`
            for an unusable recorded answer.
        call_site: the line of the user's code, `app.py:42`; "" if unknown.
        what: both sides in a few words.
        shuffled: whether both sides hold the same, in another order.
        divergence: the request that differs; None if no request does.
    """

    reaches: str
    call_site: str = ""
    what: str = ""
    shuffled: bool = False
    divergence: Divergence | None = None

    @property
    def unreplayed(self) -> str:
        """The source of a difference that no changed input explains."""
        if self.reaches in (ANSWER, NETWORK):
            return self.reaches
        return ORDER if self.shuffled else UNKNOWN


class Cause(NamedTuple):
    """The cause of a difference.

    Attributes:
        source: `clock`, `randomness`, `hash seed`, `order`, `network`, `answer` or `unknown`.
        difference: what differs first.
        replayed: whether a re-run replays that input, so that its runs do not differ.
        places: the lines of code that read the input, if they could be found.
        trace: the trace of the run that differed.
    """

    source: str
    difference: DoctorDifference
    replayed: bool = True
    places: tuple[str, ...] = ()
    trace: Path | None = None


ChangeInputs = Callable[[RunInputs], RunInputs]
RunAgain = Callable[[ChangeInputs, str], DoctorRun]
"""Runs the program again with the inputs that `ChangeInputs` makes of the recorded ones; the text describes why."""


@dataclass
class Diagnosis:
    """Find the causes by running the program again.

    Args:
        first: the first run.
        present: the kinds of input that the program has.
        again: runs it again.
        sites: line of code that reads the clock -> the places in the code that its reads are recorded under.
        repeat: how many runs with other inputs must not differ.
        changed: returns whether files that the program reads have changed since the first run.

    Attributes:
        runs: how often the program was run, including the first time.
    """

    first: DoctorRun
    present: Sequence[str]
    again: RunAgain
    sites: Mapping[str, Collection[str]] = field(default_factory=dict)
    repeat: int = 1
    changed: Callable[[], bool] = lambda: False
    runs: int = 1

    def causes(self) -> tuple[Cause, ...]:
        """Return why the runs of the program differ; () if they do not."""
        form, seen = 0, None
        while seen is None and form < self.repeat:
            form += 1
            run = self._run(partial(_change_all, self.present, form), "on other inputs")
            seen = first_difference(self.first, run)
        is_stopped = run.outcome is not None and run.outcome.not_done
        plain, plain_run = seen, run
        # A file with a random name is only found again by the same name, so other inputs may have hidden it.
        if self.present and not is_stopped and (seen is not None or self.changed()):
            plain_run = self._run(lambda inputs: inputs, "with everything as recorded")
            plain = first_difference(self.first, plain_run)
        if plain is not None:
            return (Cause(plain.unreplayed, plain, replayed=False, trace=_trace_of(plain_run)),)
        if seen is None:
            return ()
        found = [cause for each in self.present if (cause := self._find_alone(each, form)) is not None]
        return tuple(found) or (Cause(seen.unreplayed, seen, replayed=False, trace=_trace_of(run)),)

    def _find_alone(self, source: str, form: int) -> Cause | None:
        """Return the cause that shows in runs in which only one kind of input is changed; None if they do not differ."""
        change, what_for = partial(_change_all, [source], form), f"with {_ANOTHER[source]}"
        run = self._run(change, what_for)
        own = first_difference(self.first, run)
        if own is None:
            return None
        twin = self._run(change, f"{what_for}, once more")
        chance = _first_effect(run, twin)
        # Concurrent tasks may print as they please when their answers arrive in another order.
        if chance is not None and source != ORDER:
            return Cause(chance.unreplayed, chance, replayed=False, trace=_trace_of(twin))
        places = self._clock_places(form) if source == CLOCK else ()
        return Cause(source, own, places=places, trace=_trace_of(run))

    def _clock_places(self, form: int) -> tuple[str, ...]:
        """Return which of several lines that read the clock are the cause."""
        if not 1 < len(self.sites) <= MOST_SITES:
            return tuple(self.sites)
        found = []
        for site, places in self.sites.items():
            run = self._run(partial(move_clock, form=form, only=places), f"with another clock at {site}")
            if first_difference(self.first, run) is not None:
                found.append(site)
        return tuple(found or self.sites)

    def _run(self, change: ChangeInputs, what_for: str) -> DoctorRun:
        self.runs += 1
        return self.again(change, what_for)


def _trace_of(run: DoctorRun) -> Path | None:
    return None if run.outcome is None else run.outcome.trace


def _change_all(present: Sequence[str], form: int, inputs: RunInputs) -> RunInputs:
    for source in present:
        inputs = PERTURBATIONS[source](inputs, form)
    return inputs


# --- comparing two runs


def first_difference(first: DoctorRun, run: DoctorRun) -> DoctorDifference | None:
    """Return the first difference between a run and the first one; None if there is none."""
    outcome = run.outcome
    if outcome is None:
        return None
    stop = outcome.stop
    if stop is not None and stop.kind in ("unusable", "open"):
        return DoctorDifference(ANSWER, stop.request.call_site or "", describe_unanswered(stop))
    if outcome.problem:
        return DoctorDifference(ANSWER, what=outcome.problem)
    for refused in outcome.refused:
        address = lenient.mapping(refused.get("metadata")).get("address")
        what = str(address or refused.get("component_name") or "the network")
        return DoctorDifference(NETWORK, str(refused.get("call_site") or ""), what)
    for divergence in outcome.divergences:
        if divergence.kind not in EFFECTS:
            return _of_divergence(divergence)
    # What was printed and how it ended is compared here, with the places in the code.
    return _first_effect(first, run) if stop is None else None


def _of_divergence(found: Divergence) -> DoctorDifference:
    """Return a divergence as a difference: the place of the request, and which part of it changed."""
    request = found.request or (None if found.recorded is None else found.recorded.request)
    place = found.call_site_now or found.call_site_then or ""
    reaches = "llm" if request is None else request.kind
    if found.kind != CHANGED:
        return DoctorDifference(reaches, place, _WORDS[found.kind], found.kind == OTHER_ORDER, found)
    difference = found.difference
    changes: list[Any] = [] if difference is None else [*difference.messages, *difference.paths]
    change = next((each for each in changes if each.kind != "same"), None)
    old, new = (
        ("", "") if change is None else ("\n".join(describe_texts(side)) for side in (change.old, change.new))
    )
    return DoctorDifference(reaches, place, describe_change(old, new), sorted(old) == sorted(new), found)


def _first_effect(first: DoctorRun, run: DoctorRun) -> DoctorDifference | None:
    """Return the difference between the exit statuses of two runs, or the first in what they printed."""
    if run.status != first.status:
        return DoctorDifference(STATUS, what=f"{first.status} -> {run.status}")
    if first.stdout == run.stdout:
        return None
    # Threads may mix their output within a line.
    shuffled = sorted(run.stdout) == sorted(first.stdout)
    then, now = (each.stdout.decode("utf-8", "replace").splitlines() for each in (first, run))
    for number, (old, new) in enumerate(zip_longest(then, now, fillvalue="")):
        if old != new:
            place = first.printed.get(number) or run.printed.get(number) or ""
            return DoctorDifference(OUTPUT, place, describe_change(old, new), shuffled)
    return DoctorDifference(OUTPUT)  # only line ends differ


def describe_change(old: str, new: str) -> str:
    """Return the part in which two texts differ, in whole words: `12:30 -> 17:45`."""
    if old == new:
        return ""
    before, after = old.split(), new.split()
    shorter = min(len(before), len(after))
    start = end = 0
    while start < shorter and before[start] == after[start]:
        start += 1
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    sides = [" ".join(words[start : len(words) - end]) for words in (before, after)]
    if sides[0][-1:] == sides[1][-1:]:
        sides = [side.rstrip(".,:;") for side in sides]
    shown = [short(side, _MOST_CHARACTERS) or "nothing" for side in sides]
    return " -> ".join(shown)


def describe_texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts and numbers in a JSON value, without the names of its members."""
    if isinstance(value, dict) and depth < _DEEPEST:
        for name, each in value.items():
            if name not in ("role", "type"):
                yield from describe_texts(each, depth + 1)
    elif isinstance(value, list) and depth < _DEEPEST:
        for each in value:
            yield from describe_texts(each, depth + 1)
    elif value is not None and not isinstance(value, dict | list):
        yield str(value)
