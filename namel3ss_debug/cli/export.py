"""`debug export`: a trace in the format of another tool, to a file or to a receiver of OpenTelemetry."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    open_reference,
    open_trace_file,
    reading,
    report_problems,
    settings,
    trace_directory,
    write_file,
)
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.exporters import TRACE_EXPORTERS, TraceExporter
from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:
    from namel3ss_debug.traces.reader import Trace

_FORMATS = ", ".join(f"{row.name} ({row.description})" for row in TRACE_EXPORTERS)


@click.command("export")
@click.argument("references", metavar="[TRACE]...", nargs=-1)
@click.option("--format", "output_format", type=click.Choice([row.name for row in TRACE_EXPORTERS]),
              help=f"The format: {_FORMATS}.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path, allow_dash=True),
              help="Write to FILE, - for the standard output; a folder for several traces. Without it, beside the trace.")  # fmt: skip
@click.option(
    "--to",
    "url",
    metavar="URL",
    help="Send it to a receiver of OTLP over HTTP, such as http://localhost:4318; or its logs to Loki: "
    "--format loki, or a URL that ends with /loki/api/v1/push.",
)
@click.option("--pending", is_flag=True,
              help="Send what was recorded in trace_output_dir and not yet sent to export_url, or to --to.")  # fmt: skip
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'",
              help="A header for --to; may be repeated. Secrets are better in OTEL_EXPORTER_OTLP_HEADERS.")  # fmt: skip
@click.option("--content/--no-content", "content", default=True,
              help="With messages, arguments, results and texts of errors, the default, or without.")  # fmt: skip
def command(
    references: Sequence[str],
    *,
    output_format: str | None,
    output: Path | None,
    url: str | None,
    pending: bool,
    headers: Sequence[str],
    content: bool,
) -> int:
    """Write TRACE in the format of another tool, or send it to one.

    TRACE may be of another tool itself. Ids derive from the trace, so a receiver that gets it twice has it once. Secrets
    are replaced again on the way out.
    """
    if pending:
        return _send_pending(url, headers, content=content)
    traces = [open_reference(reference) for reference in references] or [open_reference(None)]
    if url is None and output_format is None:
        raise WrongUsageError("give --format NAME, or --to URL")
    if url is not None:
        if output is not None or output_format not in (None, "otlp", "otlp-proto", "loki"):
            raise WrongUsageError(
                "--to sends OTLP or logs: give it without -o, and with no other format than otlp, otlp-proto or loki"
            )
        if output_format == "loki" or (output_format is None and url.endswith("/loki/api/v1/push")):
            return _send_logs(traces, url, headers, content=content)
        return _send(traces, url, headers, content=content, as_json=output_format == "otlp")
    row = next(row for row in TRACE_EXPORTERS if row.name == output_format)
    if len(traces) > 1 and output is not None and not output.is_dir():
        raise WrongUsageError(f"-o {output}: several traces need a folder that exists")
    for trace in traces:
        with reading(trace):
            pieces = row.load().export(_events(trace, content=content, marked=row.takes_mark))
            if output is not None and str(output) == "-":
                sys.stdout.buffer.writelines(pieces)
                sys.stdout.buffer.flush()
            else:
                path = _path_of(trace, row, output)
                write_file(path, b"".join(pieces))
                notify(f"{trace.path.name} was written to {path}")
        report_problems(trace)
    left_out = row.load().LEFT_OUT
    if left_out:
        notify(f"left out: {'; '.join(left_out)}")
    return 0


def _path_of(trace: Trace, row: TraceExporter, output: Path | None) -> Path:
    """Return the file for a trace.

    Raises:
        WrongUsageError: it is the trace itself.
    """
    beside = trace.path.with_name(trace.path.name.removesuffix(".jsonl") + row.ending)
    path = beside if output is None else output / beside.name if output.is_dir() else output
    if path.exists() and path.samefile(trace.path):
        raise WrongUsageError(f"{path} is the trace itself; give another file with -o")
    return path


def _events(trace: Trace, *, content: bool, marked: bool) -> Iterator[Event]:
    """Yield the events without secrets, and before them the user's judgement of the run, if that is wanted."""
    from namel3ss_debug.exporters.span_export import MARK
    from namel3ss_debug.traces.events import without_content
    from namel3ss_debug.traces.marks import mark_of
    from namel3ss_debug.traces.redaction.documents import redact_document
    from namel3ss_debug.traces.redaction.redactor import Redactor

    mark = mark_of(trace.path) if marked else None
    judged: list[Event] = [] if mark is None else [{"event_type": MARK, "metadata": mark.to_json()}]
    config = settings().config
    events: Iterable[Event] = trace.events()
    if config.redact:
        redactor = Redactor(config.redact_keys, config.redact_patterns)
        events = (redact_document(event, redactor) for event in events)
    return iter(chain(judged, events if content else map(without_content, events)))


def _send_pending(url: str | None, lines: Sequence[str], *, content: bool) -> int:
    """Send what waits, and return the exit status.

    Raises:
        WrongUsageError: there is no URL.
        DebugError: a trace was not taken; it waits on.
    """
    from namel3ss_debug.exporters.pending import send_pending
    from namel3ss_debug.exporters.sending import endpoint_of

    config = settings().config
    url = url or config.export_url
    if not url:
        raise WrongUsageError("there is no URL to send to: set export_url, or give --to URL")
    refused = False

    def send(path: Path) -> None:
        nonlocal refused
        refused |= bool(_send([open_trace_file(path)], url, lines, content=content, as_json=False))

    if not sum(1 for _ in send_pending(trace_directory(), endpoint_of(url), send)):
        notify("nothing is waiting to be sent")
    return int(refused)


def _send_logs(traces: Sequence[Trace], url: str, lines: Sequence[str], *, content: bool) -> int:
    from namel3ss_debug.exporters import loki
    from namel3ss_debug.exporters.sending import endpoint_of, headers_of, send_logs

    endpoint, headers = endpoint_of(url, loki.PATH), headers_of(lines)
    for trace in traces:
        with reading(trace):
            requests = loki.make_requests(_events(trace, content=content, marked=False))
            sent = send_logs(requests, endpoint, headers)
        report_problems(trace)
        notify(f"{trace.path.name}: {sent} log lines were sent to {endpoint}")
    return 0


def _send(traces: Sequence[Trace], url: str, lines: Sequence[str], *, content: bool, as_json: bool) -> int:
    from namel3ss_debug.exporters.otlp import make_requests
    from namel3ss_debug.exporters.sending import endpoint_of, headers_of, send
    from namel3ss_debug.exporters.span_export import read_exported

    endpoint, headers = endpoint_of(url), headers_of(lines)
    refused = 0
    for trace in traces:
        with reading(trace):
            requests = make_requests(read_exported(_events(trace, content=content, marked=True)))
            sent = send(requests, endpoint, headers, as_json=as_json)
        report_problems(trace)
        notify(f"{trace.path.name}: {sent.spans} spans were sent to {endpoint}")
        if sent.refused:
            notify(f"{endpoint} refused {sent.refused} of them")
        refused += sent.refused
    return 1 if refused else 0
