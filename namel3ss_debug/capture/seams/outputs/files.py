"""Describe at the end what the program has written to files.

Only openings for writing count. Of a file that was appended to, the appended part is described; a file that is written
into, or a database, depends on what it held before, and is only named. A digest of a text has a digest a line, so that
a re-run can show which line differs.
"""

from __future__ import annotations

import gc
import io
import os
from dataclasses import dataclass, field
from typing import Any, Final

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.seams.inputs import opened_files
from namel3ss_debug.traces.file_digests import FileDigester, regular_status
from namel3ss_debug.traces.output import FURTHER_STREAM, TOOL_CALL

MOST_BYTES: Final = 64 * 1024 * 1024
"""How much is read of all files together; the others are only named."""

_CACHES: Final = tuple(
    f"{os.sep}{name}{os.sep}" for name in (".cache", "__pycache__", ".pytest_cache", ".namel3ss")
)
"""What libraries, and the runtime of the namel3ss language, write there depends on what earlier runs left."""

_BUFFERED: Final = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


@dataclass
class _WrittenFile:
    """A file that was opened for writing.

    Attributes:
        use: `written` if its first opening emptied it, `appended` if each only appended, else `updated` or `database`.
        size: its size before.
        before: its size and time before; None if it did not exist.
        tools: the tools inside whose calls it was opened; "" for none.
    """

    use: str
    size: int
    before: tuple[int, int] | None
    tools: set[str] = field(default_factory=set)


class WrittenFiles:
    """Follow the files that the program opens for writing.

    Args:
        digester: makes the digests.
        most: how many files are followed.
        skipped: the beginnings of the paths of our own files.
    """

    def __init__(self, digester: FileDigester, most: int, skipped: tuple[str, ...]) -> None:
        self._digester, self._most, self._skipped = digester, most, skipped
        self._files: dict[str, _WrittenFile] = {}

    def opened(self, path: str, access: str, _reads: bool) -> None:
        """Take a file that is about to be opened."""
        if access == opened_files.READ:
            return
        file = self._files.get(path)
        if file is None:
            if (
                len(self._files) >= self._most
                or path.startswith(self._skipped)
                or any(each in path for each in _CACHES)
            ):
                return
            status = _status(path)
            if status is None and os.path.lexists(path):
                return  # a device, a pipe or a folder
            before = None if status is None else (status.st_size, status.st_mtime_ns)
            if before is None and access == opened_files.UPDATED:
                access = opened_files.WRITTEN
            file = self._files[path] = _WrittenFile(access, 0 if status is None else status.st_size, before)
        elif file.use == opened_files.APPENDED and access != opened_files.APPENDED:
            file.use = opened_files.UPDATED
        _add_tool(file)

    def opened_output(self, shown: str) -> None:
        """Take a further stream that leads to stdout or stderr: what is written to it is not seen, only named."""
        _add_tool(self._files.setdefault(FURTHER_STREAM + shown, _WrittenFile(opened_files.UPDATED, 0, None)))

    def changed(self, event: str, paths: list[str]) -> None:
        """Take a file that gets another name: programs write a file anew under a name that is not its own."""
        if event == "os.rename" and len(paths) == 2 and paths[0] in self._files:
            self._files[paths[1]] = self._files.pop(paths[0])

    def describe(self, ids: set[str]) -> dict[str, dict[str, Any]]:
        """Return the description of each file, by path.

        Args:
            ids: the ids of processes and threads, as digits.
        """
        self._flush()
        left = MOST_BYTES
        found = {}
        for path, file in list(self._files.items()):
            described: dict[str, Any] = {"use": file.use, "tools": sorted(file.tools)}
            status = _status(path)
            if path.startswith(FURTHER_STREAM):
                pass
            elif status is None:
                described["missing"] = True
            elif file.use in (opened_files.DATABASE, opened_files.UPDATED):
                if (status.st_size, status.st_mtime_ns) == file.before:
                    continue
            else:
                start = file.size if file.use == opened_files.APPENDED else 0
                if start:
                    described["kept"] = True
                if start <= status.st_size <= start + left:
                    data = _read(path, start)
                    if data is not None:
                        left -= len(data)
                        described |= self._digester.describe_content(data, ids)
            found[path] = described
        self._files.clear()  # the end of a process is reported once
        return found

    def renew(self) -> None:
        """Leave the files to the parent process, after a fork."""
        self._files.clear()

    def _flush(self) -> None:
        """Flush the files that the program has not closed; the interpreter does so in a moment."""
        written = {(status.st_dev, status.st_ino) for path in self._files if (status := _status(path))}
        still_open = opened_files.find_open_files()
        if not written or (still_open is not None and written.isdisjoint(still_open)):
            return
        for each in gc.get_objects():
            if type(each) in _BUFFERED:
                try:
                    status = os.fstat(each.fileno())
                    if (status.st_dev, status.st_ino) in written:
                        each.flush()
                except (OSError, ValueError):
                    continue


def _add_tool(file: _WrittenFile) -> None:
    if task_paths.is_active():
        tools = TOOL_CALL.findall(task_paths.current().path)
        file.tools.add(tools[-1] if tools else "")


def _status(path: str) -> os.stat_result | None:
    try:
        return regular_status(path)
    except (FileNotFoundError, ValueError):
        return None


def _read(path: str, start: int) -> bytes | None:
    try:
        with opened_files.hidden(), open(path, "rb") as file:
            file.seek(start)
            return file.read()
    except OSError:
        return None
