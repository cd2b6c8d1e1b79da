"""Decide how a run ended. Every command asks here, so that a run has the same outcome everywhere."""

from __future__ import annotations

from typing import Final, NamedTuple

from namel3ss_debug.traces.events import Event
from namel3ss_debug.wire import lenient

OUTCOMES: Final[dict[str, str]] = {
    "completed": "it ended by itself, with status 0 where that is known",
    "failed": "an exception ended it, its exit status was not 0, or a span at the top of the trace failed",
    "killed": "it ended without recording its end: a signal killed it, or `os._exit` ended it",
    "interrupted": "Ctrl-C ended it",
    "stopped": "a server that SIGTERM shut down in order, or a program that `quit` of the debugger ended",
    "running": "a process still writes the trace",
    "unknown": "the end of its compressed file cannot be read",
}
"""Outcome -> what it means."""

NOT_GOOD: Final = frozenset({"failed", "killed"})
"""What `list --failed` shows."""


class Outcome(NamedTuple):
    """How a run ended: one of `OUTCOMES`, and what is known besides, such as `exit status 3`; empty for nothing."""

    name: str
    detail: str = ""


def describe_outcome(outcome: str, detail: str) -> str:
    """Return an outcome with what is known besides, such as `failed (exit status 3)`."""
    return f"{outcome} ({detail})" if detail else outcome


class RunEnd:
    """What the events of a trace say about its end, gathered event by event.

    Attributes:
        exit_status: the latest that a process recorded.
        error_type: the type of the latest exception that was not caught; empty where there was none.
        interrupted: whether a Ctrl-C was not caught.
        stopped_by: what shut the first process down: the signal to a server, or the debugger; empty for none.
        failed_at_top: whether a span at the top failed; set by the reader of spans.
        has_end: whether there was a `trace_end`.
    """

    def __init__(self) -> None:
        self.exit_status: int | None = None
        self.error_type = self.stopped_by = ""
        self.interrupted = self.failed_at_top = self.has_end = False

    def add(self, event: Event) -> None:
        """Take a `trace_end` or an `error_occurred`; other events say nothing about the end."""
        metadata = lenient.mapping(event.get("metadata"))
        if event["event_type"] == "trace_end":
            self.has_end = True
            status = metadata.get("exit_status")
            self.exit_status = status if type(status) is int else self.exit_status
            if str(event.get("event_id", ""))[:1] != "p":  # a program that stops its own server goes on
                self.stopped_by = lenient.string(metadata.get("stopped_by")) or self.stopped_by
        elif event["event_type"] == "error_occurred" and metadata.get("uncaught"):
            self.error_type = lenient.string(event.get("error_type")) or ""
            # In a notebook, Ctrl-C ends a cell and not the program.
            in_cell = str(event.get("call_site", "")).startswith("In[")
            self.interrupted |= self.error_type == "KeyboardInterrupt" and not in_cell

    def merge(self, later: RunEnd) -> None:
        """Add what a later part of the trace says."""
        self.exit_status = self.exit_status if later.exit_status is None else later.exit_status
        self.error_type = later.error_type or self.error_type
        self.stopped_by = later.stopped_by or self.stopped_by
        self.interrupted |= later.interrupted
        self.failed_at_top |= later.failed_at_top
        self.has_end |= later.has_end


def decide_outcome(ending: str, end: RunEnd) -> Outcome:
    """Return how a run ended.

    Args:
        ending: what its files show: `finished`, `open`, `killed` or `unknown`, see `store.ending`.
        end: what its events say.
    """
    if ending == "open":
        return Outcome("running")
    if ending == "killed":
        return Outcome("killed")
    if ending == "unknown" and not end.has_end:
        return Outcome("unknown")
    if end.stopped_by:
        return Outcome("stopped", end.stopped_by)
    if end.interrupted and end.exit_status is None:
        return Outcome("interrupted")
    if end.exit_status:
        return Outcome("failed", end.error_type or f"exit status {end.exit_status}")
    return Outcome("failed" if end.failed_at_top else "completed")
