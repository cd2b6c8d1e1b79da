"""The user's own code around a call site, numbered, with syntax colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from namel3ss_debug.views.cleaning import wrapped
from namel3ss_debug.views.recordings import short_site
from namel3ss_debug.views.terminal import DIM, HEADING, clean, fitted, piece

if TYPE_CHECKING:
    from namel3ss_debug.replay.results import Source

COLOURS = "ansi_light"
"""The colours of rich that are the sixteen of the user's own theme."""


def source_lines(source: Source, width: int) -> Iterator[Text]:
    """The lines of code, the one of the call marked as pdb marks it; or why they cannot be shown."""
    site = f"{source.file}:{source.line}" if source.line else source.file
    yield fitted([piece(short_site(site) or site, HEADING)], width)
    notes = [source.problem] if source.problem is not None else []
    notes += ["the file was changed after this was recorded"] if source.newer else []
    for note in notes:
        yield from (Text(row.rstrip(), DIM, end="") for row in wrapped(clean(note), width, width))
    numbers = max((len(str(place)) for place, _ in source.rows), default=1)
    coloured = _coloured([content for _, content in source.rows])
    for (place, _), code in zip(source.rows, coloured, strict=True):
        current = place == source.line
        row = Text(end="").append(f"{place:>{numbers}}", DIM).append(" -> " if current else "    ", HEADING)
        row.append_text(code)
        row.truncate(width, overflow="ellipsis")
        yield row


def _coloured(rows: list[str]) -> list[Text]:
    """Each line with the colours of Python; the code before them is not read, so a colour may be wrong."""
    from rich.syntax import Syntax  # noqa: PLC0415  (only who looks at code pays for it)

    whole = "\n".join(clean(row.replace("\n", " "), 2000, multiline=True) for row in rows)
    found = list(Syntax("", "python", theme=COLOURS).highlight(whole).split("\n", allow_blank=True))
    return found[: len(rows)]
