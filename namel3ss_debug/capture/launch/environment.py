"""Describe where a trace was made: the `metadata` of `trace_start`."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from namel3ss_debug.capture.launch.session import Session
from namel3ss_debug.late_patterns import compile_late
from namel3ss_debug.traces.events import FORMAT_VERSION

_DIST_INFO = compile_late(r"(?P<name>[\w.\-]+?)-(?P<version>[\w.+!]+)\.dist-info\Z", re.ASCII)
_USER_VARIABLES = {
    "user": "NAMEL3SS_USER",
    "environment": "NAMEL3SS_ENVIRONMENT",
    "agent_version": "NAMEL3SS_AGENT_VERSION",
}


def start_metadata(session: Session, process: int, segment: int, seq: int) -> dict[str, Any]:
    """Return the `metadata` of one segment's `trace_start`."""
    try:
        cwd = os.getcwd()
    except OSError:  # the folder was removed
        cwd = None
    metadata: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "pid": os.getpid(),
        "process": process,
        "segment": segment,
        "first_seq": seq,
        "target": session.target,
        "argv": list(getattr(sys, "argv", [])),
        "cwd": cwd,
        "python": platform.python_version(),
        "platform": sys.platform,
        "settings": session.settings,
    }
    if process:
        metadata["parent_pid"] = os.getppid()
    if segment == 0 and process == 0:
        metadata["packages"] = installed_packages(sys.path)
        metadata["git_commit"] = git_commit(Path(session.root))
        metadata["executable"] = sys.executable or None
        metadata["arguments"] = session.arguments or None
        metadata["flow"] = session.flow
        metadata["rerun"] = session.rerun or None
    metadata |= {key: os.environ.get(variable) for key, variable in _USER_VARIABLES.items()}
    return {key: value for key, value in metadata.items() if value is not None}


def installed_packages(folders: list[str]) -> dict[str, str]:
    """Return names and versions of the installed packages, read from the names of their folders alone."""
    packages: dict[str, str] = {}
    for folder in folders:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for match in filter(None, map(_DIST_INFO.match, names)):
            packages.setdefault(match["name"], match["version"])
    return dict(sorted(packages.items()))


def git_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in the repository of `folder`, read without running git."""
    for parent in (folder, *folder.parents):
        git = parent / ".git"
        if git.exists():
            return _head(git)
    return None


def _head(git: Path) -> str | None:
    """Return the commit that is checked out, read from the files of git; None if they cannot be read."""
    try:
        if git.is_file():  # a worktree: the file names the real folder
            git = git.parent / git.read_text().removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        common = git / (git / "commondir").read_text().strip() if (git / "commondir").exists() else git
        loose = common / name
        if loose.exists():
            return loose.read_text().strip()
        for line in (common / "packed-refs").read_text().splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return commit
    except (OSError, ValueError):
        pass
    return None
