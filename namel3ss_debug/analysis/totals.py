"""The options of the analyses, the length of their lists, and the result for many traces."""

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


@dataclass
class Many:
    """The result for many traces: the document of all traces, and the data beside it.

    Attributes:
        document: everything but `traces`.
        rows: one for each trace that could be read, as `TraceResult.row`.
        groups: the overview of each group with `group` and `trace_count`; empty without groups.
        traces: the documents of the traces, as JSON; empty where they were not wanted.
    """

    document: dict[str, Any]
    rows: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    traces: list[bytes]
