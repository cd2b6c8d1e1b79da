"""How a command that returns a `Report` writes it: the format, the table, the pager and the exit status."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from namel3ss_debug.views.formats import FORMATS, find_renderer
from namel3ss_debug.views.report import Report


class FormatName(click.Choice):  # type: ignore[type-arg]  # not generic before click 8.2
    """The name of a format, from the table as it is when the command line is read."""

    def __init__(self) -> None:
        super().__init__(())

    @property
    def choices(self) -> tuple[Any, ...]:
        """The names of the formats."""
        return tuple(FORMATS)

    @choices.setter
    def choices(self, value: tuple[Any, ...]) -> None:
        """Ignore what the base class sets once for all."""


def reporting(default: str = "table") -> Callable[[Callable[..., Report]], Callable[..., int]]:
    """Return a decorator for a command that returns a `Report`: it adds the options and writes the report.

    It stands below the other options of the command.

    Args:
        default: the format that is used if the user names none.
    """

    def decorate(function: Callable[..., Report]) -> Callable[..., int]:
        @functools.wraps(function)
        def command(*args: Any, format_name: str, table_name: str, pager: bool, **options: Any) -> int:
            if table_name and not FORMATS[format_name].takes_table:
                takers = " or ".join(name for name, row in FORMATS.items() if row.takes_table)
                raise click.UsageError(f"--table is for --format {takers}", click.get_current_context())
            report = function(*args, **options)
            if report.live and not FORMATS[format_name].streams:
                streaming = " or ".join(name for name, row in FORMATS.items() if row.streams)
                raise click.UsageError(
                    f"--format {format_name} needs an end, which a growing trace does not have; use --format {streaming}",
                    click.get_current_context(),
                )
            write_report(report, format_name, table_name, pager=pager)
            return report.status

        command = click.option(
            "--no-pager",
            "pager",
            is_flag=True,
            flag_value=False,
            default=True,
            help="Print a long report without a pager.",
        )(command)
        command = click.option(
            "--table",
            "table_name",
            metavar="NAME",
            default="",
            help="The table that csv writes; a wrong name lists them.",
        )(command)
        return click.option(
            "--format",
            "format_name",
            type=FormatName(),
            default=default,
            show_default=True,
            help="How the report is written.",
        )(command)

    return decorate


def write_report(report: Report, format_name: str, table_name: str = "", *, pager: bool = True) -> None:
    """Write a report to its file or to stdout, through the pager where that applies, and then print its notices."""
    render = find_renderer(format_name)
    if report.file is not None:
        write_to_file(report, format_name, table_name)
    elif pager and not report.live and sys.stdout.isatty():
        from namel3ss_debug.cli.pager import Pager

        with Pager(sys.stdout) as stream:
            render(report, stream, table_name)
    else:
        sys.stdout.flush()
        render(report, sys.stdout, table_name)
    if report.notices is not None:
        report.notices()


def write_to_file(report: Report, format_name: str, table_name: str) -> None:
    """Write a report to the file that the user named.

    Raises:
        WrongUsageError: the file cannot be written.
    """
    import io

    from namel3ss_debug.cli.options import write_file

    assert report.file is not None
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding="utf-8", errors="replace", newline="\n", write_through=True)
    find_renderer(format_name)(report, stream, table_name)
    stream.flush()
    write_file(report.file, content.getvalue())
