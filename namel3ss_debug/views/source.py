"""Draw lines of the user's code in the colours of Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.text import Text

from namel3ss_debug.traces.source_files import SourceLines
from namel3ss_debug.views.paths import short_site
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.terminal import DIM, HEADING, clean, fitted, piece, wrapped_lines

SOURCE_THEME: Final = "ansi_light"


def source_lines(source: SourceLines, width: int) -> Iterator[Text]:
    """Yield the lines of code, the line of the call marked as pdb marks it; or why they cannot be shown."""
    site = f"{source.file}:{source.line}" if source.line else source.file
    yield fitted([piece(short_site(site) or site, HEADING)], width)
    notes = [source.problem] if source.problem is not None else []
    notes += ["the file was changed after this event"] if source.newer else []
    for note in notes:
        yield from wrapped_lines(clean(note), width, DIM)
    numbers = max((len(str(row_number)) for row_number, _ in source.rows), default=1)
    highlighted = _highlight([content for _, content in source.rows])
    for (row_number, _), code in zip(source.rows, highlighted, strict=True):
        current = row_number == source.line
        row = (
            Text(end="")
            .append(f"{row_number:>{numbers}}", DIM)
            .append(" -> " if current else "    ", HEADING)
        )
        row.append_text(code)
        row.truncate(width, overflow="ellipsis")
        yield row
    if source.more:
        yield Text(" " * numbers, end="").append(f"    … {count(source.more, 'more line')}", DIM)


def _highlight(rows: list[str]) -> list[Text]:
    """Return each line in the colours of Python. Lines before them are not read, so a colour may be wrong."""
    from rich.syntax import Syntax  # pygments is slow to load, and few sessions show code

    whole = "\n".join(clean(row.replace("\n", " "), 2000, multiline=True) for row in rows)
    found = list(Syntax("", "python", theme=SOURCE_THEME).highlight(whole).split("\n", allow_blank=True))
    return found[: len(rows)]
