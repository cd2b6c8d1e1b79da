"""The outcome of a re-run in words: how it ended, how its calls were answered, and what to do next.

Most re-runs have nothing else to report, so this is written without rich (`rows`); `divergences` does the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from namel3ss_debug.replay.rerunning.boundaries import VALUED
from namel3ss_debug.replay.rerunning.impasses import told
from namel3ss_debug.replay.words import how_ended
from namel3ss_debug.views.cleaning import ERROR, GOOD, WARNING, Piece, clean, piece, wrapped
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.rows import Row, labelled, shortened

if TYPE_CHECKING:
    from namel3ss_debug.replay.rerunning.outcomes import Outcome

MOST_NUMBERS = 8
_OF_PROGRAM = re.compile(r":\d+\Z")
"""The end of a place in the program's own code; a place in a library ends with the name of a function."""


def outcome_rows(outcome: Outcome, width: int) -> Iterator[Row]:
    """The outcome of a re-run: how it ended, how its calls were answered, and what to do next."""
    yield (shortened(_verdict(outcome), width),)
    rows: list[tuple[str, Piece | str]] = [
        ("program", _ended(outcome)),
        ("answered", _answered(outcome)),
        ("parted", _parted(outcome)),
        ("joined", _joined(outcome)),
        ("passes", _passes(outcome)),
        ("order", _order(outcome)),
        *(("refused", Piece(refused(each))) for each in outcome.refused[:MOST_NUMBERS]),
        *(("new input", piece(each, "", 200)) for each in islice(_new_inputs(outcome), MOST_NUMBERS)),
    ]
    yield from labelled(rows, width, indent="  ")
    for words in (*_stopped(outcome), *outcome.notes, *_hints(outcome)):
        yield from _paragraph(words, width)


def _paragraph(words: str, width: int) -> Iterator[Row]:
    for place, row in enumerate(wrapped(clean(words), width - 4, width - 4)):
        yield (Piece(("  - " if not place else "    ") + row.rstrip()),)


def _verdict(outcome: Outcome) -> Piece:
    """The verdict on the re-run, in a few words."""
    if outcome.interrupted:
        return Piece("interrupted", WARNING)
    if outcome.not_done:
        return Piece("the re-run could not go on", ERROR)
    kinds = ", ".join(f"{number} {kind}" for kind, number in outcome.summary.kinds.items())
    if kinds:
        return Piece(f"the re-run and the recording part: {kinds}", WARNING)
    if outcome.parted:
        return Piece("the re-run ended otherwise than the recording", WARNING)
    if outcome.live_since:
        return Piece(f"as recorded up to event {outcome.live_since}, and live from there", GOOD)
    apart = ", apart from what you gave" if outcome.summary.given else ""
    far = " as far as it went" if outcome.left else ""
    return Piece(f"the re-run is as recorded{far}{apart}", GOOD)


def _ended(outcome: Outcome) -> Piece:
    """How the program ended, and how it ended in the recording."""
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
    """Where the answers came from, counted."""
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
    """A refused attempt to reach the network: its target, the place in the code, and the reason."""
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


def _new_inputs(outcome: Outcome) -> Iterator[str]:
    """Inputs that were not read in the recorded run: by place in the program, those of libraries as one."""
    of_libraries: Counter[str] = Counter()
    for source, site, times in outcome.new_inputs:
        if site and not _OF_PROGRAM.search(site):
            of_libraries[source] += times
        else:
            yield f"{source}{f' at {site}' if site else ''}, read {count(times, 'time')} more than recorded"
    for source, times in of_libraries.items():
        yield f"{source}, read {count(times, 'time')} more by libraries than recorded"


def _stopped(outcome: Outcome) -> Iterator[str]:
    """Why the re-run could not go on."""
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
    if outcome.same_code and outcome.parted and not (outcome.interrupted or outcome.not_done):
        yield "no code is newer than the recording; namel3ss debug doctor tells what the program does not repeat"
    expected = [match for match in outcome.summary.expected if match.recorded]
    if not expected:
        return
    numbers = [match.number for match in expected]
    recorded = [match.recorded for match in expected]
    same = "" if numbers == recorded else f" (recorded as {_few(recorded)})"
    yield (
        f"{named_events(numbers)}{same}: what is asked there differs only by what was given in place of recorded answers, "
        f"and still got the recorded answer; {_anew(outcome, recorded)}"
    )


def _anew(outcome: Outcome, recorded: list[int]) -> str:
    """How to have the questions at some recorded events answered anew: tools do not run behind `--from`."""
    questions = {number: outcome.recorded.boundaries[number].question for number in recorded}
    asked = [number for number, question in questions.items() if question.kind not in VALUED]
    tools = list(dict.fromkeys(question.name for question in questions.values() if question.kind in VALUED))
    ways = [f"--from {asked[0]} asks anew"] if asked else []
    if tools:
        ways.append(
            f"--run-tools {clean(tools[0], 60)} runs that tool"
            if len(tools) == 1
            else "--run-tools runs tools"
        )
    return ", and ".join(ways)


def named_events(numbers: list[int]) -> str:
    """Events by their numbers; of many, only the first few."""
    return f"{'event' if len(numbers) == 1 else 'events'} {_few(numbers)}"


def _few(numbers: list[int]) -> str:
    more = len(numbers) - MOST_NUMBERS
    return ", ".join(map(str, numbers[:MOST_NUMBERS])) + (f" and {more} more" if more > 0 else "")
