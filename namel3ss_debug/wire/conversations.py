"""Compare two lists of messages: those of an earlier request to a model, and those of a later one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.matching import count_common_prefix, matching_blocks
from namel3ss_debug.wire.text_changes import DiffPiece, diff_texts

_MOST_COMPARISONS = 2500
"""How many pairs of messages between two equal ones are compared by their texts; more are compared by their roles only."""

_LONGEST_SUFFIX = 4000
"""How many characters at the end of two texts count for their similarity."""

_CUT_SIMILARITY = 2.0
"""The similarity of a message and its cut form, which is more than any other two messages can have (1)."""

_MAX_DEPTH = 50
"""How deep two values are compared for cuts; deeper ones are only compared for equality."""

_LONGEST_MARK = 200
"""How many characters around the first difference of two texts may have a mark."""

_SHORT_DATA = 100
"""How many characters of data are shown as they are."""

_NAME_KEYS = frozenset({"role", "type", "id", "name", "tool_call_id", "call_id"})
"""Keys whose texts are names, which programs never cut short."""

_MARK_WORDS = "truncated|omitted|trimmed|snipped|elided|clipped|shortened|skipped|removed|cut|more"
_MARK_DOTS = r"(?:…|\.{3,9})"
_MARK = re.compile(
    rf"\s{{0,3}}(?:{_MARK_DOTS}?\s?[\[(<][^\[\]()<>\n]{{0,60}}\b(?:{_MARK_WORDS})\b[^\[\]()<>\n]{{0,60}}[\])>]\s?{_MARK_DOTS}?"
    rf"|{_MARK_DOTS}[^.…\n]{{0,40}}\b(?:{_MARK_WORDS})\b[^.…\n]{{0,40}}{_MARK_DOTS}"
    rf"|[\[(]{_MARK_DOTS}[\])]|{_MARK_DOTS})\s{{0,3}}",
    re.IGNORECASE,
)
"""The mark that a program puts where it cuts a text: dots, or a remark in brackets or between dots."""


_CONTINUATION_PARAMS = ("previous_response_id", "conversation", "thread")
"""Parameters of a request that continues a conversation whose messages the provider keeps."""


class MessageChange(NamedTuple):
    """One message that is in one of the lists, or in both.

    Attributes:
        kind: `same`, `added`, `dropped`, `changed` or `truncated`.
        before: its index in the earlier list; None if it was added.
        after: its index in the later list; None if it was dropped.
        old: the message in the earlier list.
        new: the message in the later list.
    """

    kind: str
    before: int | None
    after: int | None
    old: Any
    new: Any


def is_continuation(inputs: Any) -> bool:
    """Return whether a request leaves out the messages before it because the provider keeps them."""
    params = inputs.get("params") if isinstance(inputs, dict) else None
    return isinstance(params, dict) and any(params.get(name) for name in _CONTINUATION_PARAMS)


def diff_messages(before: Sequence[Any], after: Sequence[Any]) -> tuple[MessageChange, ...]:
    """Return the change of each message: all rows but the `added` ones are `before`, all but the `dropped` ones `after`.

    Messages are compared as JSON, whatever the order of their keys. Two messages of the same role at the same place
    between equal messages count as one that `changed`. It was `truncated` if the new message is the old one with texts
    or lists cut short. The time grows little more than linearly with the number of messages.

    Args:
        before: the messages of the earlier request, in any provider's shape.
        after: those of the later one.
    """
    rows: list[MessageChange] = []
    i = j = 0
    for block in matching_blocks(
        [_digest(message) for message in before], [_digest(message) for message in after]
    ):
        rows += _diff_range(before, after, (i, block.old), (j, block.new))
        for first, second in zip(
            range(block.old, block.old + block.size), range(block.new, block.new + block.size), strict=True
        ):
            rows.append(MessageChange("same", first, second, before[first], after[second]))
        i, j = block.old + block.size, block.new + block.size
    return tuple(rows)


def format_message(message: Any) -> str:
    """Return a message as text to read and to compare: its texts as they are, everything else as lines of JSON.

    The data of a picture or a sound is replaced by its length and a hash, so that a difference can be seen. The role is
    left out.
    """
    if not isinstance(message, dict):
        return message if isinstance(message, str) else _dump(message)
    key = "parts" if "parts" in message else "content"
    content = message.get(key)
    parts = content if isinstance(content, list) else [] if content is None else [content]
    rest = {name: value for name, value in message.items() if name not in ("role", key)}
    return "\n".join([*map(_format_part, parts), *([_dump(rest)] if rest else [])])


def diff_message_texts(old: Any, new: Any) -> tuple[DiffPiece, ...]:
    """Return the differences between the texts of two messages; see `format_message` and `diff_texts`."""
    return diff_texts(format_message(old), format_message(new))


def _digest(message: Any) -> bytes:
    return hashlib.blake2b(lenient.dump(message, ordered=True), digest_size=16).digest()


# --- messages between equal ones


def _diff_range(
    before: Sequence[Any], after: Sequence[Any], old: tuple[int, int], new: tuple[int, int]
) -> Iterator[MessageChange]:
    """Yield the changes between two ranges without equal messages, `old` and `new`, each as `(start, end)`."""
    i, j = old[0], new[0]
    pairs = _pair_messages(before[i : old[1]], after[j : new[1]])
    for first, second in [*((old[0] + a, new[0] + b) for a, b in pairs), (old[1], new[1])]:
        yield from (MessageChange("dropped", index, None, before[index], None) for index in range(i, first))
        yield from (MessageChange("added", None, index, None, after[index]) for index in range(j, second))
        if first < old[1]:
            kind = "truncated" if _is_cut(before[first], after[second]) else "changed"
            yield MessageChange(kind, first, second, before[first], after[second])
        i, j = first + 1, second + 1


def _pair_messages(old: Sequence[Any], new: Sequence[Any]) -> list[tuple[int, int]]:
    """Return pairs of corresponding messages in two blocks, in order of both: the most similar ones of the same role."""
    if not old or not new:
        return []
    if len(old) * len(new) > _MOST_COMPARISONS:
        blocks = matching_blocks([*map(_role, old)], [*map(_role, new)])
        return [(i + k, j + k) for i, j, size in blocks for k in range(size)]
    old_texts = [(message, format_message(message)) for message in old]
    new_texts = [(message, format_message(message)) for message in new]
    similarities = [
        (-_measure_similarity(one, other), i, j)
        for i, one in enumerate(old_texts)
        for j, other in enumerate(new_texts)
        if _role(one[0]) == _role(other[0])
    ]
    pairs: list[tuple[int, int]] = []
    for _, i, j in sorted(similarities):
        if all((a - i) * (b - j) > 0 for a, b in pairs):  # before or after each earlier pair on both sides
            pairs.append((i, j))
    return sorted(pairs)


def _role(message: Any) -> Any:
    """Return the role of a message; if it has none, its type."""
    if not isinstance(message, dict):
        return type(message).__name__
    return lenient.string(message.get("role")) or lenient.string(message.get("type"))


def _measure_similarity(old: tuple[Any, str], new: tuple[Any, str]) -> float:
    """Return how similar two messages are, each with its text: the share of their common beginning and end, or more if cut."""
    if _is_cut(old[0], new[0]):
        return _CUT_SIMILARITY
    one, other = old[1], new[1]
    prefix = count_common_prefix(one, other)
    suffix = count_common_prefix(
        one[prefix:][: -_LONGEST_SUFFIX - 1 : -1], other[prefix:][: -_LONGEST_SUFFIX - 1 : -1]
    )
    return (prefix + suffix) / max(len(one), len(other), 1)


# --- texts that were cut short


def _is_cut(old: Any, new: Any, depth: int = 0) -> bool:
    """Return whether the new value is the old one, or the old one with texts or lists cut short."""
    if depth > _MAX_DEPTH:
        return _digest(old) == _digest(new)
    if isinstance(new, dict) and "$truncated" in new and old != new:
        return _is_marked_cut(old, new, depth)
    if isinstance(old, str) and isinstance(new, str):
        return old == new or _is_text_cut(old, new)
    if isinstance(old, list) and isinstance(new, list):
        last = new[-1] if new else None
        if isinstance(last, dict) and last.keys() == {"$truncated"} and len(old) >= len(new):
            old, new = old[: len(new) - 1], new[:-1]
        return len(old) == len(new) and all(
            _is_cut(one, other, depth + 1) for one, other in zip(old, new, strict=True)
        )
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        return all(
            _digest(old[key]) == _digest(new[key])
            if key in _NAME_KEYS
            else _is_cut(old[key], new[key], depth + 1)
            for key in new
        )
    return type(old) is type(new) and old == new


def _is_marked_cut(old: Any, new: dict[str, Any], depth: int) -> bool:
    """Return whether the new value is the old one with `$truncated`, the mark in traces, for what is left out."""
    kept = new["$truncated"]
    if isinstance(kept, str):
        whole = old.get("$truncated") if isinstance(old, dict) else old
        return isinstance(whole, str) and len(kept) < len(whole) and whole.startswith(kept)
    if len(new) == 1:  # nothing of the value is left
        return isinstance(old, (str, list, dict)) and "$truncated" not in old
    return isinstance(old, dict) and all(
        key in old and _is_cut(old[key], value, depth + 1)
        for key, value in new.items()
        if key != "$truncated"
    )


def _is_text_cut(old: str, new: str) -> bool:
    """Return whether the new text is the beginning of the old one, or has a mark like `[12 lines omitted]` for a part."""
    if not new.strip():
        return False
    if old.startswith(new):
        return True
    prefix = count_common_prefix(old, new)
    for mark in _MARK.finditer(new, max(0, prefix - _LONGEST_MARK), prefix + _LONGEST_MARK):
        head, tail = mark.start(), new[mark.end() :]
        if head <= prefix and 0 < head + len(tail) < len(old) and old.endswith(tail):
            return True
    return False


# --- texts


def _format_part(part: Any) -> str:
    """Return a part of a message as text: its kind if that is not `text`, then its text, then its other fields."""
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    key = next((key for key in ("content", "text") if isinstance(part.get(key), str)), None) if kind else None
    if key is None or not isinstance(kind, str):
        return _dump(part)
    rest = {name: value for name, value in part.items() if name not in ("type", key)}
    text = part[key]
    if kind == "blob" and len(text) > _SHORT_DATA:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        text = f"{len(text):,} characters of data, SHA-256 {digest[:16]}"
    return f"{'' if kind == 'text' else f'[{kind}] '}{text}" + (f"\n{_dump(rest)}" if rest else "")


def _dump(value: Any) -> str:
    return lenient.dump(value, ordered=True).decode()
