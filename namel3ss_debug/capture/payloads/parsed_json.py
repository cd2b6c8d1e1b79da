"""JSON that was parsed here and does not change any more: it is recorded without a copy if nothing in it is secret.

This check costs a third of a conversion, which copies every container. A value that has to change is converted like
any other, and so is every value if payloads are bounded.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from namel3ss_debug.capture.payloads.conversion import CARD_LIKE, JsonValue, Payloads, Ready
from namel3ss_debug.traces.media import SHORTEST, is_like_media
from namel3ss_debug.traces.redaction.redactor import OPTION

_MAX_DEPTH = 90
_MAX_CACHED_ITEMS = 512
_MAX_ITEM_BYTES = 1 << 14
_UNCLEAR = -1
_NO_NAMES: frozenset[str] = frozenset()


def ready(payloads: Payloads, value: Any) -> Any:
    """Return a JSON value as a payload, or as a part of one."""
    return value if payloads.max_size else Ready(_to_json(payloads, value))


def ready_object(payloads: Payloads, value: dict[str, Any], *inner: dict[str, Any], texts: Any = None) -> Any:
    """Return an object that was built here from clear values, as a payload.

    A name in it may still be one that the user's settings call secret.

    Args:
        payloads: knows which names are clear.
        value: the object.
        inner: the objects in it.
        texts: a list of texts in it that may be secret. Nearly always they are known to be clear.
    """
    is_clear = texts is None or payloads.clear_texts.issuperset(texts)
    for part in (value, *inner):
        is_clear = is_clear and (part.keys() <= payloads.clear_names or all(map(payloads.learn, part)))
    return Ready(value) if is_clear else _ready_values(value, texts)


def _ready_values(value: dict[str, Any], texts: Any) -> dict[str, Any]:
    """Return the object with its values marked as ready, but not its names or the texts, which are still checked."""
    return {
        name: item if item is texts else _ready_values(item, texts) if type(item) is dict else Ready(item)
        for name, item in value.items()
    }


def ready_request(payloads: Payloads, decoded: dict[str, Any]) -> Any:
    """Return a decoded request as a payload.

    The next request repeats the items of its lists, such as the messages, so each item is checked once.

    Args:
        payloads: converts the values that have to change.
        decoded: the request; a repeated item is the same object as before.
    """
    if payloads.max_size:
        return decoded
    return Ready(
        {
            name: [_cached_item(payloads, item) for item in value]
            if value and type(value) is list
            else _to_json(payloads, value)
            for name, value in decoded.items()
        }
    )


def is_clear(payloads: Payloads, value: Any) -> bool:
    """Return whether nothing in a JSON value is secret or has to change otherwise.

    Returns `False` also if the check gives up.
    """
    return _check(payloads, value)[0] != _UNCLEAR


def texts_are_clear(payloads: Payloads, value: dict[str, str]) -> bool:
    """Return whether an object that contains only texts is clear. Mostly the texts are known."""
    are_known = value.keys() <= payloads.clear_names and payloads.clear_texts.issuperset(value.values())
    return are_known or is_clear(payloads, value)


def clear_text(
    payloads: Payloads,
    body: bytes,
    value: Any,
    piece_names: frozenset[str],
    may_have_split_secrets: Callable[[Any], bool],
) -> str | None:
    r"""Return the text of a JSON document in which nothing is secret, or `None` if that is not known.

    An object may contain a name twice, of which the parser keeps the last. Such a name would not be checked, so the
    strings in the text are counted: each has two quotation marks without a backslash.

    Args:
        payloads: knows which names and texts are clear.
        body: the document.
        value: the object that was parsed from it.
        piece_names: names under which a text may be split into pieces; so may the items of a list.
        may_have_split_secrets: checks the value if it has such a name or list.
    """
    redactor = payloads.redactor
    if payloads.max_size or (redactor is not None and redactor.has_own_rules):
        return None
    text, names = body.decode(), tuple(value)
    texts = payloads.layouts.find_texts(names, text)
    if texts is not None and _are_clear(payloads, texts):
        return text
    if "\\\\" in text:
        return None
    strings, has_no_pieces = _check(payloads, value, piece_names)
    if text.count('"') - text.count('\\"') != 2 * strings:
        return None
    if has_no_pieces and texts is None:
        payloads.layouts.learn(names, text)
    return text if has_no_pieces or not may_have_split_secrets(value) else None


def _are_clear(payloads: Payloads, texts: Sequence[str]) -> bool:
    return payloads.clear_texts.issuperset(texts) or all(
        text[:2] != OPTION and payloads.text(text) is text for text in texts
    )


def _to_json(payloads: Payloads, value: Any) -> JsonValue:
    if not value:
        return value  # type: ignore[no-any-return]  # of JSON
    if type(value) is str:
        return payloads.convert(value).value if len(value) >= SHORTEST else payloads.text(value)
    json: JsonValue = value
    return json if is_clear(payloads, value) else payloads.convert(value, 2).value


def _cached_item(payloads: Payloads, item: Any) -> JsonValue:
    cached = payloads.items.get(id(item))
    if cached is not None and cached[0] is item:  # an id may have been used by another object before
        return cached[1]
    json = _to_json(payloads, item)
    if _is_small(item):
        if len(payloads.items) >= _MAX_CACHED_ITEMS:
            payloads.items.clear()
        payloads.items[id(item)] = item, json
    return json


def _is_small(item: Any) -> bool:
    if type(item) is str:
        return len(item) <= _MAX_ITEM_BYTES
    if type(item) is dict and _has_long_text(item):
        return False
    try:
        return len(marshal.dumps(item, 2)) <= _MAX_ITEM_BYTES
    except ValueError:  # not of JSON, or nested too deep
        return False


def _has_long_text(item: dict[str, Any]) -> bool:
    """Return whether a text of a message is long; `marshal` would copy it, which costs 10 ms for 12 MB."""
    waiting = list(item.values())
    for value in waiting:  # it grows
        if type(value) is str and len(value) > _MAX_ITEM_BYTES:
            return True
        if len(waiting) < _MAX_CACHED_ITEMS:
            waiting += value.values() if type(value) is dict else value if type(value) is list else ()
    return False


def _members(container: Any) -> Iterable[tuple[Any, Any]]:
    return container.items() if type(container) is dict else ()


def _check(payloads: Payloads, value: Any, piece_names: frozenset[str] = _NO_NAMES) -> tuple[int, bool]:
    """Count the names and texts of a JSON value, and return whether no text can be in pieces.

    That is so if it has no list of several items, and no name under which texts are in pieces.

    Args:
        payloads: knows which names and texts are clear.
        value: the JSON value.
        piece_names: the names under which texts may be in pieces.

    Returns:
        The count, which is `_UNCLEAR` if something has to change or may have to, and the answer to the second question.
    """
    names, clear_texts, redactor = payloads.clear_names, payloads.clear_texts, payloads.redactor
    strings, has_no_pieces = 0, True
    level = [value] if type(value) is dict or type(value) is list else [[value]]
    for _ in range(_MAX_DEPTH):
        inner: list[Any] = []
        for container in level:
            if type(container) is dict:
                keys = container.keys()
                if not keys <= names and not all(map(payloads.learn, container)):
                    return _UNCLEAR, False
                has_no_pieces = has_no_pieces and keys.isdisjoint(piece_names)
                strings += len(container)
                items: Any = container.values()
            else:
                has_no_pieces = has_no_pieces and (len(container) < 2 or type(container[0]) is float)
                items = container
                if len(items) > 1 and type(items[0]) is str and redactor and redactor.hidden(items):
                    return _UNCLEAR, False
            for item in items:
                kind = type(item)
                if kind is str:
                    if item not in clear_texts and (
                        (len(item) >= SHORTEST and is_like_media(item, _members(container)))
                        or payloads.text(item) is not item
                    ):
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
            return strings, has_no_pieces
        level = inner
    return _UNCLEAR, False
