"""Exporters: formats of other tools, each one module that turns events or findings into bytes.

A module of `TRACE_EXPORTERS` has `export(events)`, which yields the bytes of a trace, and `LEFT_OUT`, what its format has no
place for; `trace --format NAME` and `export --format NAME` offer it.
A module of `FINDING_EXPORTERS` has `export(reports, root, fail_on)`, which returns the bytes of what `check` found;
`check --NAME FILE` offers it. To add one, write the module and add its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from namel3ss_debug.traces.events import Event

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.findings import CheckReport


class TraceExporterModule(Protocol):
    """What a module of a trace exporter has.

    `LEFT_OUT` is what its format has no place for, as `export` shows it and a round trip is judged by.
    """

    LEFT_OUT: tuple[str, ...]

    def export(self, events: Iterable[Event]) -> Iterator[bytes]:
        """Yield a trace in this format, piece by piece."""


class FindingExporterModule(Protocol):
    """What a module of a finding exporter has."""

    def export(self, reports: Sequence[CheckReport], root: Path, fail_on: str) -> bytes:
        """Return the findings in this format.

        Args:
            reports: what the checks found, one report for each trace.
            root: the directory that files are named relative to, as a rule that of the repository.
            fail_on: the level from which a finding counts as a failure.
        """


class TraceExporter(NamedTuple):
    """One format of a trace: its name, its module, the ending of its files, and what it is.

    `takes_mark` is whether the user's judgement may stand before the events, as `span_export.MARK`.
    """

    name: str
    module: str
    ending: str
    description: str
    takes_mark: bool = False

    def load(self) -> TraceExporterModule:
        """Import the module."""
        module: TraceExporterModule = import_module(self.module)
        return module


class FindingExporter(NamedTuple):
    """One format of findings: its name, its module, the help of its option, and whether it is written to a file.

    What is not written to a file is for the runner of a CI system, which reads the standard error.
    """

    name: str
    module: str
    help: str
    is_file: bool = True

    def load(self) -> FindingExporterModule:
        """Import the module."""
        module: FindingExporterModule = import_module(self.module)
        return module


TRACE_EXPORTERS: tuple[TraceExporter, ...] = (
    TraceExporter(
        "jsonl", "namel3ss_debug.exporters.jsonl", ".jsonl", "an event on each line: our own format"
    ),
    TraceExporter("json", "namel3ss_debug.exporters.json_document", ".json", "one document"),
    TraceExporter(
        "otlp",
        "namel3ss_debug.exporters.otlp",
        ".otlp.json",
        "OTLP/JSON with GenAI attributes, for collectors",
        takes_mark=True,
    ),
    TraceExporter(
        "otlp-proto",
        "namel3ss_debug.exporters.otlp_proto",
        ".otlp.pb",
        "the same as protobuf",
        takes_mark=True,
    ),
    TraceExporter(
        "langfuse",
        "namel3ss_debug.exporters.langfuse",
        ".langfuse.json",
        "observations, as Langfuse exports them",
    ),
    TraceExporter("atif", "namel3ss_debug.exporters.atif", ".atif.json", "a trajectory for Harbor"),
    TraceExporter(
        "chrome", "namel3ss_debug.exporters.chrome", ".chrome.json", "for Perfetto and chrome://tracing"
    ),
    TraceExporter("zipkin", "namel3ss_debug.exporters.zipkin", ".zipkin.json", "spans of Zipkin v2"),
    TraceExporter(
        "speedscope",
        "namel3ss_debug.exporters.speedscope",
        ".speedscope.json",
        "where the time went, for speedscope",
    ),
    TraceExporter(
        "openmetrics", "namel3ss_debug.exporters.openmetrics", ".metrics.txt", "figures for Prometheus"
    ),
    TraceExporter("loki", "namel3ss_debug.exporters.loki", ".loki.json", "log records for Loki"),
)

FINDING_EXPORTERS: tuple[FindingExporter, ...] = (
    FindingExporter("junit", "namel3ss_debug.exporters.junit", "Write JUnit XML, a test case for each rule."),
    FindingExporter("sarif", "namel3ss_debug.exporters.sarif", "Write SARIF 2.1.0, located in your source."),
    FindingExporter("gitlab", "namel3ss_debug.exporters.gitlab", "Write a code quality report of GitLab."),
    FindingExporter(
        "github",
        "namel3ss_debug.exporters.github",
        "Write annotations and the step summary of GitHub Actions.",
        is_file=False,
    ),
)
