"""What every fold is given: the options when it is made, and the totals of the whole trace when its result is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from namel3ss_debug.config.values import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTED = 100
"""The most entries of a list in a result; the number of all entries is beside it."""


@dataclass(frozen=True)
class Options:
    """The options of a user for the analyses.

    `slow_ms`: how long an operation may take before it counts as slow. `triggers`: the thresholds of the rules of the
    section `triggers`, as in `config.TRIGGERS`; None for a rule that is switched off. `error_indicators`: further
    patterns of messages in the log that report an error, by name.
    """

    slow_ms: float = 1000.0
    triggers: Mapping[str, float | None] = field(default_factory=lambda: dict(TRIGGERS))
    error_indicators: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TraceTotals:
    """What the driver counted over the whole trace.

    `types` counts the events by type; `first_at` and `last_at` are the earliest and the latest timestamp, in
    nanoseconds since the epoch, None where no event has one; `sections` are the results of the folds that
    the asking fold `needs`, and `table` holds the rows of all sections.
    """

    types: Mapping[str, int] = field(default_factory=dict)
    spans: int = 0
    open_spans: int = 0
    orphan_ends: int = 0
    first_at: int | None = None
    last_at: int | None = None
    sections: Mapping[str, Any] = field(default_factory=dict)
    table: Mapping[str, Any] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """How many events there were."""
        return sum(self.types.values())

    @property
    def wall_ns(self) -> int | None:
        """Nanoseconds from the first timestamp to the last."""
        if self.first_at is None or self.last_at is None:
            return None
        return self.last_at - self.first_at
