"""`debug clean`: remove old traces, by age, by kind and by total size."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import settings
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import SettingError, TraceNotFoundError
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.config import DebugConfiguration, Loaded
    from namel3ss_debug.traces.store import Kept, TraceInfo


def retention(days: float | None, max_bytes: str | None) -> Loaded:
    """Return the settings with the two options; an error about one of them names the option.

    Raises:
        SettingError: a value is not allowed.
    """
    try:
        return settings(trace_retention_days=days, trace_retention_bytes=max_bytes)
    except SettingError as error:
        message = str(error).replace("option: trace_retention_days", "--days")
        raise SettingError(message.replace("option: trace_retention_bytes", "--max-bytes")) from None


def keeping(folder: Path, config: DebugConfiguration, days: float | None) -> Callable[[TraceInfo], Kept]:
    """Return the function that decides how long a trace is kept.

    Args:
        folder: where the traces are.
        config: the settings.
        days: the value of `--days`, which takes the place of every time but forever; with 0 nothing is kept.
    """
    from namel3ss_debug.analysis.sections.listed import summarise
    from namel3ss_debug.config.values import FOREVER, period
    from namel3ss_debug.traces.marks import mark_at
    from namel3ss_debug.traces.outcomes import NOT_GOOD
    from namel3ss_debug.traces.store import Kept, list_traces

    infos = list_traces(folder) if "failed" in config.trace_retention and days != 0 else []
    summaries = zip(infos, summarise(infos, config.prices), strict=True)
    failed = {info.path for info, summary in summaries if summary.outcome in NOT_GOOD}
    kinds: dict[str, Callable[[TraceInfo], bool]] = {
        "marked": lambda info: mark_at(info.path) is not None,
        "rerun": lambda info: info.rerun_of is not None,
        "failed": lambda info: info.path in failed,
    }

    def keep(info: TraceInfo) -> Kept:
        wanted = (kind for kind in kinds if kind in config.trace_retention and days != 0)
        kind = next((kind for kind in wanted if kinds[kind](info)), "default")
        time = config.trace_retention.get(kind)
        if time == FOREVER and days != 0:
            return Kept(inf, kind)
        if days is not None:
            return Kept(days, kind)
        return Kept(period(time) / 86_400 if time else config.trace_retention_days or None, kind)

    return keep


@click.command("clean")
@click.argument("directory", metavar="[DIRECTORY]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--days",
    type=float,
    metavar="N",
    help="Remove what is older than N days, except what trace_retention keeps forever; 0: everything. Without it, by trace_retention and trace_retention_days.",
)
@click.option("--max-bytes", metavar="SIZE",
              help="Remove the oldest until the rest fits, such as 500MB; trace_retention_bytes without it.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@reporting()
def command(directory: Path | None, *, days: float | None, max_bytes: str | None, dry_run: bool) -> Report:
    """Remove old traces from DIRECTORY; without it, from trace_output_dir.

    Only files that namel3ss-debug named are removed. A trace that is still being written stays, and so does the
    newest, except with --days 0. The setting trace_retention keeps kinds of traces for other times. If neither an option
    nor a setting of yours limits the age or the size, the command shows what the defaults would remove, and removes nothing.
    """
    from namel3ss_debug.traces.store import clean
    from namel3ss_debug.views.blocks import ForWidth
    from namel3ss_debug.views.traces import WIDE, removed_blocks, traces_document

    loaded = retention(days, max_bytes)
    config = loaded.config
    by_default = all(
        loaded.sources[key] == "default"
        for key in ("trace_retention", "trace_retention_days", "trace_retention_bytes")
    )
    dry_run = dry_run or by_default
    folder = directory or Path(config.trace_output_dir)
    if directory is not None and not directory.is_dir():
        raise TraceNotFoundError(f"{directory}: no such directory; give one that holds traces")
    removed = clean(
        folder,
        keep=keeping(folder, config, days),
        max_bytes=config.trace_retention_bytes or None,
        now=time.time(),
        dry_run=dry_run,
    )

    def notices() -> None:
        if by_default and removed:
            notify(
                f"nothing was removed: give --days {config.trace_retention_days:g}, "
                "or set trace_retention_days in .namel3ss/debug.json"
            )

    rows = [
        row | {"kind": each.kind, "why": each.why}
        for row, each in zip(traces_document(each.trace for each in removed), removed, strict=True)
    ]
    head = {"schema": "namel3ss-debug/clean/1", "directory": str(folder), "dry_run": dry_run}
    blocks = ForWidth(lambda width: removed_blocks(removed, folder, width or WIDE, dry_run=dry_run))
    return Report([blocks], head | {"removed": rows}, rows=rows, notices=notices)
