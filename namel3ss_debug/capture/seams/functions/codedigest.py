"""Record the code behind tools: the function of each, and the digests of all definitions of the user's own files.

A re-run decides from these which definitions have changed, and which of them a tool can reach. The digests are made
from the source files, never from bytecode: coverage tools, pytest's assertion rewriting and our own edits change only
the latter. They are made when a tool is called, for the files that were loaded since, so a program without tools pays
nothing. What a tool itself imports is recorded with the next call, or at the end.

The user's own files are those below the root, and those of packages that were installed from a folder of this machine.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from types import CodeType
from typing import Any, Final

from namel3ss_debug.capture.core.callsite import CallSites, is_library
from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER
from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.inputs import opened_files
from namel3ss_debug.traces.clocks import time
from namel3ss_debug.traces.definitions import (
    LOG_LEVEL,
    VERSION,
    digest_definitions,
    digest_source,
    find_definitions,
    parse_source,
)

_STARTED = time()
"""A file changed later than this may differ from the code that runs, if the source at import is not known."""

_SHOW_ALL: Final = frozenset({"loguru", "structlog"})
"""Loggers that show every level until the program sets one."""
_PACKAGES: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


class ToolCode:
    """Describes the code of each tool with its first call, and the files that were loaded since the last description.

    A tracer keeps one.
    """

    def __init__(self, sites: CallSites) -> None:
        self._sites = sites
        self._written: dict[str, dict[str, Any]] = {}
        self._files: set[str] = set()
        self._modules = 0
        self._local: tuple[str, ...] | None = None

    def of_call(self, name: str, code: CodeType, receiver: Any = None) -> dict[str, Any] | None:
        """Return the description of a tool's code to record, or None if the trace holds the same already.

        Args:
            name: the name of the tool.
            code: the code of its function.
            receiver: the object or class that the function is a method of.
        """
        described = self._describe(code, receiver)
        if self._written.get(name) == described:
            return None
        self._written[name] = described
        return described

    def _describe(self, code: CodeType, receiver: Any) -> dict[str, Any]:
        described: dict[str, Any] = {
            "version": VERSION,
            "function": self._label(code.co_filename, code.co_qualname),
        }
        kind = receiver if isinstance(receiver, type) else type(receiver)
        classes = [
            label
            for each in (kind.__mro__ if receiver is not None else ())
            if (label := self._class_label(each)) is not None
        ]
        return described | ({"classes": classes} if classes else {})

    def _class_label(self, kind: type) -> str | None:
        path = getattr(sys.modules.get(kind.__module__), "__file__", None)
        own = isinstance(path, str) and self._shown(path) is not None
        return self._label(str(path), kind.__qualname__) if own else None

    def _label(self, path: str, name: str) -> str:
        return f"{self._shown(path) or path}:{name}"

    def new_files(self) -> dict[str, Any]:
        """Return what to record of the user's files that were loaded since the last call of this function."""
        if len(sys.modules) == self._modules:
            return {}
        self._modules = len(sys.modules)
        found: dict[str, Any] = {}
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__dict__", {}).get("__file__")
            if not isinstance(path, str) or path in self._files:
                continue
            self._files.add(path)
            shown = self._shown(path)
            if shown is not None and path.endswith(".py"):
                found[shown] = {"module": name} | _describe_file(path)
        return found

    def _shown(self, path: str) -> str | None:
        """Return the name of a file of the user's in a trace; None for a file of a library."""
        shown = self._sites.shown(path)
        if shown is not None:
            return shown
        full = os.path.abspath(path)
        if full.startswith(PACKAGE_FOLDER) or path.startswith("<"):
            return None
        if any(each in full for each in _PACKAGES):
            return full if full.startswith(self._local_packages()) else None
        # A package that was installed as editable lies in a folder of its own.
        return None if is_library(full) else full

    def _local_packages(self) -> tuple[str, ...]:
        """Return the beginnings of the paths of packages that were installed from a folder of this machine."""
        if self._local is None:
            with opened_files.hidden():
                self._local = tuple(_find_local_packages())
        return self._local


def _find_local_packages() -> list[str]:
    found = []
    for folder in sys.path:
        try:
            names = [each for each in os.listdir(folder or ".") if each.endswith(".dist-info")]
        except OSError:
            continue
        for name in names:
            try:
                with open(os.path.join(folder, name, "direct_url.json"), "rb") as file:
                    if b"file://" not in file.read():
                        continue
                with open(os.path.join(folder, name, "RECORD"), encoding="utf-8") as record:
                    tops = {line.partition(",")[0].partition("/")[0] for line in record}
            except (OSError, ValueError):  # most packages come from an index, and have no such file
                continue
            tops -= {name, "", ".."}
            found += [
                os.path.join(folder, top) + ("" if top.endswith(".py") else os.sep) for top in sorted(tops)
            ]
    return found


def _describe_file(path: str) -> dict[str, Any]:
    """Return the digest of a source file and of its definitions; without these if it was edited since it was loaded."""
    try:
        with opened_files.hidden():
            status = os.stat(path)
            with open(path, "rb") as file:
                source = file.read()
        loaded = rewrite.MARKS.get(path)
        if status.st_mtime > _STARTED if loaded is None else rewrite.mark_of(source) != loaded:
            return {"digest": "", "edited": True}
        return _describe_source(source, _log_level())
    except (OSError, SyntaxError, ValueError, RecursionError):  # it was removed, or is not Python any more
        return {"digest": ""}


@lru_cache(maxsize=4096)  # pytest traces each test by itself, in one process
def _describe_source(source: bytes, log_level: int) -> dict[str, Any]:
    definitions = digest_definitions(find_definitions(parse_source(source, log_level)))
    described = {"digest": digest_source(source), "definitions": definitions}
    return described if log_level == LOG_LEVEL else described | {"log_level": log_level}


def _log_level() -> int:
    """Return the level from which on a logging call of the program may show a line."""
    if not _SHOW_ALL.isdisjoint(sys.modules):
        return 0
    if "logging" not in sys.modules:
        return LOG_LEVEL
    import logging  # the program has loaded it

    root = logging.getLogger()
    levels = [root.level, *(getattr(each, "level", 0) for each in list(root.manager.loggerDict.values()))]
    return max(min(filter(None, levels), default=0), root.manager.disable + 1)
