"""`debug clean`: remove old traces, by age and by total size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import settings
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import SettingError, TraceNotFoundError
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.config import Loaded


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


@click.command("clean")
@click.argument("directory", metavar="[DIRECTORY]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--days",
    type=float,
    metavar="N",
    help="Remove what is older than N days, 0: everything; trace_retention_days without it.",
)
@click.option("--max-bytes", metavar="SIZE",
              help="Remove the oldest until the rest fits, such as 500MB; trace_retention_bytes without it.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@reporting()
def command(directory: Path | None, *, days: float | None, max_bytes: str | None, dry_run: bool) -> Report:
    """Remove old traces from DIRECTORY; without it, from trace_output_dir.

    Only files that namel3ss-debug named are removed. A trace that is still being written stays, and so does the
    newest, except with --days 0. If neither an option nor a setting of yours limits the age or the size, the command
    shows what the defaults would remove, and removes nothing.
    """
    from namel3ss_debug.traces.store import clean
    from namel3ss_debug.views.blocks import ForWidth
    from namel3ss_debug.views.traces import WIDE, removed_blocks, traces_document

    loaded = retention(days, max_bytes)
    config = loaded.config
    by_default = all(
        loaded.sources[key] == "default" for key in ("trace_retention_days", "trace_retention_bytes")
    )
    dry_run = dry_run or by_default
    folder = directory or Path(config.trace_output_dir)
    if directory is not None and not directory.is_dir():
        raise TraceNotFoundError(f"{directory}: no such directory; give one that holds traces")
    removed = clean(
        folder,
        days=config.trace_retention_days or None if days is None else days,
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

    rows = traces_document(removed)
    head = {"schema": "namel3ss-debug/clean/1", "directory": str(folder), "dry_run": dry_run}
    blocks = ForWidth(lambda width: removed_blocks(removed, folder, width or WIDE, dry_run=dry_run))
    return Report([blocks], head | {"removed": rows}, rows=rows, notices=notices)
