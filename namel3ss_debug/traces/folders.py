"""The folder that recordings stand in, and their files: made for their owner alone, with a link to the newest of them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from namel3ss_debug.traces.names import LATEST, segment_path

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


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
    return os.open(segment_path(first, process, segment), _FLAGS, 0o600)


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


def link_latest(path: Path) -> None:
    """Point the relative link `trace_latest.jsonl` beside `path` to it, in one step."""
    link, temporary = path.with_name(LATEST), path.with_name(f".{LATEST}.{os.getpid()}")
    try:
        os.symlink(path.name, temporary)
        os.replace(temporary, link)
    except OSError:
        pass  # a file system without links: `latest` is then found by name
