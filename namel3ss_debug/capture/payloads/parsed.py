"""JSON that was parsed here and is not changed any more: it is recorded without a copy, where nothing in it is secret.

This check costs a third of a conversion, which makes every container anew. A value that has to change is converted
like any other, and so is every value where payloads are bounded.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from typing import Any

from namel3ss_debug.capture.payloads.conversion import CARD_LIKE, JsonValue, Payloads, Ready
from namel3ss_debug.traces.redaction.redactor import OPTION

_DEEPEST = 90
_MOST_ITEMS = 512
_LARGEST_ITEM = 1 << 14
_UNCLEAR = -1
_NO_NAMES: frozenset[str] = frozenset()


def ready(payloads: Payloads, value: Any) -> Any:
    """A value of JSON as a payload, or a part of one."""
    return value if payloads.max_size else Ready(_shown(payloads, value))


def made(payloads: Payloads, value: dict[str, Any], *inner: dict[str, Any], texts: Any = None) -> Any:
    """An object that was made here of what is clear: a name in it may still be one that the user calls secret.

    Args:
        payloads: knows the names.
        value: the object.
        inner: the objects in it.
        texts: a list of texts in it of which that is not known; they have been seen before nearly always.
    """
    known = texts is None or payloads.plain.issuperset(texts)
    for part in (value, *inner):
        known = known and (part.keys() <= payloads.names or all(map(payloads.learn, part)))
    return Ready(value) if known else _each_ready(value, texts)


def _each_ready(value: dict[str, Any], texts: Any) -> dict[str, Any]:
    """The same with names that are looked at, and the texts."""
    return {
        name: part if part is texts else _each_ready(part, texts) if type(part) is dict else Ready(part)
        for name, part in value.items()
    }


def request(payloads: Payloads, decoded: dict[str, Any]) -> Any:
    """A decoded request as a payload. The items of its lists, as the messages are, come again with the next: each is looked at once.

    Args:
        payloads: converts what has to change.
        decoded: the next request has the same objects.
    """
    if payloads.max_size:
        return decoded
    return Ready(
        {
            name: [_item(payloads, item) for item in value]
            if value and type(value) is list
            else _shown(payloads, value)
            for name, value in decoded.items()
        }
    )


def is_clear(payloads: Payloads, value: Any) -> bool:
    """Whether nothing in a value of JSON is secret, and nothing else in it has to change; `False` also where it is not known."""
    return _look(payloads, value)[0] != _UNCLEAR


def texts_are_clear(payloads: Payloads, value: dict[str, str]) -> bool:
    """The same of an object that has texts alone, which have been seen before more often than not."""
    known = value.keys() <= payloads.names and payloads.plain.issuperset(value.values())
    return known or is_clear(payloads, value)


def document(
    payloads: Payloads,
    body: bytes,
    value: Any,
    telling: frozenset[str],
    may_be_in_pieces: Callable[[Any], bool],
) -> str | None:
    r"""The text of a document of JSON, where nothing is secret in the names and texts that it is made of; None where that is not known.

    A name may stand in an object twice, and only the last is read. So the strings in the text are counted: each has two
    quotation marks, besides those behind a backslash.

    Args:
        payloads: knows the names and texts.
        body: the document.
        value: what was read from it, an object.
        telling: names beneath which a text may stand in pieces; in the items of a list it may as well.
        may_be_in_pieces: asked where there is such a name or list.
    """
    redactor = payloads.redactor
    if payloads.max_size or (redactor is not None and redactor.has_own_rules):
        return None
    text, names = body.decode(), tuple(value)
    seen = payloads.alike.texts(names, text)
    if seen is not None and _are_clear(payloads, seen):
        return text
    if "\\\\" in text:
        return None
    strings, is_whole = _look(payloads, value, telling)
    if text.count('"') - text.count('\\"') != 2 * strings:
        return None
    if is_whole and seen is None:
        payloads.alike.learn(names, text)
    return text if is_whole or not may_be_in_pieces(value) else None


def _are_clear(payloads: Payloads, seen: Sequence[str]) -> bool:
    return payloads.plain.issuperset(seen) or all(
        text[:2] != OPTION and payloads.text(text) is text for text in seen
    )


def _shown(payloads: Payloads, value: Any) -> JsonValue:
    if not value:
        return value  # type: ignore[no-any-return]  # of JSON
    if type(value) is str:
        return payloads.text(value)
    shown: JsonValue = value
    return shown if is_clear(payloads, value) else payloads.convert(value, 2).value


def _item(payloads: Payloads, item: Any) -> JsonValue:
    known = payloads.items.get(id(item))
    if known is not None and known[0] is item:
        return known[1]
    shown = _shown(payloads, item)
    if _is_small(item):
        if len(payloads.items) >= _MOST_ITEMS:
            payloads.items.clear()
        payloads.items[id(item)] = item, shown
    return shown


def _is_small(item: Any) -> bool:
    try:
        return len(marshal.dumps(item, 2)) <= _LARGEST_ITEM
    except ValueError:  # not of JSON, or nested too deep
        return False


def _look(payloads: Payloads, value: Any, telling: frozenset[str] = _NO_NAMES) -> tuple[int, bool]:
    """How many names and texts a value of JSON has, and whether it has no list of several items and none of some names.

    Args:
        payloads: knows the names and texts.
        value: of JSON.
        telling: the names.

    Returns:
        The number is `_UNCLEAR` where something in it has to change, or may have to.
    """
    names, plain, redactor = payloads.names, payloads.plain, payloads.redactor
    strings, is_whole = 0, True
    level = [value] if type(value) is dict or type(value) is list else [[value]]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for holder in level:
            if type(holder) is dict:
                keys = holder.keys()
                if not keys <= names and not all(map(payloads.learn, holder)):
                    return _UNCLEAR, False
                is_whole = is_whole and keys.isdisjoint(telling)
                strings += len(holder)
                items: Any = holder.values()
            else:
                is_whole = is_whole and (len(holder) < 2 or type(holder[0]) is float)
                items = holder
                if len(items) > 1 and type(items[0]) is str and redactor and redactor.hidden(items):
                    return _UNCLEAR, False
            for item in items:
                kind = type(item)
                if kind is str:
                    if item not in plain and payloads.text(item) is not item:
                        return _UNCLEAR, False
                    strings += 1
                elif kind is int:
                    if abs(item) >= CARD_LIKE:
                        return _UNCLEAR, False
                elif kind is dict or kind is list:
                    if item:
                        inner.append(item)
                elif kind is float:
                    if item - item != 0.0:  # not a number, or infinite
                        return _UNCLEAR, False
                elif item is not None and kind is not bool:
                    return _UNCLEAR, False
        if not inner:
            return strings, is_whole
        level = inner
    return _UNCLEAR, False
