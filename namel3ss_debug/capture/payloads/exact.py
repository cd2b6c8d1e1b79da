"""JSON forms from which a value can be made again exactly, for what a recording answers with.

Tuples are `{"$type": "tuple", "items"}`, dicts whose keys are not all texts `{"$type": "dict", "items"}` with pairs as
items, byte arrays `{"$type": "bytearray", "base64"}`; dicts of the standard library with an order, a default or a count
have `fields`, or `items` where their keys are not all texts. Objects that only hold data are those of `holders`. What
JSON would show as something else, such as a text of a class of its own, is named beside it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import islice
from typing import Any

from namel3ss_debug.capture.payloads import holders
from namel3ss_debug.capture.payloads.conversion import DEEP, JsonValue, Payloads, _Conversion
from namel3ss_debug.capture.payloads.looks import from_signal, full_name
from namel3ss_debug.capture.payloads.objects import describe

STANDARD = frozenset(
    {
        "bytearray", "bytes", "collections.Counter", "collections.OrderedDict", "collections.defaultdict",
        "collections.deque", "complex", "date", "datetime", "decimal", "dict", "float", "frozenset", "int", "path",
        "set", "time", "timedelta", "tuple", "types.SimpleNamespace", "uuid", "zone",
    }
)  # fmt: skip
"""Every `$type` whose form gives a value back; under any other stands an object of the program's own."""

_FORM_KEYS = frozenset({"$type", "$truncated", "$cycle"})
_COME_BACK = frozenset(
    {
        "bytearray", "bytes", "datetime.date", "datetime.timedelta", "decimal.Decimal", "frozenset", "set",
        "types.SimpleNamespace",
    }
)  # fmt: skip

_AS_TEXT = frozenset({"langchain_core.messages.base.TextAccessor"})
"""Texts of libraries that come back as plain ones: their class adds nothing but a way to ask for the text that is to go away."""


_MOST_WITHIN = 10_000
"""Of objects that nothing marks as data so many are told within one, which may lead to each other on ever more ways."""


class Exact:
    """A value as JSON; in a payload it stands for this JSON.

    Attributes:
        json: the value.
        inexact: the types of what in it does not come back as it was, though nothing in the JSON tells.
    """

    __slots__ = ("inexact", "json")

    def __init__(self, json: JsonValue, inexact: tuple[str, ...]) -> None:
        self.json = json
        self.inexact = inexact


def exact(payloads: Payloads, value: Any) -> Exact:
    """Any value as JSON that gives it back; never raises for what a value does.

    Args:
        payloads: says what is secret, and how large the result may be.
        value: what the program holds.
    """
    conversion = _ExactConversion(payloads)
    try:
        result = conversion.convert(value, 0)
    except BaseException as error:
        if from_signal(error):
            raise
        result = {"$type": full_name(type(value)), "repr": "<cannot be read>"}
    return Exact(result, tuple(conversion.inexact))


class _ExactConversion(_Conversion):
    """The same walk, in which each kind of value has a form of its own.

    What nothing marks as data is told whole or not at all: while that is tried, the first thing that would not come
    back spoils it, and the walk is over for it.
    """

    __slots__ = ("_is_spoiled", "_kinds", "_objects", "_within", "inexact")

    def __init__(self, payloads: Payloads) -> None:
        super().__init__(payloads)
        self.inexact: dict[str, None] = {}
        self._kinds: dict[int, str | None] = {}  # by the ids of classes, which what is told keeps alive
        self._objects: dict[int, tuple[Any, int, dict[str, Any]]] = {}
        self._within = 0  # how many objects were told of what is told whole or not at all
        self._is_spoiled = False

    def convert(self, value: Any, depth: int) -> JsonValue:
        """Any value as JSON."""
        kind = type(value)
        if self._is_spoiled:
            return None
        if kind in (str, bool, int, float) or value is None or depth >= self._depth:
            return super().convert(value, depth)
        marker = id(value)
        if marker in self._path:
            self.cut, self._is_spoiled = True, self._within > 0
            return {"$cycle": True}
        self._path.add(marker)
        if depth > DEEP:
            self._left -= self._price
        try:
            return self._container(value, kind, depth)
        except RecursionError:
            self.cut = True
            return {"$truncated": 1}
        finally:
            self._path.discard(marker)

    def clean(self, text: str) -> str:
        """A text without secrets and without what JSON cannot hold; the latter is named."""
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            self.inexact["str"] = None
        return super().clean(text)

    def _container(self, value: Any, kind: type, depth: int) -> JsonValue:
        """Anything but a plain value; what its form does not tell in full is named as inexact."""
        if kind is list:
            return self.items(value, len(value), depth)
        if kind is tuple:
            return {"$type": "tuple", "items": self.items(value, len(value), depth)}
        if kind is dict:
            if _has_plain_keys(value):
                return self.pairs(value.items(), len(value), depth)
            return {"$type": "dict", "items": self.pairs_as_items(value, depth + 1)}
        in_full = _IN_FULL.get(full_name(kind))
        whole: JsonValue | None = None if in_full is None else in_full(self, value, depth)
        if whole is not None:
            return whole
        made = self._made_as(kind)
        if made in holders.WITHOUT_FORM:
            if (told := self._whole(value, made, depth)) is not None:
                return self._object(value, told)
            made = None
        form: JsonValue = describe(self, value, kind, depth)
        held = None if made is None else holders.told(self, value, made, form, depth)
        if held is not None:
            return self._object(value, held)
        if kind is bytearray and type(form) is dict and form.get("$type") == "bytes":
            return {**form, "$type": "bytearray"}
        self._is_spoiled |= self._within > 0 and not _comes_back(kind, form)
        if not _is_exact(kind, form):
            self.inexact[self.clean(full_name(kind))] = None
        return form

    def _made_as(self, kind: type) -> str | None:
        """What `holders.found_as` says of a class, which is asked once."""
        marker = id(kind)
        if marker not in self._kinds:
            self._kinds[marker] = holders.found_as(kind)
        return self._kinds[marker]

    def _whole(self, value: Any, made: str, depth: int) -> dict[str, JsonValue] | None:
        """The form of an object that is told whole or not at all; `None` where not all of it comes back."""
        self._within += 1
        if self._within > 1:
            self._is_spoiled |= self._within > _MOST_WITHIN
            return holders.told(self, value, made, None, depth)
        before = self.cut, self.redacted, self._left
        inexact, objects = len(self.inexact), len(self._objects)
        self.cut = False
        told = holders.told(self, value, made, None, depth)
        whole = told is not None and not (self._is_spoiled or self.cut or len(self.inexact) > inexact)
        self._within, self._is_spoiled = 0, False
        if whole:
            self.cut = before[0]
            return told
        self.cut, self.redacted, self._left = before
        for names, kept in ((self.inexact, inexact), (self._objects, objects)):
            while len(names) > kept:
                names.popitem()
        return None

    def _object(self, value: Any, form: dict[str, Any]) -> dict[str, JsonValue]:
        """The form of an object; where it stands in several places, each says which one it is."""
        if form["made"] in holders.WITH_IDENTITY:
            _, number, first = self._objects.setdefault(id(value), (value, len(self._objects) + 1, form))
            if first is not form:
                form["same"] = first["same"] = number
        return form

    def pairs_as_items(self, value: dict[Any, Any], depth: int) -> list[JsonValue]:
        """The items of a dict as pairs; values of secret names are replaced here too."""
        taken = list(islice(value.items(), self._items))
        result: list[JsonValue] = []
        for key, item in taken:
            if self._left <= 0:
                break
            if type(key) is str:  # as in an object, where the name says whether the value is secret
                [shown] = self.pairs([(key, item)], 1, depth).values()
            else:
                shown = self.convert(item, depth + 1)
            result.append([self.convert(key, depth + 1), shown])
        left_out = len(value) - len(result)
        if left_out > 0:
            self.cut = True
            result.append({"$truncated": left_out})
        return result


def _has_plain_keys(value: dict[Any, Any]) -> bool:
    keys = list(value)
    return all(type(key) is str for key in keys) and _FORM_KEYS.isdisjoint(keys)


def _mapping(conversion: _ExactConversion, value: dict[Any, Any], depth: int) -> dict[str, JsonValue]:
    """A dict of a class of the standard library."""
    name = full_name(type(value))
    if _has_plain_keys(value):
        return {"$type": name, "fields": conversion.pairs(value.items(), len(value), depth + 1)}
    return {"$type": name, "items": conversion.pairs_as_items(value, depth + 1)}


def _with_default(conversion: _ExactConversion, value: Any, depth: int) -> dict[str, JsonValue] | None:
    factory = value.default_factory
    if factory is not None and factory not in _FACTORIES:
        return None
    return {**_mapping(conversion, value, depth), "default": None if factory is None else factory.__name__}


def _deque(conversion: _ExactConversion, value: Any, depth: int) -> dict[str, JsonValue]:
    items = conversion.items(value, len(value), depth + 1)
    longest = {} if value.maxlen is None else {"longest": value.maxlen}
    return {"$type": "collections.deque", "items": items, **longest}


def _complex(_conversion: _ExactConversion, value: Any, _depth: int) -> dict[str, JsonValue]:
    return {"$type": "complex", "value": repr(value)}


def _moment(conversion: _ExactConversion, value: Any, _depth: int) -> dict[str, JsonValue] | None:
    """A date and time, or a time; its zone stands beside it where it is more than an offset."""
    form = {"$type": type(value).__name__, "value": value.isoformat()}
    if value.fold:
        form["fold"] = value.fold
    zone = value.tzinfo
    if zone is None:
        return form
    if type(zone) is dt.timezone:
        offset, *named = zone.__getinitargs__()  # type: ignore[attr-defined]  # what it is pickled by
        if not named:
            return form
        name = conversion.clean(named[0])
        told: dict[str, JsonValue] | None = {
            "$type": "zone",
            "value": name,
            "seconds": offset.total_seconds(),
        }
    elif full_name(type(zone)) == "zoneinfo.ZoneInfo":
        told = None if zone.key is None else {"$type": "zone", "value": zone.key}
    else:
        told = holders.told_zone(zone)
    return None if told is None else {**form, "zone": told}


def _uuid(conversion: _ExactConversion, value: Any, _depth: int) -> dict[str, JsonValue]:
    return {"$type": "uuid", "value": conversion.clean(str(value))}


def _path(conversion: _ExactConversion, value: Any, _depth: int) -> dict[str, JsonValue]:
    text = conversion.text(str(value))
    return {"$type": "path", "class": type(value).__name__, "value": text}


_FACTORIES = (bool, dict, float, int, list, set, str, tuple)
_InFull = Callable[[_ExactConversion, Any, int], "dict[str, JsonValue] | None"]
_IN_FULL: dict[str, _InFull] = {
    "collections.Counter": _mapping,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _with_default,
    "collections.deque": _deque,
    "complex": _complex,
    "datetime.datetime": _moment,
    "datetime.time": _moment,
    "uuid.UUID": _uuid,
} | {
    f"{module}.{name}": _path
    for module in ("pathlib", "pathlib._local")  # the latter from Python 3.13 on
    for name in ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
}
"""What is shown to people more simply than it is, by the name of its class; no class that is derived from it."""


def _is_exact(kind: type, form: Any) -> bool:
    """Whether the form of an object gives it back as it was, or else does not look as if it did."""
    if type(form) is dict and "$type" in form and form["$type"] not in STANDARD:
        return True  # an object of the program's own, which the form says
    return _comes_back(kind, form)


def _comes_back(kind: type, form: Any) -> bool:
    """Whether the form of an object that is none of `holders` gives it back."""
    return full_name(kind) in _COME_BACK or (type(form) is str and full_name(kind) in _AS_TEXT)
