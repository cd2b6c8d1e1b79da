"""Where a re-run and its recording part, in words: what the code asked, what the recording holds, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterator
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
from namel3ss_debug.replay.words import how_ended
from namel3ss_debug.views.conversations import change_lines
from namel3ss_debug.views.gists import gist, summary
from namel3ss_debug.views.payloads import wrapped
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.tables import Cell, pairs
from namel3ss_debug.views.terminal import (
    DIM,
    ERROR,
    GOOD,
    HEADING,
    WARNING,
    Piece,
    clean,
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
"""So many divergences are shown one by one."""

MOST_NUMBERS = 8

_HEADS = {
    CHANGED: "the code asks otherwise, and gets the recorded answer",
    NEW: "the code asks what the recording holds no answer for",
    MISSING: "the code does not ask what was recorded",
    ORDER: "the code asks this before what was asked first",
    RESULT: "a tool that was run for real gave another result",
}
_SIGNS = {"added": ("+", GOOD), "dropped": ("-", ERROR)}


def report_lines(outcome: Outcome, width: int) -> Iterator[Text]:
    """Every divergence, and what became of the re-run.

    Args:
        outcome: what came of it.
        width: the cells a line may take.
    """
    for found in outcome.divergences[:MOST_SHOWN]:
        yield from divergence_lines(found, width, outcome.recorded)
        yield line("")
    more = len(outcome.divergences) - MOST_SHOWN
    if more > 0:
        yield fitted([Piece(f"… {count(more, 'further divergence')}; --format jsonl tells all", DIM)], width)
        yield line("")
    yield from outcome_lines(outcome, width)


def divergence_lines(found: Divergence, width: int, recorded: Recorded) -> Iterator[Text]:
    """One divergence: its kind, both sides, and what differs.

    Args:
        found: the divergence.
        width: the cells a line may take.
        recorded: what the recording holds.
    """
    head = [Piece(found.kind, WARNING), Piece(f"  {_HEADS.get(found.kind, '')}")]
    if found.ambiguous:
        head.append(Piece("; another call asks for that answer in its own words", WARNING))
    yield fitted(head, width)
    yield from pairs(_sides(found, recorded), width, indent="  ")
    if found.difference is not None and found.kind != ORDER:
        yield from (
            Text("  ", end="").append_text(row)
            for row in _differences(found.difference, found.number, width - 2)
        )


def _sides(found: Divergence, recorded: Recorded) -> list[tuple[str, Cell]]:
    """What the code asked, what the recording holds, and what either may come from."""
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
            ("and", Piece(f"before {_numbers([each.number for each in found.late[1:]])} of the recording"))
        )
    if found.mocked:
        rows.append(
            ("may follow", Piece(f"from the answers that were given at {_numbers(list(found.mocked))}"))
        )
    return rows


def _side(question: Question, number: int, said: Event | None = None) -> Piece:
    """What was asked, and where; `said` is the event whose words are told as well, where no difference tells them."""
    site = f", {question.call_site}" if question.call_site else ""
    words = summary(said) if said is not None else ""
    verb = VERBS.get(question.kind, "asks")
    whole = f"{verb} {question.name or question.kind}{site}, event {number}{': ' if words else ''}{words}"
    return piece(whole, "", 400)


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:MOST_NUMBERS]))
    more = len(numbers) - MOST_NUMBERS
    return f"{'event' if len(numbers) == 1 else 'events'} {shown}" + (f" and {more} more" if more > 0 else "")


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


def outcome_lines(outcome: Outcome, width: int) -> Iterator[Text]:
    """What became of a re-run: how it ended, how its calls were answered, and what to do next."""
    yield fitted([_verdict(outcome)], width)
    rows: list[tuple[str, Cell]] = [
        ("program", _ended(outcome)),
        ("answered", _answered(outcome)),
        ("parted", _parted(outcome)),
        ("joined", _joined(outcome)),
        ("passes", _passes(outcome)),
        ("order", _order(outcome)),
        *(("refused", Piece(refused(each))) for each in outcome.refused[:MOST_NUMBERS]),
        *(("new input", piece(_new_input(each), "", 200)) for each in outcome.new_inputs[:MOST_NUMBERS]),
    ]
    yield from pairs(rows, width, indent="  ")
    for words in (*_stopped(outcome), *outcome.notes, *_hints(outcome)):
        yield from _paragraph(words, width)


def _paragraph(words: str, width: int) -> Iterator[Text]:
    for place, row in enumerate(wrapped(clean(words), width - 4, width - 4)):
        yield line(("  - " if not place else "    ") + row.rstrip())


def _verdict(outcome: Outcome) -> Piece:
    if outcome.interrupted:
        return Piece("interrupted", WARNING)
    if outcome.not_done:
        return Piece("the re-run could not go on", ERROR)
    kinds = ", ".join(f"{number} {kind}" for kind, number in outcome.summary.kinds.items())
    if kinds:
        return Piece(f"the re-run and the recording part: {kinds}", WARNING)
    if outcome.exit_status:
        return Piece("the re-run ended otherwise than the recording", WARNING)
    if outcome.live_since:
        return Piece(f"as recorded up to event {outcome.live_since}, and live from there", GOOD)
    apart = ", apart from what you gave" if outcome.summary.given else ""
    far = " as far as it went" if outcome.left else ""
    return Piece(f"the re-run is as recorded{far}{apart}", GOOD)


def _ended(outcome: Outcome) -> Cell:
    if outcome.stop is not None or outcome.problem:
        return Piece("stopped by the debugger")
    if outcome.left:
        return Piece("ended by you, before it came to its end")
    told_now = f"ended {how_ended(outcome.status)}"
    if outcome.ended_otherwise:
        return Piece(f"{told_now}; recorded is status {outcome.recorded_status}", WARNING)
    same = outcome.recorded_status is not None and outcome.recorded_status == outcome.status
    return Piece(told_now + (", as recorded" if same else ""))


def _answered(outcome: Outcome) -> str:
    found = outcome.summary
    parts = [
        f"{found.exact} as recorded" if found.exact else "",
        f"{found.changed} to changed questions" if found.changed else "",
        f"{len(found.expected)} as expected" if found.expected else "",
        f"{found.given} given by you" if found.given else "",
        f"{outcome.real} for real" if outcome.real else "",
    ]
    return ", ".join(filter(None, parts)) or "no calls"


def _parted(outcome: Outcome) -> str:
    first = outcome.summary.first
    if first is None:
        return ""
    return f"first at event {first.number}" if first.number else "at the end"


def _joined(outcome: Outcome) -> str:
    joined = outcome.summary.joined
    if joined is None:
        return "not again" if outcome.summary.first is not None and outcome.summary.first.number else ""
    same = f" (recorded as {joined.recorded})" if joined.recorded != joined.number else ""
    how_long = count(joined.in_a_row, "call") + (", to the end" if joined.to_the_end else "")
    return f"again at event {joined.number}{same}, for {how_long}"


def _passes(outcome: Outcome) -> str:
    if outcome.passes == 1:
        return ""
    return f"{outcome.passes}; a guess was wrong, and the program was started over"


def _order(outcome: Outcome) -> str:
    if not outcome.out_of_order:
        return ""
    return f"{count(outcome.out_of_order, 'part')} of answers came in another order than recorded"


def refused(event: dict[str, Any]) -> str:
    """A way to the network that was closed: where to, from where, and why."""
    metadata = event.get("metadata")
    told_of = metadata if isinstance(metadata, dict) else {}
    where = told_of.get("address") or event.get("component_name") or "the network"
    site = f" at {event['call_site']}" if event.get("call_site") else ""
    why = (
        "nobody listens there, and the recording does not hold it"
        if told_of.get("nobody")
        else "the network is closed"
    )
    return clean(f"a connection to {where}{site}: {why}", 200)


def _new_input(read: tuple[str, str, int]) -> str:
    source, site, times = read
    return f"{source}{f' at {site}' if site else ''}, read {count(times, 'time')} more than recorded"


def _stopped(outcome: Outcome) -> Iterator[str]:
    if outcome.stop is not None:
        yield told(outcome.stop)
        if outcome.stop.reserved:
            yield (
                f"{count(outcome.stop.reserved, 'recorded answer')} that came through the same functions "
                "answer questions that the program asks later"
            )
    if outcome.problem:
        yield outcome.problem


def _hints(outcome: Outcome) -> Iterator[str]:
    expected = [match for match in outcome.summary.expected if match.recorded]
    if expected:
        numbers = _numbers([match.number for match in expected])
        yield (
            f"{numbers}: what is asked there differs only by what was given in place of recorded answers, and still "
            f"got the recorded answer; --from {expected[0].recorded} asks anew"
        )


# --- for programs


def report_rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """The same as JSON objects: one for each divergence, and at the end one of the whole."""
    for found in outcome.divergences:
        yield divergence_row(found)
    found_in_all = outcome.summary
    yield {
        "result": "rerun",
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
