"""One input of a re-run changed on purpose, to see whether the program does something else for it.

A recorded input is given to a re-run as it was. Here one kind of them is given otherwise: the clock shows another day,
random numbers follow from another seed, sets and dicts are hashed by another seed, parallel answers arrive in another
order. Everything else stays as recorded, so what the program then does otherwise follows from that kind.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

from namel3ss_debug.replay.rerunning.boundaries import Strand
from namel3ss_debug.replay.rerunning.plans import Plan
from namel3ss_debug.replay.rerunning.recorded import START, Recorded, Step
from namel3ss_debug.traces.inputs import Recorded as Inputs

CLOCK: Final = "clock"
RANDOMNESS: Final = "randomness"
HASH_SEED: Final = "hash seed"
ORDER: Final = "order"

_SECOND: Final = 1_000_000_000
MOVED: Final = ((400 * 24 + 5) * 3600 + 7 * 60 + 13) * _SECOND + 123_456_789
"""So far the clock is moved on, in nanoseconds: year, month, day, weekday, hour, minute and every smaller part become others."""

_SEEDS: Final = 2**32


class Given(NamedTuple):
    """What a re-run is given."""

    inputs: Inputs
    plan: Plan


class Change(Protocol):
    """Makes what a re-run is given, in its n-th form, from 1."""

    def __call__(self, given: Given, form: int) -> Given:
        """What it is given, from what was recorded."""


class Disturbance(NamedTuple):
    """One kind of input, given otherwise.

    Attributes:
        source: `clock`, `randomness`, `hash seed` or `order`.
        change: makes what a re-run is given.
    """

    source: str
    change: Change


def move_clock(given: Given, form: int, only: Collection[str] | None = None) -> Given:
    """The clock shows a later time.

    Args:
        given: what was recorded.
        form: how many times it is moved on.
        only: the places in the code that read the moved clock; all of them, and those the recording has not, if left
            out.
    """
    by = MOVED * form
    clock = {
        path: {
            place: [value + by for value in values] if only is None or place in only else values
            for place, values in places.items()
        }
        for path, places in given.inputs.clock.items()
    }
    started = given.inputs.started + (by if only is None else 0)
    return given._replace(inputs=replace(given.inputs, clock=clock, started=started))


def change_seed(given: Given, form: int) -> Given:
    """Random numbers follow from another seed, and `uuid1` is that of now."""
    seed = (int(given.inputs.seed or "0", 16) + form) % (1 << 128)
    return given._replace(inputs=replace(given.inputs, seed=f"{seed:032x}", uuid1={}))


def change_hash_seed(given: Given, form: int) -> Given:
    """Sets and the like come in another order."""
    seed = ((given.inputs.hash_seed or 0) + form * 0x9E3779B1) % _SEEDS or form
    return given._replace(inputs=replace(given.inputs, hash_seed=seed))


def change_order(given: Given, form: int) -> Given:
    """Of answers to parallel calls, those of the line of work that got its last one last come first."""
    del form
    recorded = given.plan.recorded
    strands = {number: boundary.question.strand for number, boundary in recorded.boundaries.items()}
    steps = tuple(step for cluster in clusters(recorded.steps) for step in _last_first(cluster, strands))
    other = copy.copy(recorded)
    other.steps = steps
    return given._replace(plan=replace(given.plan, recorded=other))


DISTURBANCES: Final = {
    each.source: each
    for each in (
        Disturbance(CLOCK, move_clock),
        Disturbance(RANDOMNESS, change_seed),
        Disturbance(HASH_SEED, change_hash_seed),
        Disturbance(ORDER, change_order),
    )
}


def parallel(recorded: Recorded) -> Iterator[list[int]]:
    """The numbers of boundaries that were open at the same time on several lines of work, group by group."""
    for cluster in clusters(recorded.steps):
        numbers = list(dict.fromkeys(step.boundary for step in cluster))
        if len({recorded.boundaries[number].question.strand for number in numbers}) > 1:
            yield numbers


def clusters(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps of deliveries cut wherever nothing is open, in order."""
    last = {step.boundary: place for place, step in enumerate(steps)}
    cluster: list[Step] = []
    until = -1
    for place, step in enumerate(steps):
        cluster.append(step)
        until = max(until, last[step.boundary])
        if place == until:
            yield cluster
            cluster = []


def _last_first(cluster: list[Step], strands: dict[int, Strand]) -> Iterator[Step]:
    """The steps line by line of work, the one that was done last first; all calls have begun before, as far as they can."""
    lines = list(dict.fromkeys(strands[step.boundary] for step in cluster))
    if len(lines) == 1:
        yield from cluster
        return
    first = {
        line: next(step.boundary for step in cluster if strands[step.boundary] == line) for line in lines
    }
    yield from (Step(first[line], START) for line in lines)
    done = {strands[step.boundary]: place for place, step in enumerate(cluster)}
    for line in sorted(lines, key=lambda line: -done[line]):
        begun = Step(first[line], START)
        yield from (step for step in cluster if strands[step.boundary] == line and step != begun)
