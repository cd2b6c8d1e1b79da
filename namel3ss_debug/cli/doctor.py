"""`debug doctor`: what makes a program irreproducible, found by running it on its own recorded answers.

The first run is for real: the program has its standard input, and what it prints goes to stderr, because stdout carries
the answer. The others are re-runs of it, unseen. All recordings are thrown away at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.options import format_option, print_document
from namel3ss_debug.cli.program import (
    ProgramCommand,
    arguments,
    flow_option,
    python_option,
    run_args_option,
)
from namel3ss_debug.cli.trace import DEFAULTS, read_run_args

if TYPE_CHECKING:
    from namel3ss_debug.capture.launch import Target
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.replay.doctor import Change, Run
    from namel3ss_debug.traces.reader import Trace

STDERR = 2
PATIENCE_SECONDS = 5.0
"""How long output is waited for after the program's end, where something that it started still holds the stream."""


def recording_settings(config: DebugConfiguration, folder: str) -> DebugConfiguration:
    """The settings in force, as far as they do not keep the program from running again."""
    return replace(
        config,
        enabled=True,
        trace_output_dir=folder,
        default_components=(),
        level="detailed",
        sample_rate=1.0,
        max_payload_size=0,
        buffer_size=1,
        record_randomness=True,
        rotate_keep=0,
    )


def record(target: Target, config: DebugConfiguration, python: str, folder: Path) -> tuple[Run, Trace]:
    """Run the program for real, and record it.

    Raises:
        TargetError: it cannot be started.
    """
    from namel3ss_debug.capture.launch import Streams, started
    from namel3ss_debug.capture.session import new_session
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.errors import TargetError
    from namel3ss_debug.replay.doctor import Run
    from namel3ss_debug.traces.reader import open_trace

    session = new_session(config, target=target.text, root=target.root, output=folder / "first.jsonl")
    randomness = session.randomness | {"watch": True}
    session = replace(session, arguments=dict(target.arguments), flow=target.flow, randomness=randomness)
    tell("run 1, for real")
    with passed_on() as (stream, printed):  # noqa: SIM117  (the program has ended before its output has)
        with started(target, session=asdict(session), python=python, streams=Streams(stdout=stream)) as child:
            os.close(stream)
            status = child.wait()
    path = Path(session.trace)
    if not path.exists():
        raise TargetError(f"{target.text} ended before it could be recorded, with status {status}")
    return Run(bytes(printed), status), open_trace(path)


_LARGEST = 1 << 28
"""Of so many bytes a file is compared."""


class Files:
    """The files that a program reads, after its first run.

    Args:
        paths: the files.
        began: when that run began, in nanoseconds since the epoch.
    """

    def __init__(self, paths: Iterable[str], began: int) -> None:
        self._began, self._ended = began, time.time_ns()
        self._held = {path: digest(path) for path in paths if written_at(path) >= began}

    def changed(self) -> tuple[str, ...]:
        """Those that a later run has found otherwise than the first, as far as can be told: written in a run, or gone.

        One that every run writes anew, with the same in it, is none.
        """
        return tuple(sorted(path for path in self._held if not self._is_written_again(path)))

    def _is_written_again(self, path: str) -> bool:
        held = self._held[path]
        return held is not None and written_at(path) > self._ended and digest(path) == held


def digest(path: str) -> bytes | None:
    """What stands for the content of a file; None for one that is gone, very large, or cannot be read."""
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _LARGEST:
            return None
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except (OSError, ValueError):
        return None


def written_at(path: str) -> int:
    """When a file was last written; one that is gone counts as written just now."""
    try:
        return os.stat(path).st_mtime_ns
    except (OSError, ValueError):
        return time.time_ns()


@contextlib.contextmanager
def passed_on() -> Iterator[tuple[int, bytearray]]:
    """A descriptor for a program's output, which goes to stderr and is kept; the block closes the descriptor."""
    source, given = os.pipe()
    kept = bytearray()

    def pass_on() -> None:
        with os.fdopen(source, "rb", buffering=0) as stream:
            while block := stream.read(1 << 16):
                kept.extend(block)
                with contextlib.suppress(OSError):
                    os.write(STDERR, block)

    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    try:
        yield given, kept
    finally:
        thread.join(PATIENCE_SECONDS)


class _Again:
    """Runs the recorded program again."""

    def __init__(
        self,
        trace: Trace,
        config: DebugConfiguration,
        folder: Path,
        run_tools: tuple[str, ...],
        python: str,
    ) -> None:
        from namel3ss_debug.replay.rerun import Wanted

        self._trace, self._config, self._folder = trace, config, folder
        self._wanted = Wanted(run_tools=run_tools, python=python, consent="user")
        self._runs = 1

    def __call__(self, change: Change, what_for: str) -> Run:
        from namel3ss_debug.cli.boundary import tell
        from namel3ss_debug.replay.doctor import Run
        from namel3ss_debug.replay.rerun import prepare, rerun
        from namel3ss_debug.replay.rerunning.disturbances import Given
        from namel3ss_debug.replay.rerunning.outputs import Outputs

        self._runs += 1
        tell(f"run {self._runs}, {what_for}")
        prepared = prepare(self._trace, self._wanted, self._config, self._folder)
        if self._runs == 2:
            for note in prepared.notes:
                tell(note)
        given = change(Given(prepared.inputs, prepared.plan))
        prepared = replace(prepared, inputs=given.inputs, plan=given.plan)
        with tempfile.TemporaryFile() as printed, Path(os.devnull).open("wb") as nowhere:
            outcome = rerun(prepared, Outputs(printed.fileno(), nowhere.fileno()))
            printed.seek(0)
            stdout = printed.read()
        if outcome.interrupted:
            raise KeyboardInterrupt
        return Run(stdout, outcome.status, outcome)


def show(target: str, found: Sequence[Any], runs: int, status: int, output_format: str) -> None:
    """Print what was found."""
    from namel3ss_debug.views.doctor import doctor_document, doctor_lines
    from namel3ss_debug.views.terminal import console

    if output_format == "json":
        print_document(doctor_document(target, found, runs, status))
        return
    screen = console()
    screen.lines(doctor_lines(found, runs, status, screen.width))


@click.command("doctor", cls=ProgramCommand)
@arguments("TARGET")
@click.option("-m", "module", is_flag=True, help="TARGET is a module or package, as with python -m.")
@run_args_option
@flow_option
@click.option("--run-tools", multiple=True, metavar="NAME",
              help="Run this tool for real each time; all for every tool; may be repeated.")  # fmt: skip
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="Run it N times on other inputs before it counts as reproducible.")  # fmt: skip
@click.option(
    "--fail-on-findings", is_flag=True, help="End with status 1 where there is an error or a warning."
)
@format_option("table", "json")
@python_option
def command(
    target: str,
    args: tuple[str, ...],
    *,
    module: bool,
    run_args: str | None,
    flow: str | None,
    python: str | None,
    run_tools: tuple[str, ...],
    repeat: int,
    output_format: str,
    fail_on_findings: bool,
) -> int:
    """Run a program twice, the second time on the answers of the first, and name what it does not repeat.

    TARGET and ARGS are those of debug trace. The first run is for real. The others are offline and free: models,
    servers and tools answer as they did, while the clock, random numbers, the hash seed and the order of parallel
    answers are others. Where the program then does something else, it is run a few times more to tell the causes apart.

    An error is what a re-run cannot give back. A warning is an input that a re-run gives back and that reaches a
    question, the output or the exit status. What the program prints in the first run goes to stderr.
    """
    from namel3ss_debug.capture.launch import find_python, resolve_target
    from namel3ss_debug.config import load_configuration
    from namel3ss_debug.replay.doctor import Diagnosis
    from namel3ss_debug.replay.rerunning.findings import INFO, Record, findings
    from namel3ss_debug.replay.rerunning.recorded import read_recorded
    from namel3ss_debug.traces.inputs import Recorded as Inputs

    program = resolve_target([target, *args], module=module, run_args=read_run_args(run_args), flow=flow)
    interpreter = find_python(python, program)
    with tempfile.TemporaryDirectory(prefix="namel3ss-doctor-") as folder:
        config = recording_settings(load_configuration(defaults=DEFAULTS).config, folder)
        began = time.time_ns()
        first, trace = record(program, config, interpreter, Path(folder))
        if first.status == -2:
            return 130
        record_of = Record(trace.events(), read_recorded(trace), Inputs.of(trace.events()))
        first = first._replace(printed=record_of.printed)
        again = _Again(trace, config, Path(folder), run_tools, interpreter)
        files = Files(record_of.files, began)
        diagnosis = Diagnosis(
            first, record_of.present(), again, record_of.sites, repeat, lambda: bool(files.changed())
        )
        causes = diagnosis.causes()
        printed = first.stdout.decode("utf-8", "replace")
        found = findings(causes, record_of, printed, program.root, files.changed())
    show(program.text, found, diagnosis.runs, first.status, output_format)
    return int(fail_on_findings and any(each.weight != INFO for each in found))
