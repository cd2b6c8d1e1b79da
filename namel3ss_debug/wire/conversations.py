"""Compare two lists of messages: those of an earlier request to a model, and those of a later one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from namel3ss_debug.wire import lenient
from namel3ss_debug.wire.matching import count_common_prefix, matching_blocks
from namel3ss_debug.wire.text_changes import DiffPiece, diff_texts

_MOST_COMPARISONS = 2500
"""How many pairs of messages between two equal ones are compared by their texts; more are compared by their roles only."""

_MOST_SKIPPED = 16
"""How far ahead a message of the same role is looked for when only roles are compared."""

_LONGEST_SUFFIX = 4000
"""How many characters at the end of two texts count for their similarity."""

_CUT_SIMILARITY = 40
"""The similarity of a message and its cut form, which is more than any other two messages can have (17)."""

_MAX_DEPTH = 50
"""How deep two values are compared for cuts; deeper inside they can only be equal or different."""

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
        return _pair_by_role([_role(message) for message in old], [_role(message) for message in new])
    old_texts = [(message, format_message(message)) for message in old]
    new_texts = [(message, format_message(message)) for message in new]
    similarity = [[_measure_similarity(one, other) for other in new_texts] for one in old_texts]
    # best[i][j] is the highest total similarity of pairs in old[i:] and new[j:].
    best = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        for j in reversed(range(len(new))):
            paired = similarity[i][j] and similarity[i][j] + best[i + 1][j + 1]
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(old) and j < len(new):
        if similarity[i][j] and best[i][j] == similarity[i][j] + best[i + 1][j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _pair_by_role(old: list[Any], new: list[Any]) -> list[tuple[int, int]]:
    """Return pairs of the same role in one pass, for blocks that are too large to try all pairs."""
    pairs, j = [], 0
    for i, role in enumerate(old):
        match = next((k for k in range(j, min(j + _MOST_SKIPPED, len(new))) if new[k] == role), None)
        if match is not None:
            pairs.append((i, match))
            j = match + 1
    return pairs


def _role(message: Any) -> Any:
    """Return the role of a message; if it has none, its type."""
    if not isinstance(message, dict):
        return type(message).__name__
    return lenient.string(message.get("role")) or lenient.string(message.get("type"))


def _measure_similarity(old: tuple[Any, str], new: tuple[Any, str]) -> int:
    """Return how similar two messages are, each with its text; 0 if their roles differ."""
    if _role(old[0]) != _role(new[0]):
        return 0
    if _is_cut(old[0], new[0]):
        return _CUT_SIMILARITY
    one, other = old[1], new[1]
    prefix = count_common_prefix(one, other)
    suffix = count_common_prefix(
        one[prefix:][: -_LONGEST_SUFFIX - 1 : -1], other[prefix:][: -_LONGEST_SUFFIX - 1 : -1]
    )
    return 1 + 16 * (prefix + suffix) // max(len(one), len(other), 1)


# --- texts that were cut short


def _is_cut(old: Any, new: Any) -> bool:
    """Return whether the new message is the old one with texts or lists cut short, and nothing else changed."""
    return _find_cut(old, new, 0) is True


def _find_cut(old: Any, new: Any, depth: int) -> bool | None:
    """Return True if the new value is the old one cut short, False if they are equal, None for any other difference."""
    if depth > _MAX_DEPTH:
        return False if _digest(old) == _digest(new) else None
    if isinstance(new, dict) and "$truncated" in new:
        return _has_marked_cut(old, new, depth)
    if isinstance(old, str) and isinstance(new, str):
        return False if old == new else _is_text_cut(old, new) or None
    if isinstance(old, list) and isinstance(new, list):
        return _has_list_cut(old, new, depth)
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        # Beyond the maximum depth, values are only compared for equality. Names get such a depth at once.
        return _has_cut(
            (old[key], new[key], depth + 1 if key not in _NAME_KEYS else _MAX_DEPTH + 1) for key in new
        )
    return False if type(old) is type(new) and old == new else None


def _has_cut(pairs: Iterable[tuple[Any, Any, int]]) -> bool | None:
    """Return whether any of the pairs is a cut; None if one differs otherwise."""
    has_cut = False
    for old, new, depth in pairs:
        cut = _find_cut(old, new, depth)
        if cut is None:
            return None
        has_cut |= cut
    return has_cut


def _has_marked_cut(old: Any, new: dict[str, Any], depth: int) -> bool | None:
    """Return whether the new value is the old one with `$truncated` for parts left out, a mark in traces; None if not."""
    if old == new:
        return False
    kept = new["$truncated"]
    if isinstance(kept, str):
        whole = old.get("$truncated") if isinstance(old, dict) else old
        return True if isinstance(whole, str) and len(kept) < len(whole) and whole.startswith(kept) else None
    if len(new) == 1:  # nothing of the value is left
        return True if isinstance(old, (str, list, dict)) and "$truncated" not in old else None
    if not isinstance(old, dict) or not new.keys() - {"$truncated"} <= old.keys():
        return None
    pairs = ((old[key], new[key], depth + 1) for key in new if key != "$truncated")
    return None if _has_cut(pairs) is None else True


def _has_list_cut(old: list[Any], new: list[Any], depth: int) -> bool | None:
    """Return whether the new list is the old one cut short or with cut items; None if it differs otherwise."""
    last = new[-1] if new else None
    marked = isinstance(last, dict) and last.keys() == {"$truncated"} and isinstance(last["$truncated"], int)
    if marked and len(old) >= len(new) and old[len(new) - 1] != last:
        pairs = zip(old, new[:-1], [depth + 1] * (len(new) - 1), strict=False)
        return None if _has_cut(pairs) is None else True
    if len(old) != len(new):
        return None
    return _has_cut(zip(old, new, [depth + 1] * len(new), strict=True))


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
