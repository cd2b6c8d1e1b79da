"""The answers to a model call that was sent again, beside the recorded one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rich.text import Text

from namel3ss_debug.views.blocks import Block, Facts, Heading, Lines, Note, Table
from namel3ss_debug.views.conversations import change_lines, text_sides
from namel3ss_debug.views.quantities import count, duration, money
from namel3ss_debug.views.tables import Cell, Column
from namel3ss_debug.views.terminal import GOOD, WARNING, Piece, clean, console, piece
from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.conversations import diff_messages
from namel3ss_debug.wire.value_changes import diff_values

if TYPE_CHECKING:
    from namel3ss_debug.replay.resend import ResendAnswer, ResendRequest


def resend_blocks(
    request: ResendRequest, samples: Sequence[ResendAnswer], width: int | None
) -> Iterator[Block]:
    """Yield what was changed in the request, and each answer beside the recorded one.

    Args:
        request: the request as it was sent.
        samples: the answers.
        width: the cells of a line; None where there is none.
    """
    yield Heading(
        f"Event {request.number}, {clean(request.inputs['model'])}", f"sent to {clean(request.url, 200)}"
    )
    yield from _changes(request)
    yield from (Note(each) for each in request.notes)
    recorded = describe_answer(lenient.mapping(request.end.get("outputs")))
    texts = [describe_answer(sample.outputs) for sample in samples]
    same = sum(text == recorded for text in texts)
    for place, (sample, text) in enumerate(zip(samples, texts, strict=True), 1):
        title = "Answer" if len(samples) == 1 else f"Answer {place} of {len(samples)}"
        yield Heading(title, _figures(sample))
        earlier = texts.index(text) + 1
        if text == recorded:
            yield Note("The same as the recorded one.", GOOD)
        elif earlier < place:
            yield Note(f"The same as answer {earlier}.")
        else:
            yield _side_by_side(recorded, text, width)
    if len(samples) > 1:
        different = len(Counter(texts))
        yield Note(
            f"{same} of {len(samples)} are the recorded answer; {count(different, 'different answer')}."
        )


def describe_answer(outputs: dict[str, Any]) -> str:
    """Return an answer as text: what the model wrote, and each call that it requested on a line; ids are left out."""
    lines = [text for name in ("text", "refusal") if (text := lenient.string(outputs.get(name)))]
    calls = lenient.mappings(outputs.get("tool_calls"))
    lines += [
        f"{call.get('name')}({lenient.dump(call.get('arguments'), ordered=True).decode()})" for call in calls
    ]
    return "\n".join(lines)


def _changes(request: ResendRequest) -> Iterator[Block]:
    """Yield what differs between the recorded request and the one that was sent."""
    recorded = lenient.mapping(request.start.get("inputs"))
    old, new = ({key: each.get(key) for key in ("model", "params")} for each in (recorded, request.inputs))
    rows: list[tuple[str, Cell]] = [
        (
            change.path.removeprefix("$.").removeprefix("params."),
            piece(f"{'not set' if change.kind == 'added' else change.old} -> {change.new}", WARNING, 200),
        )
        for change in diff_values(old, new)
    ]
    if rows:
        yield Facts(rows)
    changes = diff_messages(lenient.sequence(recorded.get("messages")), request.inputs["messages"])
    changes = tuple(change for change in changes if change.kind != "same")
    if changes:
        yield Lines(lambda width: change_lines(changes, request.number, width))


def _figures(sample: ResendAnswer) -> str:
    tokens = sample.usage.get("output_tokens")
    figures = [
        duration(sample.duration_ms),
        count(tokens, "token") if tokens is not None else "",
        money(sample.cost) if sample.cost is not None else "",
    ]
    return ", ".join(filter(None, figures))


def _side_by_side(recorded: str, now: str, width: int | None) -> Table:
    """Return two answers in two columns, with the words marked that only one of them has."""
    room = None if width is None else max((width - 4) // 2, 16)
    left, right = (_rows(side, room) for side in text_sides(recorded, now))
    rows: Iterable[Sequence[Cell]] = (
        (old or Piece(""), new or Piece("")) for old, new in zip_longest(left, right)
    )
    return Table((Column("recorded"), Column("now")), list(rows))


def _rows(whole: Text, room: int | None) -> list[Text | Piece]:
    if room is None:
        return [Piece(clean(whole.plain))]
    rows = list(whole.wrap(console(width=room), room, overflow="fold"))
    for row in rows:
        row.rstrip()
    return [*rows]
