"""Write logs as JSON lines into a tree of folders, one for each log, beside or without a trace.

    trace/agents/agents.log, learning/learning.log, ... errors/errors.log
    trace/session_20250115_103045/agents/creator_001.log    the log of one agent
    trace/session_20250115_103045/trace_summary.json        counts, written when the process ends

A line has the fields of the Agent framework: `timestamp session_id level logger message extra`. Whatever has the level
error or above is written to `errors` as well.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Lock
from typing import Any, Final

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.payloads.conversion import Payloads
from namel3ss_debug.traces.events import LOG_LEVELS
from namel3ss_debug.traces.redaction.redactor import Redactor

MB: Final = 1024 * 1024
FOLDERS: Final = {
    "agents": (200 * MB, 10),
    "learning": (100 * MB, 10),
    "interactions": (100 * MB, 10),
    "performance": (100 * MB, 10),
    "system": (100 * MB, 10),
    "errors": (50 * MB, 5),
    "events": (100 * MB, 10),
}
"""Log -> the size in bytes at which its file is rotated, and how many older files are kept."""

ACTIVE: LogFiles | None = None
"""The log files of this process, if `setup_logging(directory=...)` was called."""


class _PrivateFile(RotatingFileHandler):
    """A log file that only its user can read, because it holds what agents say."""

    def _open(self) -> TextIOWrapper:
        return open(
            self.baseFilename, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)
        )

    def write_line(self, text: str) -> None:
        """Append a line, in a new file if this one is full; raise what fails, which `emit` would print to stderr."""
        if self.shouldRollover(logging.makeLogRecord({"msg": text})):
            self.doRollover()
        if self.stream is None:  # it is open, except after an error while it was rotated
            self.stream = self._open()
        self.stream.write(text + "\n")
        self.stream.flush()


class LogFiles:
    """Writes log lines into the folders of a directory.

    Args:
        directory: where the folders are made.
        now: returns the local time.
    """

    def __init__(self, directory: Path, now: Any = datetime.now) -> None:
        self.directory = directory
        self.session_id = f"{now():%Y%m%d_%H%M%S}"
        self.session = directory / f"session_{self.session_id}"
        self._now = now
        self._started = now()
        self._files: dict[Path, _PrivateFile] = {}
        self._lock = Lock()
        self._payloads = Payloads(Redactor())
        self._counts: Counter[str] = Counter()
        self._agents: Counter[str] = Counter()
        for folder in FOLDERS:
            (directory / folder).mkdir(parents=True, exist_ok=True)
        (self.session / "agents").mkdir(parents=True, exist_ok=True)

    def write(self, category: str, level: str, logger: str, message: str, extra: Mapping[str, Any]) -> None:
        """Write a line to its log, to the log of its agent, and to `errors` if it reports one. Never raises."""
        try:
            self._write(category if category in FOLDERS else "system", level, logger, message, extra)
        except Exception as error:
            tracer = switch.ACTIVE
            if tracer is not None:
                tracer.problem("a log file could not be written", error)

    def _write(self, category: str, level: str, logger: str, message: str, extra: Mapping[str, Any]) -> None:
        tracer = switch.ACTIVE
        # The tracer's payloads have the redaction that is set.
        payloads = self._payloads if tracer is None else tracer.payloads
        line = {
            "timestamp": self._now().isoformat(timespec="microseconds"),
            "session_id": self.session_id,
            "level": level.upper(),
            "logger": payloads.text(logger),
            "message": payloads.text(message),
            "extra": payloads.value(dict(extra)),
        }
        text = json.dumps(line, ensure_ascii=False)
        folders = [category]
        if LOG_LEVELS.get(level, 0) >= LOG_LEVELS["error"] and category != "errors":
            folders.append("errors")
        agent = extra.get("agent_id")
        with self._lock:
            for folder in folders:
                self._file(self.directory / folder / f"{folder}.log", folder).write_line(text)
                self._counts[folder] += 1
            if isinstance(agent, str):
                agent = payloads.text(agent)
                name = re.sub(r"[^\w.-]", "_", agent).lstrip(".") or "_"
                self._file(self.session / "agents" / f"{name}.log", "agents").write_line(text)
                self._agents[agent] += 1

    def _file(self, path: Path, folder: str) -> _PrivateFile:
        if path not in self._files:
            size, backups = FOLDERS[folder]
            self._files[path] = _PrivateFile(path, maxBytes=size, backupCount=backups, encoding="utf-8")
        return self._files[path]

    def close(self) -> None:
        """Write the summary of the session, and close the files."""
        summary = {
            "session_id": self.session_id,
            "start_time": self._started.isoformat(timespec="seconds"),
            "end_time": self._now().isoformat(timespec="seconds"),
            "total_logs": sum(self._counts[folder] for folder in FOLDERS if folder != "errors"),
            "logs": {folder: self._counts[folder] for folder in FOLDERS},
            "agents": dict(sorted(self._agents.items())),
        }
        with suppress(OSError):  # a full disk or a removed folder; the process ends anyway
            (self.session / "trace_summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
        for file in self._files.values():
            file.close()
        self._files.clear()


class LogFileHandler(logging.Handler):
    """Writes the records of the standard library to the log files, `system` unless a record has a `category`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        files = ACTIVE
        if files is None:
            return
        try:
            extra = {"file": f"{record.pathname}:{record.lineno}"}
            if record.exc_info:
                extra["exception"] = logging.Formatter().formatException(record.exc_info)
            category = getattr(record, "category", "system")
            files.write(category, record.levelname.lower(), record.name, record.getMessage(), extra)
        except Exception:
            self.handleError(record)  # as every handler of the standard library does
