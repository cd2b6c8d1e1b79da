"""Find which tools of a recorded program return their recorded results again, without side effects.

The program runs again with its tools, in a child that refuses side effects. A tool that meets a refusal, or returns
something else, is answered from then on, and the program runs once more, until all tools that still run returned the
recorded results in the same run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.replay.rerun.consent import Consent
from namel3ss_debug.replay.rerun.divergences import RESULT
from namel3ss_debug.replay.rerun.outcomes import RerunOutcome
from namel3ss_debug.replay.rerun.preparation import RerunOptions, prepare
from namel3ss_debug.replay.rerun.requests import TOOL
from namel3ss_debug.replay.rerun.running import OutputEnds, rerun
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.wire import lenient

_REFUSED: Final = "side_effect"
"""In `metadata.kind` of an event that reports a refused side effect."""


def try_tools(
    trace: Trace,
    names: Iterable[str],
    config: DebugConfiguration,
    notice: Callable[[str], None],
    consent: Consent,
) -> dict[str, str]:
    """Return why each tool has to be answered; "" for one that returns its recorded results.

    Args:
        trace: the trace.
        names: the tools to try.
        config: the settings in force.
        notice: called with what is about to be run.
        consent: why the program may be started.

    Raises:
        RerunError: the program cannot run again.
        TargetError: it does not exist any more.
    """
    found: dict[str, str] = {}
    left = list(names)
    with tempfile.TemporaryDirectory(prefix="try-tools-") as folder:
        while left:
            notice(f"running the program again to try {', '.join(left)}")
            outcome = _run(trace, left, config, Path(folder), consent)
            reasons = _reasons(outcome, left)
            if not reasons and (
                outcome.stop or outcome.problem or outcome.interrupted or outcome.divergences
            ):
                reasons = dict.fromkeys(left, "the program did not finish when its tools were tried")
            if not reasons:
                called = _called(outcome)
                return found | {
                    name: "" if name in called else "it was not called when the tools were tried"
                    for name in left
                }
            found |= reasons
            left = [name for name in left if name not in reasons]
    return found


def _run(
    trace: Trace, names: list[str], config: DebugConfiguration, folder: Path, consent: Consent
) -> RerunOutcome:
    wanted = RerunOptions(run_tools=tuple(names), consent=consent)
    prepared = prepare(trace, wanted, replace(config, tools={}), folder)
    prepared = replace(prepared, session=replace(prepared.session, tries_tools=True))
    with Path(os.devnull).open("wb") as nowhere:
        return rerun(prepared, OutputEnds(nowhere.fileno(), nowhere.fileno()))


def _reasons(outcome: RerunOutcome, names: list[str]) -> dict[str, str]:
    """Return why some of these tools have to be answered, according to this run."""
    reasons: dict[str, str] = {}
    for event in outcome.refused:
        metadata = lenient.mapping(event.get("metadata"))
        if metadata.get("kind") != _REFUSED:
            continue
        site = lenient.string(event.get("call_site"))
        where = f" ({site})" if site else ""
        for tool in map(str, lenient.sequence(metadata.get("tools"))):
            reasons.setdefault(tool, f"it {metadata.get('what')}{where}")
    for each in outcome.divergences:
        if each.kind == RESULT and each.recorded is not None and each.recorded.request.kind == TOOL:
            reasons.setdefault(each.recorded.request.name, "its result differs from the recorded one")
    return {name: reasons[name] for name in names if name in reasons}


def _called(outcome: RerunOutcome) -> set[str]:
    """Return the names of the tools that were called in a run."""
    return {
        str(event.get("component_name"))
        for event in open_trace(outcome.trace).events()
        if event["event_type"] == "tool_call_start"
    }
