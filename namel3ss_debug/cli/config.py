"""`debug config`: every setting, its value and where it comes from."""

from __future__ import annotations

import click

from namel3ss_debug.cli.options import settings
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.views.report import Report


@click.command("config")
@reporting()
def command() -> Report:
    """Show every setting, its value and its source.

    Later sources win: the defaults, .namel3ss/debug.json here or in a folder above, the environment
    (NAMEL3SS_DEBUG_ and the setting in capitals), the options of a command.
    """
    from namel3ss_debug.views.settings import settings_blocks, settings_document

    loaded = settings()
    document = settings_document(loaded)
    rows = [{"setting": key, **row} for key, row in document["settings"].items()]
    return Report(settings_blocks(loaded), document, rows=rows)
