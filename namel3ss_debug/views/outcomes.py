"""Describe the outcome of a re-run: how it ended, how its calls were answered, and what to do next."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.text import Text

from namel3ss_debug.config.unverified import (
    STALE_MODELS,
    UNKNOWN_BODIES,
    UNKNOWN_CODE,
    UNUSED,
    UNVERIFIED_KINDS,
)
from namel3ss_debug.replay.debugger.replies import describe_exit
from namel3ss_debug.replay.rerun.divergences import AMBIGUOUS, EFFECTS, MISSING
from namel3ss_debug.replay.rerun.divergences import CHANGED as REQUEST_CHANGED
from namel3ss_debug.replay.rerun.file_changes import CHANGED, MISSING_NOW, MODIFIED, NEW
from namel3ss_debug.replay.rerun.outcomes import MATCHED_WITH_OVERRIDES, UNVERIFIED
from namel3ss_debug.replay.rerun.unanswered import NO_OUTPUT, describe_unanswered
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.tables import Cell, pairs
from namel3ss_debug.views.terminal import ERROR, GOOD, WARNING, Piece, clean, line, piece, wrapped_lines

if TYPE_CHECKING:
    from namel3ss_debug.replay.rerun.file_changes import FileChange
    from namel3ss_debug.replay.rerun.outcomes import RerunOutcome, Unverified

MOST_NUMBERS = 8
_MANY_FILES = 4
_CHANGES = {
    CHANGED: "has changed",
    MISSING_NOW: "does not exist any more",
    NEW: "did not exist then",
    MODIFIED: "was modified, but is equal at its beginning and its end, which were compared",
}
_OF_PROGRAM = re.compile(r":\d+\Z")
"""The end of a place in the program's own code; a place in a library ends with the name of a function."""


def outcome_lines(outcome: RerunOutcome, width: int) -> Iterator[Text]:
    """Yield the outcome of a re-run: how it ended, how its calls were answered, and what to do next."""
    verdict = _verdict(outcome)
    yield from wrapped_lines(verdict.plain, width, verdict.style)
    rows: list[tuple[str, Cell]] = [
        ("program", _ended(outcome)),
        ("answered", _answered(outcome)),
        *(("started", piece(each, "", 200)) for each in _started(outcome)),
        ("diverges", _describe_first(outcome)),
        ("reconverges", _describe_reconvergence(outcome)),
        (
            "order",
            f"{count(outcome.out_of_order, 'part')} of answers arrived in another order than recorded"
            if outcome.out_of_order
            else "",
        ),
        *(("refused", Piece(refused(each))) for each in outcome.refused[:MOST_NUMBERS]),
        *(("new input", piece(each, "", 200)) for each in islice(_new_inputs(outcome), MOST_NUMBERS)),
    ]
    yield from pairs(rows, width, indent="  ", whole=True)
    if outcome.file_changes:
        yield line("  files that differ from the recorded run")
        changes = list(_file_changes(outcome))
        more = [f"and {len(changes) - MOST_NUMBERS} more"] if len(changes) > MOST_NUMBERS else []
        for text in [*changes[:MOST_NUMBERS], *more]:
            yield from wrapped_lines(clean(text), width, first="    ", further="      ")
    texts = [*_stopped(outcome), *outcome.notes, *_unverified(outcome), *_advise_on_files(outcome)]
    if outcome.is_timed and outcome.diverged and not (outcome.interrupted or outcome.not_done):
        texts.append(
            "If the program has timeouts of its own, they decide otherwise where answers are faster than recorded; "
            "--realtime gives each answer at its recorded time."
        )
    first = outcome.summary.first
    if (
        outcome.live_since
        and first is not None
        and first.kind == REQUEST_CHANGED
        and first.recorded is not None
    ):
        texts.append(
            f"Your change is in a request before the live part; --live-from {first.recorded.number} sends it for real."
        )
    is_unexplained = outcome.same_code and not outcome.file_changes
    if is_unexplained and outcome.diverged and not (outcome.interrupted or outcome.not_done):
        texts.append(
            "no code is newer than the trace; namel3ss debug doctor finds what makes the program non-deterministic"
        )
    for text in texts:
        yield from wrapped_lines(clean(text), width, first="  - ", further="    ")


def _verdict(outcome: RerunOutcome) -> Piece:
    """Return the verdict on the re-run, with what it does not cover."""
    verdict = _verdict_alone(outcome)
    names = [name for name, why in outcome.not_verified.items() if NO_OUTPUT in why]
    missing = [f"the output of {', '.join(names)}"] if names else []
    left_out = "; ".join([*outcome.not_compared, *missing])
    return verdict._replace(plain=f"{verdict.plain} Not compared: {left_out}.") if left_out else verdict


def _verdict_alone(outcome: RerunOutcome) -> Piece:
    """Return the verdict on the re-run, in a few words."""
    if outcome.interrupted:
        return Piece("The re-run was interrupted.", WARNING)
    if outcome.not_done:
        return Piece("The re-run could not go on.", ERROR)
    kinds = ", ".join(
        kind if kind in EFFECTS else f"{number} {kind}" for kind, number in outcome.summary.kinds.items()
    )
    if kinds and outcome.diverged:
        return Piece(f"The re-run diverges from the trace: {kinds}.", WARNING)
    if outcome.diverged:
        return Piece("The re-run ended differently from the trace.", WARNING)
    if outcome.left or outcome.stop is not None:
        return Piece(
            "The re-run matches the trace so far, but was ended before the program finished.", WARNING
        )
    unverified = outcome.unverified
    if outcome.verdict == UNVERIFIED:
        return Piece(f"The re-run is not verified: {_kinds_of(unverified)}.", WARNING)
    if outcome.live_since:
        return Piece(_describe_live(outcome), WARNING if outcome.live_failed else GOOD)
    if unverified:
        return Piece(
            f"The re-run matches the trace, except for what you accepted: {_kinds_of(unverified)}.", GOOD
        )
    if outcome.verdict == MATCHED_WITH_OVERRIDES:
        return Piece("The re-run matches the trace, except for your overrides.", GOOD)
    return Piece("The re-run matches the trace.", GOOD)


def _describe_live(outcome: RerunOutcome) -> str:
    """Return how a run with a live part differs from its trace."""
    change = outcome.live_change
    ended = "its live part failed" if outcome.live_failed else "is live from there"
    live = f"The re-run matches the trace up to event {outcome.live_from}, and {ended}."
    if change is None:
        return live
    if change.is_same:
        return f"{live} Nothing differs: what you changed had no effect."
    place = f"event {change.recorded}" if change.recorded else f"event {change.number} of the re-run"
    if change.recorded and change.number and change.recorded != change.number:
        place += f" ({change.number} in the re-run)"
    # Without a change of the user, the models, the tools or the clock have answered otherwise.
    caused = (
        "No code is newer than the trace, but from" if outcome.same_code else "Your change took effect: from"
    )
    failed = " The live part failed." if outcome.live_failed else ""
    return f"{caused} {place} on the run differs, and the outcome is now: {change.outcome}.{failed}"


def _kinds_of(unverified: Sequence[Unverified]) -> str:
    """Return what is not verified, counted: `1 stale tool, 2 stale model calls, 1 changed file`."""
    numbers = Counter[str]()
    for each in unverified:
        numbers[each.kind] += each.count
    return ", ".join(
        count(numbers[name], kind.noun, kind.plural)
        for name, kind in UNVERIFIED_KINDS.items()
        if numbers[name]
    )


def _ended(outcome: RerunOutcome) -> Piece:
    """Return how the program ended, and how it ended when it was recorded."""
    if outcome.stop is not None or outcome.problem:
        return Piece("stopped by the debugger")
    if outcome.left:
        return Piece("ended by you before it finished")
    now = f"ended {describe_exit(outcome.status)}"
    if outcome.ended_otherwise:
        return Piece(f"{now}; the recorded status is {outcome.recorded_status}", WARNING)
    same = outcome.recorded_status is not None and outcome.recorded_status == outcome.status
    return Piece(now + (", as recorded" if same else ""))


def _answered(outcome: RerunOutcome) -> str:
    """Return where the answers came from, counted."""
    found = outcome.summary
    parts = [
        f"{found.exact} as recorded" if found.exact else "",
        f"{found.changed} to changed requests" if found.changed else "",
        f"{len(found.after_override)} unverified" if found.after_override else "",
        f"{found.kinds[AMBIGUOUS]} ambiguous" if AMBIGUOUS in found.kinds else "",
        f"{found.overridden} by your overrides" if found.overridden else "",
        f"{outcome.real} for real" if outcome.real else "",
    ]
    return ", ".join(filter(None, parts)) or "no calls"


def _describe_first(outcome: RerunOutcome) -> str:
    first = outcome.summary.first
    if first is None:
        return ""
    return f"first at event {first.number}" if first.number else "at the end"


def _describe_reconvergence(outcome: RerunOutcome) -> str:
    reconverged = outcome.summary.reconverged
    if reconverged is None:
        calls = [each for each in outcome.divergences if each.kind not in (AMBIGUOUS, *EFFECTS)]
        return "no" if calls and calls[0].number else ""
    same = f" (recorded as {reconverged.recorded})" if reconverged.recorded != reconverged.number else ""
    how_long = count(reconverged.in_a_row, "call") + (", to the end" if reconverged.to_the_end else "")
    return f"at event {reconverged.number}{same}, for {how_long}"


def _started(outcome: RerunOutcome) -> list[str]:
    """Return the commands that the re-run started for real, each with its event."""
    found = [f"{words}, event {number}" for number, words in outcome.started[:MOST_NUMBERS]]
    left_out = len(outcome.started) - len(found)
    return [*found, *([f"and {count(left_out, 'more command')}"] if left_out else [])]


def refused(event: dict[str, Any]) -> str:
    """Describe a refused network connection: its address, the place in the code, and the reason."""
    metadata = event.get("metadata")
    values = metadata if isinstance(metadata, dict) else {}
    where = values.get("address") or event.get("component_name") or "the network"
    site = f" at {event['call_site']}" if event.get("call_site") else ""
    why = (
        "nothing listens there, and the trace does not hold it"
        if values.get("nobody")
        else "the network is closed"
    )
    return clean(f"a connection to {where}{site}: {why}", 200)


def _new_inputs(outcome: RerunOutcome) -> Iterator[str]:
    """Yield inputs that the recorded run did not read: by place in the program, those of libraries together."""
    of_libraries: Counter[str] = Counter()
    for source, site, times in outcome.new_inputs:
        if site and not _OF_PROGRAM.search(site):
            of_libraries[source] += times
        else:
            yield f"{source}{f' at {site}' if site else ''}, read {count(times, 'time')} more than recorded"
    for source, times in of_libraries.items():
        yield f"{source}, read {count(times, 'time')} more by libraries than recorded"


def _file_changes(outcome: RerunOutcome) -> Iterator[str]:
    """Yield the files that differ from the recorded run; many in one folder, or in folders beside each other, together."""
    alike: dict[tuple[object, ...], list[FileChange]] = {}
    for each in outcome.file_changes:
        alike.setdefault((os.path.dirname(os.path.dirname(each.path)), *each[1:]), []).append(each)
    for (folder, *_same), changes in alike.items():
        how = describe_file_change(changes[0])
        if len(changes) < _MANY_FILES:
            yield from (f"{each.path} {how}" for each in changes)
        else:
            yield f"{len(changes)} files below {folder}; each {how}"


def describe_file_change(change: FileChange) -> str:
    """Return how a file differs from the recorded run, and whether that run changed it itself."""
    if not change.written:
        return _CHANGES[change.change]
    left = {
        True: "the recorded run itself wrote it, and the re-run found it as that run left it",
        False: "the recorded run itself wrote it, and it has changed again since",
        None: "the recorded run itself had it open for writing",
    }
    return f"{_CHANGES[change.change]}; {left[change.as_left]}"


def _advise_on_files(outcome: RerunOutcome) -> Iterator[str]:
    """Yield what to do if a cache that the recorded run filled may have answered a call."""
    if MISSING in outcome.summary.kinds and any(each.written for each in outcome.file_changes):
        yield (
            "A call that was not made may have been answered from a file that the recorded run wrote, such as a cache. "
            "Restore these files, or empty the cache, and run it again."
        )


def _stopped(outcome: RerunOutcome) -> Iterator[str]:
    """Yield why the re-run could not go on."""
    if outcome.stop is not None:
        yield describe_unanswered(outcome.stop)
    if outcome.problem:
        yield outcome.problem


def _unverified(outcome: RerunOutcome) -> Iterator[str]:
    """Yield which answers may differ now, and what the digests of code do not cover."""
    for each in outcome.unverified:
        if each.kind == UNUSED:
            yield each.text
            continue
        numbers, recorded = list(each.numbers), list(each.recorded)
        if not recorded:
            at = f" ({named_events(numbers)})" if numbers else ""
            yield f"{each.text}; its recorded result was used{at}. {_advice(each, outcome)}"
            continue
        same = "" if numbers == recorded else f" (recorded as {_few(recorded)})"
        head = named_events(numbers)
        yield f"{head[0].upper()}{head[1:]}{same}: {each.text}. {_advice(each, outcome)}"
    names = [name for name, reasons in outcome.not_verified.items() if NO_OUTPUT in reasons]
    if names:
        yield f"What {', '.join(names)} wrote to the program's own stdout is not in the trace, and is missing."


def _advice(each: Unverified, outcome: RerunOutcome) -> str:
    """Return what to do about an answer that may differ."""
    if each.kind == AMBIGUOUS:
        call = f"use {each.verify} to call it for real" if each.verify else "record the program again"
        return f"Answer it with --mock, or {call}."
    if each.kind in outcome.accepted:
        return f"Accepted by --accept {each.kind}."
    if each.kind == STALE_MODELS:
        return f"Use {each.verify} to call the model."
    if each.kind == UNKNOWN_BODIES:
        return f"Use {each.verify} to send it."
    if each.kind == UNKNOWN_CODE:
        return f"Use {each.verify} to run {'it' if ',' not in each.tool else 'them'}, or --accept {UNKNOWN_CODE}."
    if each.verify != "--run-changed-tools" and not each.recorded:
        return f'The setting tools is "answer"; use {each.verify} to run it all the same.'
    return f"Use {each.verify} to run it."


def verifying_command(outcome: RerunOutcome, trace: str) -> str:
    """Return the command that would verify what the re-run did not; "" if there is nothing to verify.

    Args:
        outcome: the outcome of the re-run.
        trace: the trace, as the user names it.
    """
    further = outcome.verifying_options
    if outcome.verdict != UNVERIFIED or not further:
        return ""
    program = [each for each in outcome.options if each.startswith("-- ")]
    before = [each for each in outcome.options if each not in (*program, *further)]
    if any(each.startswith("--live-from ") for each in further):
        before = [each for each in before if not each.startswith("--live-from ")]
    return " ".join(["namel3ss debug rerun", shlex.quote(trace), *before, *further, *program])


def named_events(numbers: list[int]) -> str:
    """Return events by their numbers; of many, only the first few."""
    return f"{'event' if len(numbers) == 1 else 'events'} {_few(numbers)}"


def _few(items: Sequence[object], most: int = MOST_NUMBERS) -> str:
    more = len(items) - most
    return ", ".join(map(str, items[:most])) + (f" and {more} more" if more > 0 else "")
