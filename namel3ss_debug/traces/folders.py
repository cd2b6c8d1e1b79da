"""The folder of the traces and their files: readable for the owner only, with a link to the newest trace."""

from __future__ import annotations

import fcntl
import itertools
import os
from contextlib import suppress
from pathlib import Path

from namel3ss_debug.traces.names import IGNORE, LATEST, segment_path

_AGAIN = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_FLAGS = _AGAIN | os.O_CREAT | os.O_EXCL
_DESCRIPTORS = 1024


def make_private_folder(folder: Path) -> None:
    """Make a folder and its missing parents, readable for the owner only (mode 0700).

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def make_trace_folder(folder: Path) -> None:
    """Make the folder of the traces, as `make_private_folder`; a new one is ignored by git, because traces hold payloads.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    make_private_folder(folder)
    with suppress(OSError):
        descriptor = os.open(folder / IGNORE, _FLAGS, 0o600)
        try:
            os.write(
                descriptor,
                b"# Traces hold prompts, answers and results of tools. Delete this file to share them.\n*\n",
            )
        finally:
            os.close(descriptor)


def open_private(path: str, flags: int) -> int:
    """Open a file that is readable for its owner only where it is new: the `opener` of `open` for files with payloads."""
    return os.open(path, flags, 0o600)


def copy_private(source: Path, target: Path) -> None:
    """Copy a file; the copy is readable for its owner only where it is new.

    Raises:
        OSError: one cannot be read, or the other not be written.
    """
    with source.open("rb") as old, open(target, "wb", opener=open_private) as new:
        new.writelines(iter(lambda: old.read(1 << 20), b""))


def create_segment(first: Path, process: int, segment: int) -> int:
    """Create a segment for appending (mode 0600) and return its descriptor.

    Args:
        first: the path of the first segment of the trace's first process.
        process: the number of the process.
        segment: the number of the segment.

    Raises:
        OSError: it cannot be made, or exists already.
    """
    return _lock_high(os.open(segment_path(first, process, segment), _FLAGS, 0o600))


def reopen_segment(path: Path) -> int:
    """Open a segment again after the program has closed its descriptor.

    Raises:
        OSError: it does not exist any more, or may not be written to.
    """
    return _lock_high(os.open(path, _AGAIN))


def begins_with(path: Path, data: bytes) -> bool:
    """Return whether a file begins with these bytes; False where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.pread(descriptor, len(data), 0) == data
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _lock_high(descriptor: int) -> int:
    """Lock a segment and return a high descriptor for it: the lock shows `clean` that a process still writes there.

    Its number is high. A program that closes all descriptors, as daemons do, then opens its own files under the lowest
    numbers: events must not be written into those.
    """
    most = os.sysconf("SC_OPEN_MAX")
    least = (most if 0 < most < _DESCRIPTORS else _DESCRIPTORS) * 3 // 4
    try:
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, least)
    except OSError:  # all of these are taken
        high = descriptor
    else:
        os.close(descriptor)
    fcntl.flock(high, fcntl.LOCK_SH)
    return high


def close_segment(descriptor: int) -> None:
    """Close a segment, which the program may have closed before; a negative descriptor stands for no segment."""
    with suppress(OSError):
        os.close(descriptor)


def is_removed(descriptor: int) -> bool:
    """Return whether a segment that is written to has been removed; a negative descriptor stands for no segment."""
    try:
        return os.fstat(descriptor).st_nlink == 0
    except OSError:
        return False


def claim_process(first: Path, process: int) -> tuple[int, int]:
    """Create the first segment for the first free process number from this one on; return its descriptor and number.

    Raises:
        OSError: it cannot be made.
    """
    for number in itertools.count(process):
        try:
            return create_segment(first, number, 0), number
        except FileExistsError:
            continue
    raise AssertionError


def tidy(first: Path, process: int, segment: int, keep: int, *, linked: bool) -> None:
    """Remove the segments that are too many after a new one, and update the link to the newest trace.

    Args:
        first: as for `create_segment`.
        process: as for `create_segment`.
        segment: the number of the new segment.
        keep: how many segments are kept; 0 for all.
        linked: whether there shall be a link to this trace.

    Raises:
        OSError: a segment cannot be removed.
    """
    oldest = segment - keep + 1 if keep else 0
    if linked and (segment == 0 or oldest > 0):
        link_latest(segment_path(first, 0, max(oldest, 0)))
    if oldest > 0:
        with suppress(FileNotFoundError):
            os.unlink(segment_path(first, process, oldest - 1))


def link_latest(path: Path) -> None:
    """Point the relative link `trace_latest.jsonl` beside `path` to it, in one step."""
    link, temporary = path.with_name(LATEST), path.with_name(f".{LATEST}.{os.getpid()}")
    try:
        os.symlink(path.name, temporary)
        os.replace(temporary, link)
    except OSError:
        pass  # a file system without links: `latest` is then found by name
