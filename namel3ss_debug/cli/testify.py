"""`debug testify`: write a test of pytest from a recording."""

from __future__ import annotations

import keyword
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.options import (
    files,
    find_recording,
    make_folder_for,
    open_reference,
    reading,
    trace_argument,
)
from namel3ss_debug.cli.trust import require_consent, trust_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from namel3ss_debug.traces.events import Event
    from namel3ss_debug.traces.inputs import Recorded
    from namel3ss_debug.traces.reader import Trace
    from namel3ss_debug.views.testify import Program

_OF_THE_MACHINE = frozenset(
    [
        "HOME",
        "LOGNAME",
        "MAIL",
        "OLDPWD",
        "PATH",
        "PWD",
        "SHELL",
        "SHLVL",
        "TERM",
        "TMPDIR",
        "TEMP",
        "TMP",
        "USER",
        "USERNAME",
        "COLUMNS",
        "LINES",
        "CI",
        "HOSTNAME",
        "NO_COLOR",
        "FORCE_COLOR",
        "DISPLAY",
        "LANG",
        "LANGUAGE",
        "TZ",
    ]
)
_FAMILIES = ("LC_", "PYTHON", "XDG_", "NAMEL3SS_", "PYTEST_", "VIRTUAL_ENV", "CONDA_", "SSH_", "SSL_")
_MOST_STDIN = 1000


def _outside_of_tools(events: list[Event]) -> Iterator[Event]:
    """The events but for those inside a call of a tool that is answered: there nothing runs in the test."""
    from namel3ss_debug.replay.rerunning.boundaries import TOOL, question_of
    from namel3ss_debug.traces.events import ends_span

    answered: set[str] = set()
    left_out: set[str] = set()
    for number, event in enumerate(events, 1):
        parent, event_id = str(event.get("parent_event_id")), event["event_id"]
        if parent in left_out or (parent in answered and not ends_span(event["event_type"])):
            left_out.add(event_id)
            continue
        question = question_of(number, event, keep_event=False)
        if question is not None and question.kind == TOOL:
            answered.add(event_id)
        yield event


def _ends(trace: Trace, events: list[Event]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata of the first `trace_start`, and those of its `trace_end`.

    Raises:
        RerunError: the recording cannot answer a test.
    """
    from namel3ss_debug.errors import RerunError
    from namel3ss_debug.replay.rerunning.boundaries import question_of
    from namel3ss_debug.replay.rerunning.fitness import checked, ends_of
    from namel3ss_debug.replay.rerunning.recorded import read_recorded
    from namel3ss_debug.wire import lenient

    list(checked(trace.path, read_recorded(trace, events)))
    for number, event in enumerate(events, 1):
        question = question_of(number, event, keep_event=False)
        if question is not None and question.strand.process:
            raise RerunError(
                f"{question.call_site or question.name} asks in a process of its own, which a recording cannot answer in a test; "
                "debug replay --rerun can"
            )
    start, last = ends_of(trace, events)
    return lenient.mapping(start.get("metadata")), last


def _program(
    trace: Trace,
    first: dict[str, Any],
    last: dict[str, Any],
    inputs: Recorded,
    path: Path,
    events: list[Event],
) -> Program:
    """How the test runs the program.

    Raises:
        RerunError: it is none that a test can run.
    """
    from namel3ss_debug.errors import RerunError
    from namel3ss_debug.replay.starting import is_of_project
    from namel3ss_debug.traces.environment import may_supply
    from namel3ss_debug.views.testify import Program
    from namel3ss_debug.wire import lenient

    target, cwd = lenient.string(first.get("target")) or "", lenient.string(first.get("cwd"))
    kind, value = _kind(target)
    if kind is None or cwd is None:
        raise RerunError(
            f"{trace.path} is of {target or 'no program'}, which a test cannot run: testify takes a script, -m module or module:function"
            + ("; an app is run again by debug replay --rerun" if target.endswith(".ai") else "")
        )
    here = path.absolute().parent
    argv = [str(word) for word in lenient.sequence(first.get("argv"))]
    known: dict[str, str] = {
        name: read
        for name, read in inputs.environment.items()
        if read is not None and may_supply(name, read, trusted=True) and not _is_of_the_machine(name)
    }
    stdin = inputs.stdin_bytes.decode("utf-8", "replace")
    arguments = lenient.mapping(first.get("arguments")) if kind == "function" else {}
    if kind == "function" and not is_of_project(value.partition(":")[0], Path(cwd)):
        raise RerunError(
            f"{trace.path}: {target} is no function of the project in {cwd}; a test calls only those"
        )
    if not all(name.isidentifier() and not keyword.iskeyword(name) for name in arguments):
        raise RerunError(f"{trace.path}: the arguments of {target} have names that no function has")
    return Program(
        kind=kind,
        value=os.path.relpath(Path(cwd, value), cwd) if kind == "script" else value,
        argv=argv if kind != "function" else (),
        arguments=arguments,
        folder=Path(os.path.relpath(cwd, here)).as_posix(),
        variables={name: read for name, read in known.items() if name not in inputs.redacted},
        secrets=[name for name in sorted(known) if name in inputs.redacted],
        stdin=stdin if inputs.stdin_whole and len(stdin) <= _MOST_STDIN else "",
        awaited=any("task" in event for event in events),
        ends_by=_ended_by(events, last),
    )


def _is_of_the_machine(name: str) -> bool:
    """Whether a variable tells of the machine and not of the program."""
    return name in _OF_THE_MACHINE or name.startswith(_FAMILIES) or name.lower().endswith("_proxy")


def _kind(target: str) -> tuple[Any, str]:
    """What a target is, and its name."""
    module, _, function = target.partition(":")
    if target.startswith("-m ") and _is_dotted(target[3:]):
        return "module", target[3:]
    if function and _is_dotted(module) and _is_dotted(function):
        return "function", target
    return ("script", target) if target.endswith(".py") else (None, target)


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _ended_by(events: list[Event], last: dict[str, Any]) -> str:
    """What ended the program other than its own end."""
    from namel3ss_debug.wire import lenient

    for event in events:
        uncaught = lenient.mapping(event.get("metadata")).get("uncaught")
        if event["event_type"] == "error_occurred" and uncaught:
            return lenient.string(event.get("error_type")) or "Exception"
    return "SystemExit" if last.get("exit_status") not in (0, None) else ""


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "app"


def _write(path: Path, copy: Path, text: str, trace: Trace) -> None:
    """Write the test, and every file of the recording beside it.

    Raises:
        WrongUsageError: one of them is there already, or cannot be written.
    """
    import shutil

    from namel3ss_debug.errors import WrongUsageError
    from namel3ss_debug.traces.names import segment_path

    files = {
        segment_path(copy, 0, segment): file
        for process in trace.processes
        if process.number == 0
        for segment, file in enumerate(process.files)
    }
    for there in (path, *files):
        if there.exists():
            raise WrongUsageError(f"{there} is there already; name another file with -o, or remove it")
    make_folder_for(path)
    try:
        for new, old in files.items():
            shutil.copyfile(old, new)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WrongUsageError(f"cannot write {path}: {error.strerror}") from None


@click.command("testify")
@trace_argument
@click.option(
    "-o",
    "output",
    metavar="FILE",
    shell_complete=files,
    help="Where the test is written; test_PROGRAM.py in this folder without it.",
)
@trust_option
def command(reference: str | None, output: str | None, *, trust: bool) -> None:
    """Write a test of pytest that runs a recorded program on its answers, and asserts what it did.

    The recording is copied beside the test, which needs no network, no key and no server: which tools are called, with
    what, in which order, and what is answered at the end has to be as recorded.
    """
    from namel3ss_debug.inspection.calls import read_run
    from namel3ss_debug.traces.inputs import Recorded, sources
    from namel3ss_debug.views.quantities import count
    from namel3ss_debug.views.terminal import clean
    from namel3ss_debug.views.testify import written_test

    require_consent(find_recording(reference), trust=trust)
    trace = open_reference(reference)
    with reading(trace):
        events = list(trace.events())
    first, last = _ends(trace, events)
    stem = _slug(Path(str(first.get("target", "")).rpartition(":")[2] or "app").stem)
    path = Path(output or f"test_{stem}.py")
    if path.suffix != ".py" or not path.stem.isidentifier():
        from namel3ss_debug.errors import WrongUsageError

        raise WrongUsageError(f"cannot write a test to {path}: give a name like test_{stem}.py with -o")
    inputs = Recorded.of(events)
    program = _program(trace, first, last, inputs, path, events)
    copy = path.with_suffix(".jsonl")
    run = read_run(list(_outside_of_tools(events)))
    text = written_test(_slug(path.stem.removeprefix("test_")), copy.name, program, run)
    _write(path, copy, text, trace)
    click.echo(f"{clean(path)} runs on {clean(copy)}: pytest {clean(shlex.quote(str(path)))}")
    clocks = [each for each in sources(events) if each.source in ("clock", "uuid1", "randomness")]
    clocks.sort(key=lambda each: bool(each.what))  # a library that reads it seldom tells a model
    if clocks:
        where = clean(clocks[0].call_site or clocks[0].what or "the program", 120)
        click.echo(
            f"the program reads the {clocks[0].source} ({where}): the test has its own, and a question that tells it is another one",
            err=True,
        )
    lines = inputs.stdin_lines  # those of a call inside another count for both
    typed = sum(read for at, read in lines.items() if not any(at != by and at.startswith(by) for by in lines))
    if typed and program.stdin:
        click.echo(
            f"tools read {count(typed, 'line')} of the standard input: the test answers these calls, so take what was typed for them "
            "out of its stdin",
            err=True,
        )
