"""What came of a program that ran again on the answers of its recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from namel3ss_debug.replay.rerunning.divergences import Divergence, Summary, in_order, summary
from namel3ss_debug.replay.rerunning.impasses import Stop
from namel3ss_debug.replay.rerunning.passes import Pass
from namel3ss_debug.replay.rerunning.recorded import Recorded
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

FINE, PARTED, NOT_DONE, INTERRUPTED = 0, 1, 2, 130
"""The exit statuses of a re-run."""

_MOST_PACKAGES = 5


@dataclass(frozen=True)
class Outcome:
    """What came of a re-run.

    Attributes:
        of: the recording.
        trace: the recording of the re-run.
        status: the exit status of the program, or the negative number of the signal it died by.
        recorded_status: the exit status that was recorded; None where it was not.
        stop: why it was stopped; None where the program ended by itself.
        problem: what else went wrong, in one line; "" for nothing.
        divergences: where the code and the recording parted, in order.
        summary: what became of its questions.
        recorded: the answers of the recording.
        passes: how often the program was run.
        real: how many calls were made for real.
        live_since: the number of the first question behind which the recording counted no more; 0 for none.
        refused: the events that tell of a refused way to the network.
        new_inputs: reads of clock, environment or stdin that the recording has not: source, call site, how often.
        out_of_order: how many parts of answers came in another order than then.
        notes: what the user should know besides, a line each.
        interrupted: whether the user interrupted it.
        left: whether the user has ended the program in the debugger.
        stuck: whether a call was left that has a recorded answer which cannot be given.
        mistakes: how many of the debugger commands that were given could not be done.
        same_code: whether neither the code is newer than the recording, nor another answer was asked for.
    """

    of: Path
    trace: Path
    status: int
    recorded_status: int | None
    stop: Stop | None
    problem: str
    divergences: tuple[Divergence, ...]
    summary: Summary
    recorded: Recorded
    passes: int = 1
    real: int = 0
    live_since: int = 0
    refused: tuple[Event, ...] = ()
    new_inputs: tuple[tuple[str, str, int], ...] = ()
    out_of_order: int = 0
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    left: bool = False
    stuck: bool = False
    mistakes: int = 0
    same_code: bool = False

    @property
    def ended_otherwise(self) -> bool:
        """Whether the program ended by itself with another status than then; behind a fork it may."""
        if self.stop is not None or self.problem or self.interrupted or self.live_since:
            return False
        return self.recorded_status is not None and self.recorded_status != self.status

    @property
    def not_done(self) -> bool:
        """Whether it could not go on, for a reason that is none of the code's."""
        stop = self.stop
        unanswered = stop is not None and (stop.kind == "unusable" or stop.offline)
        return bool(self.problem) or unanswered or (self.left and self.stuck)

    @property
    def parted(self) -> bool:
        """Whether the code asked or ended otherwise than the recording, or was stopped before."""
        stopped = self.stop is not None and self.stop.kind != "open"
        return bool(self.divergences or self.refused or self.ended_otherwise or stopped)

    @property
    def exit_status(self) -> int:
        """The status with which the command ends."""
        if self.interrupted:
            return INTERRUPTED
        if self.not_done or self.mistakes:
            return NOT_DONE
        return PARTED if self.parted else FINE


def outcome_of(
    run: Pass,
    *,
    of: Path,
    trace: Path,
    status: int,
    recorded_status: int | None,
    stop: Stop | None,
    problem: str = "",
    ended: bool,
    numbers: Mapping[int, int] = MappingProxyType({}),
    **more: Any,
) -> Outcome:
    """What came of the pass that counts.

    Args:
        run: the pass.
        of: the recording.
        trace: the recording of the re-run.
        status: how the program ended.
        recorded_status: how it ended then.
        stop: why it was stopped.
        problem: what else went wrong.
        ended: whether the program came to its end by itself.
        numbers: the numbers of events in `trace` by those in the order of arrival, where these are not the same.
        **more: further fields.
    """
    seen = run.seen
    divergences = _marked(run, run.divergences(ended=ended))
    matches = run.matches()
    if numbers:
        divergences = in_order(_renumbered(each, numbers) for each in divergences)
        matches = [each._replace(number=numbers.get(each.number, each.number)) for each in matches]
    return Outcome(
        of=of,
        trace=trace,
        status=status,
        recorded_status=recorded_status if ended else None,
        stop=stop,
        problem=problem,
        divergences=divergences,
        summary=summary(divergences, matches),
        recorded=run.plan.recorded,
        real=len(seen.real),
        live_since=numbers.get(seen.live_since, seen.live_since),
        refused=tuple(seen.refused),
        new_inputs=tuple((*place, times) for place, times in sorted(seen.new_inputs.items())),
        out_of_order=len(run.order.out_of_order()),
        stuck=run.is_stuck(),
        **more,
    )


def _marked(run: Pass, divergences: tuple[Divergence, ...]) -> tuple[Divergence, ...]:
    """The guess that was wrong, where too many passes had to start over, is told as ambiguous."""
    if run.restart is None:
        return divergences
    taken_by = run.restart.taken_by
    return tuple(
        replace(each, ambiguous=True)
        if (each.kind, each.number) == (taken_by.kind, taken_by.number)
        else each
        for each in divergences
    )


def _renumbered(found: Divergence, numbers: Mapping[int, int]) -> Divergence:
    mocked = tuple(numbers.get(each, each) for each in found.mocked)
    return replace(found, number=numbers.get(found.number, found.number), mocked=mocked)


def other_numbers(arrived: Iterable[Event], written: Iterable[Event]) -> dict[int, int]:
    """The numbers of events in a trace by those in their order of arrival; {} where these are the same.

    Events of several processes stand in a trace by their time, and arrive as they arrive.
    """
    numbers = {event.get("event_id"): number for number, event in enumerate(written, 1)}
    pairs = {
        number: numbers[event["event_id"]]
        for number, event in enumerate(arrived, 1)
        if event.get("event_id") in numbers
    }
    return pairs if any(old != new for old, new in pairs.items()) else {}


def changes_since(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """How what a program runs on differs from what it ran on, a line each.

    Args:
        then: the metadata of the recording's `trace_start`.
        now: those of the re-run's.
    """
    if not now:
        return ()
    lines = []
    if then.get("python") and then["python"] != now.get("python"):
        lines.append(f"recorded on Python {then['python']}, run again on {now.get('python')}")
    commit, other = lenient.string(then.get("git_commit")), lenient.string(now.get("git_commit"))
    if commit and other and commit != other:
        lines.append(f"recorded at commit {commit[:10]}, run again at {other[:10]}")
    before, after = lenient.mapping(then.get("packages")), lenient.mapping(now.get("packages"))
    changed = [
        f"{name} {before[name]} then, {after[name]} now"
        for name in sorted(before)
        if name in after and after[name] != before[name]
    ]
    changed += [f"{name} {before[name]} then, not there now" for name in sorted(before) if name not in after]
    if before and after and changed:
        more = f", and {len(changed) - _MOST_PACKAGES} more" if len(changed) > _MOST_PACKAGES else ""
        lines.append(f"other packages: {', '.join(changed[:_MOST_PACKAGES])}{more}")
    return tuple(lines)
