"""JSON that was read here and that nobody changes any more: it stands in an event as it is, where nothing in it is secret.

To see that costs a third of a conversion, which makes every container anew. What has to change is
converted like anything else; so is everything where payloads are bounded.
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
    """A value of JSON as a part of a payload."""
    return value if payloads.max_size else Ready(_shown(payloads, value))


def repeated(payloads: Payloads, items: list[Any]) -> Any:
    """Items of a payload that come again with the next one, as the messages of a conversation do: each is looked at once.

    Args:
        payloads: converts what has to change.
        items: the next payload has the same objects.
    """
    return items if payloads.max_size else Ready([_item(payloads, item) for item in items])


def is_clear(payloads: Payloads, value: Any) -> bool:
    """Whether nothing in a value of JSON is secret, and nothing else in it has to change; `False` also where it is not known."""
    return _strings(payloads, value, _DEEPEST) != _UNCLEAR


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
    if text.count('"') - text.count('\\"') == 2 * _strings(payloads, value, _DEEPEST):
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
    """How many names and texts a value has, if it needs no change; `_UNCLEAR` if it does, or may.

    Args:
        payloads: knows the names and texts.
        value: of JSON.
        depth: how deep containers may nest in it.
    """
    kind = type(value)
    if kind is str:
        return 1 if payloads.text(value) is value else _UNCLEAR
    if kind is dict:
        names, plain = payloads.names, payloads.plain
        count = len(value)
        for name, item in value.items():
            if name not in names and not payloads.learn(name):
                return _UNCLEAR
            if type(item) is str and item in plain:
                count += 1
                continue
            inner = _strings(payloads, item, depth - 1) if depth else _UNCLEAR
            if inner == _UNCLEAR:
                return _UNCLEAR
            count += inner
        return count
    if kind is list:
        count = 0
        for item in value:
            if type(item) is float and item - item == 0.0:  # an embedding has thousands of them
                continue
            inner = _strings(payloads, item, depth - 1) if depth else _UNCLEAR
            if inner == _UNCLEAR:
                return _UNCLEAR
            count += inner
        return count
    if kind is int:
        return 0 if -CARD_LIKE < value < CARD_LIKE else _UNCLEAR
    is_plain = value is None or kind is bool or (kind is float and value - value == 0.0)
    return 0 if is_plain else _UNCLEAR
