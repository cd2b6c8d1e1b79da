"""The folder that recordings stand in: made for their owner alone, with a link to the newest of them."""

from __future__ import annotations

import os
from pathlib import Path

from namel3ss_debug.traces.names import LATEST


def make_private_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, readable for its owner alone (mode 0700).

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def link_latest(path: Path) -> None:
    """Point the relative link `trace_latest.jsonl` beside `path` to it, in one step."""
    link, temporary = path.with_name(LATEST), path.with_name(f".{LATEST}.{os.getpid()}")
    try:
        os.symlink(path.name, temporary)
        os.replace(temporary, link)
    except OSError:
        pass  # a file system without links: `latest` is then found by name
