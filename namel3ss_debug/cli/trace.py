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

from namel3ss_debug.cli.options import component_names, nothing_of
from namel3ss_debug.cli.program import (
    ProgramCommand,
    arguments,
    flow_option,
    python_option,
    run_args_option,
)
from namel3ss_debug.errors import WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.capture.launch import Target
    from namel3ss_debug.capture.session import Session
    from namel3ss_debug.cli.live import Stepping
    from namel3ss_debug.config import DebugConfiguration

# A cut answer cannot be replayed, nor can a run whose seed is not known; file, environment and option still win.
DEFAULTS = {"max_payload_size": 0, "record_randomness": True}
_ADDRESS = re.compile(
    r"(\d{1,3}(\.\d{1,3}){3}|localhost|\[[\da-fA-F:]*\])?:\d{1,5}|\d{1,3}(\.\d{1,3}){3}|unix:.+"
)
"""What servers take behind their own `-b`."""

SHORT = 1 << 20
"""A recording up to this size is read at the end, to see what its program lacked."""


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
    stepping: Stepping | None,
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
        output_format: `json` writes one document beside the recording at the end.
        live: whether events are shown on stderr as they happen.
        stepping: what the debugger's shell begins with where it steps the program.
        python: the interpreter to run the program with.
        **overrides: settings that options gave; `None` is not given.

    Returns:
        The exit status of the program, or the negative number of the signal it died by.

    Raises:
        DebugError: the program, a setting or the file cannot be used.
    """
    from namel3ss_debug.capture.launch import find_python, resolve_target
    from namel3ss_debug.capture.session import new_session
    from namel3ss_debug.config import load_configuration

    check_words(components, () if stepping is None else stepping.breakpoints)
    overrides |= {"enabled": True, "default_components": list(components) or None}
    loaded = load_configuration(overrides=overrides, defaults=DEFAULTS)
    target = resolve_target(words, module=module, run_args=read_run_args(run_args), flow=flow)
    interpreter = find_python(python, target)
    if loaded.config.profile:
        from namel3ss_debug.capture.stacks import check

        check(interpreter, app=target.kind == "app")
    session = new_session(loaded.config, output=output, **known_of(target))
    check_folder(Path(session.trace).parent)
    with watching(Path(session.trace), live=live):
        status = run_program(target, session, stepping, loaded.config, interpreter)
        end_recording(session, status)
    if status == 1 and python is None and target.kind != "app":
        tell_of_environment(Path(session.trace))
    report(session, output_format, status)
    return status


def end_recording(session: Session, status: int) -> None:
    """Write how a program ended that did not do so itself, where the recording is its own alone."""
    from namel3ss_debug.traces.late_ends import write_late_end

    if session.sampled and not session.joins:
        write_late_end(Path(session.trace), status)


def run_program(
    target: Target, session: Session, stepping: Stepping | None, config: DebugConfiguration, python: str
) -> int:
    """Run a program to its end, by itself or under the debugger's shell; its exit status."""
    if stepping is None:
        from namel3ss_debug.capture.launch import launch

        return launch(target, session=asdict(session), python=python)
    from namel3ss_debug.cli.live import step_program

    return step_program(target, session, stepping, config, python=python)


def tell_of_environment(recording: Path) -> None:
    """Say how to run a program that lacked a module in the environment that is active, where ours is another."""
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.traces.reader import open_trace

    active = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX") or sys.prefix
    interpreter = Path(active, "bin", "python")
    if not interpreter.exists() or Path(active).samefile(sys.prefix):
        return
    if not recording.is_file() or recording.stat().st_size > SHORT:  # what lacks a module ends soon
        return
    if any(event.get("error_type") == "ModuleNotFoundError" for event in open_trace(recording).events()):
        tell(
            f"the program ran under {sys.executable}, and another environment is active: install "
            f"namel3ss-debug there as well, and say --python {shlex.quote(str(interpreter))}"
        )


def known_of(target: Target) -> dict[str, Any]:
    """What a session says of the program."""
    return {"target": target.text, "root": target.root, "arguments": target.arguments, "flow": target.flow}


def watching(path: Path, *, live: bool) -> AbstractContextManager[Any]:
    """Show the events of a recording as they come, where that is wanted."""
    if not live:
        return nullcontext()
    from namel3ss_debug.cli.follow import following

    return following(path)


def check_words(components: Sequence[str], breakpoints: Sequence[str]) -> None:
    """See that `-f` and `-b` got no words of the program, which may have options of these names, too.

    Raises:
        WrongUsageError: a component is an option or a file, or a breakpoint the address of a server.
    """
    for word in components:
        if word.startswith("-") or os.sep in word or word.endswith(".py"):
            raise WrongUsageError(
                f"-f is for a component such as llm, and {word} is none: put the program's own options behind --"
            )
    for word in breakpoints:
        if _ADDRESS.fullmatch(word):
            raise WrongUsageError(
                f"-b is for a breakpoint such as llm, and {word} is none: put the program's own options behind --"
            )


def check_folder(folder: Path) -> None:
    """See that a recording can be written there, before the program starts.

    Raises:
        WrongUsageError: something else stands in its place, or it may not be written to.
    """
    found = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if found.is_dir() and os.access(found, os.W_OK | os.X_OK):
        return
    why = "may not be written to" if found.is_dir() else "is no directory"
    place = "it" if found == folder else found
    raise WrongUsageError(f"cannot record to {folder}: {place} {why}; give -o FILE, or set trace_output_dir")


def read_run_args(given: str | None) -> dict[str, Any] | None:
    """The keyword arguments of a function, or the input of a flow, from `--run-args`.

    Raises:
        WrongUsageError: it is no JSON object.
    """
    if given is None:
        return None
    try:
        value = json.loads(given)
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
    """Say in one line what was recorded, where, what killed the program if anything did, and what to do next."""
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.traces.unrecorded import take_marks
    from namel3ss_debug.views.cleaning import shorter_path
    from namel3ss_debug.views.quantities import count

    path = Path(session.trace)
    if not session.sampled:
        tell("not recorded: sample_rate left this execution out")
        return
    events = count_lines(path)
    if not events:
        tell(f"nothing was recorded: there is no event in {shorter_path(path)}")
        return
    for told in dict.fromkeys(
        take_marks(path, session.execution_id)
    ):  # of those that the program has left behind
        tell(f"while recording: {told}")
    shown = shorter_path(path)
    wanted = session.settings["default_components"]
    if wanted and not holds_any(path, wanted):
        nothing_of(wanted, "nothing was recorded of")
    following = "" if session.link_latest else f" {shlex.quote(shown)}"
    document = f" and {shorter_path(write_document(path))}" if output_format == "json" else ""
    killed = f"; the program was killed by {killer(status)}" if status < 0 else ""
    tell(
        f"recorded {count(events, 'event')} in {shown}{document}{killed}; "
        f"next: namel3ss debug analyze{following}"
    )


def holds_any(path: Path, components: Sequence[str]) -> bool:
    """Whether a recording has an event of one of these components."""
    from namel3ss_debug.traces.reader import open_trace

    wanted = {form for name in components for form in (name, name.lower())}
    return any(event.get("component") in wanted for event in open_trace(path).events())


def killer(status: int) -> str:
    """The signal that a program died by, such as `signal 9 (SIGKILL)`."""
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"


def count_lines(path: Path) -> int:
    """The number of events in all files of a trace, by their line ends."""
    from namel3ss_debug.traces.names import parse_name
    from namel3ss_debug.traces.ring import complete

    wanted = parse_name(path.name)
    if wanted is None or not path.parent.is_dir():
        return 0
    total = 0
    for file in path.parent.iterdir():
        name = parse_name(file.name)
        if name is not None and name.stem == wanted.stem and not file.is_symlink():
            complete(file)
            with file.open("rb") as stream:
                total += sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    return total


def write_document(path: Path) -> Path:
    """Write the whole recording as one JSON document beside it.

    Raises:
        WrongUsageError: the document cannot be written.
    """
    from namel3ss_debug.traces.names import DOCUMENT_HEAD
    from namel3ss_debug.traces.reader import open_trace
    from namel3ss_debug.views.payloads import json_bytes

    document = path.with_suffix(".json")
    unfinished = document.with_name(f"{document.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(DOCUMENT_HEAD)
            for number, event in enumerate(open_trace(path).events()):
                stream.write((",\n" if number else "\n") + json_bytes(event))
            stream.write("\n]}\n")
        unfinished.replace(document)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise WrongUsageError(f"cannot write {document}: {error.strerror}; the recording is whole") from error
    return document


@click.command("trace", cls=ProgramCommand)
@arguments("TARGET")
@click.option("-m", "module", is_flag=True, help="TARGET is a module or package, as with python -m.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Record to FILE (.jsonl)."
)
@click.option("-f", "--filter", "components", multiple=True, metavar="COMPONENT", callback=component_names,
              help="Record this component only, such as llm or tool; may be given several times.")  # fmt: skip
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
@click.option("--format", "output_format", type=click.Choice(["jsonl", "json"]), default="jsonl", show_default=True,
              help="json writes one document beside the recording at the end.")  # fmt: skip
@click.option("--live", is_flag=True, help="Show events on stderr as they happen.")
@click.option(
    "--step", is_flag=True, help="Stop before each event, in the debugger; type help for its commands."
)
@click.option("-b", "--breakpoint", "breakpoints", multiple=True, metavar="PLACE",
              help="Run to this place, such as llm, tool:search or error, and stop there; may be repeated.")  # fmt: skip
@click.option("--mock", "mocks", multiple=True, metavar="NAME:JSON",
              help="Answer the calls of a tool or model with this and do not make them; NAME@N, NAME:@file.json; "
              "may be repeated.")  # fmt: skip
@click.option("--fault", "faults", multiple=True, metavar="NAME:FAULT",
              help="Let the calls of a tool or model go wrong: timeout, error:TYPE:TEXT, status:429, latency:2s, "
              "truncate; NAME@N; may be repeated.")  # fmt: skip
@click.option("-c", "--command", "commands", multiple=True, metavar="CMD",
              help="A debugger command to do first; -c stands before TARGET.")  # fmt: skip
@click.option("-x", "--commands", "files", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="A file of debugger commands to do first; -x stands before TARGET.")  # fmt: skip
@python_option
def command(target: str, args: tuple[str, ...], **options: Any) -> None:
    """Run a program and record what its agents do.

    TARGET is a script (app.py), a module (-m package), a function (package.module:function), or a namel3ss app
    (app.ai); a bare name is looked for as a script, as an app and as a package. ARGS are the program's own: every
    option that is not listed here and stands after TARGET, and all that stands after --.

    The program keeps its input, its output and its exit status. With --step or a breakpoint the debugger, on the
    terminal itself, stops it before its calls.
    """
    from namel3ss_debug.capture.launch import leave
    from namel3ss_debug.cli.live import wanted_stepping

    names = ("step", "breakpoints", "mocks", "faults", "commands", "files")
    stepping = wanted_stepping(**{name: options.pop(name) for name in names})
    leave(trace([target, *args], stepping=stepping, **options))
