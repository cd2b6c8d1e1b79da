"""Divergences of a re-run in words: what the code asked, what the recording holds, and how these differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from namel3ss_debug.replay.rerunning.boundaries import Question
from namel3ss_debug.replay.rerunning.divergences import (
    CHANGED,
    MISSING,
    NEW,
    ORDER,
    RESULT,
    Difference,
    Divergence,
)
from namel3ss_debug.replay.rerunning.impasses import VERBS, told
from namel3ss_debug.views.conversations import change_lines
from namel3ss_debug.views.gists import gist, summary
from namel3ss_debug.views.outcomes import named_events, outcome_rows, refused
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.tables import Cell, pairs
from namel3ss_debug.views.terminal import (
    DIM,
    ERROR,
    GOOD,
    HEADING,
    WARNING,
    Piece,
    fitted,
    line,
    piece,
)
from namel3ss_debug.wire.value_changes import PathChange

if TYPE_CHECKING:
    from namel3ss_debug.replay.rerunning.outcomes import Outcome
    from namel3ss_debug.replay.rerunning.recorded import Boundary, Recorded
    from namel3ss_debug.traces.events import Event

MOST_SHOWN = 20
"""At most so many divergences are shown one by one."""

MOST_NUMBERS = 8

_HEADS = {
    CHANGED: "the code asks otherwise, and gets the recorded answer",
    NEW: "the code asks what the recording holds no answer for",
    MISSING: "the code does not ask what was recorded",
    ORDER: "the code asks this before what was asked first",
    RESULT: "a tool, or a server of the program, gave another result",
}
_SIGNS = {"added": ("+", GOOD), "dropped": ("-", ERROR)}


def report_lines(outcome: Outcome, width: int) -> Iterator[Text]:
    """Every divergence, and the outcome of the re-run.

    Args:
        outcome: the outcome of the re-run.
        width: the cells a line may take.
    """
    folded = _folded(outcome.divergences)
    for found, *further in folded[:MOST_SHOWN]:
        yield from divergence_lines(found, width, outcome.recorded, further)
        yield line("")
    more = sum(map(len, folded[MOST_SHOWN:]))
    if more > 0:
        yield fitted([Piece(f"… {count(more, 'further divergence')}; --format jsonl tells all", DIM)], width)
        yield line("")
    yield from (fitted(row, width) for row in outcome_rows(outcome, width))


def _folded(divergences: Sequence[Divergence]) -> list[list[Divergence]]:
    """The divergences, with those together that differ by the same: an edited prompt stands in every call behind it."""
    folded: list[list[Divergence]] = []
    alike: dict[tuple[object, ...], list[list[Divergence]]] = {}
    for found in divergences:
        same: list[list[Divergence]] = []
        if (
            found.kind == CHANGED
            and found.question is not None
            and found.difference not in (None, Difference())
        ):
            sides = (
                found.question.name,
                found.call_site_now,
                found.call_site_then,
                found.mocked,
                found.ambiguous,
            )
            same = alike.setdefault(sides, [])
        one = next((each for each in same if each[0].difference == found.difference), None)
        if one is not None:
            one.append(found)
            continue
        folded.append([found])
        same.append(folded[-1])
    return folded


def divergence_lines(
    found: Divergence, width: int, recorded: Recorded, further: Sequence[Divergence] = ()
) -> Iterator[Text]:
    """One divergence: its kind, both sides, and what differs.

    Args:
        found: the divergence.
        width: the cells a line may take.
        recorded: what the recording holds.
        further: others that differ by the same.
    """
    head = [Piece(found.kind, WARNING), Piece(f"  {_HEADS.get(found.kind, '')}")]
    if found.ambiguous:
        head.append(Piece("; another call asks for that answer in its own words", WARNING))
    yield fitted(head, width)
    sides = _sides(found, recorded)
    if further:
        sides.append(("the same", Piece(f"at {named_events([each.number for each in further])}")))
    yield from pairs(sides, width, indent="  ")
    if found.difference is not None and found.kind != ORDER:
        yield from (
            Text("  ", end="").append_text(row)
            for row in _differences(found.difference, found.number, width - 2)
        )


def _sides(found: Divergence, recorded: Recorded) -> list[tuple[str, Cell]]:
    """What the code asked, what the recording holds, and what may be the cause of the difference."""
    now, then = found.question, found.recorded
    rows: list[tuple[str, Cell]] = []
    if now is not None:
        rows.append(("now", _side(now, found.number, now.event if found.kind == ORDER else None)))
    if found.kind == MISSING:
        before = f"not asked before event {found.number}" if found.number else "not asked any more"
        rows.append(("now", Piece(before)))
    if then is not None:
        said = recorded.start(then.number) if found.kind in (ORDER, MISSING) else None
        rows.append(
            ("ahead of" if found.kind == ORDER else "recorded", _side(then.question, then.number, said))
        )
    elif found.kind == NEW:
        rows.append(("recorded", Piece("nothing more")))
    if len(found.late) > 1:
        rows.append(
            (
                "and",
                Piece(f"before {named_events([each.number for each in found.late[1:]])} of the recording"),
            )
        )
    if found.mocked:
        rows.append(
            ("may follow", Piece(f"from the answers that were given at {named_events(list(found.mocked))}"))
        )
    return rows


def _side(question: Question, number: int, said: Event | None) -> Piece:
    """What was asked, and where; `said` is an event whose gist is added, where no difference shows it."""
    site = f", {question.call_site}" if question.call_site else ""
    words = summary(said) if said is not None else ""
    verb = VERBS.get(question.kind, "asks")
    whole = f"{verb} {question.name or question.kind}{site}, event {number}{': ' if words else ''}{words}"
    return piece(whole, "", 400)


def _differences(difference: Difference, number: int, width: int) -> Iterator[Text]:
    if difference.messages:
        yield from change_lines(difference.messages, number, width)
    for change in difference.paths:
        yield _path(change, width)
    if not difference.messages and not difference.paths:
        yield fitted(
            [Piece("nothing that is recorded differs; headers and encodings are not compared", DIM)], width
        )


def _path(change: PathChange, width: int) -> Text:
    sign, style = _SIGNS.get(change.kind, ("~", WARNING))
    parts = [Piece(f"{sign} ", style), piece(change.path.removeprefix("$."), HEADING, 200), Piece("  ")]
    if change.kind != "added":
        parts.append(Piece(gist(change.old), DIM if change.kind == "changed" else ""))
    if change.kind == "changed":
        parts.append(Piece(" -> ", DIM))
    if change.kind != "dropped":
        parts.append(Piece(gist(change.new)))
    return fitted(parts, width)


# --- for programs


def report_rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """The same as JSON objects: one for each divergence, and at the end one for the whole re-run."""
    for found in outcome.divergences:
        yield divergence_row(found)
    found_in_all = outcome.summary
    yield {
        "result": "rerun",
        "verdict": outcome.verdict,
        "reasons": [
            each.to_json() | {"accepted": each.kind in outcome.accepted} for each in outcome.unverified
        ],
        "not_verified": {name: list(what) for name, what in outcome.not_verified.items()},
        "exit_status": outcome.exit_status,
        "recording": str(outcome.of),
        "trace": str(outcome.trace),
        "status": outcome.status,
        "recorded_status": outcome.recorded_status,
        "stopped": None
        if outcome.stop is None
        else {"kind": outcome.stop.kind, "message": told(outcome.stop)},
        "problem": outcome.problem or None,
        "divergences": found_in_all.kinds,
        "exact": found_in_all.exact,
        "expected": [{"number": each.number, "recorded": each.recorded} for each in found_in_all.expected],
        "given": found_in_all.given,
        "real": outcome.real,
        "live_since": outcome.live_since or None,
        "joined": None if found_in_all.joined is None else found_in_all.joined._asdict(),
        "passes": outcome.passes,
        "out_of_order": outcome.out_of_order,
        "refused": [refused(each) for each in outcome.refused],
        "new_inputs": [
            {"source": source, "call_site": site, "times": times}
            for source, site, times in outcome.new_inputs
        ],
        "notes": list(outcome.notes),
        "interrupted": outcome.interrupted,
    }


def divergence_row(found: Divergence) -> dict[str, Any]:
    """One divergence as a JSON object."""
    difference = found.difference
    return {
        "result": "divergence",
        "kind": found.kind,
        "number": found.number,
        "asked": None if found.question is None else _question_row(found.question),
        "recorded": None if found.recorded is None else _boundary_row(found.recorded),
        "messages": [] if difference is None else [each._asdict() for each in difference.messages],
        "paths": [] if difference is None else [each._asdict() for each in difference.paths],
        "late": [_boundary_row(each) for each in found.late],
        "mocked": list(found.mocked),
        "ambiguous": found.ambiguous,
    }


def _question_row(question: Question) -> dict[str, Any]:
    return {
        "kind": question.kind,
        "name": question.name,
        "call_site": question.call_site,
        "functions": list(question.chain),
    }


def _boundary_row(boundary: Boundary) -> dict[str, Any]:
    return {"number": boundary.number} | _question_row(boundary.question)
