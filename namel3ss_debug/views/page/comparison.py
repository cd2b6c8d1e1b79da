"""What a page holds of two runs beside each other: their transcripts line by line, and the differences that `diff` finds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from namel3ss_debug.analysis.diff.comparison import Diff, RunComparison, find_differences, load_run
from namel3ss_debug.analysis.diff.differences import KINDS, RunDifference
from namel3ss_debug.analysis.diff.event_alignment import align_events, map_events
from namel3ss_debug.analysis.diff.masks import Masks
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.views.cleaning import clean
from namel3ss_debug.views.diff import compare_amounts, describe_difference
from namel3ss_debug.views.page.page_data import Columns
from namel3ss_debug.views.quantities import count

LONGEST_TEXT: Final = 400


class ComparedPage(NamedTuple):
    """What a page holds of two runs besides each of them.

    Attributes:
        facts: what differs, as JSON.
        lines: the events of both runs that have a line, aligned; in columns.
    """

    facts: dict[str, Any]
    lines: Columns


def read_comparison(
    traces: Sequence[Trace],
    columns: Sequence[Columns],
    masks: Masks,
    sides: tuple[str, str] = ("a", "b"),
) -> ComparedPage:
    """Compare two traces for a page.

    Args:
        traces: both, as the page reads them: without secrets, and without content that it does not hold.
        columns: those of the page of each.
        masks: what is not compared.
        sides: what they are called.
    """
    comparison = RunComparison(*(load_run(trace, masks) for trace in traces))
    found = find_differences(comparison, masks)
    same = map_events(comparison)
    lines = [_LineNumbers(each["transcript"]) for each in columns]
    numbers: list[tuple[int, int]] = []
    for each in found.differences:
        a, b = lines[0].find(each.number_a), lines[1].find(each.number_b)
        # What has no line of its own, such as a printed one, gets one here; not where the other run has one, which shows it.
        a = a or (0 if b else lines[0].add(each.number_a))
        b = b or (0 if a and each.number_a and lines[0].has_line(a) else lines[1].add(each.number_b))
        numbers.append((a, b))
        if a and b:
            same.setdefault(a, b)
    pairs = align_events(lines[0].numbers, lines[1].numbers, same)
    row_of = {
        **{("b", pair.b): row for row, pair in enumerate(pairs) if pair.alone != "a"},
        **{("a", pair.a): row for row, pair in enumerate(pairs) if pair.alone != "b"},
    }
    rows = [row_of["b", b] if b else row_of.get(("a", a), 0) for a, b in numbers]
    return ComparedPage(
        {
            "sides": sides,
            "same": found.same,
            "heading": _heading(found),
            "kinds": KINDS,
            "differences": [
                _to_json(each, row) for each, row in zip(found.differences, rows, strict=True)
            ],
            "first": next((row for each, row in zip(found.differences, rows, strict=True) if each is found.first), -1),
            "notes": list(_describe_notes(found)),
            "amounts": compare_amounts(found.a, found.b),
        },
        {
            "a": [pair.a for pair in pairs],
            "b": [pair.b for pair in pairs],
            "alone": [pair.alone for pair in pairs],
        },
    )  # fmt: skip


class _LineNumbers:
    """The events of a run that have a line.

    Attributes:
        numbers: their numbers, in the order of the lines.
    """

    def __init__(self, transcript: Columns) -> None:
        self.numbers: list[int] = list(transcript["number"])
        self._shown_by = {
            end: number for number, end in zip(self.numbers, transcript["end"], strict=True) if end
        }
        self._shown_by |= {number: number for number in self.numbers}
        self._lines = frozenset(self.numbers)

    def find(self, number: int | None) -> int:
        """Return the event whose line shows an event; 0 for none."""
        return self._shown_by.get(number or 0, 0)

    def has_line(self, number: int) -> bool:
        """Return whether the transcript has a line for an event."""
        return number in self._lines

    def add(self, number: int | None) -> int:
        """Give an event a line after those before it, and return it; 0 for no event."""
        if number:
            self.numbers.insert(bisect_right(self.numbers, number), number)
            self._shown_by[number] = number
        return number or 0


def _heading(found: Diff) -> str:
    if found.same:
        return "The runs are the same run"
    return f"The runs diverge: {', '.join(f'{number} {kind}' for kind, number in found.kinds.items())}"


def _to_json(found: RunDifference, row: int) -> dict[str, Any]:
    return {
        "row": row,
        "kind": found.kind,
        "lasting": found.lasting,
        "carried": found.carried_from is not None,
        "component": found.component,
        "name": clean(found.name or found.event_type, LONGEST_TEXT),
        "a": found.number_a or 0,
        "b": found.number_b or 0,
        "text": clean(describe_difference(found), LONGEST_TEXT),
    }


def _describe_notes(found: Diff) -> Iterable[str]:
    """Yield what else is known, as sentences."""
    if not found.payloads:
        yield "One holds no arguments and results: names, order and status are compared."
    if found.reordered:
        yield f"{count(found.reordered, 'call')} in another order, as they ran side by side: no difference."
    if met := found.reconvergence:
        end = ", to the end" if met.to_the_end else ""
        yield f"They reconverge at event {met.number_a} and {met.number_b}, for {count(met.in_a_row, 'step')}{end}."
    elif found.first is not None:
        yield "They do not reconverge."
    left = sum(found.kinds.values()) - len(found.differences)
    if left:
        yield f"{left:,} more differences are not marked."
