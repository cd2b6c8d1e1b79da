"""Compares two lists of messages: what a model was sent in an earlier request, and what in a later one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.matching import common_prefix, matching_blocks
from namel3ss_debug.wire.text_changes import Piece, text_changes

_SMALL_BLOCK = 2500
_LOOK_AHEAD = 16
_MOST_SUFFIX = 4000
_CUT = 40
_DEEPEST = 50
_LONGEST_MARK = 200
_SHORT_DATA = 100
_NAMES = frozenset({"role", "type", "id", "name", "tool_call_id", "call_id"})
"""Keys whose texts are names, which are never cut short."""

_WORDS = "truncated|omitted|trimmed|snipped|elided|clipped|shortened|skipped|removed|cut|more"
_DOTS = r"(?:…|\.{3,9})"
_MARK = re.compile(
    rf"\s{{0,3}}(?:{_DOTS}?\s?[\[(<][^\[\]()<>\n]{{0,60}}\b(?:{_WORDS})\b[^\[\]()<>\n]{{0,60}}[\])>]\s?{_DOTS}?"
    rf"|{_DOTS}[^.…\n]{{0,40}}\b(?:{_WORDS})\b[^.…\n]{{0,40}}{_DOTS}"
    rf"|[\[(]{_DOTS}[\])]|{_DOTS})\s{{0,3}}",
    re.IGNORECASE,
)
"""The mark at a place where a text was cut: dots, or a remark in brackets or between dots."""


_CONTINUED = ("previous_response_id", "conversation", "thread")
"""Parameters of a request that continues a conversation whose messages the provider has kept."""


class MessageChange(NamedTuple):
    """One message that is in one of the lists, or in both.

    Attributes:
        kind: `same`, `added`, `dropped`, `changed` or `truncated`.
        before: its place in the earlier list, from 0; None where it was added.
        after: its place in the later list; None where it was dropped.
        old: the message in the earlier list.
        new: the message in the later list.
    """

    kind: str
    before: int | None
    after: int | None
    old: Any
    new: Any


def goes_on(inputs: Any) -> bool:
    """Whether a request leaves out the messages before it, because the provider has kept them."""
    params = inputs.get("params") if isinstance(inputs, dict) else None
    return isinstance(params, dict) and any(params.get(name) for name in _CONTINUED)


def diff_messages(before: Sequence[Any], after: Sequence[Any]) -> tuple[MessageChange, ...]:
    """The change of each message, in order: all rows but the `added` ones are `before`, all but the `dropped` `after`.

    Messages are compared as JSON, whatever the order of their keys. Two messages of the same role at the same place
    between equal messages count as one that `changed`, or that was `truncated` where the new one is the old one with
    texts or lists cut short. The time grows little more than linearly with the number of messages.

    Args:
        before: the messages of the earlier request, in any provider's shape.
        after: those of the later one.
    """
    rows: list[MessageChange] = []
    i = j = 0
    for block in matching_blocks(
        [_digest(message) for message in before], [_digest(message) for message in after]
    ):
        rows += _between(before, after, (i, block.old), (j, block.new))
        for first, second in zip(
            range(block.old, block.old + block.size), range(block.new, block.new + block.size), strict=True
        ):
            rows.append(MessageChange("same", first, second, before[first], after[second]))
        i, j = block.old + block.size, block.new + block.size
    return tuple(rows)


def message_text(message: Any) -> str:
    """A message as text to read and to compare: its texts as they are, everything else as JSON on lines of its own.

    The data of a picture or a sound are replaced by their length and a hash, so that a difference can be seen. The role
    is left out.
    """
    if not isinstance(message, dict):
        return message if isinstance(message, str) else _json(message)
    key = "parts" if "parts" in message else "content"
    content = message.get(key)
    parts = content if isinstance(content, list) else [] if content is None else [content]
    rest = {name: value for name, value in message.items() if name not in ("role", key)}
    return "\n".join([*map(_part_text, parts), *([_json(rest)] if rest else [])])


def message_changes(old: Any, new: Any) -> tuple[Piece, ...]:
    """What differs between the texts of two messages: see `message_text` and `text_changes`."""
    return text_changes(message_text(old), message_text(new))


def _digest(message: Any) -> bytes:
    return hashlib.blake2b(lenient.dump(message, ordered=True), digest_size=16).digest()


# --- what became of the others


def _between(
    before: Sequence[Any], after: Sequence[Any], old: tuple[int, int], new: tuple[int, int]
) -> Iterator[MessageChange]:
    """The changes between two ranges without equal messages, `old` and `new`: the first place and one past the last."""
    i, j = old[0], new[0]
    pairs = _pairs(before[i : old[1]], after[j : new[1]])
    for first, second in [*((old[0] + a, new[0] + b) for a, b in pairs), (old[1], new[1])]:
        yield from (MessageChange("dropped", place, None, before[place], None) for place in range(i, first))
        yield from (MessageChange("added", None, place, None, after[place]) for place in range(j, second))
        if first < old[1]:
            kind = "truncated" if _cut(before[first], after[second]) else "changed"
            yield MessageChange(kind, first, second, before[first], after[second])
        i, j = first + 1, second + 1


def _pairs(old: Sequence[Any], new: Sequence[Any]) -> list[tuple[int, int]]:
    """Pairs of corresponding messages in two blocks, in the order of both: the most similar ones of the same role."""
    if not old or not new:
        return []
    if len(old) * len(new) > _SMALL_BLOCK:
        return _pairs_by_role([_role(message) for message in old], [_role(message) for message in new])
    texts_old, texts_new = (
        [message_text(message) for message in old],
        [message_text(message) for message in new],
    )
    likeness = [
        [_likeness((one, text), (other, its)) for other, its in zip(new, texts_new, strict=True)]
        for one, text in zip(old, texts_old, strict=True)
    ]
    best = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            paired = likeness[i][j] and likeness[i][j] + best[i + 1][j + 1]
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(old) and j < len(new):
        if likeness[i][j] and best[i][j] == likeness[i][j] + best[i + 1][j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _pairs_by_role(old: list[Any], new: list[Any]) -> list[tuple[int, int]]:
    """Pairs of the same role in one pass, where the blocks are too large to try all."""
    pairs, j = [], 0
    for i, role in enumerate(old):
        found = next((k for k in range(j, min(j + _LOOK_AHEAD, len(new))) if new[k] == role), None)
        if found is not None:
            pairs.append((i, found))
            j = found + 1
    return pairs


def _role(message: Any) -> Any:
    """The role of a message; where it has none, its type."""
    if not isinstance(message, dict):
        return type(message).__name__
    return lenient.string(message.get("role")) or lenient.string(message.get("type"))


def _likeness(old: tuple[Any, str], new: tuple[Any, str]) -> int:
    """How similar two messages are, each given with its text; 0 where their roles differ."""
    if _role(old[0]) != _role(new[0]):
        return 0
    if _cut(old[0], new[0]):
        return _CUT
    one, other = old[1], new[1]
    prefix = common_prefix(one, other)
    suffix = common_prefix(one[prefix:][: -_MOST_SUFFIX - 1 : -1], other[prefix:][: -_MOST_SUFFIX - 1 : -1])
    return 1 + 16 * (prefix + suffix) // max(len(one), len(other), 1)


# --- texts that were cut short


def _cut(old: Any, new: Any) -> bool:
    """Whether the new message is the old one with texts or lists cut short, and nothing else changed."""
    return _compare(old, new, 0) is True


def _compare(old: Any, new: Any, depth: int) -> bool | None:
    """True where the new value is the old one cut short, False where they are equal, None for any other difference."""
    if depth > _DEEPEST:
        return False if _digest(old) == _digest(new) else None
    if isinstance(new, dict) and "$truncated" in new:
        return _marked(old, new, depth)
    if isinstance(old, str) and isinstance(new, str):
        return False if old == new else _text_cut(old, new) or None
    if isinstance(old, list) and isinstance(new, list):
        return _list_cut(old, new, depth)
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        return _any_cut((old[key], new[key], depth + 1 if key not in _NAMES else _DEEPEST + 1) for key in new)
    return False if type(old) is type(new) and old == new else None


def _any_cut(pairs: Iterable[tuple[Any, Any, int]]) -> bool | None:
    """Whether any of the pairs is a cut; None where one differs otherwise."""
    cut = False
    for old, new, depth in pairs:
        found = _compare(old, new, depth)
        if found is None:
            return None
        cut |= found
    return cut


def _marked(old: Any, new: dict[str, Any], depth: int) -> bool | None:
    """Whether the new value is the old one with a recording's mark for parts left out; see the payloads of events."""
    if old == new:
        return False
    kept = new["$truncated"]
    if isinstance(kept, str):
        whole = old.get("$truncated") if isinstance(old, dict) else old
        return True if isinstance(whole, str) and len(kept) < len(whole) and whole.startswith(kept) else None
    if len(new) == 1:  # nothing of the value was kept
        return True if isinstance(old, (str, list, dict)) and "$truncated" not in old else None
    if not isinstance(old, dict) or not new.keys() - {"$truncated"} <= old.keys():
        return None
    pairs = ((old[key], new[key], depth + 1) for key in new if key != "$truncated")
    return None if _any_cut(pairs) is None else True


def _list_cut(old: list[Any], new: list[Any], depth: int) -> bool | None:
    last = new[-1] if new else None
    marked = isinstance(last, dict) and last.keys() == {"$truncated"} and isinstance(last["$truncated"], int)
    if marked and len(old) >= len(new) and old[len(new) - 1] != last:
        pairs = zip(old, new[:-1], [depth + 1] * (len(new) - 1), strict=False)
        return None if _any_cut(pairs) is None else True
    if len(old) != len(new):
        return None
    return _any_cut(zip(old, new, [depth + 1] * len(new), strict=True))


def _text_cut(old: str, new: str) -> bool:
    """Whether the new text is the beginning of the old one, or has a mark, `[12 lines omitted]`, in place of a part."""
    if not new.strip():
        return False
    if old.startswith(new):
        return True
    prefix = common_prefix(old, new)
    for mark in _MARK.finditer(new, max(0, prefix - _LONGEST_MARK), prefix + _LONGEST_MARK):
        head, tail = mark.start(), new[mark.end() :]
        if head <= prefix and 0 < head + len(tail) < len(old) and old.endswith(tail):
            return True
    return False


# --- texts


def _part_text(part: Any) -> str:
    """A part of a message as text: its kind where that is not `text`, then its text, then its other fields."""
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    key = next((key for key in ("content", "text") if isinstance(part.get(key), str)), None) if kind else None
    if key is None or not isinstance(kind, str):
        return _json(part)
    rest = {name: value for name, value in part.items() if name not in ("type", key)}
    said = part[key]
    if kind == "blob" and len(said) > _SHORT_DATA:
        digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
        said = f"{len(said):,} characters of data, SHA-256 {digest[:16]}"
    return f"{'' if kind == 'text' else f'[{kind}] '}{said}" + (f"\n{_json(rest)}" if rest else "")


def _json(value: Any) -> str:
    return lenient.dump(value, ordered=True).decode()
