"""What makes a program irreproducible: it is run on its own recorded answers, and what it then does otherwise is traced to a cause.

The first run is recorded as any other. The second has its answers, but clock, random numbers, hash seed and the order
of parallel answers are others on purpose. A program that does the same all the same needs no third run, unless a file
that it reads is another one by now, which it may find by a random name. Else it is run once with everything as
recorded, which shows what nobody can give back, and once with each kind alone, which shows what came from that kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from namel3ss_debug.errors import short
from namel3ss_debug.replay.rerunning.disturbances import (
    CLOCK,
    HASH_SEED,
    ORDER,
    RANDOMNESS,
    Disturbance,
    Given,
    move_clock,
)
from namel3ss_debug.replay.rerunning.divergences import CHANGED, MISSING, NEW, RESULT, Divergence
from namel3ss_debug.replay.rerunning.divergences import ORDER as OTHER_ORDER
from namel3ss_debug.replay.rerunning.impasses import told
from namel3ss_debug.replay.rerunning.outcomes import Outcome

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
"""So many places that read the clock are told apart, at a run each."""

_MOST_CHARACTERS = 60
_DEEPEST = 50


class Run(NamedTuple):
    """What came of one run.

    Attributes:
        stdout: what it printed.
        status: its exit status, or the negative number of the signal it died by.
        outcome: what became of its questions; None for the first run.
        printed: where in the user's code the lines of its output were printed, by their number from 0, as far as that
            is known.
    """

    stdout: bytes
    status: int
    outcome: Outcome | None = None
    printed: Mapping[int, str] = {}


class Difference(NamedTuple):
    """One thing that a run did differently from the first.

    Attributes:
        reaches: what became another: `llm`, `http`, `tool`, `output`, `status`; `network` for a connection that was
            refused, `answer` for a recorded answer that cannot be given.
        place: the line of the user's code, `app.py:42`; "" where it is not known.
        what: both sides in a few words.
        kind: of a question, `changed`, `new`, `missing` or `order`.
        number: the number of its event in the recording, 0 for none.
        shuffled: whether both sides hold the same, in another order.
    """

    reaches: str
    place: str
    what: str
    kind: str = ""
    number: int = 0
    shuffled: bool = False


@dataclass(frozen=True)
class Cause:
    """The cause of some differences.

    Attributes:
        source: `clock`, `randomness`, `hash seed`, `order`, `network`, `answer` or `unknown`.
        differences: what the program did otherwise.
        served: whether a re-run gives that input back, so that it does not do so otherwise.
        places: the lines of code that the input was read at, where they could be told apart.
    """

    source: str
    differences: tuple[Difference, ...]
    served: bool = True
    places: tuple[str, ...] = ()


Change = Callable[[Given], Given]
Again = Callable[[Change, str], Run]
"""Runs the program again on what `Change` makes of the recorded inputs; told in words what for."""


@dataclass
class Diagnosis:
    """Finds the causes by running the program again.

    Args:
        first: the first run.
        present: the kinds of input that the program has.
        again: runs it again.
        sites: line of code that reads the clock -> the places in the code that its reads are recorded under.
        repeat: how many times it is run on other inputs before it counts as reproducible.
        changed: tells whether files that it reads have changed since it was first run.

    Attributes:
        runs: how often the program was run, the first time included.
    """

    first: Run
    present: Sequence[Disturbance]
    again: Again
    sites: Mapping[str, frozenset[str]] = field(default_factory=dict)
    repeat: int = 1
    changed: Callable[[], bool] = lambda: False
    runs: int = 1

    def causes(self) -> tuple[Cause, ...]:
        """Why the program does not do the same each time; () where it does the same."""
        form, seen, run = 1, tuple[Difference, ...](), self.first
        for form in range(1, self.repeat + 1):
            run = self._run(partial(_all, self.present, form), "on other inputs")
            seen = differences(self.first, run)
            if seen:
                break
        if not seen:
            return tuple(self._told_as_recorded()) if self.present and self.changed() else ()
        if run.outcome is not None and run.outcome.not_done:
            return tuple(self._not_given_back(run, seen))
        return tuple(self._told_apart(form, run, seen))

    def _told_as_recorded(self) -> Iterator[Cause]:
        """The causes that other inputs hid: what a program keeps under a random name, it finds again by the same one."""
        run = self._run(lambda given: given, "with everything as recorded")
        yield from self._not_given_back(run, differences(self.first, run))

    def _told_apart(self, form: int, run: Run, seen: tuple[Difference, ...]) -> Iterator[Cause]:
        """The causes of differences, each found by a run in which only one kind of input is changed."""
        plain, on_other = seen, run
        if self.present:
            run = self._run(lambda given: given, "with everything as recorded")
            plain = differences(self.first, run)
        found = list(self._not_given_back(run, plain))
        if not plain and all(each.source != ORDER for each in self.present):
            twin = self._run(partial(_all, self.present, form), "on these other inputs once more")
            plain = _by_chance(on_other, twin)
            found = [Cause(_by_order(on_other, twin, plain), plain, served=False)] if plain else []
        for disturbance in self.present:
            alone = self._run(partial(disturbance.change, form=form), f"with {_ANOTHER[disturbance.source]}")
            own = _beside(differences(self.first, alone), plain)
            if own:
                places = self._clock_places(form, plain) if disturbance.source == CLOCK else ()
                found.append(Cause(disturbance.source, own, places=places))
        yield from found or [Cause(_by_order(self.first, on_other, seen), seen, served=False)]

    def _not_given_back(self, run: Run, seen: tuple[Difference, ...]) -> Iterator[Cause]:
        """The differences that remain although every input was as recorded."""
        for source in (ANSWER, NETWORK):
            own = tuple(each for each in seen if each.reaches == source)
            if own:
                yield Cause(source, own, served=False)
        rest = tuple(each for each in seen if each.reaches not in (ANSWER, NETWORK))
        if rest and not (run.outcome is not None and run.outcome.not_done):
            yield Cause(_by_order(self.first, run, rest), rest, served=False)

    def _clock_places(self, form: int, plain: tuple[Difference, ...]) -> tuple[str, ...]:
        """Find out which of several lines that read the clock is the cause."""
        if len(self.sites) <= 1 or len(self.sites) > MOST_SITES:
            return tuple(self.sites)
        found = []
        for site, places in self.sites.items():
            run = self._run(partial(move_clock, form=form, only=places), f"with another clock at {site}")
            if _beside(differences(self.first, run), plain):
                found.append(site)
        return tuple(found or self.sites)

    def _run(self, change: Change, what_for: str) -> Run:
        self.runs += 1
        return self.again(change, what_for)


def _all(present: Sequence[Disturbance], form: int, given: Given) -> Given:
    for disturbance in present:
        given = disturbance.change(given, form)
    return given


def _beside(own: tuple[Difference, ...], plain: tuple[Difference, ...]) -> tuple[Difference, ...]:
    """The differences that come only with the disturbance."""
    known = {(each.reaches, each.place if each.kind else "", each.kind) for each in plain}
    return tuple(
        each for each in own if (each.reaches, each.place if each.kind else "", each.kind) not in known
    )


def _by_chance(one: Run, other: Run) -> tuple[Difference, ...]:
    """The differences of two runs on the same inputs, except those that follow from what they asked."""
    if one.status != other.status:
        return (Difference(STATUS, "", f"{one.status} -> {other.status}"),)
    return tuple(_of_output(one, other))


def _by_order(first: Run, run: Run, seen: tuple[Difference, ...]) -> str:
    """`order` where the same came in another order, else `unknown`. Threads may mix their output within a line."""
    printed = any(each.reaches == OUTPUT for each in seen)
    if printed and sorted(run.stdout) != sorted(first.stdout):
        return UNKNOWN
    return ORDER if all(each.shuffled or each.reaches == OUTPUT for each in seen) else UNKNOWN


# --- what two runs did otherwise


def differences(first: Run, run: Run) -> tuple[Difference, ...]:
    """What a run did differently from the first."""
    outcome = run.outcome
    if outcome is None:
        return ()
    found = [_of_divergence(each) for each in outcome.divergences]
    found += [
        Difference(NETWORK, str(each.get("call_site") or ""), _address(each)) for each in outcome.refused
    ]
    stop = outcome.stop
    if stop is not None and stop.kind in ("unusable", "open"):
        found.append(Difference(ANSWER, stop.question.call_site or "", told(stop)))
    if outcome.problem:
        found.append(Difference(ANSWER, "", outcome.problem))
    if stop is None and not outcome.problem:
        if run.status != first.status:
            found.append(Difference(STATUS, "", f"{first.status} -> {run.status}"))
        found += _of_output(first, run)
    return tuple(found)


def _of_divergence(found: Divergence) -> Difference:
    """A divergence as a difference: where the program asked, and which part of the question changed."""
    question = found.question or (None if found.recorded is None else found.recorded.question)
    number = 0 if found.recorded is None else found.recorded.number
    if question is None:
        return Difference("llm", "", "", found.kind, number)
    place = found.call_site_now or found.call_site_then or ""
    if found.kind != CHANGED:
        return Difference(
            question.kind, place, _WORDS[found.kind], found.kind, number, found.kind == OTHER_ORDER
        )
    old, new = _sides(found)
    return Difference(question.kind, place, parted(old, new), found.kind, number, sorted(old) == sorted(new))


_WORDS: Final = {
    NEW: "asked what was not asked before",
    MISSING: "not asked any more",
    OTHER_ORDER: "asked in another order",
    RESULT: "a tool, or a server of the program, gave another result",
}


def _sides(found: Divergence) -> tuple[str, str]:
    """The old and the new text of the first message of a question that changed, or of the first value."""
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


def _of_output(first: Run, run: Run) -> Iterator[Difference]:
    """The places in the code that printed something else."""
    if first.stdout == run.stdout:
        return
    then, now = (each.stdout.decode("utf-8", "replace").splitlines() for each in (first, run))
    places = set()
    for number, (old, new) in enumerate(zip_longest(then, now, fillvalue="")):
        place = first.printed.get(number) or run.printed.get(number) or ""
        if old != new and place not in places:
            places.add(place)
            yield Difference(OUTPUT, place, parted(old, new), number=0)
    if not places:  # the ends of lines
        yield Difference(OUTPUT, "", "")


def parted(old: str, new: str) -> str:
    """The part in which two texts differ, in whole words: `12:30 -> 17:45`."""
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
    """The texts and numbers in a JSON value, without the names of its members."""
    if isinstance(value, dict) and depth < _DEEPEST:
        for name, each in value.items():
            if name not in ("role", "type"):
                yield from _texts(each, depth + 1)
    elif isinstance(value, list) and depth < _DEEPEST:
        for each in value:
            yield from _texts(each, depth + 1)
    elif value is not None and not isinstance(value, dict | list):
        yield str(value)
