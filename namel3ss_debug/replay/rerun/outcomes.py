"""Build the outcome of a re-run: its verdict, with the reasons."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from namel3ss_debug.config.unverified import (
    CHANGED_ARGUMENTS,
    CHANGED_FILES,
    STALE_MODELS,
    STALE_TOOLS,
    UNKNOWN_BODIES,
    UNKNOWN_CODE,
    UNUSED,
)
from namel3ss_debug.replay.rerun.attempts import Attempt, UnchangedArguments
from namel3ss_debug.replay.rerun.divergences import (
    AFTER_OVERRIDE,
    AMBIGUOUS,
    Divergence,
    DivergenceSummary,
    Match,
    in_order,
    summarize,
)
from namel3ss_debug.replay.rerun.effects import (
    FIRST,
    Effects,
    EffectsComparison,
    compare_effects,
    without_processes,
)
from namel3ss_debug.replay.rerun.file_changes import FileChange
from namel3ss_debug.replay.rerun.recorded_calls import ChangedFile, RecordedCalls
from namel3ss_debug.replay.rerun.requests import TOOL, VALUED, Request
from namel3ss_debug.replay.rerun.tool_code import UNKNOWN, StaleTool, describe_unknown
from namel3ss_debug.replay.rerun.unanswered import UnansweredCall
from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

INTERRUPTED: Final = 130
"""The exit status of a re-run that the user interrupted."""

MATCHED: Final = "matched"
MATCHED_WITH_OVERRIDES: Final = "matched_with_overrides"
CHANGED: Final = "changed"
UNVERIFIED: Final = "unverified"
DIVERGED: Final = "diverged"
INCOMPLETE: Final = "incomplete"

VERDICTS: Final[Mapping[str, int]] = {
    MATCHED: 0,
    MATCHED_WITH_OVERRIDES: 0,
    CHANGED: 0,
    UNVERIFIED: 1,
    DIVERGED: 1,
    INCOMPLETE: 2,
}
"""The verdicts on a re-run, and the exit status of each."""

_MOST_PACKAGES = 5


@dataclass(frozen=True)
class Unverified:
    """Why some recorded answers that were used may differ now.

    Attributes:
        kind: one of `UNVERIFIED_KINDS`.
        text: the reason, a sentence without its full stop.
        numbers: the events of these calls in the re-run.
        recorded: their events in the trace; () if the code of a tool has changed.
        tool: the name of the tool, or several with commas between them; "" for a model.
        verify: the option that would get a new answer, such as `--run-changed-tools`; "" for none.
    """

    kind: str
    text: str
    numbers: tuple[int, ...] = ()
    recorded: tuple[int, ...] = ()
    tool: str = ""
    verify: str = ""

    @property
    def count(self) -> int:
        """How many tools or calls it is about, as the verdict counts them."""
        if self.kind == UNKNOWN_CODE:
            return self.tool.count(",") + 1
        return len(self.numbers) if self.kind == STALE_MODELS else 1

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "kind": self.kind,
            "text": self.text,
            "events": list(self.numbers),
            "recorded": list(self.recorded),
            "tool": self.tool or None,
            "verify": self.verify,
        }


@dataclass(frozen=True)
class LiveChange:
    """How a run with a live part differs from its trace.

    Attributes:
        recorded: the event of the trace at which the first difference shows; 0 if the trace has none there.
        number: the event of the re-run at which it shows; 0 if the re-run has none there.
        outcome: what the program prints now and how it ends, against the trace, as a clause.
        is_same: whether nothing differs.
    """

    recorded: int
    number: int
    outcome: str
    is_same: bool


@dataclass(frozen=True)
class RerunOutcome:
    """The outcome of a re-run.

    Attributes:
        of: the trace that was re-run.
        trace: the trace of the re-run.
        status: the exit status of the program, or the negative number of the signal it died by.
        recorded_status: the recorded exit status; None if unknown.
        stop: the call that was not answered; None if the program ended by itself.
        problem: what else went wrong, in one line; "" for nothing.
        divergences: where the re-run and the trace diverge, in order.
        summary: the counts of its requests.
        recorded: the recorded calls.
        real: how many calls were made for real.
        live_since: the number of the first request from which on the trace no longer answers; 0 for none.
        refused: the events that report a refused network connection.
        new_inputs: reads of clock, environment or stdin that the trace does not hold: source, call site, how often.
        out_of_order: how many steps of answers were delivered out of order.
        unused: overrides and names of `--run-tools` and `--run-commands` that reached no call, a line each.
        notes: notes for the user, a line each.
        interrupted: whether the user interrupted it.
        left: whether the user ended the program in the debugger.
        stuck: whether it was left at a call whose recorded answer is unusable.
        mistakes: how many of the debugger commands failed.
        same_code: whether no code is newer than the trace, and no other answers were wanted.
        stale_tools: the tools that were answered from the trace although their code has changed.
        changed_files: the files that answered commands have changed in the trace, and that the program read later.
        started: the commands that the re-run started for real: the number of each, and its words.
        not_changed: the answered tools whose changes of their arguments are missing.
        unknown_tools: the tools that were answered from the trace although their code may have changed.
        not_verified: the answered commands whose output is not in the trace -> why.
        accepted: the kinds of unverified answers that the user accepts.
        options: the options of the command that started it, for the command that would verify it.
        not_compared: what the program did by itself and that was not compared, each as it stands in a sentence.
        is_timed: whether concurrent calls got their answers sooner than they were recorded, which may decide what the
            program does if it has timeouts of its own.
        live_from: the event of the trace from which on everything was to be called for real; 0 for none.
        live_change: how a run with a live part differs from the trace; None if they were not compared.
        file_changes: of a re-run that diverges or is incomplete, the files that differ from the recorded run.
    """

    of: Path
    trace: Path
    status: int
    recorded_status: int | None
    stop: UnansweredCall | None
    problem: str
    divergences: tuple[Divergence, ...]
    summary: DivergenceSummary
    recorded: RecordedCalls
    real: int = 0
    live_since: int = 0
    refused: tuple[Event, ...] = ()
    new_inputs: tuple[tuple[str, str, int], ...] = ()
    out_of_order: int = 0
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    left: bool = False
    stuck: bool = False
    mistakes: int = 0
    same_code: bool = False
    stale_tools: tuple[StaleTool, ...] = ()
    changed_files: tuple[ChangedFile, ...] = ()
    started: tuple[tuple[int, str], ...] = ()
    not_changed: tuple[UnchangedArguments, ...] = ()
    unknown_tools: tuple[StaleTool, ...] = ()
    not_verified: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()
    is_timed: bool = False
    live_from: int = 0
    live_change: LiveChange | None = None
    file_changes: tuple[FileChange, ...] = ()

    @property
    def ended_otherwise(self) -> bool:
        """Whether the program ended by itself with another status than recorded; after `--live-from` it may."""
        if self.stop is not None or self.problem or self.interrupted or self.live_since:
            return False
        return self.recorded_status is not None and self.recorded_status != self.status

    @property
    def live_failed(self) -> bool:
        """Whether the program ended by itself with a failure after it had left the trace behind, by `--live-from`."""
        ended = self.stop is None and not (self.problem or self.interrupted or self.left)
        return bool(self.live_since and ended and self.status)

    @property
    def not_done(self) -> bool:
        """Whether it could not go on, for a reason other than the code."""
        stop = self.stop
        unanswered = stop is not None and stop.kind == "unusable"
        return bool(self.problem) or unanswered or (self.left and self.stuck)

    @property
    def diverged(self) -> bool:
        """Whether the calls or the exit status differ from the trace, or the run was stopped before."""
        stopped = self.stop is not None and self.stop.kind != "open"
        differs = any(found.kind != AMBIGUOUS for found in self.divergences)
        return bool(differs or self.refused or self.ended_otherwise or stopped)

    @property
    def unverified(self) -> tuple[Unverified, ...]:
        """The answers that were used although they may differ now, also those that the user accepts."""
        found = []
        for tool in self.stale_tools:
            verify = f"--run-tools {tool.name}" if tool.kept else "--run-changed-tools"
            found.append(Unverified(STALE_TOOLS, tool.describe(), tool.numbers, (), tool.name, verify))
        if self.unknown_tools:
            found.append(_make_unknown(self.unknown_tools))
        by_tool: dict[str, list[Match]] = {}
        for match in self.summary.after_override:
            recorded_call = self.recorded.calls.get(match.recorded)
            request = None if recorded_call is None else recorded_call.request
            by_tool.setdefault(request.name if request and request.kind in VALUED else "", []).append(match)
        for name, matches in sorted(by_tool.items()):
            numbers = tuple(match.number for match in matches)
            recorded = tuple(match.recorded for match in matches)
            verify = f"--run-tools {name}" if name else f"--live-from {recorded[0]}"
            kind = STALE_TOOLS if name else STALE_MODELS
            text = f"the arguments of {name}" if name else "the request"
            ran = self.real and not self.summary.overridden
            cause = "a tool that was run returned another result" if ran else "your override"
            text += f" changed after {cause}, and got the recorded answer"
            found.append(Unverified(kind, text, numbers, recorded, name, verify))
        for file in self.changed_files:
            text = f"{file.program} changed {file.path}, which the program read later, and was not run"
            verify = f"--run-commands {file.program}"
            found.append(
                Unverified(CHANGED_FILES, text, (file.number,), (file.command,), file.program, verify)
            )
        found += [Unverified(UNUSED, text) for text in self.unused]
        for missing in self.not_changed:
            request, names = missing.request, ", ".join(missing.names)
            text = f"{request.name} changed its argument {names} when it was recorded, and the program keeps it as it was"
            numbers, recorded = (request.number,), (missing.recorded.number,)
            verify = f"--run-tools {request.name}"
            found.append(Unverified(CHANGED_ARGUMENTS, text, numbers, recorded, request.name, verify))
        found += [_describe_ambiguous(each) for each in self.divergences if each.kind == AMBIGUOUS]
        for match in self.summary.body_unknown:
            request = self.recorded.calls[match.recorded].request
            text = f"only a part of the body of a request to {request.name} was sent, so it was not compared"
            verify = f"--live-from {match.recorded}"
            found.append(Unverified(UNKNOWN_BODIES, text, (match.number,), (match.recorded,), "", verify))
        return tuple(found)

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        if self.interrupted or self.not_done:
            return INCOMPLETE
        if self.diverged:
            return DIVERGED
        if self.left or self.stop is not None:
            return INCOMPLETE
        unverified = self.unverified
        if any(each.kind not in self.accepted for each in unverified):
            return UNVERIFIED
        if self.live_since and (self.live_change is None or not self.live_change.is_same):
            return CHANGED
        if unverified or self.summary.overridden:
            return MATCHED_WITH_OVERRIDES
        return MATCHED

    @property
    def exit_status(self) -> int:
        """The exit status of the command."""
        if self.interrupted:
            return INTERRUPTED
        if self.mistakes:
            return VERDICTS[INCOMPLETE]
        return max(VERDICTS[self.verdict], int(self.live_failed))

    @property
    def verifying_options(self) -> tuple[str, ...]:
        """The options that get new answers for what is not verified; () if all is."""
        reasons = [each for each in self.unverified if each.kind not in self.accepted]
        options = dict.fromkeys(each.verify for each in reasons if each.verify)
        froms = sorted(int(each.split()[1]) for each in options if each.startswith("--live-from"))
        kept = [each for each in options if not each.startswith("--live-from")]
        return (*kept, *([f"--live-from {froms[0]}"] if froms else []))


def _describe_ambiguous(found: Divergence) -> Unverified:
    """Return why a request is not verified that got the answer of another call."""
    assert found.request is not None
    assert found.recorded is not None
    request, recorded = found.request, found.recorded.number
    name = request.name if request.kind == TOOL else ""
    verify = f"--run-tools {name}" if name else "" if request.kind in VALUED else f"--live-from {recorded}"
    text = (
        "the trace holds no answer for this call, and it got the answer of another one, which was made later"
    )
    return Unverified(AMBIGUOUS, text, (found.number,), (recorded,), name, verify)


def make_outcome(
    run: Attempt,
    *,
    of: Path,
    trace: Path,
    status: int,
    recorded_status: int | None,
    stop: UnansweredCall | None,
    problem: str = "",
    ended: bool,
    unused: Iterable[str] = (),
    effects: Effects,
    ignored: Sequence[str] = (),
    numbers: Mapping[int, int] = MappingProxyType({}),
    **more: Any,
) -> RerunOutcome:
    """Return the outcome of the final attempt.

    Args:
        run: the attempt.
        of: the trace that was re-run.
        trace: the trace of the re-run.
        status: how the program ended.
        recorded_status: how it ended when it was recorded.
        stop: the call that was not answered.
        problem: what else went wrong.
        ended: whether the program ended by itself.
        unused: a line for each override that reached no call.
        effects: what the recorded run did by itself.
        ignored: patterns of texts that are not compared.
        numbers: order of arrival -> event number in `trace`, if these differ.
        **more: further fields.
    """
    seen = run.seen
    divergences = run.divergences(ended=ended)
    matches = run.matches()
    compared = _compare_effects(run, matches, effects, ignored) if ended else EffectsComparison()
    divergences = in_order((*divergences, *compared.divergences))
    if numbers:
        divergences = in_order(
            replace(
                each,
                number=numbers.get(each.number, each.number),
                mocked=tuple(numbers.get(number, number) for number in each.mocked),
            )
            for each in divergences
        )
        matches = [each._replace(number=numbers.get(each.number, each.number)) for each in matches]
    return RerunOutcome(
        of=of,
        trace=trace,
        status=status,
        recorded_status=recorded_status if ended else None,
        stop=stop,
        problem=problem,
        divergences=divergences,
        summary=summarize(divergences, matches),
        recorded=run.plan.recorded,
        real=len(seen.real),
        live_from=run.plan.live_from,
        live_since=numbers.get(seen.live_since, seen.live_since),
        refused=tuple(seen.refused),
        new_inputs=tuple((*place, times) for place, times in sorted(seen.new_inputs.items())),
        out_of_order=len(run.order.out_of_order()),
        # An answer that ended before a call that the trace holds first: the program may have waited for less.
        is_timed=bool(run.order.timed_out or run.plan.recorded.outwaited) and not run.plan.realtime,
        unused=(*unused, *(run.unused_names() if ended else ())),
        stuck=run.is_stuck(),
        stale_tools=_renumbered(run.stale_tools(), numbers),
        unknown_tools=_renumbered(run.stale_tools(UNKNOWN), numbers),
        started=tuple((numbers.get(each.number, each.number), _words_of(each)) for each in seen.started),
        not_changed=tuple(
            each._replace(
                request=replace(
                    each.request, number=numbers.get(each.request.number, each.request.number), event=None
                )
            )
            for each in seen.not_changed
        ),
        changed_files=tuple(
            file._replace(number=numbers.get(file.number, file.number)) for file in run.changed_files()
        ),
        not_verified=run.not_verified(),
        not_compared=compared.not_compared,
        **more,
    )


def _words_of(request: Request) -> str:
    """Return the words of a command, as a shell takes them."""
    words = lenient.mapping((request.event or {}).get("inputs")).get("arguments")
    return words if isinstance(words, str) else shlex.join(map(str, lenient.sequence(words)))


def _renumbered(tools: Iterable[StaleTool], numbers: Mapping[int, int]) -> tuple[StaleTool, ...]:
    return tuple(
        replace(tool, numbers=tuple(numbers.get(each, each) for each in tool.numbers)) for tool in tools
    )


def _make_unknown(tools: tuple[StaleTool, ...]) -> Unverified:
    """Return one reason for all tools that a change could have reached."""
    names = ", ".join(tool.name for tool in tools)
    kept = [tool.name for tool in tools if tool.kept]
    verify = (
        " ".join(f"--run-tools {name}" for name in kept) if len(kept) == len(tools) else "--run-changed-tools"
    )
    numbers = tuple(sorted(number for tool in tools for number in tool.numbers))
    return Unverified(UNKNOWN_CODE, describe_unknown(tools), numbers, (), names, verify)


def _compare_effects(
    run: Attempt, matches: Sequence[Match], then: Effects, ignored: Sequence[str]
) -> EffectsComparison:
    """Compare what the program did by itself; a difference after an override is no divergence."""
    now = run.seen.effects
    if run.seen.live_since:
        return EffectsComparison()
    if run.plan.recorded.source:
        return EffectsComparison((), ("output, files and end, which traces of other tools do not hold",))
    answered = _answered_events(run, matches) if len(then.started_by) > 1 else frozenset()
    then = without_processes(then, answered) if answered else then
    servers = run.seen.servers
    if servers:  # the requests to it are answered, so it does not do what it did for them
        then, now = (
            without_processes(each, {started[place] for started in servers})
            for place, each in enumerate((then, now))
        )
    compared = compare_effects(then, now, ignored=ignored, killed=FIRST not in then.ended)
    if servers:
        names = ", ".join(dict.fromkeys(servers.values()))
        compared = compared._replace(
            not_compared=(*compared.not_compared, f"what the server {names} printed and wrote")
        )
    if compared.divergences and any(each.overridden or each.how == AFTER_OVERRIDE for each in matches):
        kinds = dict.fromkeys(each.kind for each in compared.divergences)
        return EffectsComparison((), (*compared.not_compared, f"{' and '.join(kinds)} after your override"))
    return compared


def _answered_events(run: Attempt, matches: Sequence[Match]) -> frozenset[str]:
    """Return the start events of recorded calls that were answered: processes inside them do not run in the re-run."""
    recorded, started = run.plan.recorded, {request.number for request in run.seen.started}
    numbers: set[int] = set()
    for match in matches:
        if match.recorded and not match.real and match.number not in started:
            numbers |= {match.recorded, *recorded.within(match.recorded)}
    return frozenset(recorded.start(number)["event_id"] for number in numbers)


def other_numbers(arrived: Iterable[Event], written: Iterable[Event]) -> dict[int, int]:
    """Return the event numbers in a trace by the order of arrival; {} if they are the same.

    A trace orders the events of several processes by their time; they arrive in any order.
    """
    numbers = {event.get("event_id"): number for number, event in enumerate(written, 1)}
    pairs = {
        number: numbers[event["event_id"]]
        for number, event in enumerate(arrived, 1)
        if event.get("event_id") in numbers
    }
    return pairs if any(old != new for old, new in pairs.items()) else {}


def changes_since(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the differences in Python, commit and packages, a line each.

    Args:
        then: the metadata of the trace's `trace_start`.
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
