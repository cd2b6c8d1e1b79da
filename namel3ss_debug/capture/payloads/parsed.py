"""JSON that was read here and that nobody changes any more: it stands in an event as it is, where nothing in it is secret.

To see that costs a third of a conversion, which makes every container anew. What has to change is converted
like anything else; so is everything where payloads are bounded.
"""

from __future__ import annotations

import marshal
from typing import Any

from namel3ss_debug.capture.payloads.conversion import CARD_LIKE, JsonValue, Payloads, Ready

_DEEPEST = 90
_MOST_ITEMS = 512
_LARGEST_ITEM = 1 << 14
_UNCLEAR = -1


def ready(payloads: Payloads, value: Any) -> Any:
    """A value of JSON as a payload, or a part of one."""
    return value if payloads.max_size else Ready(_shown(payloads, value))


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
            if type(value) is list
            else _shown(payloads, value)
            for name, value in decoded.items()
        }
    )


def is_clear(payloads: Payloads, value: Any) -> bool:
    """Whether nothing in a value of JSON is secret, and nothing else in it has to change; `False` also where it is not known."""
    return _strings(payloads, [value], _DEEPEST) != _UNCLEAR


def vouch(payloads: Payloads, text: str, value: Any) -> None:
    r"""Spare the search in the text of a document of JSON, where there is none in the names and texts that it is made of.

    A name may stand in an object twice, and only the last is read. So the strings in the text are counted: each has two
    quotation marks, besides those behind a backslash.

    Args:
        payloads: knows the names and texts.
        text: the document.
        value: what was read from it.
    """
    if payloads.redactor is None or payloads.max_size or "\\\\" in text:
        return
    if text.count('"') - text.count('\\"') == 2 * _strings(payloads, [value], _DEEPEST):
        payloads.redactor.vouch(text)


def _shown(payloads: Payloads, value: Any) -> JsonValue:
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


def _strings(payloads: Payloads, value: Any, depth: int) -> int:
    """How many names and texts an object or a list has, if it needs no change; `_UNCLEAR` if it does, or may.

    Args:
        payloads: knows the names and texts.
        value: of JSON.
        depth: how deep containers may nest in it.
    """
    count = 0
    items = value
    if type(value) is dict:
        count = len(value)
        items = value.values()
        if not value.keys() <= payloads.names and not all(map(payloads.learn, value)):
            return _UNCLEAR
    plain = payloads.plain
    for item in items:
        kind = type(item)
        if kind is str:
            if item not in plain and payloads.text(item) is not item:
                return _UNCLEAR
            count += 1
        elif kind is dict or kind is list:
            inner = _strings(payloads, item, depth - 1) if depth else _UNCLEAR
            if inner == _UNCLEAR:
                return _UNCLEAR
            count += inner
        elif kind is int:
            if not -CARD_LIKE < item < CARD_LIKE:
                return _UNCLEAR
        elif kind is float:
            if item - item != 0.0:  # not a number, or infinite
                return _UNCLEAR
        elif item is not None and kind is not bool:
            return _UNCLEAR
    return count
