"""Find the traces that the arguments of a command mean, and those that `--baseline` means."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import report_ignored_mark
from namel3ss_debug.errors import TraceNotFoundError, WrongUsageError
from namel3ss_debug.importers.folders import find_any, find_foreign
from namel3ss_debug.traces.lines import may_be_read
from namel3ss_debug.traces.marks import BAD, GOOD, mark_at, mark_of
from namel3ss_debug.traces.names import is_own
from namel3ss_debug.traces.store import scan_directory, sort_by_age, trace_files
from namel3ss_debug.views.cleaning import shorter_path
from namel3ss_debug.views.quantities import count

SHOWN = 5
"""How many files that are left out are named."""


def find_paths(references: Sequence[str], directory: Path, reruns: list[Path] | None) -> list[Path]:
    """Return a file of each trace that is meant, once each, in the order they were named; of a directory, oldest first.

    Files of a directory that are named like a trace and hold none are left out and named on stderr; one that bears
    a name of ours, or may not be read, is a trace that cannot be read.

    Args:
        references: traces and directories; the latest if empty.
        directory: where traces are.
        reruns: takes the re-runs in the directories, which are left out then, unless nothing else is meant; without
            it, they are traces like all others.

    Raises:
        TraceNotFoundError: a trace is not there, or a directory holds none.
    """
    paths: list[Path] = []
    for reference in references or ["latest"]:
        if Path(reference).is_dir():
            listed, others = scan_directory(Path(reference))
            foreign = find_foreign(Path(reference), {path for info in listed for path in info.paths})
            others = [path for path in others if path not in {info.path for info in foreign}]
            infos = list(reversed(sort_by_age([*listed, *foreign])))
            real = [info for info in infos if reruns is None or info.rerun_of is None]
            if reruns is not None and real:
                reruns += [info.path for info in infos if info.rerun_of is not None]
            damaged = [path for path in others if is_own(path.name) or not may_be_read(path)]
            report_left_out_files(reference, [path.name for path in others if path not in damaged])
            paths += [info.path for info in real or infos] + damaged or [find_any(reference, directory)]
        else:
            paths.append(find_any(reference, directory))
    if len(references) < 2:
        return paths
    first: dict[Path, Path] = {}  # a pattern of the shell gives every segment, and the link to the latest
    for path in paths:
        first.setdefault(trace_files(path)[0].files[0], path)
    if reruns:
        reruns[:] = [path for path in dict.fromkeys(reruns) if trace_files(path)[0].files[0] not in first]
    return list(first.values())


def report_left_out_files(directory: str, names: Sequence[str], why: str = "without an event") -> None:
    """Say on stderr which files of a directory are left out, and why."""
    if names:
        listed = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        notify(f"{directory}: {count(len(names), 'file')} {why} left out: {listed}")


def find_baselines(references: Sequence[str], directory: Path, compared: Collection[Path]) -> list[Path]:
    """Return the baselines: of a directory those marked good, or all if none is; none that is marked bad.

    Args:
        references: traces and directories.
        directory: where traces are.
        compared: the traces that are compared with them, which are none of them.

    Raises:
        TraceNotFoundError: a trace is not there, or there is none but the compared ones.
        WrongUsageError: all of them are marked bad.
    """
    own = {trace_files(path)[0].files[0] for path in compared}
    found: dict[Path, None] = {}
    for reference in references:
        paths = find_paths([reference], directory, [])
        others = [path for path in paths if trace_files(path)[0].files[0] not in own]
        good = [path for path in others if (mark := mark_at(path)) and mark.judgement == GOOD]
        found |= dict.fromkeys(good if good and Path(reference).is_dir() else others)
    if not found:
        raise TraceNotFoundError("--baseline: there is no trace other than those that are compared with it")
    return _leave_out_bad(list(found))


def _leave_out_bad(paths: Sequence[Path]) -> list[Path]:
    """Return the baselines without those that are marked bad, and name these on stderr."""
    left = []
    refused = []
    for path in paths:
        report_ignored_mark(path)
        mark = mark_of(path)
        if mark is not None and mark.judgement == BAD:
            refused.append(f"{shorter_path(path)} is {mark.describe()}")
        else:
            left.append(path)
    if refused and not left:
        raise WrongUsageError(f"--baseline: {'; '.join(refused)}; name a run that is not marked bad")
    for why in refused:
        notify(f"--baseline: {why}, and is left out")
    return left
