"""Link the values of a span to where they came from and where they went: the place in each payload, by event and path.

The values of a call are its arguments, those of an answer the numbers and identifiers in its text. A source is the first
output before it that has the value; without one, the first input that has it, which was given from outside. A use is an
input after it that has the value. Of each span the `LOOKED_AT` that ended before it and began after it are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from namel3ss_debug.analysis.failures.origins import make_step
from namel3ss_debug.analysis.failures.steps import (
    Leaf,
    SpanStep,
    contains,
    iter_leaves,
    search_text,
    searchable_text,
)
from namel3ss_debug.analysis.failures.suspects import find_claims
from namel3ss_debug.traces.span_table import SpanTable

LOOKED_AT: Final = 400
MOST_VALUES: Final = 12
MOST_PLACES: Final = 8
_DEEPEST: Final = 40


class ValuePlace(NamedTuple):
    """A place where a value is: the number of the event, the path in it with dots, and what happened there."""

    event: int
    path: str
    how: str


class ValueLink(NamedTuple):
    """A value of a span, where it came from and where it was used.

    Attributes:
        place: where it is.
        value: the value, with its name.
        sources: where it came from, the first one first.
        uses: where it went.
    """

    place: ValuePlace
    value: str
    sources: tuple[ValuePlace, ...]
    uses: tuple[ValuePlace, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the link as JSON."""
        return {
            "event": self.place.event,
            "path": self.place.path,
            "value": self.value,
            "sources": [place._asdict() for place in self.sources],
            "uses": [place._asdict() for place in self.uses],
        }


def find_value_links(spans: SpanTable, numbers: Iterable[int]) -> Iterator[ValueLink]:
    """Yield the links of the values of some spans, each span once.

    Args:
        spans: the table of spans of one trace.
        numbers: the numbers of events, each the start or the end of a span; others are passed over.
    """
    row_of = {number: row for row, number in enumerate(spans.number)}
    row_of |= {number: row for row, number in enumerate(spans.end) if number}
    by_end = sorted((row for row, end in enumerate(spans.end) if end), key=spans.end.__getitem__)
    steps: dict[int, SpanStep] = {}

    def read(row: int) -> SpanStep:
        if row not in steps:
            steps[row] = make_step(spans, row, *spans.events(row))
        return steps[row]

    for row in dict.fromkeys(row_of[number] for number in numbers if number in row_of):
        step = read(row)
        ended_before = [each for each in by_end if spans.end[each] < step.number]
        earlier = [read(each) for each in ended_before[-LOOKED_AT:]]
        last = step.end_number or step.number
        began_after = (each for each in range(row + 1, len(spans)) if spans.number[each] > last)
        later = [read(each) for each in islice(began_after, LOOKED_AT)]
        yield from _link_values(step, earlier, later)


def _link_values(
    step: SpanStep, earlier: Sequence[SpanStep], later: Sequence[SpanStep]
) -> Iterator[ValueLink]:
    writes = step.component == "llm"
    inputs = step.start.get("inputs")
    payload = step.end.get("outputs") if writes else inputs
    leaves = find_claims(step) if writes else iter_leaves(step.arguments)
    for leaf in islice(filter(search_text, leaves), MOST_VALUES):
        path = find_path(payload, leaf)
        if path is None:
            continue
        # What a model writes, it may have read itself.
        sources = _find_sources(leaf, earlier, [*earlier, step] if writes else earlier)
        uses = _find_places(leaf, later, _find_input)
        if sources or uses:
            number = step.end_number if writes else step.number
            place = ValuePlace(number, f"{'outputs' if writes else 'inputs'}.{path}", "")
            yield ValueLink(place, leaf.shown, sources, uses)


def _find_sources(
    leaf: Leaf, writers: Sequence[SpanStep], readers: Sequence[SpanStep]
) -> tuple[ValuePlace, ...]:
    found = _find_places(leaf, writers, _find_output)
    first = next((step for step in readers if contains(step.inputs_text, leaf)), None)
    place = None if first is None else _find_input(leaf, first)
    if place is not None and (not found or place.event < found[0].event):
        return (place._replace(how="received it from outside the run"), *found[: MOST_PLACES - 1])
    return found


def _find_places(
    leaf: Leaf, steps: Sequence[SpanStep], find: Callable[[Leaf, SpanStep], ValuePlace | None]
) -> tuple[ValuePlace, ...]:
    places = (place for step in steps if (place := find(leaf, step)) is not None)
    return tuple(islice(places, MOST_PLACES))


def _find_output(leaf: Leaf, step: SpanStep) -> ValuePlace | None:
    path = find_path(step.end.get("outputs"), leaf) if contains(step.outputs_text, leaf) else None
    how = "wrote it" if step.writes else "returned it"
    return None if path is None else ValuePlace(step.end_number, f"outputs.{path}", how)


def _find_input(leaf: Leaf, step: SpanStep) -> ValuePlace | None:
    path = find_path(step.start.get("inputs"), leaf) if contains(step.inputs_text, leaf) else None
    how = "read it" if step.writes else "was called with it"
    return None if path is None else ValuePlace(step.number, f"inputs.{path}", how)


def find_path(payload: Any, leaf: Leaf) -> str | None:
    """Return where in a payload a value is, as names and indexes with dots; of several places the last, None for none.

    A later message repeats nothing, so the last place is where the value is new.
    """
    waiting: list[tuple[str, str, Any, int]] = [("", "", payload, 0)]
    while waiting:
        path, key, value, depth = waiting.pop()
        members = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else None
        )
        if members is None:
            if contains(searchable_text({key: value}), leaf):
                return path
        elif depth < _DEEPEST:
            waiting += [
                (
                    f"{path}.{name}" if path else str(name),
                    key if isinstance(value, list) else str(name),
                    each,
                    depth + 1,
                )
                for name, each in members
            ]
    return None
