"""How paths, call sites and command lines read in narrow columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from namel3ss_debug.traces.names import OWN_NAME
from namel3ss_debug.views.cleaning import shorter_path


def command(words: Sequence[object]) -> str:
    """Return the words of a command line, with only the file name of the program."""
    first, *rest = map(str, words or [""])
    return " ".join([first.rsplit("/", 1)[-1], *rest])


def short_name(path: Path) -> str:
    """Return the name of a trace on the command line: its id if we named the file, else the name of the file."""
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    return stem[-8:] if OWN_NAME.match(stem) else path.name


def short_site(site: object) -> str:
    """Return a path, or a place such as `/home/me/agents/app.py:42`, for a narrow column.

    It is written from the working directory where it lies below it, else with its last folder only:
    `…/agents/app.py:42`.
    """
    shown = whole_site(site)
    *_, folder, file = ["", *shown.rsplit("/", 2)][-3:]
    return f"…/{folder}/{file}" if shown.startswith("/") and shown.count("/") > 2 else shown


def whole_site(site: object) -> str:
    """Return a path or a place such as `/home/me/agents/app.py:42`, relative where it lies below the working directory."""
    return shorter_path(Path(site)) if isinstance(site, str) and site.startswith("/") else str(site)
