"""An alert: one episode of one rule about one subject."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

PENDING: Final = "pending"
FIRING: Final = "firing"
RESOLVED: Final = "resolved"
STATES: Final = (PENDING, FIRING, RESOLVED)
"""The states of an alert: the condition is met, but not yet as long as the rule wants; it is; it is over."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode of one rule about one subject of one trace.

    Attributes:
        rule: the name of the rule.
        severity: one of `analysis.findings.SEVERITIES`.
        state: one of `STATES`.
        text: what was seen, a sentence without a full stop; it contains text of the trace.
        labels: sorted pairs, such as ("tool", "search").
        value: the value that exceeded the threshold, where the rule compares one.
        threshold: what it is compared with.
        began: when the condition was first met, seconds since 1970.
        fired: when the alert fired; None while it is pending.
        ended: when the condition was over; None before.
        trace: the path of the trace; of its folder for a rule about all of them.
        events: the numbers of the events that prove it.
        command: the command that goes there.
        fingerprint: the same for the same rule, labels and subject in every run.
        episode: unique for the episode: of the fingerprint, the trace and `began`.
    """

    rule: str
    severity: str
    state: str
    text: str
    labels: tuple[tuple[str, str], ...]
    value: float | None
    threshold: float | None
    began: float
    fired: float | None
    ended: float | None
    trace: str
    events: tuple[int, ...]
    command: str
    fingerprint: str
    episode: str

    def to_json(self) -> dict[str, Any]:
        """Return the alert as every document has it."""
        return {**asdict(self), "labels": dict(self.labels), "events": list(self.events)}
