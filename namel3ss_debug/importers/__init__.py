"""Importers: formats of other tools, each one module that reads a file as events of our format.

A module has `sniff(head: bytes) -> bool`, which returns whether a file that begins so is in its format, and `read`, as
`traces.reader.Importer` describes it. To add one, write the module and add its row to `IMPORTERS`; then a file in that
format may stand wherever a command takes TRACE.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

import orjson

from namel3ss_debug.importers.files import read_head
from namel3ss_debug.traces.reader import Importer


class ImporterModule(Importer, Protocol):
    """What a module of an importer has."""

    def sniff(self, head: bytes) -> bool:
        """Return whether a file that begins with `head` is in this format."""


class ImporterRow(NamedTuple):
    """One importer: the name of its format, its module, and what the format is."""

    name: str
    module: str
    description: str

    def load(self) -> ImporterModule:
        """Import the module."""
        module: ImporterModule = import_module(self.module)
        return module


IMPORTERS: tuple[ImporterRow, ...] = (
    ImporterRow("claude-code", "namel3ss_debug.importers.claude_code", "sessions of Claude Code"),
    ImporterRow("codex", "namel3ss_debug.importers.codex", "sessions of Codex CLI"),
    ImporterRow("gemini-cli", "namel3ss_debug.importers.gemini_cli", "sessions of Gemini CLI"),
    ImporterRow("otlp", "namel3ss_debug.importers.otlp", "OTLP of OpenTelemetry, in JSON or protobuf"),
    ImporterRow("langfuse", "namel3ss_debug.importers.langfuse", "exports of Langfuse"),
    ImporterRow("langsmith", "namel3ss_debug.importers.langsmith", "runs of LangSmith"),
    ImporterRow("inspect-ai", "namel3ss_debug.importers.inspect_ai", "logs of Inspect AI, .json and .eval"),
    ImporterRow("atif", "namel3ss_debug.importers.atif", "trajectories in ATIF"),
    ImporterRow("swe-agent", "namel3ss_debug.importers.swe_agent", "trajectories of SWE-agent"),
    ImporterRow(
        "mini-swe-agent", "namel3ss_debug.importers.mini_swe_agent", "trajectories of mini-swe-agent"
    ),
    ImporterRow("openhands", "namel3ss_debug.importers.openhands", "events of OpenHands, version 0 and 1"),
    ImporterRow(
        "openai-agents", "namel3ss_debug.importers.openai_agents", "exports of the OpenAI Agents SDK"
    ),
    ImporterRow(
        "flat-spans",
        "namel3ss_debug.importers.flat_spans",
        "spans of MLflow, Phoenix and OpenTelemetry's consoles",
    ),
    ImporterRow("zipkin", "namel3ss_debug.importers.zipkin", "spans of Zipkin v2"),
    ImporterRow("jaeger", "namel3ss_debug.importers.jaeger", "the JSON of Jaeger"),
    ImporterRow("har", "namel3ss_debug.importers.har", "HTTP archives"),
    ImporterRow("chrome-trace", "namel3ss_debug.importers.chrome_trace", "the Trace Event Format of Chrome"),
    ImporterRow(
        "unnumbered",
        "namel3ss_debug.importers.unnumbered",
        "our own format without ids, as other writers produce it",
    ),
)


def find_importer(path: Path) -> ImporterModule | None:
    """Return the importer for the format of a file; None for our own format, and for a format nobody knows."""
    head = read_head(path)
    if not head or _is_own(head.partition(b"\n")[0]):
        return None
    return next((module for row in IMPORTERS if (module := row.load()).sniff(head)), None)


def _is_own(line: bytes) -> bool:
    """Return whether a line is an event with its id and number, so that no importer need look at its file."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(event, dict) and "event_id" in event and "seq" in event
