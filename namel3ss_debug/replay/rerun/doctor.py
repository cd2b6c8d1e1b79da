"""Find what makes a program non-deterministic, by running it on its own recorded answers with changed inputs.

The first run is recorded as any other. The second has its answers, but another clock, other random numbers, another
hash seed, and concurrent answers in another order. A program that still does the same needs no third run, unless a file
that it reads has changed by now, which it may find by a random name. Otherwise it is run once with everything as
recorded, which shows what cannot be replayed, and once with each kind of input changed alone, which shows the
consequences of that kind.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import Any, Final, NamedTuple, Protocol

from namel3ss_debug.errors import short
from namel3ss_debug.replay.rerun.divergences import CHANGED, EFFECTS, MISSING, NEW, RESULT, Divergence
from namel3ss_debug.replay.rerun.divergences import ORDER as OTHER_ORDER
from namel3ss_debug.replay.rerun.outcomes import RerunOutcome
from namel3ss_debug.replay.rerun.plan import Plan
from namel3ss_debug.replay.rerun.recorded_calls import START, RecordedCalls, Step
from namel3ss_debug.replay.rerun.requests import TaskKey
from namel3ss_debug.replay.rerun.unanswered import describe_unanswered
from namel3ss_debug.traces.inputs import Recorded as Inputs

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


class Perturb(Protocol):
    """A function that changes the inputs of a re-run, in its n-th form, from 1."""

    def __call__(self, inputs: RunInputs, form: int) -> RunInputs:
        """Return the changed inputs."""


class Perturbation(NamedTuple):
    """A change of one kind of input.

    Attributes:
        source: `clock`, `randomness`, `hash seed` or `order`.
        change: changes the inputs of a re-run.
    """

    source: str
    change: Perturb


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


PERTURBATIONS: Final = {
    each.source: each
    for each in (
        Perturbation(CLOCK, move_clock),
        Perturbation(RANDOMNESS, change_seed),
        Perturbation(HASH_SEED, change_hash_seed),
        Perturbation(ORDER, change_order),
    )
}


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
    """One difference between a run and the first one.

    Attributes:
        reaches: what differs: `llm`, `http`, `tool`, `output`, `status`; `network` for a refused connection, `answer`
            for an unusable recorded answer.
        call_site: the line of the user's code, `app.py:42`; "" if unknown.
        what: both sides in a few words.
        kind: of a request, `changed`, `new`, `missing` or `order`.
        number: the number of its event in the trace, 0 for none.
        shuffled: whether both sides hold the same, in another order.
    """

    reaches: str
    call_site: str
    what: str
    kind: str = ""
    number: int = 0
    shuffled: bool = False


@dataclass(frozen=True)
class Cause:
    """The cause of some differences.

    Attributes:
        source: `clock`, `randomness`, `hash seed`, `order`, `network`, `answer` or `unknown`.
        differences: what differs.
        replayed: whether a re-run replays that input, so that its runs do not differ.
        places: the lines of code that read the input, if they could be found.
    """

    source: str
    differences: tuple[DoctorDifference, ...]
    replayed: bool = True
    places: tuple[str, ...] = ()


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
    present: Sequence[Perturbation]
    again: RunAgain
    sites: Mapping[str, frozenset[str]] = field(default_factory=dict)
    repeat: int = 1
    changed: Callable[[], bool] = lambda: False
    runs: int = 1

    def causes(self) -> tuple[Cause, ...]:
        """Return why the runs of the program differ; () if they do not."""
        form, seen, run = 1, tuple[DoctorDifference, ...](), self.first
        for form in range(1, self.repeat + 1):
            run = self._run(partial(_all, self.present, form), "on other inputs")
            seen = differences(self.first, run)
            if seen:
                break
        if not seen:
            if not (self.present and self.changed()):
                return ()
            # A file with a random name is only found again by the same name, so other inputs have hidden it.
            run = self._run(lambda inputs: inputs, "with everything as recorded")
            return tuple(self._find_not_replayed(run, differences(self.first, run)))
        if run.outcome is not None and run.outcome.not_done:
            return tuple(self._find_not_replayed(run, seen))
        return tuple(self._separate_causes(form, run, seen))

    def _separate_causes(
        self, form: int, run: DoctorRun, seen: tuple[DoctorDifference, ...]
    ) -> Iterator[Cause]:
        """Yield the causes of differences, each found by a run in which only one kind of input is changed."""
        plain, on_other = seen, run
        if self.present:
            run = self._run(lambda inputs: inputs, "with everything as recorded")
            plain = differences(self.first, run)
        found = list(self._find_not_replayed(run, plain))
        if not plain and all(each.source != ORDER for each in self.present):
            twin = self._run(partial(_all, self.present, form), "on these other inputs once more")
            plain = _by_chance(on_other, twin)
            found = [Cause(_by_order(on_other, twin, plain), plain, replayed=False)] if plain else []
        for perturbation in self.present:
            alone = self._run(
                partial(perturbation.change, form=form), f"with {_ANOTHER[perturbation.source]}"
            )
            own = _beside(differences(self.first, alone), plain)
            if own:
                places = self._clock_places(form, plain) if perturbation.source == CLOCK else ()
                found.append(Cause(perturbation.source, own, places=places))
        yield from found or [Cause(_by_order(self.first, on_other, seen), seen, replayed=False)]

    def _find_not_replayed(self, run: DoctorRun, seen: tuple[DoctorDifference, ...]) -> Iterator[Cause]:
        """Yield the differences that remain although every input was as recorded."""
        for source in (ANSWER, NETWORK):
            own = tuple(each for each in seen if each.reaches == source)
            if own:
                yield Cause(source, own, replayed=False)
        rest = tuple(each for each in seen if each.reaches not in (ANSWER, NETWORK))
        if rest and not (run.outcome is not None and run.outcome.not_done):
            yield Cause(_by_order(self.first, run, rest), rest, replayed=False)

    def _clock_places(self, form: int, plain: tuple[DoctorDifference, ...]) -> tuple[str, ...]:
        """Return which of several lines that read the clock are the cause."""
        if len(self.sites) <= 1 or len(self.sites) > MOST_SITES:
            return tuple(self.sites)
        found = []
        for site, places in self.sites.items():
            run = self._run(partial(move_clock, form=form, only=places), f"with another clock at {site}")
            if _beside(differences(self.first, run), plain):
                found.append(site)
        return tuple(found or self.sites)

    def _run(self, change: ChangeInputs, what_for: str) -> DoctorRun:
        self.runs += 1
        return self.again(change, what_for)


def _all(present: Sequence[Perturbation], form: int, inputs: RunInputs) -> RunInputs:
    for perturbation in present:
        inputs = perturbation.change(inputs, form)
    return inputs


def _beside(
    own: tuple[DoctorDifference, ...], plain: tuple[DoctorDifference, ...]
) -> tuple[DoctorDifference, ...]:
    """Return the differences that only the perturbation makes."""
    known = {(each.reaches, each.call_site if each.kind else "", each.kind) for each in plain}
    return tuple(
        each for each in own if (each.reaches, each.call_site if each.kind else "", each.kind) not in known
    )


def _by_chance(one: DoctorRun, other: DoctorRun) -> tuple[DoctorDifference, ...]:
    """Return the differences of two runs with the same inputs, except those that follow from their requests."""
    if one.status != other.status:
        return (DoctorDifference(STATUS, "", f"{one.status} -> {other.status}"),)
    return tuple(_of_output(one, other))


def _by_order(first: DoctorRun, run: DoctorRun, seen: tuple[DoctorDifference, ...]) -> str:
    """Return `order` if only the order differs, else `unknown`. Threads may mix their output within a line."""
    printed = any(each.reaches == OUTPUT for each in seen)
    if printed and sorted(run.stdout) != sorted(first.stdout):
        return UNKNOWN
    return ORDER if all(each.shuffled or each.reaches == OUTPUT for each in seen) else UNKNOWN


# --- comparing two runs


def differences(first: DoctorRun, run: DoctorRun) -> tuple[DoctorDifference, ...]:
    """Return the differences between a run and the first one."""
    outcome = run.outcome
    if outcome is None:
        return ()
    # What was printed and how it ended is compared below, with the places in the code.
    found = [_of_divergence(each) for each in outcome.divergences if each.kind not in EFFECTS]
    found += [
        DoctorDifference(NETWORK, str(each.get("call_site") or ""), _address(each))
        for each in outcome.refused
    ]
    stop = outcome.stop
    if stop is not None and stop.kind in ("unusable", "open"):
        found.append(DoctorDifference(ANSWER, stop.request.call_site or "", describe_unanswered(stop)))
    if outcome.problem:
        found.append(DoctorDifference(ANSWER, "", outcome.problem))
    if stop is None and not outcome.problem:
        if run.status != first.status:
            found.append(DoctorDifference(STATUS, "", f"{first.status} -> {run.status}"))
        found += _of_output(first, run)
    return tuple(found)


def _of_divergence(found: Divergence) -> DoctorDifference:
    """Return a divergence as a difference: the place of the request, and which part of it changed."""
    request = found.request or (None if found.recorded is None else found.recorded.request)
    number = 0 if found.recorded is None else found.recorded.number
    if request is None:
        return DoctorDifference("llm", "", "", found.kind, number)
    place = found.call_site_now or found.call_site_then or ""
    if found.kind != CHANGED:
        return DoctorDifference(
            request.kind, place, _WORDS[found.kind], found.kind, number, found.kind == OTHER_ORDER
        )
    old, new = _sides(found)
    return DoctorDifference(
        request.kind, place, describe_change(old, new), found.kind, number, sorted(old) == sorted(new)
    )


_WORDS: Final = {
    NEW: "a new call",
    MISSING: "no longer called",
    OTHER_ORDER: "called in another order",
    RESULT: "a tool, or a server of the program, returned another result",
}


def _sides(found: Divergence) -> tuple[str, str]:
    """Return the old and the new text of the first changed message of a request, or of the first changed value."""
    if found.difference is None:
        return "", ""
    changes: list[Any] = [each for each in found.difference.messages if each.kind != "same"]
    for change in [*changes, *found.difference.paths]:
        return "\n".join(_texts(change.old)), "\n".join(_texts(change.new))
    return "", ""


def _address(event: Mapping[str, Any]) -> str:
    metadata = event.get("metadata")
    address = metadata.get("address") if isinstance(metadata, dict) else None
    return str(address or event.get("component_name") or "the network")


def _of_output(first: DoctorRun, run: DoctorRun) -> Iterator[DoctorDifference]:
    """Yield the places in the code that printed something else."""
    if first.stdout == run.stdout:
        return
    then, now = (each.stdout.decode("utf-8", "replace").splitlines() for each in (first, run))
    places = set()
    for number, (old, new) in enumerate(zip_longest(then, now, fillvalue="")):
        place = first.printed.get(number) or run.printed.get(number) or ""
        if old != new and place not in places:
            places.add(place)
            yield DoctorDifference(OUTPUT, place, describe_change(old, new), number=0)
    if not places:  # only line ends differ
        yield DoctorDifference(OUTPUT, "", "")


def describe_change(old: str, new: str) -> str:
    """Return the part in which two texts differ, in whole words: `12:30 -> 17:45`."""
    if old == new:
        return ""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    while start and not old[start - 1].isspace():
        start -= 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    while end and not old[len(old) - end].isspace():
        end -= 1
    while (
        end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end] and old[-1 - end] in ".,:;"
    ):
        end += 1
    shown = [short(text[start : len(text) - end].strip(), _MOST_CHARACTERS) for text in (old, new)]
    return f"{shown[0] or 'nothing'} -> {shown[1] or 'nothing'}"


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the texts and numbers in a JSON value, without the names of its members."""
    if isinstance(value, dict) and depth < _DEEPEST:
        for name, each in value.items():
            if name not in ("role", "type"):
                yield from _texts(each, depth + 1)
    elif isinstance(value, list) and depth < _DEEPEST:
        for each in value:
            yield from _texts(each, depth + 1)
    elif value is not None and not isinstance(value, dict | list):
        yield str(value)
