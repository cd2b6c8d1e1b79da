"""Draw a replay: one line for each event, and the totals at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from namel3ss_debug.views.events import RunningLines, recorded_lines
from namel3ss_debug.views.quantities import count, duration, tokens
from namel3ss_debug.views.tables import Cell, pairs
from namel3ss_debug.views.terminal import DIM, ERROR, HEADING, clean, line, piece
from namel3ss_debug.views.usage import spent

if TYPE_CHECKING:
    from namel3ss_debug.replay.replayer import Replayed, Statistics

SHOWN_COMPONENTS = 8


def replayed_lines(events: Iterable[Replayed], width: int, *, chunks: bool) -> Iterator[Text]:
    """Yield one line for each event; an overridden answer is marked, and so are the events after it, which it did not change.

    Args:
        events: the events.
        width: the cells a line may take.
        chunks: whether the chunks of streamed answers have lines of their own.
    """
    running = RunningLines(width, chunks=chunks)
    mocked = False
    for item in events:
        note = "mocked" if item.mocked else "as recorded" if mocked else ""
        shown = running.line(item.number, item.event, note)
        if shown is not None:
            yield shown
        yield from recorded_lines(item.event, width)
        if item.mocked and not mocked:
            mocked = True
            yield line(("  the events after it are as recorded, not recomputed: rerun --mock", DIM))
    yield from left_out(running.streams.count_unfinished())


def left_out(chunks: int) -> Iterator[Text]:
    """Yield a note on the chunks that have no line."""
    if chunks:
        yield line(
            (
                f"… {count(chunks, 'stream chunk')} of calls whose end is not here; --chunks shows them",
                DIM,
            )
        )


def statistics_lines(statistics: Statistics, width: int) -> Iterator[Text]:
    """Yield the totals of the replay."""
    components = sorted(statistics.by_component.items(), key=lambda item: (-item[1], item[0]))
    kinds = ", ".join(f"{number:,} {clean(name, 40)}" for name, number in components[:SHOWN_COMPONENTS])
    yield Text(f"{count(statistics.events, 'event')} replayed", HEADING, end="")
    rows: list[tuple[str, Cell]] = [
        ("components", kinds),
        ("took", duration(statistics.wall_ms)),
        ("tokens", tokens(statistics.tokens) if statistics.tokens else ""),
        ("cost", spent(statistics.cost, statistics.calls_without_price)),
        ("failures", piece(tokens(statistics.errors) if statistics.errors else "", ERROR)),
        ("mocked", tokens(statistics.mocked) if statistics.mocked else ""),
    ]
    yield from pairs(rows, width, indent="  ")
