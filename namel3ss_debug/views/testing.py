"""A recorded test that failed, in plain text: why a call was not answered, and the run as a small tree."""

from __future__ import annotations

import shlex
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

from rich.text import Text

from namel3ss_debug.inspection.arrangement import select_forest
from namel3ss_debug.inspection.calls import read_run
from namel3ss_debug.replay.rerunning.boundaries import TOOL
from namel3ss_debug.replay.rerunning.codes import StaleTool
from namel3ss_debug.replay.rerunning.divergences import MISSING, NEW, Divergence
from namel3ss_debug.replay.rerunning.impasses import Stop, asked, flawed, held, told, wanted_setting
from namel3ss_debug.replay.rerunning.recorded import Recorded
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.spans import Forest, Span
from namel3ss_debug.views.divergences import divergence_lines
from namel3ss_debug.views.gists import summary
from namel3ss_debug.views.inspection import tree_lines
from namel3ss_debug.views.outcomes import refused
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.terminal import clean
from namel3ss_debug.wire import lenient

SECTION = "agent trace"
WIDTH = 80
MOST_SPANS = 30
_MOST_DIVERGENCES = 5


def stopped(stop: Stop | str, recorded: Recorded, recording: Path, again: str) -> str:
    """Why a test cannot go on: its question, the content of the recording, and how to record again.

    Args:
        stop: why.
        recorded: what the recording holds.
        recording: its file.
        again: the command that records anew.
    """
    if isinstance(stop, str):
        return "\n".join([clean(stop), again_row(again)])
    there = stop.recorded
    if stop.kind == "new":
        holds = "nothing more" if there is None else f"{held(there)} there, at event {there.number}"
        head = f"{asked(stop.question)}, and {recording.name} holds no answer to that; it holds {holds}"
    elif stop.kind == "strict":
        head = f"{told(stop)} of {recording.name}"
    elif stop.kind == "unusable":
        return "\n".join([clean(flawed(stop)), *_ways_out(stop), again_row(again)])
    else:
        head = told(stop).partition(": ")[0] if stop.kind == "open" else told(stop)
    rows = [clean(head)]
    if stop.divergence is not None:
        found = stop.divergence
        if found.kind == NEW or found.difference is not None:
            rows += _plain(divergence_lines(found, WIDTH, recorded))[1:]  # its head is said above
    return "\n".join([*rows, again_row(again)])


def _ways_out(stop: Stop) -> Iterator[str]:
    """Other things to do in a test about an answer that is not in the recording unchanged."""
    if stop.question.kind == TOOL:
        yield f"to have the tool called: run_tools={clean(repr(stop.question.name))} in the mark"
    if setting := wanted_setting(stop.findings[0]):
        yield f"it would be there in a recording with {setting}"


def parted(
    found: Sequence[Divergence],
    closed: Sequence[Event],
    recorded: Recorded,
    recording: Path,
    again: str,
    run: Path,
) -> str:
    """Why a test that came to its end fails: calls left out or in another order, attempts to reach the network.

    Args:
        found: how it and its recording part.
        closed: the ways to the network that it tried.
        recorded: what the recording holds.
        recording: its file.
        again: the command that records anew.
        run: the recording of this run of the test.
    """
    kinds = [count(len(found), "divergence")] if found else []
    kinds += [count(len(closed), "closed way to the network", "closed ways to the network")] if closed else []
    rows = [clean(f"the test diverges from {recording.name}: {' and '.join(kinds)}")]
    for each in found[:_MOST_DIVERGENCES]:
        rows += _plain(divergence_lines(each, WIDTH, recorded))
    if len(found) > _MOST_DIVERGENCES:
        rows.append(f"and {len(found) - _MOST_DIVERGENCES} more")
    rows += [f"  {refused(event)}" for event in closed[:_MOST_DIVERGENCES]]
    rows += [
        f"{clean(name)} was called all the same: its function is of an installed package, or not below the root folder of "
        "pytest; install your own package anew, or with pip install -e"
        for name in _called_unseen(found, run)
    ]
    return "\n".join([*rows, again_row(again)])


def describe_stale(tools: Sequence[StaleTool], again: str) -> str:
    """Return why a test fails that passed on answers of tools whose code has changed since.

    Args:
        tools: these tools.
        again: the command that records anew.
    """
    rows = [
        clean(f"{tool.describe()}: re-record, or run it (run_tools={tool.name!r} in the mark)")
        for tool in tools
    ]
    return "\n".join([*rows, again_row(again)])


def _called_unseen(found: Iterable[Divergence], run: Path) -> list[str]:
    """The tools that the recording would have answered, and that ran where no call of them is seen."""
    missing = {
        each.recorded.question.name
        for each in found
        if each.kind == MISSING and each.recorded is not None and each.recorded.question.kind == TOOL
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
    """The line with the command that records a test again."""
    return f"to record it again: {clean(command)}"


def owner_rows(recording: Path, test: str) -> Iterator[str]:
    """The line that names the test which has made the recording, where that is another one.

    Args:
        recording: the file.
        test: the test that is answered from it, as pytest names it.
    """
    first = next(iter(open_trace(recording).events()), {})
    maker = lenient.string(lenient.mapping(first.get("metadata")).get("target")) or ""
    if "::" in maker and _below_its_folder(maker) != _below_its_folder(test):
        yield f"{recording.name} was recorded by {clean(maker)}: if that is still there, each needs a file of its own"


def _below_its_folder(test: str) -> str:
    """The name of a test from its file on, whichever folder pytest was started for."""
    file, separator, name = test.partition("::")
    return file.rpartition("/")[2] + separator + name


def run_section(path: Path) -> str:
    """The run as a tree of its first spans, the call that failed, and the command that debugs it."""
    trace = open_trace(path)
    chosen = select_forest(trace, limit=MOST_SPANS)
    rows = _plain(tree_lines(chosen, WIDTH)) if chosen.total else ["nothing was recorded"]
    failed = _last_trouble(chosen.forest, {failure.number for failure in read_run(trace.events()).failures})
    if failed is not None:
        site = trace.event(failed.number).get("call_site")
        where = f", {site}" if site else ""
        why = f": {summary(failed.end)}" if failed.end is not None else ", which was never answered"
        rows += [
            "",
            clean(f"failed: {failed.kind} {failed.name or ''}{where}, event {failed.number}{why}", 400),
        ]
    rows += ["", f"debug it: namel3ss debug replay {clean(shlex.quote(str(path)))} --step"]
    return "\n".join(rows)


def _last_trouble(trees: Forest, failures: Container[int]) -> Span | None:
    """The innermost span that failed last and for good, or never ended; `failures` are the events that report it."""
    found = (node.span for _, node in trees.walk())
    troubled = [
        span
        for span in found
        if span.end is None or (span.failed and (span.end_number or span.number) in failures)
    ]
    return max(troubled, key=lambda span: span.number, default=None)


def _plain(lines: Iterable[Text]) -> list[str]:
    return list(_without_ends(lines))


def _without_ends(lines: Iterable[Text]) -> Iterator[str]:
    for line in lines:
        yield line.plain.rstrip()
