"""`debug import`: files of other tools as traces."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import reading, report_problems, settings, trace_directory, write_file
from namel3ss_debug.errors import UnreadableTraceError, WrongUsageError
from namel3ss_debug.importers import IMPORTERS
from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:
    from namel3ss_debug.importers.losses import Losses
    from namel3ss_debug.traces.reader import Trace

PORT: Final = 4318
"""The port of OTLP over HTTP, to which exporters send without a setting."""

_LONGEST_NAME: Final = 60
_FORMATS = ", ".join(f"{row.name} ({row.description})" for row in IMPORTERS)


@click.command("import")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path),
              help="Write to FILE; a folder for several. Without it, to trace_output_dir.")  # fmt: skip
@click.option("--format", "input_format", type=click.Choice([row.name for row in IMPORTERS]), metavar="NAME",
              help=f"The format of the files, where their contents do not show it: {_FORMATS}.")  # fmt: skip
@click.option("--listen", "port", is_flag=False, flag_value=PORT, type=click.IntRange(0, 65535), metavar="[PORT]",
              help=f"Receive OTLP over HTTP on loopback, and write a trace for each resource, until Ctrl-C. PORT is {PORT} if "
                   "left out, 0 for a free one.")  # fmt: skip
@click.option("--report", is_flag=True, help="Show what is not carried over, and write nothing without -o.")
def command(
    files: Sequence[Path], *, output: Path | None, input_format: str | None, port: int | None, report: bool
) -> int:
    """Convert files of other tools to traces.

    No command needs this: each of these files may stand wherever a command takes TRACE. What our format has no place
    for stays in metadata.source. Secrets are replaced, as in a trace of our own.

    With --listen, whatever program exports OpenTelemetry to http://127.0.0.1:PORT is recorded: a run is written when its root
    span has ended, and can be followed by logs --follow --category events.
    """
    if port is not None:
        if files or output is not None or input_format is not None or report:
            raise WrongUsageError("--listen takes no FILE, and no other option")
        return _listen(port)
    if not files:
        raise WrongUsageError("no FILE; name one, or receive from programs with --listen")
    from namel3ss_debug.importers.losses import Losses
    from namel3ss_debug.importers.opening import open_nonempty_trace
    from namel3ss_debug.views.cleaning import clean

    if len(files) > 1 and output is not None and not output.is_dir():
        raise WrongUsageError(f"{output} is no folder; several files are written to a folder")
    settings()
    for file in files:
        trace = open_nonempty_trace(file, format_name=input_format)
        if trace.is_own():
            raise UnreadableTraceError(f"{file}: a trace of our own format, which needs no import")
        losses = Losses()
        with reading(trace):
            if report and output is None:
                for event in trace.events():
                    losses.add(event)
            else:
                _write(trace, output, losses)
        report_problems(trace)
        if report:
            click.echo(clean(f"{file}: {losses.events:,} events in {losses.spans:,} spans"))
            for line in losses.describe(trace.problems.left_out):
                click.echo(clean(f"  {line}"))
    return 0


def _listen(port: int) -> int:
    """Receive spans until Ctrl-C or SIGTERM."""
    from namel3ss_debug.importers.arriving import Recordings
    from namel3ss_debug.importers.otlp_receiver import PATH, OtlpReceiver
    from namel3ss_debug.traces.redaction.redactor import Redactor
    from namel3ss_debug.views.cleaning import clean
    from namel3ss_debug.views.quantities import count

    config = settings().config
    redactor = Redactor(config.redact_keys, config.redact_patterns) if config.redact else None
    traces: list[Path] = []

    def announce(path: Path, service: str) -> None:
        traces.append(path)
        notify(f"{clean(service, _LONGEST_NAME)}: {path}")

    recordings = Recordings(Path(config.trace_output_dir), redactor, announce)
    try:
        server = OtlpReceiver(port, recordings.take, recordings.close_silent)
    except OSError as error:
        raise WrongUsageError(
            f"port {port} of loopback: {error.strerror}; give another with --listen PORT"
        ) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        notify(f"receives OTLP at http://127.0.0.1:{server.server_port}{PATH}; Ctrl-C ends it")
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
        recordings.close()
    notify(f"{count(recordings.spans, 'span')} in {count(len(traces), 'trace')}")
    return 0


def _write(trace: Trace, output: Path | None, losses: Losses) -> None:
    name = trace.path.name
    for ending in (".gz", ".json", ".jsonl", ".eval", ".traj"):
        name = name.removesuffix(ending)
    folder = trace_directory() if output is None else output if output.is_dir() else None
    path = output if folder is None else folder / f"{name}.jsonl"
    assert path is not None
    if path.exists() and path.samefile(trace.path):
        raise WrongUsageError(f"{path} is the file itself; give another file with -o")
    if output is None and path.exists() and not _is_import(path):
        raise WrongUsageError(f"{path} is another trace; give another file with -o")
    from namel3ss_debug.views.payloads import json_bytes

    lines = (json_bytes(event) + "\n" for event in _with_run(losses.watch(trace.events()), trace))
    write_file(path, "".join(lines).encode())
    notify(f"{trace.path} was written to {path}")


def _is_import(path: Path) -> bool:
    from namel3ss_debug.traces.lines import first_line

    return b'"source"' in first_line(path)


def _with_run(events: Iterator[Event], trace: Trace) -> Iterator[Event]:
    """Yield the events, each with the id of a run: marks and `list` refer to a trace by it."""
    run = hashlib.sha256(str(trace.path.resolve()).encode(errors="replace")).hexdigest()[:32]
    for event in events:
        yield event if "execution_id" in event else {**event, "execution_id": run}
