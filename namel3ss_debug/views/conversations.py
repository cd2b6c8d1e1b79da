"""Draw the messages that a model read, and their changes since the call before: by role, wrapped, long ones cut.

A message is `{role, parts: [...]}`; other tracers write a text or blocks under `content`. Messages of any other shape are shown as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.text import Text

from namel3ss_debug.views.gists import call, gist
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.terminal import (
    COMPONENT_STYLES,
    DIM,
    ERROR,
    GOOD,
    HEADING,
    WARNING,
    Piece,
    cells,
    clean,
    console,
    fitted,
    line,
    shorten,
    text,
)
from namel3ss_debug.wire.conversations import MessageChange, diff_message_texts
from namel3ss_debug.wire.text_changes import DiffPiece, diff_texts, shorten_equal_text

ROLE_STYLES = {
    "system": DIM,
    "developer": DIM,
    "user": "blue",
    "assistant": COMPONENT_STYLES["llm"],
    "tool": COMPONENT_STYLES["tool"],
}
SIGNS = {"added": ("+", GOOD), "dropped": ("-", ERROR)}
MOST_LINES, CUT_LINES = 12, 4
ROLE_CELLS = 10
AROUND = 40
"""How many unchanged characters are shown beside changed ones."""

_MARKS = {
    "same": ("", "", DIM),
    "skipped": ("", "", DIM),
    "dropped": ("[-", "-]", ERROR),
    "added": ("{+", "+}", GOOD),
}
"""The marks around the pieces of a changed message, and their style."""


def message_lines(
    messages: Sequence[Any],
    number: int,
    width: int,
    *,
    last: int | None = None,
    most: int = MOST_LINES,
    indent: str = "",
) -> Iterator[Text]:
    """Yield messages with their number and role.

    Args:
        messages: the messages that the model read.
        number: the number of the event that holds them.
        width: the cells a line may take.
        last: how many of the last ones are shown; all if left out.
        most: the largest number of lines for one message.
        indent: the text before each line.
    """
    first = max(len(messages) - last, 0) if last is not None else 0
    if first:
        note = f"{indent}{count(first, 'message')} before; messages shows them"
        yield fitted([Piece(note, DIM)], width)
    for index in range(first, len(messages)):
        message = messages[index]
        label = _label(indent, index, _role(message))
        yield from _block(label, message_text(message), width, most, _show_command(index, number))


def change_lines(changes: Sequence[MessageChange], number: int, width: int) -> Iterator[Text]:
    """Yield the changes from the messages of the call before; unchanged messages are one dim line.

    Args:
        changes: the messages of both calls.
        number: the number of the event that holds the later messages.
        width: the cells a line may take.
    """
    for same, run in groupby(changes, lambda change: change.kind == "same"):
        if same:
            yield line((f"  {count(sum(1 for _ in run), 'message')} as before", DIM))
            continue
        for change in run:
            yield from _change(change, number, width)
    if all(change.kind == "same" for change in changes):
        yield line(("nothing changed", DIM))


def message_text(message: Any) -> Text:
    """Return the text of one message: texts with their own line ends, tool calls and results shortened."""
    if not isinstance(message, dict):
        return text(message if isinstance(message, str) else gist(message), multiline=True)
    parts = message.get("parts", message.get("content"))
    pieces = [_part(part) for part in parts] if isinstance(parts, list) else [_plain(parts)]
    calls = message.get("tool_calls")
    pieces += [_call(item) for item in calls] if isinstance(calls, list) else []
    return Text("\n", end="").join([piece for piece in pieces if piece.plain])


def _change(change: MessageChange, number: int, width: int) -> Iterator[Text]:
    """Yield one changed message: its kind of change, its number, and its text, cut."""
    sign, style = SIGNS.get(change.kind, ("~", WARNING))
    dropped = change.kind == "dropped"
    message, index = (change.old, change.before) if dropped else (change.new, change.after)
    whole = message_text(message)
    note = ""
    if change.kind == "truncated":
        before = len(message_text(change.old).plain)
        note = f"cut from {before:,} to {count(len(whole.plain), 'character')}"
    elif change.kind == "changed":
        was = _role(change.old)
        note = f"was {was}" if was != _role(message) else ""
        whole = mark_changes(change.old, message)
    elif change.kind not in SIGNS:
        note = clean(change.kind, 20)
    if note:
        whole = Text(end="").append(f"({note}) ", WARNING).append_text(whole)
    label = _label(f"{sign} ", index or 0, _role(message))
    label.stylize(style, 0, 1)
    most = CUT_LINES if change.kind == "truncated" else MOST_LINES
    yield from _block(label, whole, width, most, "" if dropped else _show_command(index or 0, number))


def message_sides(change: MessageChange) -> tuple[Text, Text]:
    """Return one message before and after, each with its number and role; a side without the message is empty.

    In an edited message, each side has its own text in brackets, as in `mark_changes`.
    """
    sides = []
    for message, index, own in ((change.old, change.before, "dropped"), (change.new, change.after, "added")):
        if index is None:
            sides.append(Text(end=""))
            continue
        paired = change.before is not None and change.after is not None
        words = _side_text(change, own) if paired else message_text(message)
        role = _role(message)
        label = Text(end="").append(f"{index + 1} ", DIM).append(f"{role}  ", ROLE_STYLES.get(role, HEADING))
        sides.append(label.append_text(words))
    return sides[0], sides[1]


def _side_text(change: MessageChange, own: str) -> Text:
    """Return one side of a changed message: unchanged text shortened, and its own text marked."""
    old, new = message_text(change.old).plain, message_text(change.new).plain
    pieces = diff_texts(old, new) if old != new else diff_message_texts(change.old, change.new)
    return _own_text(shorten_equal_text(pieces, AROUND), own)


def text_sides(old: str, new: str) -> tuple[Text, Text]:
    """Return two texts, each whole and with its own words in brackets, as in `mark_changes`."""
    pieces = diff_texts(old, new)
    return _own_text(pieces, "dropped"), _own_text(pieces, "added")


def _own_text(pieces: Iterable[DiffPiece], own: str) -> Text:
    """Return the text of one side, with the pieces marked that only it has."""
    whole = Text(end="")
    for kind, words in pieces:
        if kind in {"same", "skipped", own}:
            before, after, style = _MARKS[kind]
            whole.append(before + clean(words, multiline=True) + after, style)
    return whole


def _label(indent: str, index: int, role: str) -> Text:
    """Return the label of a message: its number from 1, and its role."""
    label = Text(end="").append(indent).append(f"{index + 1:>3} ", DIM)
    return label.append(role + " " * (ROLE_CELLS - cells(role)), ROLE_STYLES.get(role, HEADING))


def _show_command(index: int, number: int) -> str:
    return f": goto {number} ;; pp inputs.messages[{index}]"


def _block(label: Text, whole: Text, width: int, most: int, more: str) -> Iterator[Text]:
    """Yield one message wrapped beside its label, and cut if it is long; `more` is the command that shows all of it."""
    margin = cells(label.plain)
    room = max(width - margin, 20)
    shown = whole[: room * (most + 1)]
    rows = list(shown.wrap(console(width=room), room, overflow="fold")) if shown.plain else []
    if not rows:
        yield label.append("(nothing)", DIM)
    for row in rows[:most]:
        row.rstrip()
        yield label.append_text(row)
        label = Text(" " * margin, end="")
    left = len(whole.plain) - sum(len(row.plain) for row in rows[:most])
    if len(rows) > most or len(shown.plain) < len(whole.plain):
        note = f"… {left:,} more characters"
        yield label.append(note + more if len(note + more) <= room else note, DIM)


def _role(message: Any) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    return shorten(clean(role, 100), ROLE_CELLS - 1) if role else "?"


def _part(part: Any) -> Text:
    """Return a part of a message as text; a call, a result or a picture in brackets or shortened."""
    if not isinstance(part, dict):
        return _plain(part)
    kind = part.get("type")
    if not isinstance(kind, str | None):
        kind = gist(kind)
    if kind in {"tool_call", "server_tool_call"}:
        return _call(part)
    if kind in {"tool_call_response", "server_tool_call_response"}:
        answer = part.get("response", part.get("result"))
        if isinstance(answer, list) and any(
            isinstance(each, dict) and each.get("type") == "blob" for each in answer
        ):
            return Text(" ", end="").join(_inner(each) for each in answer)
        return _plain(answer if isinstance(answer, str) else gist(answer, 2000))
    found = next((part[key] for key in ("content", "text") if isinstance(part.get(key), str)), None)
    if kind in {"text", None} and found is not None:
        return _plain(found)
    if kind == "reasoning" and found is not None:
        return text(found, DIM, multiline=True)
    about = {key: value for key, value in part.items() if key not in {"type", "content", "data"}}
    return text(f"[{clean(kind or 'part', 30)}]{' ' + gist(about, 200) if about else ''}", DIM)


def _inner(part: Any) -> Text:
    """Return a part of a tool's result; one with parts of its own is shortened."""
    nests = isinstance(part, dict) and any(isinstance(part.get(key), list) for key in ("response", "result"))
    return _plain(gist(part, 2000)) if nests else _part(part)


def _call(item: Any) -> Text:
    known = item if isinstance(item, dict) else {}
    inner = known.get("function")
    function = inner if isinstance(inner, dict) else known
    if "name" not in function:
        return text(gist(item, 400), COMPONENT_STYLES["tool"])
    return text(call(function["name"], function.get("arguments"), 400), COMPONENT_STYLES["tool"])


def _plain(value: Any) -> Text:
    return text(
        "" if value is None else value if isinstance(value, str) else gist(value, 2000), multiline=True
    )


def mark_changes(old: Any, new: Any) -> Text:
    """Return the text of a message with its changes: `[-removed words-]{+added words+}`, as `git diff --word-diff` marks them.

    Long unchanged stretches are left out.
    """
    whole = Text(end="")
    for kind, words in shorten_equal_text(diff_message_texts(old, new), AROUND):
        before, after, style = _MARKS[kind]
        whole.append(before + clean(words, multiline=True) + after, style)
    return whole
