"""Conditions that always go one way: choices that the program could make and never does.

Decisions are `decision` events and chain steps whose `step_type` is `decision` or `condition`. The choices are
compared; a decision whose inputs were always the same is no finding, because then it had to go one way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.patterns.calls import OPEN, UNKNOWN
from namel3ss_debug.analysis.patterns.found import pattern, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from namel3ss_debug.analysis.patterns.calls import Call, Operation

LEAST_DECISIONS = 5


def one_way(calls: Iterable[Call]) -> Iterator[dict[str, Any]]:
    """The decisions that were made at least `LEAST_DECISIONS` times, always the same way.

    The confidence that the other way is never taken is that of Laplace's rule of succession: (n + 1) / (n + 2).
    """
    decisions: dict[Operation, list[Call]] = {}
    for call in calls:
        if call.choice and call.outcome != OPEN and call.answered != UNKNOWN:
            decisions.setdefault(call.operation, []).append(call)
    for made in decisions.values():
        times = len(made)
        if times < LEAST_DECISIONS or len({call.answered for call in made}) > 1:
            continue
        if made[0].asked != UNKNOWN and len({call.asked for call in made}) == 1:
            continue
        yield pattern("one way", made, (times + 1) / (times + 2), chosen=value_of(made[0].text))
