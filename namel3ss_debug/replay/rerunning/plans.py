"""What a program runs again by: the answers of its recording, and what the user wants to be different."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from namel3ss_debug.expressions import name_fits
from namel3ss_debug.replay.rerunning.boundaries import Question
from namel3ss_debug.replay.rerunning.codes import CodeOfTrace
from namel3ss_debug.replay.rerunning.recorded import Recorded

ALL: Final = "all"
"""In `Plan.run_tools`: every tool is run for real."""

RUN: Final = "run"
ANSWER: Final = "answer"

MOST_PASSES: Final = 4
"""After so many passes that had to start over, what the guesses took is ambiguous."""


@dataclass(frozen=True)
class Plan:
    """By what a program runs again.

    Attributes:
        recorded: the answers.
        run_tools: the names of the tools that are run for real, or `ALL`.
        strict: whether the first divergence ends the run.
        live_from: the number of the event from which on models and other servers are asked for real; 0 for never.
        offline: whether nothing is asked for real even then.
        realtime: whether answers take the time that they took.
        run_changed_tools: whether tools are run whose code has changed since the trace was recorded.
        tools: the setting `tools`: a pattern of names -> `run` or `answer`, for tools whose code has changed.
        code: the code that the trace holds of its tools.
    """

    recorded: Recorded
    run_tools: frozenset[str] = frozenset()
    strict: bool = False
    live_from: int = 0
    offline: bool = False
    realtime: bool = False
    run_changed_tools: bool = False
    tools: Mapping[str, str] = field(default_factory=dict)
    code: CodeOfTrace = field(default_factory=CodeOfTrace)

    @cached_property
    def ordered(self) -> bool:
        """Whether answers have an order to keep: the recording is of several lines of work, whether they are told apart or not."""
        strands = {boundary.question.strand for boundary in self.recorded.boundaries.values()}
        return len(strands) > 1 or bool(self.recorded.crowded)

    @property
    def answers_calls_only(self) -> bool:
        """Whether nothing but its calls has to wait: the recording is one line of work, and all of it counts."""
        return not (self.ordered or self.live_from or self.run_tools or self.may_run_changed_tools)

    @property
    def may_run_changed_tools(self) -> bool:
        """Whether a tool may be run because its code has changed."""
        return self.run_changed_tools or RUN in self.tools.values()

    @property
    def asks_nobody(self) -> bool:
        """Whether nothing is asked for real, so that nobody sees what a program only passes on."""
        return not (self.run_tools or self.may_run_changed_tools) and (self.offline or not self.live_from)

    def runs(self, question: Question) -> bool:
        """Whether a tool is run for real."""
        return ALL in self.run_tools or question.name in self.run_tools

    def runs_when_changed(self, name: str) -> bool:
        """Return whether a tool is run once its code has changed.

        The setting `answer` takes precedence over `--run-changed-tools`: it marks side effects that must not happen.
        """
        declared = self.declared(name)
        return declared == RUN or (self.run_changed_tools and declared != ANSWER)

    def declared(self, name: str) -> str:
        """Return what the setting `tools` says of a tool, by its first pattern that fits; "" where none does."""
        return find_declared(self.tools, name)


def find_declared(tools: Mapping[str, str], name: str) -> str:
    """Return what the setting `tools` says of a tool, by its first pattern that fits; "" where none does."""
    return next((what for pattern, what in tools.items() if name_fits(name, pattern)), "")
