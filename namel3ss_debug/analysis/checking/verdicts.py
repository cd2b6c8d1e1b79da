"""A check of a re-run's own trace fails where the re-run was not verified, whatever the user's rules say.

A re-run takes recorded answers, which may be stale. Its trace looks like that of a successful run all the same, so the
verdict on the re-run, which its `trace_end` holds, decides with the rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from namel3ss_debug.analysis.checking.conduct import BaseWatcher, CheckedRun
from namel3ss_debug.analysis.checking.coverage import Needs
from namel3ss_debug.analysis.checking.findings import Violation
from namel3ss_debug.analysis.checking.rules import CheckRule
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.late_ends import PENDING, VERDICT
from namel3ss_debug.wire import lenient

_VERIFIED: Final = frozenset({"matched", "matched_with_overrides"})


def has_verdict(first: Event) -> bool:
    """Return whether a trace is that of a re-run whose `trace_end` is to hold its verdict.

    Args:
        first: the first event of the trace.
    """
    metadata = lenient.mapping(first.get("metadata"))
    return lenient.mapping(metadata.get("rerun")).get("verdict") == PENDING


class VerdictWatcher(BaseWatcher):
    """Find what a re-run did not verify."""

    def __init__(self) -> None:
        self._verdict: Mapping[str, Any] = {}
        self._number = 0

    def event(self, number: int, event: Event) -> None:
        """Take the verdict."""
        if event["event_type"] == "trace_end":
            verdict = lenient.mapping(lenient.mapping(event.get("metadata")).get(VERDICT))
            if verdict:
                self._verdict, self._number = verdict, number

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Return the reasons for which the re-run is not verified, each with its events."""
        del run
        verdict = lenient.string(self._verdict.get("verdict"))
        if verdict in _VERIFIED:
            return
        numbers = [self._number] if self._number else []
        if verdict is None:
            yield Violation(
                "run", "not verified: the re-run ended without a verdict", numbers, detail="no verdict"
            )
        elif verdict == "diverged":
            kinds = lenient.mapping(self._verdict.get("divergences"))
            counts = ", ".join(f"{times} {kind}" for kind, times in kinds.items())
            what = f"the re-run diverged from its trace{f': {counts}' if counts else ''}"
            yield Violation("run", what, numbers, detail=verdict)
        elif verdict == "incomplete":
            yield Violation("run", "not verified: the re-run is incomplete", numbers, detail=verdict)
        for reason in lenient.mappings(self._verdict.get("reasons")):
            if reason.get("accepted") is not True:
                events = [each for each in lenient.sequence(reason.get("events")) if isinstance(each, int)]
                tool = lenient.string(reason.get("tool"))
                subject = f"tool:{tool}" if tool else "run"
                what = f"not verified: {lenient.string(reason.get('text')) or 'a recorded answer may differ now'}"
                yield Violation(
                    subject, what, events or numbers, detail=lenient.string(reason.get("kind")) or ""
                )


VERDICT_RULE: Final = CheckRule(
    name="re-run verified",
    level="error",
    message="",
    describes="a re-run is matched, or matched_with_overrides",
    kind="verdict",
    sections=(),
    spans=False,
    events=True,
    needs=Needs(),
    watch=lambda _context: VerdictWatcher(),
)
"""Added by itself where the trace is that of a re-run."""
