"""Find conditions that always go one way: choices that the program could make and never does.

Decisions are `decision` events and chain steps whose `step_type` is `decision` or `condition`. The choices are
compared. A decision whose inputs were always the same had to go one way, so it is no finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.sections.calls import OPEN, UNKNOWN, parse_json, pattern_to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from namel3ss_debug.analysis.sections.calls import Operation, PatternCall

LEAST_DECISIONS = 5


def find_one_way(calls: Iterable[PatternCall]) -> Iterator[dict[str, Any]]:
    """Yield the decisions that were made at least `LEAST_DECISIONS` times, always the same way.

    The confidence that the other way is never taken is that of Laplace's rule of succession: (n + 1) / (n + 2).
    """
    decisions: dict[Operation, list[PatternCall]] = {}
    for call in calls:
        if call.choice and call.outcome != OPEN and call.answer != UNKNOWN:
            decisions.setdefault(call.operation, []).append(call)
    for made in decisions.values():
        times = len(made)
        if times < LEAST_DECISIONS or len({call.answer for call in made}) > 1:
            continue
        if made[0].request != UNKNOWN and len({call.request for call in made}) == 1:
            continue
        yield pattern_to_json("one way", made, (times + 1) / (times + 2), chosen=parse_json(made[0].text))
