"""`debug clean`: remove old recordings, by age and by total size."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.options import format_option, print_document, settings
from namel3ss_debug.errors import SettingError, TraceNotFoundError

if TYPE_CHECKING:
    from namel3ss_debug.config import Loaded


def retention(days: float | None, max_bytes: str | None) -> Loaded:
    """The settings with the two options; a mistake in one of these is told by its name.

    Raises:
        SettingError: a value is not allowed.
    """
    try:
        return settings(trace_retention_days=days, trace_retention_bytes=max_bytes)
    except SettingError as error:
        said = str(error).replace("option: trace_retention_days", "--days")
        raise SettingError(said.replace("option: trace_retention_bytes", "--max-bytes")) from None


def show(removed: list[Any], folder: Path, *, dry_run: bool) -> None:
    """Print what was removed, and the sum."""
    from namel3ss_debug.views.quantities import bytes_text, count
    from namel3ss_debug.views.recordings import removed_lines
    from namel3ss_debug.views.terminal import console, line

    screen = console()
    if not removed:
        screen.lines([line(f"nothing to remove in {folder}")])
        return
    screen.lines(removed_lines(removed, screen.width))
    screen.lines([line("")])
    what = "would be removed from" if dry_run else "removed from"
    size = bytes_text(sum(info.size_bytes for info in removed))
    screen.lines([line(f"{count(len(removed), 'recording')}, {size}, {what} {folder}")])


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
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@format_option("table", "json")
def command(
    directory: Path | None, *, days: float | None, max_bytes: str | None, dry_run: bool, output_format: str
) -> None:
    """Remove old recordings from DIRECTORY; without it, from trace_output_dir.

    Only what namel3ss-debug recorded under a name of its own is removed. One that is still being written stays, and so
    does the newest, except with --days 0. Where neither an option nor a setting of your own says how long recordings are kept, it says
    what would be removed by the defaults, and removes nothing.
    """
    from namel3ss_debug.cli.boundary import tell
    from namel3ss_debug.traces.store import clean
    from namel3ss_debug.views.recordings import recordings_document

    loaded = retention(days, max_bytes)
    config = loaded.config
    by_default = all(
        loaded.sources[key] == "default" for key in ("trace_retention_days", "trace_retention_bytes")
    )
    dry_run = dry_run or by_default
    folder = directory or Path(config.trace_output_dir)
    if directory is not None and not directory.is_dir():
        raise TraceNotFoundError(f"{directory}: no such directory; give one that holds recordings")
    removed = clean(
        folder,
        days=config.trace_retention_days or None if days is None else days,
        max_bytes=config.trace_retention_bytes or None,
        now=time.time(),
        dry_run=dry_run,
    )
    if output_format == "json":
        head = {"schema": "namel3ss-debug/clean/1", "directory": str(folder), "dry_run": dry_run}
        print_document(head | {"removed": recordings_document(removed)})
        return
    show(removed, folder, dry_run=dry_run)
    if by_default and removed:
        days_kept = f"{config.trace_retention_days:g}"
        tell(
            f"nothing was removed: give --days {days_kept}, or set trace_retention_days in .namel3ss/debug.json"
        )
