"""Find what makes a program non-deterministic, by running it on its own recorded answers: `debug doctor`.

The first run is for real: the program has its standard input, and its output goes to stderr, because stdout carries the
result. The others are re-runs without output. All traces are removed at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.program import (
    ProgramCommand,
    arguments,
    flow_option,
    python_option,
    run_args_option,
)
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.cli.trace import DEFAULTS, read_run_args
from namel3ss_debug.errors import TargetError
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.capture.launch.parent import Target
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.replay.rerun.doctor import ChangeInputs, DoctorRun
    from namel3ss_debug.traces.reader import Trace

STDERR = 2
PATIENCE_SECONDS = 5.0
"""How long to wait for output after the program's end, while a process that it started still holds the stream."""


def recording_settings(config: DebugConfiguration, folder: str) -> DebugConfiguration:
    """Return the settings in force, changed as far as they keep the program from running again."""
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


def keep(traces: Iterable[Path], folder: Path) -> list[str]:
    """Copy traces to a folder, and return their first files there; they stay readable by this user alone."""
    from namel3ss_debug.traces.store import trace_files
    from namel3ss_debug.views.cleaning import shorter_path

    folder.mkdir(parents=True, exist_ok=True)
    kept = []
    for trace in traces:
        for process in trace_files(trace):
            for file in process.files:
                shutil.copy2(file, folder / file.name)
        kept.append(str(shorter_path(folder / trace.name)))
    return kept


def record(target: Target, config: DebugConfiguration, python: str) -> tuple[DoctorRun, Trace]:
    """Run the program for real, and record it.

    Raises:
        TargetError: it cannot be started.
    """
    from namel3ss_debug.capture.launch.parent import Streams, started
    from namel3ss_debug.capture.launch.session import new_session
    from namel3ss_debug.importers.opening import open_trace
    from namel3ss_debug.replay.rerun.doctor import DoctorRun

    session = new_session(config, target=target.text, root=target.root)
    randomness = session.randomness | {"watch": True}
    session = replace(session, arguments=dict(target.arguments), flow=target.flow, randomness=randomness)
    notify("run 1, for real")
    with passed_on() as (stream, printed):  # noqa: SIM117  (the program has ended before its output has)
        with started(target, session=asdict(session), python=python, streams=Streams(stdout=stream)) as child:
            os.close(stream)
            status = child.wait()
    path = Path(session.trace)
    if not path.exists():
        raise TargetError(f"{target.text} ended before it could be recorded, with status {status}")
    return DoctorRun(bytes(printed), status), open_trace(path)


_LARGEST = 1 << 28
"""The largest file that is compared, in bytes."""


class Files:
    """The files that a program reads, after its first run.

    Args:
        paths: the files.
        began: when that run began, in nanoseconds since the epoch.
    """

    def __init__(self, paths: Iterable[str], began: int) -> None:
        self._began, self._ended = began, time.time_ns()
        self._digests = {path: digest(path) for path in paths if written_at(path) >= began}

    def changed(self) -> tuple[str, ...]:
        """Return the files that differ for later runs, as far as can be known: written in a run, or removed.

        A file that every run writes again with the same content is not changed.
        """
        return tuple(
            sorted(
                path
                for path, before in self._digests.items()
                if before is None or written_at(path) <= self._ended or digest(path) != before
            )
        )


def digest(path: str) -> bytes | None:
    """Return a digest of a file; None for one that does not exist, is very large, or cannot be read."""
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _LARGEST:
            return None
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except (OSError, ValueError):
        return None


def written_at(path: str) -> int:
    """Return when a file was last written; a missing one counts as written just now."""
    try:
        return os.stat(path).st_mtime_ns
    except (OSError, ValueError):
        return time.time_ns()


@contextlib.contextmanager
def passed_on() -> Iterator[tuple[int, bytearray]]:
    """Yield a descriptor for a program's output, which is kept and copied to stderr; the block closes the descriptor."""
    source, inputs = os.pipe()
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
        yield inputs, kept
    finally:
        thread.join(PATIENCE_SECONDS)


class _Again:
    """Run the recorded program again."""

    def __init__(
        self,
        trace: Trace,
        config: DebugConfiguration,
        folder: Path,
        run_tools: tuple[str, ...],
        python: str,
    ) -> None:
        from namel3ss_debug.replay.rerun.preparation import RerunOptions

        self._trace, self._config, self._folder = trace, config, folder
        self._wanted = RerunOptions(run_tools=run_tools, python=python, consent="user")
        self._runs = 1

    def __call__(self, change: ChangeInputs, what_for: str) -> DoctorRun:
        from namel3ss_debug.replay.rerun.doctor import DoctorRun, RunInputs
        from namel3ss_debug.replay.rerun.preparation import prepare
        from namel3ss_debug.replay.rerun.running import OutputEnds, rerun

        self._runs += 1
        notify(f"run {self._runs}, {what_for}")
        prepared = prepare(self._trace, self._wanted, self._config, self._folder)
        if self._runs == 2:
            for note in prepared.notes:
                notify(note)
        inputs = change(RunInputs(prepared.inputs, prepared.plan))
        prepared = replace(prepared, inputs=inputs.inputs, plan=inputs.plan)
        with tempfile.TemporaryFile() as printed, Path(os.devnull).open("wb") as nowhere:
            outcome = rerun(prepared, OutputEnds(printed.fileno(), nowhere.fileno()))
            printed.seek(0)
            stdout = printed.read()
        if outcome.interrupted:
            raise KeyboardInterrupt
        return DoctorRun(stdout, outcome.status, outcome)


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
@python_option
@reporting()
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
    fail_on_findings: bool,
) -> Report:
    """Run a program twice, the second time on its recorded answers, and find what makes it non-deterministic.

    TARGET and ARGS are those of debug trace. The first run is for real. The others are offline and free: models,
    servers and tools answer as they did, while the clock, random numbers, the hash seed and the order of parallel
    answers differ. If the program then behaves differently, it runs a few times more to separate the causes.

    An error is something that a re-run cannot reproduce. A warning is an input that a re-run replays and that reaches a
    request, the output or the exit status. What the program prints in the first run goes to stderr.
    """
    from namel3ss_debug.capture.launch.parent import find_python, resolve_target
    from namel3ss_debug.config import load_configuration
    from namel3ss_debug.replay.rerun.doctor import Diagnosis
    from namel3ss_debug.replay.rerun.doctor_findings import INFO, FirstRun, findings
    from namel3ss_debug.replay.rerun.recorded_calls import read_recorded
    from namel3ss_debug.traces.inputs import Recorded as Inputs
    from namel3ss_debug.views.blocks import Lines
    from namel3ss_debug.views.doctor import doctor_document, doctor_lines

    program = resolve_target([target, *args], module=module, run_args=read_run_args(run_args), flow=flow)
    interpreter = find_python(python, program)
    with tempfile.TemporaryDirectory(prefix="namel3ss-doctor-") as folder:
        settings = load_configuration(defaults=DEFAULTS).config
        config = recording_settings(settings, folder)
        began = time.time_ns()
        first, trace = record(program, config, interpreter)
        if first.status == -2:
            raise click.Abort
        inputs_read = FirstRun(trace.events(), read_recorded(trace), Inputs.of(trace.events()), program.root)
        first = first._replace(printed=inputs_read.printed)
        again = _Again(trace, config, Path(folder), run_tools, interpreter)
        files = Files(inputs_read.files, began)
        diagnosis = Diagnosis(
            first, inputs_read.present(), again, inputs_read.sites, repeat, lambda: bool(files.changed())
        )
        causes = diagnosis.causes()
        printed = first.stdout.decode("utf-8", "replace")
        found = findings(causes, inputs_read, printed, files.changed())
        differing = dict.fromkeys(cause.trace for cause in causes if cause.trace and cause.trace.exists())
        kept = keep([trace.path, *differing], Path(settings.trace_output_dir)) if differing else []
    return Report(
        [Lines(lambda width: doctor_lines(found, diagnosis.runs, first.status, kept, width))],
        doctor_document(program.text, found, diagnosis.runs, first.status, kept),
        status=int(fail_on_findings and any(each.severity != INFO for each in found)),
    )
