"""Describe the divergences of a re-run: the live request, the recorded one, and how they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from namel3ss_debug.replay.rerun.divergences import (
    AMBIGUOUS,
    CHANGED,
    EFFECTS,
    END,
    FILES,
    MISSING,
    NEW,
    ORDER,
    OUTPUT,
    RESULT,
    Difference,
    Divergence,
)
from namel3ss_debug.replay.rerun.requests import Request
from namel3ss_debug.replay.rerun.unanswered import VERBS, describe_unanswered
from namel3ss_debug.views.conversations import change_lines
from namel3ss_debug.views.gists import gist, summary
from namel3ss_debug.views.outcomes import named_events, outcome_lines, refused
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
    from namel3ss_debug.replay.rerun.outcomes import RerunOutcome
    from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls
    from namel3ss_debug.traces.events import Event

MOST_SHOWN = 20
"""How many divergences are shown one by one."""

_HEADS = {
    CHANGED: "the request changed, and got the recorded answer",
    NEW: "the trace holds no answer for this call",
    MISSING: "a recorded call was not made",
    ORDER: "this call was made before one that the trace holds first",
    RESULT: "a tool returned another result",
    OUTPUT: "the program printed something else",
    FILES: "the program wrote something else to a file",
    END: "an exception ended the program otherwise than recorded",
    AMBIGUOUS: "the request got the answer of another call, which was made later",
}
_BEFORE = 20
"""How many characters of the common beginning of two long lines are shown."""
_SIDE = 4
_SIGNS = {"added": ("+", GOOD), "dropped": ("-", ERROR)}


def report_lines(outcome: RerunOutcome, width: int) -> Iterator[Text]:
    """Yield every divergence, and the outcome of the re-run.

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
        yield fitted([Piece(f"… {count(more, 'further divergence')}; --format jsonl shows all", DIM)], width)
        yield line("")
    yield from outcome_lines(outcome, width)


def _folded(divergences: Sequence[Divergence]) -> list[list[Divergence]]:
    """Return the divergences, grouped if they have the same difference: an edited prompt is in every later request."""
    folded: list[list[Divergence]] = []
    alike: dict[tuple[object, ...], list[list[Divergence]]] = {}
    for found in divergences:
        same: list[list[Divergence]] = []
        if (
            found.kind in (CHANGED, AMBIGUOUS)
            and found.request is not None
            and found.difference not in (None, Difference())
        ):
            sides = (
                found.kind,
                found.request.name,
                found.call_site_now,
                found.call_site_then,
                found.mocked,
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
    found: Divergence, width: int, recorded: RecordedCalls, further: Sequence[Divergence] = ()
) -> Iterator[Text]:
    """Yield the lines of one divergence: its kind, both sides, and what differs.

    Args:
        found: the divergence.
        width: the cells a line may take.
        recorded: the recorded calls.
        further: others with the same difference.
    """
    head = [Piece(found.kind, WARNING), Piece(f"  {_HEADS.get(found.kind, '')}")]
    yield fitted(head, width)
    sides = _sides(found, recorded)
    if further:
        sides.append(("the same", Piece(f"at {named_events([each.number for each in further])}")))
    yield from pairs(sides, width, indent="  ")
    if found.difference is not None and found.kind != ORDER:
        yield from (
            Text("  ", end="").append_text(row)
            for row in _differences(found.difference, found.kind, found.number, width - 2)
        )


def _sides(found: Divergence, recorded: RecordedCalls) -> list[tuple[str, Cell]]:
    """Return the live request, the recorded one, and what may be the cause of the difference."""
    now, then = found.request, found.recorded
    rows: list[tuple[str, Cell]] = []
    if now is not None:
        rows.append(("now", _side(now, found.number, now.event if found.kind == ORDER else None)))
    if found.kind == MISSING:
        before = f"not called before event {found.number}" if found.number else "no longer called"
        rows.append(("now", Piece(before)))
    if then is not None:
        event = recorded.start(then.number) if found.kind in (ORDER, MISSING) else None
        rows.append(
            ("ahead of" if found.kind == ORDER else "recorded", _side(then.request, then.number, event))
        )
    elif found.kind == NEW:
        rows.append(("recorded", Piece("nothing more")))
    if found.mocked:
        rows.append(("after", Piece(f"your overrides at {named_events(list(found.mocked))}")))
    return rows


def _side(request: Request, number: int, event: Event | None) -> Piece:
    """Return a request and its call site, with the gist of an event if no difference shows it."""
    site = f", {request.call_site}" if request.call_site else ""
    words = summary(event) if event is not None else ""
    verb = VERBS.get(request.kind, "calls")
    whole = f"{verb} {request.name or request.kind}{site}, event {number}{': ' if words else ''}{words}"
    return piece(whole, "", 400)


def _differences(difference: Difference, kind: str, number: int, width: int) -> Iterator[Text]:
    if difference.messages:
        yield from change_lines(difference.messages, number, width)
    for change in difference.paths:
        yield from _two_lines(change, width) if kind in EFFECTS else (_path(change, width),)
    if not difference.messages and not difference.paths:
        yield fitted(
            [Piece("nothing that is recorded differs; headers and encodings are not compared", DIM)], width
        )


def _two_lines(change: PathChange, width: int) -> Iterator[Text]:
    """Yield where a line of output or of a file differs, then the recorded line and the new one, each by itself."""
    sign, style = _SIGNS.get(change.kind, ("~", WARNING))
    yield fitted([Piece(f"{sign} ", style), piece(change.path, HEADING, 200)], width)
    old, new = str(change.old), str(change.new)
    start = 0
    if change.kind == "changed" and max(len(old), len(new)) > width - _SIDE:
        # A long common beginning would leave the part that differs outside of the line.
        letters = zip(old, new, strict=False)
        shared = next((place for place, (a, b) in enumerate(letters) if a != b), min(len(old), len(new)))
        start = max(shared - _BEFORE, 0)
    for text, sign, style, kind in ((old, "-", ERROR, "added"), (new, "+", GOOD, "dropped")):
        if change.kind != kind:
            shown = ("…" if start else "") + text[start:]
            yield fitted([Piece(f"  {sign} ", style), piece(shown, "", 400)], width)


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


# --- as JSON


def report_rows(outcome: RerunOutcome) -> Iterator[dict[str, Any]]:
    """Yield the report as JSON objects: one for each divergence, and at the end one for the whole re-run."""
    for found in outcome.divergences:
        yield divergence_row(found)
    found_in_all = outcome.summary
    yield {
        "schema": "namel3ss-debug/rerun/2",
        "result": "rerun",
        "verdict": outcome.verdict,
        "reasons": [
            each.to_json() | {"accepted": each.kind in outcome.accepted} for each in outcome.unverified
        ],
        "not_verified": {name: list(what) for name, what in outcome.not_verified.items()},
        "exit_status": outcome.exit_status,
        "recorded_trace": str(outcome.of),
        "trace": str(outcome.trace),
        "status": outcome.status,
        "recorded_status": outcome.recorded_status,
        "stopped": None
        if outcome.stop is None
        else {"kind": outcome.stop.kind, "message": describe_unanswered(outcome.stop)},
        "problem": outcome.problem or None,
        "divergences": found_in_all.kinds,
        "exact": found_in_all.exact,
        "after_override": [
            {"number": each.number, "recorded": each.recorded} for each in found_in_all.after_override
        ],
        "overridden": found_in_all.overridden,
        "real": outcome.real,
        "started": [{"event": number, "command": words} for number, words in outcome.started],
        "live_since": outcome.live_since or None,
        "reconverged": None if found_in_all.reconverged is None else found_in_all.reconverged._asdict(),
        "out_of_order": outcome.out_of_order,
        "refused": [refused(each) for each in outcome.refused],
        "new_inputs": [
            {"source": source, "call_site": site, "times": times}
            for source, site, times in outcome.new_inputs
        ],
        "not_compared": list(outcome.not_compared),
        "files": [each._asdict() for each in outcome.file_changes],
        "notes": list(outcome.notes),
        "interrupted": outcome.interrupted,
    }


def divergence_row(found: Divergence) -> dict[str, Any]:
    """Return one divergence as a JSON object."""
    difference = found.difference
    return {
        "result": "divergence",
        "kind": found.kind,
        "number": found.number,
        "request": None if found.request is None else _request_row(found.request),
        "recorded": None
        if found.recorded is None
        else {"number": found.recorded.number} | _request_row(found.recorded.request),
        "messages": [] if difference is None else [each._asdict() for each in difference.messages],
        "paths": [] if difference is None else [each._asdict() for each in difference.paths],
        "mocked": list(found.mocked),
    }


def _request_row(request: Request) -> dict[str, Any]:
    return {
        "kind": request.kind,
        "name": request.name,
        "call_site": request.call_site,
        "functions": list(request.chain),
    }
