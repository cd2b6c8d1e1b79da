"""Find which tools of a recorded program return their recorded results again, without side effects.

The program runs again once, on its recorded answers. At each answered call of a tool, a forked copy of the program runs
the tool, with side effects refused (`capture.seams.functions.trials`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.replay.rerun.consent import Consent
from namel3ss_debug.replay.rerun.outcomes import RerunOutcome
from namel3ss_debug.replay.rerun.plan import ALL
from namel3ss_debug.replay.rerun.preparation import RerunOptions, prepare
from namel3ss_debug.replay.rerun.running import OutputEnds, rerun
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.wire import lenient


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
    names = list(names)
    if not names:
        return {}
    notice(f"running the program again to try {', '.join(names)}")
    with tempfile.TemporaryDirectory(prefix="try-tools-") as folder:
        wanted = RerunOptions(consent=consent, try_tools=ALL)
        prepared = prepare(trace, wanted, replace(config, tools={}), Path(folder))
        with Path(os.devnull).open("wb") as nowhere:
            outcome = rerun(prepared, OutputEnds(nowhere.fileno(), nowhere.fileno()))
        tried = _read_trials(outcome)
    if outcome.stop or outcome.problem or outcome.interrupted:
        return dict.fromkeys(names, "the program did not finish when its tools were tried")
    return {name: tried.get(name, "it was not called when the tools were tried") for name in names}


def _read_trials(outcome: RerunOutcome) -> dict[str, str]:
    """Return the first reason why each tool has to be answered; "" if it need not in any call."""
    names: dict[str, str] = {}
    found: dict[str, str] = {}
    for event in open_trace(outcome.trace).events():
        if event["event_type"] == "tool_call_start":
            names[event["event_id"]] = str(event.get("component_name"))
        elif event["event_type"] == "tool_call_end":
            reason = lenient.string(lenient.mapping(event.get("metadata")).get("trial"))
            name = names.get(str(event.get("parent_event_id")), "")
            found[name] = found.get(name) or (reason if reason is not None else "it could not be tried")
    return found
