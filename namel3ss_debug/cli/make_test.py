"""Make a pytest test from a trace: `debug make-test`."""

from __future__ import annotations

import keyword
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from namel3ss_debug.cli.options import (
    complete_files,
    find_trace_file,
    make_folder_for,
    open_reference,
    open_trace_file,
    reading,
    trace_argument,
)
from namel3ss_debug.cli.trust import require_consent, trust_option
from namel3ss_debug.errors import RerunError, WrongUsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.replay.rerun.consent import Consent
    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.inputs import Recorded
    from namel3ss_debug.traces.reader import Trace
    from namel3ss_debug.views.generated_tests import ProgramUnderTest, Tools

_MOST_STDIN = 1000


def _outside_of_tools(events: list[Event], run: Collection[str]) -> Iterator[Event]:
    """Yield the events except those inside an answered tool call, which does not run in the test.

    Args:
        events: all events.
        run: the names of the tools that run for real.
    """
    from namel3ss_debug.replay.rerun.requests import TOOL, read_request
    from namel3ss_debug.traces.span_table import AT_TOP, SpanTableBuilder

    builder = SpanTableBuilder(costs=False)
    answered: set[int] = set()
    left_out: set[int] = set()
    for number, event in enumerate(events, 1):
        row, parent = builder.take(event)
        if parent in left_out or (parent in answered and row != parent):
            left_out.update({row} - {AT_TOP})
            continue
        request = read_request(number, event, keep_event=False)
        if request is not None and request.kind == TOOL and request.name not in run:
            answered.add(row)
        yield event


def _tools(events: list[Event], declared: Mapping[str, str], tried: Mapping[str, str] | None) -> Tools:
    """Return which tools run in the test, and why the others are answered.

    Args:
        events: all events of the trace.
        declared: the setting `tools`.
        tried: the result of `--try-tools`: the reason why a tool has to be answered, "" if it returns its recorded
            results. None without the option.
    """
    from namel3ss_debug.replay.rerun.tool_code import gather_codes
    from namel3ss_debug.views.generated_tests import Tools

    reasons = {name: _why_answered(name, declared, tried) for name in _called_tools(events)}
    run = [name for name, reason in reasons.items() if not reason]
    codes = gather_codes(events).by_name
    # A tool that only an answered one calls is never called.
    seen = _called_tools(_outside_of_tools(events, run))
    return Tools(
        [name for name in run if name in seen],
        {
            name: reason if codes.get(name) else f"{reason}; a change of its code is not noticed"
            for name, reason in reasons.items()
            if reason and name in seen
        },
    )


def _why_answered(name: str, declared: Mapping[str, str], tried: Mapping[str, str] | None) -> str:
    """Return why a tool is answered in the test; "" if it runs."""
    from namel3ss_debug.replay.rerun.plan import ANSWER, RUN, find_declared

    what = find_declared(declared, name)
    if what == RUN:
        return ""
    if what == ANSWER:
        return 'the setting tools is "answer"'
    if tried is None:
        return "--try-tools finds out what can run"
    return tried.get(name, "")


def _tried(trace: Trace, events: list[Event], config: DebugConfiguration, consent: Consent) -> dict[str, str]:
    """Run the program again to find which tools return their recorded results; see `try_tools`."""
    from namel3ss_debug.replay.rerun.plan import find_declared
    from namel3ss_debug.replay.rerun.trials import try_tools

    servers = {
        str(event.get("component_name"))
        for event in events
        if "mcp" in (event.get("metadata") or {}) and event["event_type"] == "tool_call_start"
    }
    names = [name for name in _called_tools(events) if not find_declared(config.tools, name)]
    found = try_tools(
        trace,
        [name for name in names if name not in servers],
        config,
        lambda text: click.echo(text, err=True),
        consent,
    )
    return found | dict.fromkeys(servers.intersection(names), "it runs in an MCP server")


def _called_tools(events: Iterable[Event]) -> list[str]:
    """Return the names of the tools that were called, in the order of their first calls."""
    from namel3ss_debug.replay.rerun.requests import TOOL, read_request

    requests = (read_request(number, event, keep_event=False) for number, event in enumerate(events, 1))
    return list(dict.fromkeys(each.name for each in requests if each is not None and each.kind == TOOL))


def _is_concurrent(events: list[Event]) -> bool:
    """Return whether calls ran at the same time, none of them inside the other, or tools in several threads.

    The threads of a pool, such as that of `ToolNode` of LangGraph, take calls in any order, also where short ones do
    not overlap.
    """
    from namel3ss_debug.replay.rerun.requests import TOOL, read_request
    from namel3ss_debug.traces.span_table import SpanTableBuilder

    requests = (read_request(number, event, keep_event=False) for number, event in enumerate(events, 1))
    tasks = {each.task_key for each in requests if each is not None and each.kind == TOOL}
    if len(tasks) > 1 and not all(each.is_of_main_thread for each in tasks):
        return True
    builder, running = SpanTableBuilder(costs=False), set[int]()
    for event in events:
        row, parent = builder.take(event)
        running.discard(row)
        if event.get("component") in ("llm", "tool") and event["event_type"].endswith("_start"):
            around = set()
            while parent >= 0:
                around.add(parent)
                parent = builder.table.parent[parent]
            if not running <= around:
                return True
            running.add(row)
    return False


def _ends(trace: Trace, events: list[Event]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metadata of the first `trace_start`, and those of its `trace_end`.

    Raises:
        RerunError: the trace cannot answer a test.
    """
    from namel3ss_debug.replay.rerun.preparation import check_trace, find_ends
    from namel3ss_debug.replay.rerun.recorded_calls import read_recorded
    from namel3ss_debug.replay.rerun.requests import read_request
    from namel3ss_debug.wire import lenient

    list(check_trace(trace.path, read_recorded(trace, events)))
    for number, event in enumerate(events, 1):
        request = read_request(number, event, keep_event=False)
        if request is not None and request.task_key.process:
            raise RerunError(
                f"{request.call_site or request.name} makes a call in a process of its own, which a trace cannot answer in a test; "
                "debug rerun can"
            )
    start, last = find_ends(trace, events)
    return lenient.mapping(start.get("metadata")), last


def _program(
    trace: Trace,
    first: dict[str, Any],
    last: dict[str, Any],
    inputs: Recorded,
    path: Path,
    events: list[Event],
) -> ProgramUnderTest:
    """Return how the test runs the program.

    Raises:
        RerunError: it is none that a test can run.
    """
    from namel3ss_debug.replay.rerun.programs import is_of_machine
    from namel3ss_debug.replay.rerun.starting import is_of_project, refuse_foreign
    from namel3ss_debug.traces.environment import may_supply
    from namel3ss_debug.views.generated_tests import ProgramUnderTest
    from namel3ss_debug.wire import lenient

    target, cwd = lenient.string(first.get("target")) or "", lenient.string(first.get("cwd"))
    refuse_foreign(trace.path, first)
    kind, value = _kind(target)
    if kind is None or cwd is None:
        raise RerunError(
            f"{trace.path} is of {target or 'no program'}, which a test cannot run: make-test takes a script, a console script "
            "of a package that is installed here, -m module or module:function"
            + ("; an app is run again by debug rerun" if target.endswith(".ai") else "")
        )
    here = path.absolute().parent
    argv = [str(word) for word in lenient.sequence(first.get("argv"))]
    known: dict[str, str] = {
        name: read
        for name, read in inputs.environment.items()
        if read is not None and may_supply(name, read, trusted=True) and not is_of_machine(name)
    }
    arguments = lenient.mapping(first.get("arguments")) if kind == "function" else {}
    if kind == "function" and not is_of_project(value.partition(":")[0], Path(cwd)):
        raise RerunError(
            f"{trace.path}: {target} is no function of the project in {cwd}; a test calls only those"
        )
    if not all(name.isidentifier() and not keyword.iskeyword(name) for name in arguments):
        raise RerunError(f"{trace.path}: the arguments of {target} have names that no function has")
    stdin = inputs.stdin_bytes.decode("utf-8", "replace")
    error_type = _uncaught(events)
    return ProgramUnderTest(
        kind=kind,
        value=os.path.relpath(Path(cwd, value), cwd) if kind == "script" else value,
        argv=argv[1:],
        arguments=arguments,
        folder=Path(os.path.relpath(cwd, here)).as_posix(),
        variables={name: read for name, read in known.items() if name not in inputs.redacted},
        secrets=[name for name in sorted(known) if name in inputs.redacted],
        stdin=stdin if stdin and inputs.stdin_whole and len(stdin) <= _MOST_STDIN else None,
        exit_status=None if error_type else lenient.count(last.get("exit_status")),
        error_type=error_type,
    )


def _kind(target: str) -> tuple[Any, str]:
    """Return the kind of a target and its name; the kind is None if a test cannot run it."""
    import importlib.metadata

    module, _, function = target.partition(":")
    if target.startswith("-m ") and _is_dotted(target[3:]):
        return "module", target[3:]
    if function and _is_dotted(module) and _is_dotted(function):
        return "function", target
    path = Path(target)
    if path.parent.name == "bin" and importlib.metadata.entry_points(group="console_scripts", name=path.name):
        return "command", path.name
    return ("script", target) if target.endswith(".py") else (None, target)


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _uncaught(events: list[Event]) -> str:
    """Return the type of the exception that ended the program, "" if none did."""
    from namel3ss_debug.wire import lenient

    for event in events:
        if event["event_type"] == "error_occurred" and lenient.mapping(event.get("metadata")).get("uncaught"):
            kind = lenient.string(event.get("error_type")) or "Exception"
            return "" if kind == "SystemExit" else kind
    return ""


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "app"


def _write(path: Path, copy: Path, text: str, trace: Trace, start: dict[str, Any]) -> None:
    """Write the test, and every file of the trace beside it.

    Raises:
        WrongUsageError: one of them exists already, or cannot be written.
    """
    if path.exists():
        raise WrongUsageError(f"{path} exists already; name another file with -o, or remove it")
    make_folder_for(path)
    _copy(copy, trace, start)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WrongUsageError(f"cannot write {path}: {error.strerror}") from None


def _copy(copy: Path, trace: Trace, start: dict[str, Any]) -> None:
    """Copy every file of a trace for a test.

    Raises:
        WrongUsageError: a copy exists already, or cannot be written.
    """
    from namel3ss_debug.replay.rerun.committed_copies import copy_for_test
    from namel3ss_debug.traces.names import segment_path

    files = {
        segment_path(copy, 0, segment): (file, segment)
        for process in trace.processes
        if process.number == 0
        for segment, file in enumerate(process.files)
    }
    for there in files:
        if there.exists():
            raise WrongUsageError(f"{there} exists already; name another file with -o, or remove it")
    try:
        for new, (old, segment) in files.items():
            copy_for_test(old, new, segment, start)
    except OSError as error:
        raise WrongUsageError(f"cannot write {copy}: {error.strerror}") from None


@click.command("make-test")
@trace_argument
@click.option(
    "-o",
    "output",
    metavar="FILE",
    shell_complete=complete_files,
    help="Where the test is written; test_PROGRAM.py in this folder without it.",
)
@click.option(
    "--try-tools",
    is_flag=True,
    help="Run the program again with its tools, and declare those `run` in the test that give their recorded results. "
    "Sockets, processes and writing are refused to them; that is no sandbox.",
)
@click.option(
    "--update",
    is_flag=True,
    help="Record the program of the test TRACE.py again, for real, and show the difference.",
)
@click.option("--yes", is_flag=True, help="Do not ask before --update runs anything.")
@trust_option
def command(
    reference: str | None, output: str | None, *, try_tools: bool, update: bool, yes: bool, trust: bool
) -> None:
    """Make a test of pytest that runs a recorded program on its answers, and asserts what it did.

    The trace is copied beside the test, which needs no network, no key and no server: which tools are called, with
    what, in which order, and what is answered at the end has to be as recorded. Clock and random numbers are those of
    the trace.

    With --update, TRACE is the file of a test that was made before. Its program runs again, for real, after a
    question; the difference to the trace of the test is shown, and trace and test are replaced. A test that you have
    edited stays, and only its trace is replaced.
    """
    from namel3ss_debug.config import load_configuration
    from namel3ss_debug.views.terminal import clean

    config = load_configuration().config
    if update:
        if output or try_tools:
            raise click.UsageError(
                "--update takes the file of a test, and neither -o nor --try-tools",
                click.get_current_context(),
            )
        update_test(reference, config, trust=trust, yes=yes)
        return
    if yes:
        raise click.UsageError("--yes is for --update", click.get_current_context())
    consent = require_consent(find_trace_file(reference), trust=trust)
    trace = open_reference(reference)
    first = first_metadata(trace)
    stem = _slug(Path(str(first.get("target", "")).rpartition(":")[2] or "app").stem)
    path = Path(output or f"test_{stem}.py")
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise WrongUsageError(f"cannot write a test to {path}: give a name like test_{stem}.py with -o")
    made = make(trace, path, config, consent, try_tools=try_tools)
    copy = path.with_suffix(".jsonl")
    _write(path, copy, made.text, trace, made.first)
    click.echo(f"{clean(path)} runs on {clean(copy)}: pytest {clean(shlex.quote(str(path)))}")
    if not made.is_reproducible:
        click.echo(
            "clock and random numbers are not in the trace: those of the test are its own, and a request that holds one finds "
            "no answer; record it again with record_randomness",
            err=True,
        )


class MadeTest(NamedTuple):
    """The text of a test, the metadata of its `trace_start`, and whether clock and random numbers are in the trace."""

    text: str
    first: dict[str, Any]
    is_reproducible: bool


def first_metadata(trace: Trace) -> dict[str, Any]:
    """Return the metadata of the first event of a trace."""
    from namel3ss_debug.wire import lenient

    with reading(trace):
        return lenient.mapping(next(iter(trace.events()), {}).get("metadata"))


def make(
    trace: Trace, path: Path, config: DebugConfiguration, consent: Consent, *, try_tools: bool = False
) -> MadeTest:
    """Make the text of a test from a trace.

    Args:
        trace: the trace.
        path: the file of the test.
        config: the settings in force.
        consent: why its program may run, for `try_tools`.
        try_tools: whether the program is run again to find which tools return their recorded results.

    Raises:
        DebugError: a test cannot run the program.
    """
    from namel3ss_debug.inspection.calls import read_run
    from namel3ss_debug.traces.inputs import Recorded
    from namel3ss_debug.views.generated_tests import format_test

    with reading(trace):
        events = list(trace.events())
    first, last = _ends(trace, events)
    inputs = Recorded.of(events)
    program = _program(trace, first, last, inputs, path, events)
    tried = _tried(trace, events, config, consent) if try_tools else None
    tools = _tools(events, config.tools, tried)
    seen = list(_outside_of_tools(events, tools.run))
    text = format_test(
        _slug(path.stem.removeprefix("test_")),
        path.with_suffix(".jsonl").name,
        program,
        tools,
        read_run(seen),
        concurrent=_is_concurrent(seen),
    )
    return MadeTest(text, first, inputs.usable)


def update_test(reference: str | None, config: DebugConfiguration, *, trust: bool, yes: bool) -> None:
    """Record the program of a made test again, show the difference, and replace its trace, and the test if nobody edited it.

    Raises:
        DebugError: the program cannot be run, or the files cannot be written.
    """
    from namel3ss_debug.cli.update_test import find_test, record_again
    from namel3ss_debug.views.terminal import clean

    path, copy = find_test(reference)
    before = make(open_trace_file(copy), path, config, "program").text
    new = record_again(copy, config, trust=trust, yes=yes)
    if new is None:
        return
    trace = open_trace_file(new)
    made = make(trace, path, config, "signature")
    edited = path.read_text(encoding="utf-8") != before
    for process in open_trace_file(copy).processes:
        for file in process.files:
            file.unlink()
    if edited:
        _copy(copy, trace, made.first)
        click.echo(
            f"{clean(copy)} is recorded again; {clean(path)} was edited, so it stays: its asserts may need a look"
        )
        return
    path.unlink()
    _write(path, copy, made.text, trace, made.first)
    click.echo(f"{clean(path)} and {clean(copy)} are made again: pytest {clean(shlex.quote(str(path)))}")
