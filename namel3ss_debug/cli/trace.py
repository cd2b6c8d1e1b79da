"""`debug trace`: run a program and record it; the program keeps its input, its output and its exit status."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import component_names, report_no_events_of
from namel3ss_debug.cli.program import (
    ProgramCommand,
    arguments,
    flow_option,
    python_option,
    run_args_option,
)
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.exporters import TRACE_EXPORTERS

if TYPE_CHECKING:
    from namel3ss_debug.capture.launch.parent import Target
    from namel3ss_debug.capture.launch.session import Session
    from namel3ss_debug.cli.stepping import SteppingOptions
    from namel3ss_debug.config import DebugConfiguration, Loaded

# A cut answer cannot be replayed, nor can a run whose seed is not known; file, environment and option still win.
DEFAULTS = {"max_payload_size": 0, "record_randomness": True}
_ADDRESS = re.compile(
    r"(\d{1,3}(\.\d{1,3}){3}|localhost|\[[\da-fA-F:]*\])?:\d{1,5}|\d{1,3}(\.\d{1,3}){3}|unix:.+"
)
"""What servers take behind their own `-b`."""

SHORT = 1 << 20
"""A trace up to this size is read at the end, to find a module that its program lacked."""


def trace(
    words: Sequence[str],
    *,
    module: bool,
    output: Path | None,
    components: Sequence[str],
    run_args: str | None,
    flow: str | None,
    output_format: str,
    live: bool,
    monitor: bool,
    view: bool,
    stepping: SteppingOptions | None,
    python: str | None,
    **overrides: Any,
) -> int:
    """Record a program, from its start to its end.

    Args:
        words: the target and the program's own arguments.
        module: whether the target is the name of a module.
        output: the file to record to; a name of ours if left out.
        components: the components to record; all if empty.
        run_args: keyword arguments of a function, or the input of a flow, as a JSON object.
        flow: which flow of a namel3ss app.
        output_format: `json` writes one document beside the trace at the end.
        live: whether events are shown on stderr as they happen.
        monitor: whether alerts are shown there, and figures at the end.
        view: whether the live page is served, and opened in the browser.
        stepping: what the debugger's shell begins with where it steps the program.
        python: the interpreter to run the program with.
        **overrides: settings from options; `None` where the option was left out.

    Returns:
        The exit status of the program, or the negative number of the signal it died by.

    Raises:
        DebugError: the program, a setting or the file cannot be used.
    """
    from namel3ss_debug.capture.launch.parent import find_python, resolve_target
    from namel3ss_debug.capture.launch.session import new_session
    from namel3ss_debug.config import load_configuration

    check_words(components, () if stepping is None else stepping.breakpoints)
    overrides |= {"enabled": True, "default_components": list(components) or None}
    loaded = load_configuration(overrides=overrides, defaults=DEFAULTS)
    target = resolve_target(words, module=module, run_args=read_run_args(run_args), flow=flow)
    interpreter = find_python(python, target)
    if loaded.config.profile:
        from namel3ss_debug.capture.core.stacks import check

        check(interpreter, app=target.kind == "app")
    session = new_session(loaded.config, output=output, **describe_target(target))
    check_folder(Path(session.trace).parent)
    path = Path(session.trace)
    with (
        watching(path, live=live),
        monitoring(path, loaded, monitor=monitor),
        viewing(session, loaded, view=view),
    ):
        status = run_program(target, session, stepping, loaded.config, interpreter)
        write_missing_end(session, status)
    if status == 1 and python is None and target.kind != "app":
        suggest_environment(Path(session.trace))
    report(session, output_format, status)
    if loaded.config.export_url and session.sampled:
        from namel3ss_debug.exporters.pending import start_sending

        start_sending(Path(session.trace).parent)
    return status


def write_missing_end(session: Session, status: int) -> None:
    """Write how a program ended, if it did not do so itself and no other program writes to the trace."""
    from namel3ss_debug.traces.late_ends import write_late_end

    if session.sampled and not session.joins:
        write_late_end(Path(session.trace), status)


def run_program(
    target: Target,
    session: Session,
    stepping: SteppingOptions | None,
    config: DebugConfiguration,
    python: str,
) -> int:
    """Run a program to its end, by itself or under the debugger's shell; its exit status."""
    if stepping is None:
        from namel3ss_debug.capture.launch.parent import launch

        return launch(target, session=asdict(session), python=python)
    from namel3ss_debug.cli.stepping import step_program

    return step_program(target, session, stepping, config, python=python)


def suggest_environment(trace: Path) -> None:
    """Print how to run a program in the active environment, if it lacked a module and ours is another one."""
    from namel3ss_debug.importers.opening import open_trace

    active = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX") or sys.prefix
    interpreter = Path(active, "bin", "python")
    if not interpreter.exists() or Path(active).samefile(sys.prefix):
        return
    if not trace.is_file() or trace.stat().st_size > SHORT:  # a program that lacks a module ends soon
        return
    if any(event.get("error_type") == "ModuleNotFoundError" for event in open_trace(trace).events()):
        notify(
            f"the program ran under {sys.executable}, and another environment is active: install "
            f"namel3ss-debug there as well, and use --python {shlex.quote(str(interpreter))}"
        )


def describe_target(target: Target) -> dict[str, Any]:
    """Return what a session records about the program."""
    return {"target": target.text, "root": target.root, "arguments": target.arguments, "flow": target.flow}


def watching(path: Path, *, live: bool) -> AbstractContextManager[Any]:
    """Return a context that shows the events of a trace as they come, if `live` is set."""
    if not live:
        return nullcontext()
    from namel3ss_debug.cli.follow import following

    return following(path)


def monitoring(path: Path, loaded: Loaded, *, monitor: bool) -> AbstractContextManager[Any]:
    """Return a context that shows the alerts of a program as they come, if `monitor` is set."""
    if not monitor:
        return nullcontext()
    from namel3ss_debug.cli.monitor import beside

    return beside(path, loaded)


def viewing(session: Session, loaded: Loaded, *, view: bool) -> AbstractContextManager[Any]:
    """Return a context that serves the live page of a program, if `view` is set."""
    if not view:
        return nullcontext()
    from namel3ss_debug.cli.view import beside

    reference = "" if session.link_latest else shlex.quote(session.trace)
    return beside(Path(session.trace), loaded.config, reference)


def check_words(components: Sequence[str], breakpoints: Sequence[str]) -> None:
    """Check that `-f` and `-b` got no words of the program, which may have options of these names, too.

    Raises:
        WrongUsageError: a component is an option or a file, or a breakpoint the address of a server.
    """
    for word in components:
        if word.startswith("-") or os.sep in word or word.endswith(".py"):
            raise WrongUsageError(
                f"-f is for a component such as llm, and {word} is none: put the program's own options after --"
            )
    for word in breakpoints:
        if _ADDRESS.fullmatch(word):
            raise WrongUsageError(
                f"-b is for a breakpoint such as llm, and {word} is none: put the program's own options after --"
            )


def check_folder(folder: Path) -> None:
    """Check that a trace can be written there, before the program starts.

    Raises:
        WrongUsageError: something else stands in its place, or it may not be written to.
    """
    found = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if found.is_dir() and os.access(found, os.W_OK | os.X_OK):
        return
    why = "may not be written to" if found.is_dir() else "is no directory"
    place = "it" if found == folder else found
    raise WrongUsageError(f"cannot record to {folder}: {place} {why}; give -o FILE, or set trace_output_dir")


def read_run_args(text: str | None) -> dict[str, Any] | None:
    """Return the keyword arguments of a function, or the input of a flow, from `--run-args`.

    Raises:
        WrongUsageError: it is no JSON object.
    """
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongUsageError(
            f"--run-args is not JSON: {error}; give one object such as '{{\"n\": 3}}'"
        ) from None
    if not isinstance(value, dict):
        raise WrongUsageError(
            "--run-args must be one JSON object, the keyword arguments of a function or the input of a flow, "
            "such as '{\"n\": 3}'"
        )
    return value


def report(session: Session, output_format: str, status: int = 0) -> None:
    """Print in one line what was recorded, where, which signal killed the program, and what to do next."""
    from namel3ss_debug.traces.unrecorded import take_marks
    from namel3ss_debug.views.cleaning import shorter_path
    from namel3ss_debug.views.quantities import count

    path = Path(session.trace)
    if not session.sampled:
        notify("not recorded: sample_rate left this execution out")
        return
    events = count_lines(path)
    if not events:
        notify(f"nothing was recorded: there is no event in {shorter_path(path)}")
        return
    for mark in dict.fromkeys(
        take_marks(path, session.execution_id)
    ):  # of those that the program has left behind
        notify(f"while recording: {mark}")
    shown = shorter_path(path)
    wanted = session.settings["default_components"]
    if wanted and not holds_any(path, wanted):
        report_no_events_of(wanted, "nothing was recorded of")
    following = "" if session.link_latest else f" {shlex.quote(shown)}"
    document = f" and {shorter_path(write_document(path, output_format))}" if output_format != "jsonl" else ""
    killed = f"; the program was killed by {killer(status)}" if status < 0 else ""
    notify(
        f"recorded {count(events, 'event')} in {shown}{document}{killed}; "
        f"next: namel3ss debug {next_command(path, status)}{following}"
    )


def next_command(path: Path, status: int) -> str:
    """Return the command that shows most about a run: after a failure that the trace holds, its chain of causes."""
    if not status:
        return "show"
    with path.open("rb") as file:
        failed = any(b'"status":"failed"' in line for line in file)
    return "explain" if failed else "analyze"


def holds_any(path: Path, components: Sequence[str]) -> bool:
    """Return whether a trace has an event of one of these components."""
    from namel3ss_debug.importers.opening import open_trace

    wanted = {form for name in components for form in (name, name.lower())}
    return any(event.get("component") in wanted for event in open_trace(path).events())


def killer(status: int) -> str:
    """Return the signal that a program died by, such as `signal 9 (SIGKILL)`."""
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"


def count_lines(path: Path) -> int:
    """Return the number of events in all files of a trace, by their line ends."""
    from namel3ss_debug.traces.names import parse_name

    wanted = parse_name(path.name)
    if wanted is None or not path.parent.is_dir():
        return 0
    total = 0
    for file in path.parent.iterdir():
        name = parse_name(file.name)
        if name is not None and name.stem == wanted.stem and not file.is_symlink():
            with file.open("rb") as stream:
                total += sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    return total


def write_document(path: Path, output_format: str = "json") -> Path:
    """Write the whole trace in another format beside it.

    Raises:
        WrongUsageError: the document cannot be written.
    """
    from namel3ss_debug.importers.opening import open_trace
    from namel3ss_debug.traces.folders import open_private

    exporter = next(row for row in TRACE_EXPORTERS if row.name == output_format)
    document = path.with_suffix(exporter.ending)
    unfinished = document.with_name(f"{document.name}.{os.getpid()}.tmp")
    try:
        with open(unfinished, "wb", opener=open_private) as stream:
            stream.writelines(exporter.load().export(open_trace(path).events()))
        unfinished.replace(document)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise WrongUsageError(
            f"cannot write {document}: {error.strerror}; the trace itself is complete"
        ) from error
    return document


@click.command("trace", cls=ProgramCommand)
@arguments("TARGET")
@click.option("-m", "module", is_flag=True, help="TARGET is a module or package, as with python -m.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Record to FILE (.jsonl)."
)
@click.option("-f", "--filter", "components", multiple=True, metavar="COMPONENT", callback=component_names,
              help="Record this component only, such as llm or tool; may be repeated.")  # fmt: skip
@run_args_option
@flow_option
@click.option(
    "--level",
    type=click.Choice(["basic", "detailed", "comprehensive"], case_sensitive=False),
    help="How much is recorded.",
)
@click.option(
    "--memory/--no-memory", "capture_memory", default=None, help="Record the memory of the process."
)
@click.option("--performance/--no-performance", "capture_performance", default=None, help="Record CPU time.")
@click.option(
    "--profile",
    is_flag=True,
    default=None,
    help="Sample stacks, so that analyze names the functions that take time.",
)
@click.option(
    "--redact/--no-redact", "redact", default=None, help="Replace secrets before they reach the disk."
)
@click.option("--buffer-size", type=click.IntRange(min=1), metavar="N",
              help="Events written at once; 1, the default, loses nothing when the program is killed.")  # fmt: skip
@click.option("--format", "output_format", type=click.Choice([row.name for row in TRACE_EXPORTERS]), default="jsonl",
              show_default=True, help="Another format than jsonl is written beside the trace at the end.")  # fmt: skip
@click.option("--live", is_flag=True, help="Show events on stderr as they happen.")
@click.option(
    "--monitor", is_flag=True, help="Show alerts on stderr as they fire, and figures at the end; see monitor."
)
@click.option("--view", is_flag=True, help="Show the run in the browser while it happens; see view --live.")
@click.option(
    "--step", is_flag=True, help="Stop before each event, in the debugger; type help for its commands."
)
@click.option("-b", "--breakpoint", "breakpoints", multiple=True, metavar="LOCATION",
              help="Run to this LOCATION, such as llm, tool:search or error, and stop there; may be repeated.")  # fmt: skip
@click.option("--mock", "mocks", multiple=True, metavar="NAME:JSON",
              help="Mock the calls of a tool or model: use this answer and do not call; NAME@N, NAME:@file.json; "
              "may be repeated.")  # fmt: skip
@click.option("--fault", "faults", multiple=True, metavar="NAME:FAULT",
              help="Inject a fault into the calls of a tool or model: timeout, error:TYPE:TEXT, status:429, latency:2s, "
              "truncate; NAME@N; may be repeated.")  # fmt: skip
@click.option("-c", "--command", "commands", multiple=True, metavar="CMD",
              help="A debugger command to run first; -c stands before TARGET.")  # fmt: skip
@click.option("-x", "--commands", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="A file of debugger commands to run first; -x stands before TARGET.")  # fmt: skip
@python_option
def command(target: str, args: tuple[str, ...], **options: Any) -> None:
    """Run a program and record what its agents do.

    TARGET is a script (app.py), a module (-m package), a function (package.module:function), or a namel3ss app
    (app.ai); a bare name is looked for as a script, as an app and as a package. ARGS are the program's own: every
    option after TARGET that is not listed here, and everything after --.

    The program keeps its input, its output and its exit status. With --step or a breakpoint the debugger, on the
    terminal itself, stops it before its calls.
    """
    from namel3ss_debug.capture.launch.parent import leave
    from namel3ss_debug.cli.stepping import parse_stepping

    names = ("step", "breakpoints", "mocks", "faults", "commands", "files")
    stepping = parse_stepping(**{name: options.pop(name) for name in names})
    leave(trace([target, *args], stepping=stepping, **options))
