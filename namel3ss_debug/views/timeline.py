"""The spans of a recording as bars over time."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from namel3ss_debug.inspection import ChosenSpans
from namel3ss_debug.traces.spans import Span
from namel3ss_debug.views.inspection import GUIDE_LEVELS, NAME_LIMIT, more_spans
from namel3ss_debug.views.quantities import duration, is_number
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, ERROR, STATUS_STYLES, WARNING, clean, line

SHORTEST_BARS = 16
SHORTEST_LABELS = 8
"""Names, and the bars beside them, are at least so many cells wide."""

BARS = {
    (0, 0): " ",
    (0, 1): "╶",
    (0, 2): "╺",
    (1, 0): "╴",
    (1, 1): "─",
    (1, 2): "╼",
    (2, 0): "╸",
    (2, 2): "━",
}
"""The two halves of a cell, each empty (0), thin (1) or thick (2), to the character."""


def timeline_lines(chosen: ChosenSpans, width: int) -> Iterator[Text]:
    """The spans as bars over the time they took together; an open span goes on to the end.

    Where it is known when a streamed answer began, the bar is thin until then.
    """
    nodes = [(depth, node.span) for depth, node in chosen.forest.walk()]
    known = [span for _, span in nodes if is_number(_began(span))]
    if not known:
        yield line(("no span here has a timestamp", DIM))
        return
    begin = min(_began(span) for span in known)
    end = max(max(_ended(span), _began(span)) for span in known)
    places = max(len(str(span.number)) for _, span in nodes)
    took_width = max((len(_took(span)) for _, span in nodes), default=0)
    room = width - places - took_width - 6
    longest = max((cell_len(_bar_label(*item).plain) for item in nodes), default=0)
    label_width = min(longest, width * 2 // 5, max(room - SHORTEST_BARS, SHORTEST_LABELS))
    bars = max(room - label_width, SHORTEST_LABELS)
    header = f"{'n':>{places}}  {'span':<{label_width}}  "
    total = duration((end - begin) * 1000)
    yield line((header + "0" + total.rjust(bars - 1) + "  " + "took".rjust(took_width), DIM))
    for depth, span in nodes:
        row = Text(end="").append(f"{span.number:>{places}}  ", DIM)
        label = _bar_label(depth, span)
        label.truncate(label_width, overflow="ellipsis", pad=True)
        row.append_text(label).append("  ")
        row.append_text(_bar(span, begin, end, bars)).append("  ")
        row.append(_took(span).rjust(took_width), STATUS_STYLES.get(span.status, ""))
        row.rstrip()
        yield row
    yield from more_spans(chosen.total - len(nodes))


def _began(span: Span) -> float:
    """When a span began, in seconds; by its end where the start was never seen."""
    if span.started_at is not None:
        return span.started_at
    return span.ended_at - (span.duration_ms or 0) / 1000 if span.ended_at is not None else float("nan")


def _ended(span: Span) -> float:
    began = _began(span)
    return began + span.duration_ms / 1000 if span.duration_ms is not None else began


def _took(span: Span) -> str:
    return "open" if span.status == "open" else duration(span.duration_ms)


def _bar_label(depth: int, span: Span) -> Text:
    label = Text("  " * min(depth, GUIDE_LEVELS), end="")
    return label.append(clean(span.name or span.kind, NAME_LIMIT), COMPONENT_STYLES.get(span.component, ""))


def _bar(span: Span, begin: float, end: float, cells: int) -> Text:
    """A bar of half cells; at least one of them, so that nothing is lost."""
    began = _began(span)
    if not is_number(began):
        return Text(" " * cells, end="")
    halves = 2 * cells
    scale = halves / (end - begin) if end > begin else 0
    first = min(int((began - begin) * scale), halves - 1)
    until = halves if span.status == "open" else int((_ended(span) - begin) * scale)
    last = min(max(until, first + 1), halves)
    waited = (span.end or {}).get("first_token_ms")
    thick = first if not is_number(waited) else min(int((began + waited / 1000 - begin) * scale), last - 1)
    weights = [0 if half < first or half >= last else 1 if half < thick else 2 for half in range(halves)]
    drawn = "".join(BARS[weights[i], weights[i + 1]] for i in range(0, halves, 2))
    style = ERROR if span.failed else COMPONENT_STYLES.get(span.component, "")
    return Text(drawn, WARNING if span.status == "open" else style, end="")
