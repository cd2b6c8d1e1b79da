"""Define how a re-run answers calls: by the trace, and by what the user wants to be different."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from namel3ss_debug.expressions import name_fits
from namel3ss_debug.replay.rerun.addresses import SuppliedHosts
from namel3ss_debug.replay.rerun.consent import Consent
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls
from namel3ss_debug.replay.rerun.requests import COMMAND, Request
from namel3ss_debug.replay.rerun.tool_code import TraceCode

ALL: Final = "all"
"""In `Plan.run_tools` and `Plan.run_commands`: run every one for real."""

CHANGED_ONES: Final = "changed"
"""In `Plan.try_tools`: those whose code has changed, or may have."""

RUN: Final = "run"
ANSWER: Final = "answer"


@dataclass(frozen=True)
class Plan:
    """How a re-run answers calls.

    Attributes:
        recorded: the recorded calls.
        run_tools: the names of the tools that are run for real, or `ALL`.
        strict: whether the first divergence ends the run.
        live_from: the number of the event from which on everything is called for real; 0 for never.
        realtime: whether answers take their recorded time.
        run_changed_tools: whether tools are run whose code has changed since the trace was recorded, or may have.
        tools: the setting `tools`: a pattern of names -> `run` or `answer`, for tools whose code has changed.
        code: the code that the trace holds of its tools.
        run_commands: the names of the programs whose commands are run for real, or `ALL`.
        try_tools: which answered tools are tried as well, in a copy of the program: `changed`, `all`, or "" for none.
        exact_only: whether an edited request ends the run, as in a test.
        consent: why the program may be started.
        hang_seconds: how much longer than ever in the trace a program may do nothing; 0 for no limit.
        supplied: the hosts that a trace of somebody else supplies, where calls are made for real.
    """

    recorded: RecordedCalls
    run_tools: frozenset[str] = frozenset()
    strict: bool = False
    live_from: int = 0
    realtime: bool = False
    run_changed_tools: bool = False
    tools: Mapping[str, str] = field(default_factory=dict)
    code: TraceCode = field(default_factory=TraceCode)
    run_commands: frozenset[str] = frozenset()
    try_tools: str = ""
    exact_only: bool = False
    consent: Consent = "program"
    hang_seconds: float = 0.0
    supplied: SuppliedHosts | None = None

    @cached_property
    def ordered(self) -> bool:
        """Whether answers have an order to keep: several tasks made calls, or one made overlapping calls."""
        task_keys = {recorded_call.request.task_key for recorded_call in self.recorded.calls.values()}
        return len(task_keys) > 1 or bool(self.recorded.concurrent_tasks)

    @property
    def answers_calls_only(self) -> bool:
        """Whether the program has to wait at its calls only: one task made them, and the trace answers all."""
        return not (self.ordered or self.live_from or self._runs_some or self.may_run_changed_tools)

    @property
    def may_run_changed_tools(self) -> bool:
        """Whether a tool may be run because its code has changed."""
        return self.run_changed_tools or RUN in self.tools.values()

    @property
    def is_closed(self) -> bool:
        """Whether nothing is called for real, so that no server sees what a program only passes on."""
        return not (self._runs_some or self.may_run_changed_tools or self.live_from)

    @property
    def _runs_some(self) -> bool:
        return bool(self.run_tools or self.run_commands)

    def runs(self, request: Request) -> bool:
        """Return whether a tool or a command is run for real."""
        names = self.run_commands if request.kind == COMMAND else self.run_tools
        return ALL in names or request.name in names

    def may_start(self, *, exact: bool) -> bool:
        """Return whether a command starts again because the trace holds its process.

        The user saw the recorded commands of a trace that is not the user's own, and no others.
        """
        return self.consent == "signature" or (self.consent == "user" and exact)

    def runs_when_changed(self, name: str) -> bool:
        """Return whether a tool is run once its code has changed.

        The setting `answer` takes precedence over `--run-changed-tools`: it marks side effects that must not happen.
        """
        declared = self.declared(name)
        return declared == RUN or (self.run_changed_tools and declared != ANSWER)

    def declared(self, name: str) -> str:
        """Return the value of the setting `tools` for a tool, by the first pattern that matches; "" for none."""
        return find_declared(self.tools, name)


def find_declared(tools: Mapping[str, str], name: str) -> str:
    """Return the value of the setting `tools` for a tool, by the first pattern that matches; "" for none."""
    return next((what for pattern, what in tools.items() if name_fits(name, pattern)), "")
