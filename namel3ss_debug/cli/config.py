"""`debug config`: every setting, its value and where it comes from."""

from __future__ import annotations

import click

from namel3ss_debug.cli.options import format_option, print_document, settings


@click.command("config")
@format_option("table", "json")
def command(output_format: str) -> None:
    """Show every setting, its value and its source.

    Later sources win: the defaults, .namel3ss/debug.json here or in a folder above, the environment
    (NAMEL3SS_DEBUG_ and the setting in capitals), the options of a command.
    """
    from namel3ss_debug.views.settings import settings_document, settings_lines
    from namel3ss_debug.views.terminal import console

    loaded = settings()
    if output_format == "json":
        print_document(settings_document(loaded))
        return
    screen = console()
    screen.lines(settings_lines(loaded, screen.width))
