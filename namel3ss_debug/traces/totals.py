"""The totals of a trace up to one event: time, tokens, cost, and the events that report a failure.

These are the `totals` of the expression language. They are kept as whole numbers, so that the same events always add
up to the same totals, in whatever order they were added.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from namel3ss_debug.prices import PICODOLLARS
from namel3ss_debug.traces.costs import Cost, lacks_price, recorded_cost
from namel3ss_debug.traces.events import Event, without_pauses
from namel3ss_debug.traces.facts import has_failed, states_amounts, total_tokens

_CONTAINERS = frozenset({"app", "agent", "prompt", "chain"})
"""Components whose spans contain calls: the tokens and cost in their events are sums that are already counted."""


class Totals(NamedTuple):
    """Totals up to one event.

    `cost_pico` is in 1e-12 dollars; `errors` counts the events that `is_failure` names; `began_at` and `reached_at` are
    the first and the latest timestamp in seconds since the epoch, None before there is one. `unpriced` counts the model
    calls whose cost is not known: `cost_pico` does not include them.
    """

    cost_pico: int = 0
    tokens: int = 0
    errors: int = 0
    began_at: float | None = None
    reached_at: float | None = None
    unpriced: int = 0

    @property
    def ms(self) -> float:
        """Milliseconds from the first timestamp to the latest."""
        if self.began_at is None or self.reached_at is None:
            return 0.0
        return (self.reached_at - self.began_at) * 1000

    @property
    def cost(self) -> float:
        """US dollars."""
        return self.cost_pico / PICODOLLARS

    def scope(self) -> dict[str, Any]:
        """Return the totals by their names in the expression language."""
        return {"cost": self.cost, "tokens": self.tokens, "errors": self.errors, "ms": self.ms}


class RunningTotals:
    """Totals that are updated event by event; the attributes are those of `Totals`."""

    __slots__ = ("began_at", "cost_pico", "errors", "reached_at", "tokens", "unpriced")

    def __init__(self) -> None:
        self.cost_pico = self.tokens = self.errors = self.unpriced = 0
        self.began_at: float | None = None
        self.reached_at: float | None = None

    def add(self, event: Event, cost: Cost | None) -> None:
        """Take the next event, with the cost that the table of spans has for the span that it ends."""
        time = (without_pauses(event) if "paused_before_ms" in event else event).get("timestamp")
        if type(time) is float or type(time) is int:
            latest = self.reached_at
            if latest is None:
                self.began_at = self.reached_at = time
            elif time > latest:
                self.reached_at = time
        event_type = event["event_type"]
        if event_type[-6:] == "_start":
            return
        # most events succeeded, and for these no function is called
        if (event.get("status") != "completed" or event_type == "error_occurred") and is_failure(event):
            self.errors += 1
        component = event.get("component")
        if component == "llm" and event_type[-4:] == "_end":
            if "tokens_used" in event or "usage" in event:
                self.tokens += total_tokens(event)
            if cost is not None:
                self.cost_pico += cost.amount
            else:
                self.unpriced += lacks_price(event)
        elif states_amounts(event) and component not in _CONTAINERS:
            self.cost_pico += recorded_cost(event) or 0
            self.tokens += total_tokens(event)

    def totals(self) -> Totals:
        """Return the totals of the events taken so far."""
        return Totals(self.cost_pico, self.tokens, self.errors, self.began_at, self.reached_at, self.unpriced)


def is_failure(event: Event) -> bool:
    """Whether an event reports a failure: a failed end, or an error that the program reported."""
    return event["event_type"] == "error_occurred" or has_failed(event)
