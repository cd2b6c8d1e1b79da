"""The folder that recordings stand in, and their files: made for their owner alone, with a link to the newest of them."""

from __future__ import annotations

import fcntl
import itertools
import os
from contextlib import suppress
from pathlib import Path

from namel3ss_debug.traces.names import LATEST, segment_path

_AGAIN = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_FLAGS = _AGAIN | os.O_CREAT | os.O_EXCL
_DESCRIPTORS = 1024


def make_private_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, readable for its owner alone (mode 0700).

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def create_segment(first: Path, process: int, segment: int) -> int:
    """Create a segment, to be appended to (mode 0600); its descriptor.

    Args:
        first: the path of the first segment of the trace's first process.
        process: its number.
        segment: its number.

    Raises:
        OSError: it cannot be made, or is there already.
    """
    return _held(os.open(segment_path(first, process, segment), _FLAGS, 0o600))


def reopen_segment(first: Path, process: int, segment: int) -> int:
    """Open a segment again, of which the program has closed the descriptor; the arguments are those of `create_segment`.

    Raises:
        OSError: it is not there any more, or may not be written to.
    """
    return _held(os.open(segment_path(first, process, segment), _AGAIN))


def _held(descriptor: int) -> int:
    """A descriptor of a segment for as long as somebody writes there, which a lock tells `clean`.

    It is a high one. A program that closes whatever is open, as daemons do, opens its own files after that under the
    lowest numbers: what is written here must not come into them.
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
    """Close a segment, which the program may have closed before; a negative number is none."""
    with suppress(OSError):
        os.close(descriptor)


def is_removed(descriptor: int) -> bool:
    """Whether a segment that is written to has no name any more; a negative number is none."""
    try:
        return os.fstat(descriptor).st_nlink == 0
    except OSError:
        return False


def claim_process(first: Path, process: int) -> tuple[int, int]:
    """Create the first segment of the next process that has none, from this number on; its descriptor and the number.

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
    """Remove what a new segment pushes out, and let the link to the newest trace follow.

    Args:
        first: as for `create_segment`.
        process: as for `create_segment`.
        segment: the number of the new one.
        keep: how many segments are kept; 0 all.
        linked: whether there is to be a link to this trace.

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
