"""JSON of any Python value: the walk over containers, its bounds, and the short way for what is seen all the time.

Bounds: containers nest to a depth of 32, hold 1,000 items and a payload stays near `max_size`; with `max_size` 0
whatever JSON itself can say stays whole down to a depth of 100, so that a recorded answer can be given again; but for
100,000 containers that are nested deeply, as the nodes of a net are that lead to each other.
What was left out is told in its place: `{"$truncated": "text", "length": n}`, or `{"$truncated": n}` as the last
item of a list; `{"$cycle": true}` stands for a container inside itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from namel3ss_debug.capture.payloads.alike import Alike
from namel3ss_debug.capture.payloads.harmless import is_logprob, says_nothing
from namel3ss_debug.capture.payloads.looks import from_signal, full_name
from namel3ss_debug.capture.payloads.objects import describe
from namel3ss_debug.capture.payloads.texts import clean, ends, printed, start
from namel3ss_debug.traces.redaction import Redactor, redact_headers
from namel3ss_debug.traces.redaction.redactor import KEY, OPTION

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None

_DEPTH = 32
_DEPTH_WHOLE = 100
_ITEMS = 1000
_ENDLESS = sys.maxsize
DEEP = 24
"""Containers below this depth are counted, because objects that lead to each other are met on ever more ways."""

_MOST_DEEP = 100_000
_SHORT = 256
_LONGEST_NAME = 128
_FLAT = 32
_REMEMBERED = 4096
_LEAST = 64
_ITEM_SIZE = 4
CARD_LIKE = 10**13
"""From here on a whole number may be that of a card."""

_LEAST_PLAIN = -CARD_LIKE
_DIGITS_BITS = 2000
_HEX_BITS = 65536


class Converted(NamedTuple):
    """A value as JSON, and what that cost."""

    value: JsonValue
    cut: bool
    """Whether something was left out."""
    redacted: bool
    """Whether something was replaced because it is secret."""

    @property
    def whole(self) -> bool:
        """Whether nothing was left out or replaced; only then can it be given as a recorded answer."""
        return not (self.cut or self.redacted)


class Ready(NamedTuple):
    """A value that is JSON already and holds no secret: it stands in a payload as it is."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Payloads:
    """Makes JSON of the program's values; one for a tracer, used by all threads.

    Short texts and names that were seen before and need no change are remembered, so that a flat payload of them
    costs one look into a table for each.

    Attributes:
        redactor: replaces secrets; `None` where redaction is off.
        max_size: about how many bytes one payload may have; 0: no bound.
        plain: texts that were seen and need no change.
        names: names of items that were seen and are not secret.
        items: what `parsed` has seen, by its identity: itself, and as it is shown.
        alike: how the documents are written that `parsed` has seen.
    """

    redactor: Redactor | None = None
    max_size: int = 0
    plain: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    names: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    items: dict[int, tuple[Any, JsonValue]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    alike: Alike = field(default_factory=Alike, init=False, repr=False, compare=False)

    def value(self, value: Any) -> JsonValue:
        """Any value as JSON; see `convert`."""
        kind = type(value)
        if kind is Ready:
            ready: JsonValue = value.value
            return ready
        if (kind is str and value in self.plain) or (kind is int and _LEAST_PLAIN < value < CARD_LIKE):
            return value  # type: ignore[no-any-return]  # an exact str or int
        flat = self.flat(value)
        return self.convert(value).value if flat is None else flat

    def convert(self, value: Any, depth: int = 0) -> Converted:
        """Any value as JSON that `orjson` takes, with a word on whether it is whole.

        Never raises for what a value does, keeps nothing of it alive, and runs no iterator of the program's. What
        a signal raises meanwhile passes through.

        Args:
            value: the value.
            depth: how deep it stands in its payload.
        """
        conversion = _Conversion(self)
        try:
            result = conversion.convert(value, depth)
        except BaseException as error:
            if from_signal(error):
                raise
            return Converted(
                {"$type": full_name(type(value)), "repr": "<cannot be read>"}, cut=True, redacted=False
            )
        return Converted(result, conversion.cut, conversion.redacted)

    def mapping(self, mapping: Any) -> dict[str, JsonValue]:
        """A dict as a JSON object; a value that gives no object stands under `value`."""
        result = self.value(mapping)
        return result if type(result) is dict else {"value": result}

    def text(self, text: str) -> str:
        """A text, redacted; where it is too long, its middle is left out."""
        exact = text if type(text) is str else _exact(text)
        if exact in self.plain:
            return exact
        size = self.max_size
        shown = ends(exact, self.redactor, size) if size else clean(exact, self.redactor)
        if shown is text and len(text) <= (_short(size) if size else _SHORT):
            _remember(self.plain, text)
        return shown

    def learn(self, name: str) -> bool:
        """Remember the name of an item if neither it nor what stands under it is secret; whether that is so."""
        if len(name) > _LONGEST_NAME or clean(name, self.redactor) is not name:
            return False
        if self.redactor is not None and not self.redactor.name_is_clear(name):
            return False
        _remember(self.names, name)
        return True

    def url(self, url: str) -> str:
        """A URL without credentials."""
        if type(url) is str and url in self.plain and "=" not in url:  # as that of a model is each time
            return url
        exact = clean(url if type(url) is str else _exact(url), None)
        return self.redactor.url(exact) if self.redactor else exact

    def headers(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """HTTP headers; those that carry credentials are replaced even where redaction is off."""
        return redact_headers(
            ((clean(name, None), clean(value, None)) for name, value in pairs), self.redactor
        )

    def flat(self, value: Any, room: int = _FLAT, inside: bool = False) -> dict[str, JsonValue] | None:
        """A dict of remembered names with remembered texts and plain numbers, or one that is ready; `None` if it is anything else.

        Args:
            value: what may be such a dict; dicts in it may be such ones too, as `arguments` of a tool call is, and
                lists may hold remembered texts, as the `chain` of a call does.
            room: the most items, in all.
            inside: whether it stands in another, and may have no dicts and lists in it.
        """
        if type(value) is not dict or len(value) > room:
            return value.value if type(value) is Ready and type(value.value) is dict else None
        room -= len(value)
        names, plain = self.names, self.plain
        result: dict[str, Any] = value.copy()  # in one step, so that no other thread changes it meanwhile
        for key, item in result.items():
            if type(key) is not str or key not in names:
                return None
            kind = type(item)
            if kind is str:
                if item not in plain:
                    return None
            elif kind is Ready:
                result[key] = item.value
            elif kind is int:
                if not _LEAST_PLAIN < item < CARD_LIKE:
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
        """A list of so many remembered texts at most, as a copy; `None` if it is anything else."""
        if len(value) > room:
            return None
        texts = value.copy()
        plain = self.plain
        for text in texts:
            if type(text) is not str or text not in plain:
                return None
        return texts if len(texts) <= room else None


def to_json(value: Any, *, redactor: Redactor | None) -> JsonValue:
    """Any value as JSON, once and without bounds; `Payloads` does it often.

    Args:
        value: what the program holds.
        redactor: replaces secrets; `None` for none.
    """
    return Payloads(redactor, 0).value(value)


class _Conversion:
    """One walk over one value: what is left of its bounds, and what it met."""

    __slots__ = (
        "_bounded",
        "_depth",
        "_flat",
        "_items",
        "_learn",
        "_left",
        "_names",
        "_path",
        "_plain",
        "_price",
        "_short",
        "cut",
        "redacted",
        "redactor",
    )

    def __init__(self, payloads: Payloads) -> None:
        size = payloads.max_size
        self.redactor = payloads.redactor
        self.cut = False
        self.redacted = False
        self._left = size or _ENDLESS
        self._depth = _DEPTH if size else _DEPTH_WHOLE
        self._items = _ITEMS if size else _ENDLESS
        self._short = _short(size)
        self._plain = payloads.plain
        self._names = payloads.names
        self._learn = payloads.learn
        self._flat = payloads.flat
        self._bounded = bool(size)
        self._price = 0 if size else _ENDLESS // _MOST_DEEP
        self._path: set[int] = set()

    @property
    def left(self) -> int:
        """How many bytes the payload may still grow by."""
        return self._left

    def convert(self, value: Any, depth: int) -> JsonValue:
        """Any value as JSON."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if value is None or kind is bool:
            return value  # type: ignore[no-any-return]  # it is None or an exact bool
        if kind is int:
            return value if -CARD_LIKE < value < CARD_LIKE else self.integer(value)
        if kind is float:
            return value if value - value == 0.0 else {"$type": "float", "value": repr(value)}
        if kind is Ready:
            ready: JsonValue = value.value
            return ready
        if depth >= self._depth:
            self.cut = True
            return {"$truncated": len(value) if kind in (dict, list, tuple) else 1}
        if kind is dict and (flat := self._flat(value, _FLAT, True)) is not None:
            if self._bounded:
                self._left -= sum(
                    len(key) + _ITEM_SIZE + (_bytes_of(item) if type(item) is str else 0)
                    for key, item in flat.items()
                )
            return flat
        marker = id(value)
        if marker in self._path:
            self.cut = True
            return {"$cycle": True}
        self._path.add(marker)
        if depth > DEEP:
            self._left -= self._price
        try:
            if kind is dict:
                return self.pairs(value.items(), len(value), depth)
            if kind is list or kind is tuple:
                return self.items(value, len(value), depth)
            foreign: JsonValue = describe(self, value, kind, depth)
            return foreign
        except RecursionError:
            self.cut = True  # the program itself is near the end of the stack
            return {"$truncated": 1}
        finally:
            self._path.discard(marker)

    def pairs(
        self, pairs: Iterable[tuple[Any, Any]], total: int, depth: int, limit: int = 0
    ) -> dict[str, JsonValue]:
        """A JSON object of names and values; values of secret names are replaced.

        Args:
            pairs: at most `limit` of them are looked at, all before anything else is done.
            total: how many there are.
            depth: how deep the object stands.
            limit: the most that may be kept; 0: what the bounds say.
        """
        most = min(limit, self._items) if limit else self._items
        taken = list(pairs if total <= most and not limit else islice(pairs, most))
        result: dict[str, JsonValue] = {}
        names = self._names
        for index, (key, item) in enumerate(taken):
            if self._left <= 0:
                return self._pairs_cut(result, total - index)
            if type(key) is str and key in names and key not in result:
                self._left -= len(key) + _ITEM_SIZE
                result[key] = self.convert(item, depth + 1)
                continue
            name, secret = self._name(key, result, taken)
            self._left -= len(name) + _ITEM_SIZE
            if secret and not says_nothing(item):
                result[name] = KEY
                self.redacted = True
            else:
                result[name] = self.convert(item, depth + 1)
        return self._pairs_cut(result, total - len(taken)) if total > len(taken) else result

    def items(self, items: Iterable[Any], total: int, depth: int, limit: int = 0) -> list[JsonValue]:
        """A JSON list; the arguments are as those of `pairs`."""
        result: list[JsonValue] = []
        most = min(limit, self._items) if limit else self._items
        taken = list(items if total <= most and not limit else islice(items, most))
        if taken and type(taken[0]) is str and self.redactor is not None:
            hidden = self.redactor.hidden(taken)
            self.redacted |= bool(hidden)
            for index, shown in hidden.items():
                taken[index] = shown
        for index, item in enumerate(taken):
            if self._left <= 0:
                return self._items_cut(result, total - index)
            self._left -= _ITEM_SIZE
            result.append(self.convert(item, depth + 1))
        return self._items_cut(result, total - len(taken)) if total > len(taken) else result

    def text(self, text: str) -> JsonValue:
        """A text, cut where the payload is full."""
        length = len(text)
        if length <= self._short and text in self._plain:
            self._left -= _bytes_of(text)
            return text
        room = max(self._left, _LEAST)
        if length <= room:
            whole = self.clean(text)
            size = _bytes_of(whole)
            if size <= room:
                self._left -= size
                if whole is text and length <= self._short:
                    _remember(self._plain, text)
                return whole
        self.cut = True
        kept = start(text, self.redactor, room)
        self._left -= room
        return {"$truncated": kept, "length": length}

    def clean(self, text: str) -> str:
        """A text without secrets and without what JSON cannot hold."""
        well = clean(text, None)
        if self.redactor is None:
            return well
        redacted = self.redactor.text(well)
        self.redacted |= redacted is not well
        return redacted

    def integer(self, value: int) -> JsonValue:
        """A whole number that may be beyond 64 bit, or the number of a card."""
        bits = value.bit_length()
        if bits < 64 or (bits == 64 and value > 0):
            digits = str(value)
            clear = self.clean(digits)
            return value if clear is digits else clear
        if bits <= _DIGITS_BITS:
            return {"$type": "int", "value": str(value)}
        self._left -= min(bits, _HEX_BITS) // 4
        if bits <= _HEX_BITS:
            return {"$type": "int", "value": hex(value)}
        self.cut = True
        return {"$type": "int", "value": f"{value >> (bits - 256):#x}…", "bits": bits}

    def charge(self, size: int) -> None:
        """Count what was put into the payload."""
        self._left -= size

    def _name(self, key: Any, result: dict[str, JsonValue], taken: list[tuple[Any, Any]]) -> tuple[str, bool]:
        """The name of a key, unlike those there already, and whether what stands under it is secret."""
        if type(key) is str:
            text = key
        elif key is None or type(key) in (bool, float) or (type(key) is int and -CARD_LIKE < key < CARD_LIKE):
            text = str(key)
        else:
            text = _exact(key)
        well = clean(text, None)
        listed = self.redactor is not None and self.redactor.key_is_secret(well)
        secret = listed and not is_logprob(well, taken)
        room = max(self._left, _SHORT)
        name = self.clean(well) if len(well) <= room else start(well, self.redactor, room) + "…"
        self.cut |= len(well) > room
        if name is key and not listed and len(name) <= min(self._short, _LONGEST_NAME):
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


def _short(max_size: int) -> int:
    """How long a text may be to be remembered: a flat dict of such texts must not go beyond the size."""
    return min(_SHORT, max_size // (2 * _FLAT)) if max_size else _SHORT


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _exact(value: Any) -> str:
    """The text of what should be a text, or what it says of itself."""
    return str.__str__(value) if issubclass(type(value), str) else printed(value, str)


def _remember(seen: set[str], text: str) -> None:
    if text[:2] == OPTION:  # what stands behind it in a list may be secret
        return
    if len(seen) >= _REMEMBERED:
        seen.clear()
    seen.add(text)
