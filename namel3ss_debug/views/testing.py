"""Describe why a recorded test failed, in plain text: the call that was not answered, and the run as a small tree."""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

from rich.text import Text

from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.inspection.arrangement import ChosenSpans, read_halves, select_forest
from namel3ss_debug.inspection.calls import read_run
from namel3ss_debug.replay.rerun.divergences import MISSING, NEW, Divergence
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls
from namel3ss_debug.replay.rerun.requests import TOOL
from namel3ss_debug.replay.rerun.tool_code import StaleTool, describe_unknown
from namel3ss_debug.replay.rerun.unanswered import (
    UnansweredCall,
    describe_flaw,
    describe_recorded,
    describe_request,
    describe_setting,
    describe_unanswered,
)
from namel3ss_debug.traces.events import Event
from namel3ss_debug.views.divergences import divergence_lines
from namel3ss_debug.views.gists import summary
from namel3ss_debug.views.inspection import tree_blocks
from namel3ss_debug.views.outcomes import refused
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.renderers.screen import lines
from namel3ss_debug.views.terminal import clean
from namel3ss_debug.wire import lenient

SECTION = "agent trace"
WIDTH = 80
MOST_SPANS = 30
_MOST_DIVERGENCES = 5


def describe_stop(stop: UnansweredCall | str, recorded: RecordedCalls, recording: Path, again: str) -> str:
    """Describe why a test cannot go on: its request, the recorded call, and how to record it again.

    Args:
        stop: the call that was not answered, or a reason.
        recorded: the recorded calls.
        recording: the file of the trace.
        again: the command that records it again.
    """
    if isinstance(stop, str):
        return "\n".join([clean(stop), again_row(again)])
    there = stop.recorded
    if stop.kind == "new":
        holds = (
            "nothing more" if there is None else f"{describe_recorded(there)} there, at event {there.number}"
        )
        head = f"{describe_request(stop.request)}, and {recording.name} holds no answer for this call; it holds {holds}"
    elif stop.kind == "strict":
        head = f"{describe_unanswered(stop)} of {recording.name}"
    elif stop.kind == "unusable":
        return "\n".join([clean(describe_flaw(stop)), *_ways_out(stop), again_row(again)])
    else:
        head = (
            describe_unanswered(stop).partition(": ")[0] if stop.kind == "open" else describe_unanswered(stop)
        )
    rows = [clean(head)]
    if stop.divergence is not None:
        found = stop.divergence
        if found.kind == NEW or found.difference is not None:
            rows += _plain(divergence_lines(found, WIDTH, recorded))[
                1:
            ]  # without its head, which `head` replaces
    return "\n".join([*rows, again_row(again)])


def _ways_out(stop: UnansweredCall) -> Iterator[str]:
    """Yield what else to do in a test about an unusable answer."""
    if stop.request.kind == TOOL:
        yield f"to run the tool: run_tools={clean(repr(stop.request.name))} in the mark"
    if setting := describe_setting(stop.flaws[0]):
        yield f"to record it whole: {setting}"


def describe_divergences(
    found: Sequence[Divergence],
    closed: Sequence[Event],
    recorded: RecordedCalls,
    recording: Path,
    again: str,
    run: Path,
) -> str:
    """Describe why a test fails that came to its end: missing calls, another order, network connections.

    Args:
        found: the divergences.
        closed: the events of refused network connections.
        recorded: the recorded calls.
        recording: the file of the trace.
        again: the command that records it again.
        run: the trace of this run of the test.
    """
    kinds = [count(len(found), "divergence")] if found else []
    kinds += [count(len(closed), "refused connection", "refused connections")] if closed else []
    rows = [clean(f"the test diverges from {recording.name}: {' and '.join(kinds)}")]
    for each in found[:_MOST_DIVERGENCES]:
        rows += _plain(divergence_lines(each, WIDTH, recorded))
    if len(found) > _MOST_DIVERGENCES:
        rows.append(f"and {len(found) - _MOST_DIVERGENCES} more")
    rows += [f"  {refused(event)}" for event in closed[:_MOST_DIVERGENCES]]
    rows += [
        f"{clean(name)} was called anyway: its function is of an installed package, or not below the root folder of "
        "pytest; reinstall your own package, or install it with pip install -e"
        for name in _called_unseen(found, run)
    ]
    return "\n".join([*rows, again_row(again)])


def describe_stale(tools: Sequence[StaleTool], unknown: Sequence[StaleTool], again: str) -> str:
    """Describe why a test fails that passed on answers of tools whose code has changed since, or may have.

    Args:
        tools: the tools whose code has changed.
        unknown: those whose code may have changed.
        again: the command that records it again.
    """
    rows = [
        clean(f"{tool.describe()}: re-record, or run it (run_tools={tool.name!r} in the mark)")
        for tool in tools
    ]
    if unknown:
        names = tuple(tool.name for tool in unknown)
        what = f"run_tools={names if len(names) > 1 else names[0]!r}"
        text = f"{describe_unknown(unknown)}: re-record, run them ({what} in the mark), or set accept to unknown-code"
        rows.append(clean(text))
    return "\n".join([*rows, again_row(again)])


def _called_unseen(found: Iterable[Divergence], run: Path) -> list[str]:
    """Return the tools that ran unobserved, although the trace would have answered them."""
    missing = {
        each.recorded.request.name
        for each in found
        if each.kind == MISSING and each.recorded is not None and each.recorded.request.kind == TOOL
    }
    if not missing:
        return []
    unseen = {
        event.get("component_name")
        for event in open_trace(run).events()
        if event["event_type"] == "tool_call_start" and event.get("metadata", {}).get("seen") is False
    }
    return sorted(missing & unseen)


def again_row(command: str) -> str:
    """Return the line with the command that records a test again."""
    return f"to record it again: {clean(command)}"


def owner_rows(recording: Path, test: str) -> Iterator[str]:
    """Yield the line that names the test which made the trace, if it is another one.

    Args:
        recording: the file of the trace.
        test: the test that is answered from it, as pytest names it.
    """
    first = next(iter(open_trace(recording).events()), {})
    maker = lenient.string(lenient.mapping(first.get("metadata")).get("target")) or ""
    if "::" in maker and _below_its_folder(maker) != _below_its_folder(test):
        yield f"{recording.name} was recorded by {clean(maker)}: if that test still exists, each needs a file of its own"


def _below_its_folder(test: str) -> str:
    """Return the name of a test from its file on, whichever folder pytest was started for."""
    file, separator, name = test.partition("::")
    return file.rpartition("/")[2] + separator + name


def run_section(path: Path) -> str:
    """Return the run as a tree of its first spans, the call that failed, and the command that debugs it."""
    trace = open_trace(path)
    chosen = select_forest(trace, limit=MOST_SPANS)
    rows = (
        _plain(lines(tree_blocks(chosen, read_halves(trace, chosen)), WIDTH))
        if chosen.total
        else ["nothing was recorded"]
    )
    failed = _last_trouble(chosen, {failure.number for failure in read_run(trace.events()).failures})
    if failed is not None:
        spans, look = chosen.spans, chosen.look(failed)
        site = spans.value(spans.site[failed])
        where = f"{f', {site}' if site else ''}, event {spans.number[failed]}"
        error = {"error": look.error, "error_type": look.error_type}
        why = f": {summary(error)}" if spans.end[failed] else ", which was never answered"
        rows += ["", clean(f"failed: {look.kind} {spans.name(failed)}{where}{why}", 400)]
    rows += ["", f"debug it: namel3ss debug replay {clean(shlex.quote(str(path)))} --step"]
    return "\n".join(rows)


def _last_trouble(chosen: ChosenSpans, failures: Container[int]) -> int | None:
    """Return the innermost span that failed last without recovery, or never ended; `failures` are the events that report it."""
    spans = chosen.spans
    troubled = (
        row
        for _, row in chosen.walk()
        if not spans.end[row] or (spans.failed[row] and spans.end[row] in failures)
    )
    return max(troubled, default=None)


def _plain(rows: Iterable[Text]) -> list[str]:
    return [row.plain.rstrip() for row in rows]
