"""Record which files the program opens, as they were when it opened them first.

An audit event announces each opening before it happens, so a file is digested before the program can change it. It is
not read a second time: closing a descriptor releases the locks that the process has on the file by others (fcntl), and
SQLite relies on such locks. At the end of the process, size and time show which files the run has changed.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from namel3ss_debug.capture.core import interruptions
from namel3ss_debug.capture.core.callsite import CallSites, innermost
from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER
from namel3ss_debug.capture.core.patching import Undo
from namel3ss_debug.traces.file_digests import MISSING, FileDigester, describe_status, regular_status
from namel3ss_debug.traces.names import IGNORE, LATEST
from namel3ss_debug.traces.signing import configuration_folder

READ: Final = "read"
WRITTEN: Final = "written"
APPENDED: Final = "appended"
UPDATED: Final = "updated"
DATABASE: Final = "database"

MOST_BYTES: Final = 64 * 1024 * 1024
"""How much is read of all files together. Of further ones, only the beginning and the end are read."""

_CODE: Final = (".pyc", ".pyi", ".so", ".pth", ".zip", ".dist-info")
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_SYSTEM: Final = ("/dev/", "/proc/", "/sys/", "/etc/", "/usr/", "/lib/", "/run/")
_READ_SOURCE: Final = ("<frozen importlib", PACKAGE_FOLDER)
_SHOW_SOURCE: Final = tuple(
    f"{os.sep}{name}.py" for name in ("linecache", "tokenize", "inspect", "_importer")
)
"""Modules that read source files in order to show lines of them."""
_PACKAGES: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

CHANGES: Final[Mapping[str, tuple[int, ...]]] = {
    "os.truncate": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.chmod": (0,),
    "os.chown": (0,),
}
"""An audit event of a change that opens no file -> which of its arguments are the paths."""

_EVENTS: Final = frozenset({"open", "sqlite3.connect", "subprocess.Popen", *CHANGES})
_MOST_OPENERS: Final = 20

OnOpen = Callable[[str, str, bool], None]
"""Called with the absolute path of a file that is about to be opened; `read`, `written` (emptied), `appended`, `updated` or
`database`; and whether it can be read through this opening, which does not follow from `updated`: `Path.touch` only writes."""

OnChange = Callable[[str, list[str]], None]
"""Called with the name of one of `CHANGES`, and the paths that are about to change."""

OnOutput = Callable[[str], None]
"""Called with how the program opens its stdout or stderr once more, behind which it writes unseen."""

_OUTPUTS: Final = frozenset(
    {
        *("/dev/tty", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2"),
        *("/proc/self/fd/1", "/proc/self/fd/2"),
    }
)

_BY_LETTER: Final = {"w": WRITTEN, "x": WRITTEN, "a": APPENDED, "+": UPDATED}

_consumers: tuple[OnOpen, ...] = ()
_on_change: tuple[OnChange, ...] = ()
_on_output: tuple[OnOutput, ...] = ()
_hooked = False
_busy: set[int] = set()  # the threads that open files for us, such as a consumer


def on_open(consumer: OnOpen) -> Undo:
    """Call a function before each opening of a file, except for files of code, packages and the system."""
    global _consumers, _hooked  # an audit hook cannot be removed
    if not _hooked:
        _hooked = True
        sys.addaudithook(_audit)
    _consumers = (*_consumers, consumer)

    def put_back() -> None:
        global _consumers
        _consumers = tuple(each for each in _consumers if each is not consumer)

    return put_back


def on_change(consumer: OnChange) -> Undo:
    """Call a function before a file is renamed, removed and so on; it needs a consumer of openings beside it."""
    global _on_change
    _on_change = (*_on_change, consumer)

    def put_back() -> None:
        global _on_change
        _on_change = tuple(each for each in _on_change if each is not consumer)

    return put_back


def on_output(consumer: OnOutput) -> Undo:
    """Call a function before stdout or stderr is opened once more; it needs a consumer of openings beside it."""
    global _on_output
    _on_output = (*_on_output, consumer)

    def put_back() -> None:
        global _on_output
        _on_output = tuple(each for each in _on_output if each is not consumer)

    return put_back


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    # Each audit event of the process arrives here, also each `sys._getframe`.
    if event not in _EVENTS or not _consumers:
        return
    thread = get_ident()
    if thread in _busy:
        return
    _busy.add(thread)
    try:
        if event in CHANGES:
            paths = [find_followed(arguments[place]) for place in CHANGES[event]]
            for change in _on_change:
                change(event, [path for path in paths if path is not None])
            return
        if event == "subprocess.Popen":
            _report_script(arguments[1], arguments[2])
            return
        if event == "open" and _find_access(*arguments[1:3]) != READ and _is_output(arguments[0]):
            shown = "a further stream" if isinstance(arguments[0], int) else arguments[0]
            for report in _on_output:
                report(shown)
            return
        path = _database_file(arguments[0]) if event != "open" else arguments[0]
        path = find_followed(path)
        if path is None or (path.endswith((".py", ".pyi")) and _reads_code()):
            return
        access = DATABASE if event != "open" else _find_access(*arguments[1:3])
        reads = event != "open" or int(arguments[2] or 0) & os.O_ACCMODE != os.O_WRONLY
        for consumer in _consumers:
            consumer(path, access, reads)
    except Exception as error:  # an audit hook that raises makes the opening fail
        if interruptions.is_from_signal_handler(error):
            raise
    finally:
        _busy.discard(thread)


def _is_output(path: Any) -> bool:
    """Return whether a path or a descriptor leads where stdout or stderr lead, as one of `os.dup` does."""
    if not isinstance(path, int):
        return path in _OUTPUTS
    status = os.fstat(path)
    return any(os.path.samestat(status, os.fstat(number)) for number in (1, 2))


def _report_script(words: Any, folder: Any) -> None:
    """Report the files that a command names, such as its script: what it does depends on them."""
    for word in words if isinstance(words, list | tuple) else ():
        text = os.fsdecode(word)
        path = find_followed(os.path.join(os.fsdecode(folder), text) if folder is not None else text)
        if path is not None and os.path.isfile(path):
            for consumer in _consumers:
                consumer(path, READ, True)


def _reads_code() -> bool:
    """Return whether a source file is opened to import it or to show its lines. Any other reader takes it as data."""
    frame = innermost(2)
    name = "" if frame is None else frame.f_code.co_filename
    return name.startswith(_READ_SOURCE) or name.endswith(_SHOW_SOURCE)


def is_busy() -> bool:
    """Return whether this thread opens files for us: none of them is opened by the program."""
    return get_ident() in _busy


@contextmanager
def hidden() -> Iterator[None]:
    """Leave out what this thread opens inside the block: the files are ours, not the program's."""
    thread = get_ident()
    _busy.add(thread)
    try:
        yield
    finally:
        _busy.discard(thread)


def find_followed(path: object) -> str | None:
    """Return the absolute path of a file of the program; None for code, packages, the system, and what is no path."""
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str) or path.endswith(_CODE):
        return None
    return _find_followed("" if path[:1] == os.sep else os.getcwd(), path)


@lru_cache(4096)
def _find_followed(folder: str, path: str) -> str | None:
    """Return the absolute path of a file; None if it belongs to a package or the system. Cached: programs open files often."""
    path = os.path.normpath(os.path.join(folder, path))
    return None if path.startswith(_not_followed()) or is_in_package(path) else path


def is_in_package(path: str) -> bool:
    """Return whether a file belongs to an installed package."""
    return any(each in path for each in _PACKAGES)


@cache
def _not_followed() -> tuple[str, ...]:
    return (*{os.path.realpath(path) + os.sep for path in (sys.prefix, sys.base_prefix)}, *_SYSTEM)


def find_own_files(trace: Path) -> tuple[str, ...]:
    """Return the beginnings of the paths of our own files: of a trace, beside it, and of keys."""
    folder = configuration_folder()
    stem = trace.with_suffix("")
    links = (str(trace.with_name(LATEST)), str(trace.with_name(f".{LATEST}.")))
    own = (f"{stem}.", str(stem.with_name(f".{stem.name}.")), *links, str(trace.with_name(IGNORE)))
    return own if folder is None else (*own, str(folder) + os.sep)


def _find_access(mode: Any = None, flags: Any = None) -> str:
    if isinstance(mode, str):
        letters = [letter for letter in "wxa+" if letter in mode]
        return _BY_LETTER[letters[0]] if letters else READ
    bits = int(flags or 0)
    if not bits & _WRITING:
        return READ
    if bits & (os.O_TRUNC | os.O_EXCL):
        return WRITTEN
    return APPENDED if bits & os.O_APPEND else UPDATED


def _database_file(name: Any) -> str | None:
    """Return the file of a database; None if it is in memory alone, or temporary."""
    text = os.fsdecode(name)
    if text.startswith("file:"):
        from urllib.parse import unquote, urlsplit  # few programs name a database so

        parts = urlsplit(text)
        text = "" if "mode=memory" in parts.query else unquote(parts.path)
    return None if text in ("", ":memory:") else text


class OpenedFiles:
    """Describes each file that the program opens, once, and at the end which of them have changed.

    Args:
        digester: describes files.
        most: how many files are described.
        skipped: the beginnings of the paths of our own files.
        sites: finds the function of the user's that opens a file.
        report: called with the path of a file and its description.
    """

    def __init__(
        self,
        digester: FileDigester,
        most: int,
        skipped: tuple[str, ...],
        sites: CallSites,
        report: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._digester = digester
        self._most = most
        self._skipped = skipped
        self._report = report
        self._sites = sites
        self._openers: dict[str, list[str]] = {}
        self._states: dict[
            str, dict[str, Any] | None
        ] = {}  # None: another kind of file, or a further name of one
        self._written: set[str] = set()
        self._names: dict[tuple[int, int], str] = {}
        self._created: set[str] = (
            set()
        )  # that did not exist when they were opened, and are in no `_names` yet

    def opened(self, path: str, access: str, reads: bool) -> None:
        """Describe a file that is about to be opened."""
        if path not in self._states:
            if len(self._states) >= self._most or path.startswith(self._skipped):
                return
            described = self._describe(path)
            if described is MISSING and access != READ:
                self._created.add(path)
            if described is not None and access != READ:
                self._written.add(path)
                described = {**described, "written": True}
            if described is not None:
                self._report(path, described)
        elif access != READ and path not in self._written and self._states[path] is not None:
            self._written.add(path)
            self._report(path, {"written": True})
        state = self._states[path]
        creates = state is MISSING and access == UPDATED  # as `pathlib.Path.touch` does
        if state is not None and reads and access != WRITTEN and not creates:
            self._add_opener(path)

    def changed(self, _event: str, paths: list[str]) -> None:
        """Report that the program changes files without opening them: a made test lets it do so again."""
        for path in paths:
            if (
                path not in self._written
                and len(self._written) < self._most
                and not path.startswith(self._skipped)
                and not self._skipped[0].startswith(
                    f"{path}{os.sep}"
                )  # the writer makes the folder of the trace
            ):
                self._written.add(path)
                self._report(path, {"written": True})

    def _add_opener(self, path: str) -> None:
        """Report which function of the user's reads a file; a database may be read and written."""
        if (opener := self._sites.innermost_name(3)) is not None:
            openers = self._openers.setdefault(path, [])
            if opener not in openers and len(openers) < _MOST_OPENERS:
                openers.append(opener)
                self._report(path, {"openers": list(openers)})

    def _describe(self, path: str) -> dict[str, Any] | None:
        try:
            status = regular_status(path)
        except FileNotFoundError:
            self._states[path] = MISSING
            return MISSING
        if status is None:
            self._states[path] = None
            return None
        file = status.st_dev, status.st_ino
        for created in list(self._created):
            if (identity := _identity(created)) is not None:
                self._names[identity] = created
                self._created.discard(created)
        known = self._names.get(file)
        if known is not None and _identity(known) == file:
            self._states[path] = None
            return None
        self._names[file] = path
        self._states[path] = describe_status(status)
        return self._digester.describe(path, status)

    def finish(self) -> None:
        """Report which of the files have changed since they were described."""
        thread = get_ident()
        _busy.add(thread)
        try:
            still_open = find_open_files()
            for path, before in list(self._states.items()):
                now = None if before is None else self._describe_end(path, before, still_open)
                if now not in (None, before):
                    self._states[path] = now
                    self._report(path, {"after": now})
        finally:
            _busy.discard(thread)

    def _describe_end(
        self, path: str, before: dict[str, Any], still_open: set[tuple[int, int]] | None
    ) -> dict[str, Any] | None:
        """Return the description of a file at the end, with `open` if the process may yet write to it."""
        try:
            status = regular_status(path)
        except FileNotFoundError:
            return MISSING
        if status is None:
            return None
        now = describe_status(status)
        is_open = still_open is None or (status.st_dev, status.st_ino) in still_open
        return {"open": True, **now} if is_open and (path in self._written or now != before) else now


def find_open_files() -> set[tuple[int, int]] | None:
    """Return the device and inode of each file that the process has open; None if the system does not show them.

    What a program has not closed by the end is written when the interpreter ends, after the trace.
    """
    found = set()
    try:
        for name in os.listdir("/dev/fd"):
            try:
                status = os.fstat(int(name))
            except OSError:  # the descriptor of the listing itself
                continue
            found.add((status.st_dev, status.st_ino))
    except (OSError, ValueError):
        return None
    return found


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
