"""JSON of any Python value: the walk over containers, and its bounds.

With a `max_size`, a payload stays near that size, containers nest to a depth of 32 and hold 1,000 items. With
`max_size` 0, everything that JSON can express is kept down to a depth of 100, so that a recorded answer can be
replayed. Only the containers below a depth of 24 are limited to 100,000, because the nodes of a graph lead to each
other on ever more ways.

A mark shows what was left out: `{"$truncated": "text", "length": n}`, or `{"$truncated": n}` as the last item of a
list. `{"$cycle": true}` stands for a container inside itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import orjson

from namel3ss_debug.capture.payloads.introspection import full_name, is_from_signal
from namel3ss_debug.capture.payloads.objects import describe
from namel3ss_debug.capture.payloads.texts import clean, format_value, shorten, take_start
from namel3ss_debug.traces.media import SHORTEST, find_media
from namel3ss_debug.traces.redaction.checks import is_numbered
from namel3ss_debug.traces.redaction.redactor import KEY, OPTION, Redactor, redact_headers

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None

_DEPTH = 32
_DEPTH_WHOLE = 100
_ITEMS = 1000
_UNLIMITED = sys.maxsize
DEEP = 24
"""Containers below this depth are counted, because objects that refer to each other are reached on ever more ways."""

_MOST_DEEP = 100_000
_SHORT = 256
_LONGEST_NAME = 128
_MOST_REMEMBERED = 4096
_SHORTEST_CUT = 64
_MOST_FLAT_ITEMS = 32
_MOST_ITEMS = 512
_MOST_ITEM_BYTES = 1 << 14
_ITEM_SIZE = 4
CARD_LIKE = 10**13
"""The smallest integer that may be the number of a payment card."""

_LONGEST_NUMBER = 10**19
_MOST_DECIMAL_BITS = 2000
_MOST_HEX_BITS = 65536

_SCHEMA_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_SCHEMA_FORMS = ("anyOf", "oneOf", "allOf", "$ref")
_SCHEMA = frozenset(
    {
        "type", "title", "description", "format", "default", "minLength", "maxLength", "items", "nullable",
        *_SCHEMA_FORMS,
    }
)  # fmt: skip
"""The keywords of a schema, none of which holds a value except `default`."""


class Converted(NamedTuple):
    """A value as JSON, and whether that is complete."""

    value: JsonValue
    cut: bool
    """Whether something was left out."""
    redacted: bool
    """Whether a secret was replaced."""

    @property
    def whole(self) -> bool:
        """Return whether nothing was left out or replaced. Only then can a re-run answer with it."""
        return not (self.cut or self.redacted)


class Ready(NamedTuple):
    """A value that is already JSON without secrets, and is put into a payload as it is."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Payloads:
    """Makes JSON of the program's values. Each tracer has one, which all threads use.

    Short texts and names that need no change are remembered, so that a flat payload of them costs one look-up for
    each.

    Attributes:
        redactor: replaces secrets; `None` if redaction is off.
        max_size: about how many bytes one payload may have; 0 means no bound.
        clear_texts: remembered texts that need no change.
        clear_names: remembered names of items that are not secret.
        items: for `request`, the id of an object -> the object and its JSON.
    """

    redactor: Redactor | None = None
    max_size: int = 0
    clear_texts: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    clear_names: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    items: dict[int, tuple[Any, JsonValue]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def value(self, value: Any) -> JsonValue:
        """Return any value as JSON; see `convert`."""
        if type(value) is str and value in self.clear_texts:
            return value
        flat = self.flat(value)
        return self.convert(value).value if flat is None else flat

    def convert(self, value: Any, depth: int = 0) -> Converted:
        """Return any value as JSON that `orjson` accepts, and whether it is complete.

        Nothing that the value does raises an error here, and what a signal raises passes through. The result keeps
        no part of the value alive, and no iterator of the program's runs.

        Args:
            value: the value.
            depth: how deep it is nested in its payload.
        """
        conversion = _Conversion(self)
        try:
            result = conversion.convert(value, depth)
        except BaseException as error:
            if is_from_signal(error):
                raise
            return Converted(
                {"$type": full_name(type(value)), "repr": "<cannot be read>"}, cut=True, redacted=False
            )
        return Converted(result, conversion.cut, conversion.redacted)

    def request(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Return a decoded request as a payload.

        The next request repeats the items of its lists, such as the messages, as the same objects. Each is converted
        once, because a conversation would cost the square of its length.
        """
        if self.max_size:
            return decoded
        return {
            name: Ready([self._convert_once(item) for item in value]) if type(value) is list else value
            for name, value in decoded.items()
        }

    def _convert_once(self, item: Any) -> JsonValue:
        known = self.items.get(id(item))
        if known is not None and known[0] is item:  # an id may have been used by another object before
            return known[1]
        json = self.convert(item, 2).value
        if len(orjson.dumps(json)) <= _MOST_ITEM_BYTES:
            if len(self.items) >= _MOST_ITEMS:
                self.items.clear()
            self.items[id(item)] = item, json
        return json

    def mapping(self, mapping: Any) -> dict[str, JsonValue]:
        """Return a dict as a JSON object. A value that does not become an object is put under `value`."""
        result = self.value(mapping)
        return result if type(result) is dict else {"value": result}

    def text(self, text: str) -> str:
        """Return a redacted text. If it is too long, its middle is left out."""
        exact = text if type(text) is str else _text_of(text)
        if exact in self.clear_texts:
            return exact
        size = self.max_size
        cleaned = shorten(exact, self.redactor, size) if size else clean(exact, self.redactor)
        if cleaned is text and len(text) <= (_short_limit(size) if size else _SHORT):
            _remember(self.clear_texts, text)
        return cleaned

    def learn(self, name: str) -> bool:
        """Return whether a name and the values under it are not secret, and remember the name if so."""
        if len(name) > _LONGEST_NAME or clean(name, self.redactor) is not name:
            return False
        if self.redactor is not None and not self.redactor.name_is_clear(name):
            return False
        _remember(self.clear_names, name)
        return True

    def url(self, url: str) -> str:
        """Return a URL without credentials."""
        # The URL of a model is the same in each call.
        if type(url) is str and url in self.clear_texts and "=" not in url:
            return url
        exact = clean(url if type(url) is str else _text_of(url), None)
        return self.redactor.url(exact) if self.redactor else exact

    def headers(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return HTTP headers without credentials, which are replaced even if redaction is off."""
        return redact_headers(
            ((clean(name, None), clean(value, None)) for name, value in pairs), self.redactor
        )

    def flat(
        self, value: Any, room: int = _MOST_FLAT_ITEMS, inside: bool = False
    ) -> dict[str, JsonValue] | None:
        """Return a dict of remembered names, remembered texts and plain numbers, or one that is ready, as JSON.

        This is the short way for the payloads that are recorded all the time.

        Args:
            value: any value. As values of a dict, dicts such as the `arguments` of a tool call and lists of remembered
                texts such as the `chain` of a call are allowed too.
            room: the most items, in all.
            inside: whether the value is itself inside such a dict, and may not contain dicts and lists.

        Returns:
            `None` for any other value.
        """
        if type(value) is not dict or len(value) > room:
            return value.value if type(value) is Ready and type(value.value) is dict else None
        room -= len(value)
        clear_names, clear_texts = self.clear_names, self.clear_texts
        result: dict[str, Any] = value.copy()  # in one step, so that no other thread changes it meanwhile
        for key, item in result.items():
            if type(key) is not str or key not in clear_names:
                return None
            kind = type(item)
            if kind is str:
                if item not in clear_texts:
                    return None
            elif kind is Ready:
                result[key] = item.value
            elif kind is int:
                if not -CARD_LIKE < item < CARD_LIKE:
                    return None
            elif kind is float:
                if item - item != 0.0:  # not a number, or infinite
                    return None
            elif kind is dict:
                inner = None if inside else self.flat(item, room, True)
                if inner is None:
                    return None
                room -= len(inner)
                result[key] = inner
            elif kind is list:
                texts = None if inside else self._flat_texts(item, room)
                if texts is None:
                    return None
                room -= len(texts)
                result[key] = texts
            elif item is not None and kind is not bool:
                return None
        return result

    def _flat_texts(self, value: list[Any], room: int) -> list[JsonValue] | None:
        """Return a copy of a list of remembered texts, or `None` for any other list and one with too many items."""
        if len(value) > room:
            return None
        texts = value.copy()
        clear_texts = self.clear_texts
        for text in texts:
            if type(text) is not str or text not in clear_texts:
                return None
        return texts if len(texts) <= room else None


def to_json(value: Any, *, redactor: Redactor | None) -> JsonValue:
    """Return any value as JSON, once and without bounds. `Payloads` is for repeated use.

    Args:
        value: a value of the program.
        redactor: replaces secrets; `None` keeps them.
    """
    return Payloads(redactor, 0).value(value)


class _Conversion:
    """The conversion of one value: what is left of its bounds, and what was cut or redacted."""

    __slots__ = (
        "_clear_names",
        "_clear_texts",
        "_deep_cost",
        "_depth",
        "_items",
        "_learn",
        "_left",
        "_path",
        "_short_limit",
        "cut",
        "redacted",
        "redactor",
    )

    def __init__(self, payloads: Payloads) -> None:
        size = payloads.max_size
        self.redactor = payloads.redactor
        self.cut = False
        self.redacted = False
        self._left = size or _UNLIMITED
        self._depth = _DEPTH if size else _DEPTH_WHOLE
        self._items = _ITEMS if size else _UNLIMITED
        self._short_limit = _short_limit(size)
        self._clear_texts = payloads.clear_texts
        self._clear_names = payloads.clear_names
        self._learn = payloads.learn
        # Without a size, deep containers share an unlimited budget that 100,000 of them use up.
        self._deep_cost = 0 if size else _UNLIMITED // _MOST_DEEP
        self._path: set[int] = set()

    @property
    def left(self) -> int:
        """Return how many bytes the payload may still grow by."""
        return self._left

    def convert(self, value: Any, depth: int) -> JsonValue:
        """Return any value as JSON."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if value is None or kind is bool:
            return value  # type: ignore[no-any-return]  # it is None or an exact bool
        if kind is int:
            return value if -CARD_LIKE < value < CARD_LIKE else self.integer(value)
        if kind is float:
            # The difference is NaN for a NaN and for an infinite number.
            return value if value - value == 0.0 else {"$type": "float", "value": repr(value)}
        if kind is Ready:
            ready: JsonValue = value.value
            return ready
        if depth >= self._depth:
            self.cut = True
            return {"$truncated": len(value) if kind in (dict, list, tuple) else 1}
        marker = id(value)
        if marker in self._path:
            self.cut = True
            return {"$cycle": True}
        self._path.add(marker)
        if depth > DEEP:
            self._left -= self._deep_cost
        try:
            return self._container(value, kind, depth)
        except RecursionError:
            self.cut = True  # the program itself is near the recursion limit
            return {"$truncated": 1}
        finally:
            self._path.discard(marker)

    def _container(self, value: Any, kind: type, depth: int) -> JsonValue:
        """Return anything but a plain value as JSON."""
        if kind is dict:
            return self.pairs(value.items(), len(value), depth)
        if kind is list or kind is tuple:
            return self.items(value, len(value), depth)
        foreign: JsonValue = describe(self, value, kind, depth)
        return foreign

    def pairs(
        self, pairs: Iterable[tuple[Any, Any]], total: int, depth: int, limit: int = 0
    ) -> dict[str, JsonValue]:
        """Return names and values as a JSON object. Values under secret names are replaced.

        Args:
            pairs: at most `limit` of them are read, all before the first is converted.
            total: how many there are.
            depth: how deep the object is nested.
            limit: the most to keep; 0 stands for the usual bound.
        """
        most = min(limit, self._items) if limit else self._items
        taken = list(pairs if total <= most and not limit else islice(pairs, most))
        result: dict[str, JsonValue] = {}
        names = self._clear_names
        for index, (key, item) in enumerate(taken):
            if self._left <= 0:
                return self._pairs_cut(result, total - index)
            if type(key) is str and key in names and key not in result:
                self._left -= len(key) + _ITEM_SIZE
                result[key] = item if is_number_of(key, item) else self._member(item, taken, depth + 1)
                continue
            name, secret = self._name(key, item, result, taken)
            if type(item) is str and self.redactor is not None:
                secret = secret or self.redactor.is_secret_value(name, item)
            self._left -= len(name) + _ITEM_SIZE
            if secret and not reveals_nothing(item):
                result[name] = KEY
                self.redacted = True
            elif type(key) is str and is_number_of(key, item):
                result[name] = item
            else:
                result[name] = self._member(item, taken, depth + 1)
        return self._pairs_cut(result, total - len(taken)) if total > len(taken) else result

    def _member(self, value: Any, members: list[tuple[Any, Any]], depth: int) -> JsonValue:
        """Return the value of a member of an object as JSON; another member may say that it is media."""
        if type(value) is str and SHORTEST <= len(value) <= self._left:
            media = find_media(value, members)
            if media is not None:
                self._left -= len(media)
                return media
        return self.convert(value, depth)

    def items(self, items: Iterable[Any], total: int, depth: int, limit: int = 0) -> list[JsonValue]:
        """Return items as a JSON list. The arguments are those of `pairs`."""
        result: list[JsonValue] = []
        most = min(limit, self._items) if limit else self._items
        taken = list(items if total <= most and not limit else islice(items, most))
        if taken and type(taken[0]) is str and self.redactor is not None:
            hidden = self.redactor.hidden(taken)
            self.redacted |= bool(hidden)
            for index, replacement in hidden.items():
                taken[index] = replacement
        for index, item in enumerate(taken):
            if self._left <= 0:
                return self._items_cut(result, total - index)
            self._left -= _ITEM_SIZE
            result.append(self.convert(item, depth + 1))
        return self._items_cut(result, total - len(taken)) if total > len(taken) else result

    def text(self, text: str) -> JsonValue:
        """Return a text as JSON, cut if the payload is full."""
        length = len(text)
        if length <= self._short_limit and text in self._clear_texts:
            self._left -= _bytes_of(text)
            return text
        room = max(self._left, _SHORTEST_CUT)
        if length <= room:
            if length >= SHORTEST and (media := find_media(text)) is not None:
                self._left -= length
                return media
            whole = self.clean(text)
            size = _bytes_of(whole)
            if size <= room:
                self._left -= size
                if whole is text and length <= self._short_limit:
                    _remember(self._clear_texts, text)
                return whole
        self.cut = True
        kept = take_start(text, self.redactor, room)
        self._left -= room
        return {"$truncated": kept, "length": length}

    def clean(self, text: str) -> str:
        """Return a text without secrets and without what JSON cannot represent."""
        valid = clean(text, None)
        if self.redactor is None:
            return valid
        redacted = self.redactor.text(valid)
        self.redacted |= redacted is not valid
        return redacted

    def beginning(self, text: str, size: int) -> str:
        """Return the first `size` bytes of a text, without secrets."""
        return take_start(text, self.redactor, size)

    def integer(self, value: int) -> JsonValue:
        """Return an integer that may exceed 64 bits or be the number of a card."""
        bits = value.bit_length()
        if bits < 64 or (bits == 64 and value > 0):
            digits = str(value)
            clear = self.clean(digits)
            return value if clear is digits else clear
        if bits <= _MOST_DECIMAL_BITS:
            return {"$type": "int", "value": str(value)}
        self._left -= min(bits, _MOST_HEX_BITS) // 4
        if bits <= _MOST_HEX_BITS:
            return {"$type": "int", "value": hex(value)}
        self.cut = True
        return {"$type": "int", "value": f"{value >> (bits - 256):#x}…", "bits": bits}

    def charge(self, size: int) -> None:
        """Subtract the size of what was added to the payload from what is left."""
        self._left -= size

    def _name(
        self, key: Any, item: Any, result: dict[str, JsonValue], taken: list[tuple[Any, Any]]
    ) -> tuple[str, bool]:
        """Return a unique name for a key, and whether the value under it is secret."""
        if type(key) is str:
            text = key
        elif key is None or type(key) in (bool, float) or (type(key) is int and -CARD_LIKE < key < CARD_LIKE):
            text = str(key)
        else:
            text = _text_of(key)
        valid = clean(text, None)
        has_secret_name = self.redactor is not None and self.redactor.key_is_secret(valid)
        secret = (
            has_secret_name
            and not is_logprob(valid, taken)
            and self.redactor is not None
            and self.redactor.field_is_secret(valid, item)
        )
        room = max(self._left, _SHORT)
        name = self.clean(valid) if len(valid) <= room else take_start(valid, self.redactor, room) + "…"
        self.cut |= len(valid) > room
        if name is key and not has_secret_name and len(name) <= min(self._short_limit, _LONGEST_NAME):
            self._learn(name)
        if name not in result:
            return name, secret
        number = 2
        while f"{name} ({number})" in result:
            number += 1
        return f"{name} ({number})", secret

    def _pairs_cut(self, result: dict[str, JsonValue], left_out: int) -> dict[str, JsonValue]:
        self.cut = True
        result["$truncated"] = left_out
        return result

    def _items_cut(self, result: list[JsonValue], left_out: int) -> list[JsonValue]:
        self.cut = True
        result.append({"$truncated": left_out})
        return result


def _short_limit(max_size: int) -> int:
    """Return how long a text may be to be remembered. A flat dict of such texts must not exceed the size."""
    return min(_SHORT, max_size // (2 * _MOST_FLAT_ITEMS)) if max_size else _SHORT


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _text_of(value: Any) -> str:
    """Return the text of a value that should be a text, else its `str`."""
    return str.__str__(value) if issubclass(type(value), str) else format_value(value, str)


def _remember(seen: set[str], text: str) -> None:
    if text[:2] == OPTION:  # what follows an option in a list may be secret
        return
    if len(seen) >= _MOST_REMEMBERED:
        seen.clear()
    seen.add(text)


def reveals_nothing(value: Any) -> bool:
    """Return whether a value under a secret name reveals nothing.

    Such values stay, because they show whether a credential was there.
    """
    if type(value) is dict:
        return _is_schema(value)
    return value is None or type(value) is bool or (type(value) is str and not value)


def is_number_of(name: str, value: Any) -> bool:
    """Return whether a value is the number of an order or the like, which may look like that of a card."""
    if type(value) is int:
        return CARD_LIKE <= value < _LONGEST_NUMBER and is_numbered(name)
    return type(value) is str and 13 <= len(value) <= 19 and value.isdecimal() and is_numbered(name)


def _is_schema(value: dict[Any, Any]) -> bool:
    """Return whether a plain dict is a JSON Schema, as tools describe their parameters, and not a value."""
    if any(type(key) is not str or key not in _SCHEMA for key in value):
        return False
    kind = value.get("type")
    is_typed = (
        kind in _SCHEMA_TYPES
        if type(kind) is str
        else kind is None and any(key in value for key in _SCHEMA_FORMS)
    )
    return is_typed and reveals_nothing(value.get("default"))


def is_logprob(name: str, pairs: list[tuple[Any, Any]]) -> bool:
    """Return whether `token` is a language model's, next to its probability, and not a credential."""
    return name == "token" and any(type(key) is str and key == "logprob" for key, _ in pairs)
