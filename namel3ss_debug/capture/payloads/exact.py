"""JSON forms from which a value can be rebuilt exactly, for the values with which a re-run answers.

A tuple is `{"$type": "tuple", "items"}`. A dict whose keys are not all strings is `{"$type": "dict", "items"}` with
pairs as items. A byte array is `{"$type": "bytearray", "base64"}`. Dicts of the standard library with an order, a
default or a count have `fields`, or `items` if their keys are not all strings. `holders` converts objects that only
hold data. A type that JSON shows as another one, such as a string of a class of its own, is listed in `inexact`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import islice
from typing import Any

from namel3ss_debug.capture.payloads import data_objects
from namel3ss_debug.capture.payloads.conversion import JsonValue, Payloads, _Conversion
from namel3ss_debug.capture.payloads.introspection import full_name, is_from_signal
from namel3ss_debug.capture.payloads.objects import describe

STANDARD = frozenset(
    {
        "bytearray", "bytes", "collections.Counter", "collections.OrderedDict", "collections.defaultdict",
        "collections.deque", "complex", "date", "datetime", "decimal", "dict", "float", "frozenset", "int", "path",
        "set", "time", "timedelta", "tuple", "types.SimpleNamespace", "uuid", "zone",
    }
)  # fmt: skip
"""Every `$type` whose form can be turned back into a value. Any other `$type` is a class of the program."""

_FORM_KEYS = frozenset({"$type", "$truncated", "$cycle"})
_RESTORABLE = frozenset(
    {
        "bytearray", "bytes", "datetime.date", "datetime.timedelta", "decimal.Decimal", "frozenset", "set",
        "types.SimpleNamespace",
    }
)  # fmt: skip

_PLAIN_TEXT_CLASSES = frozenset({"langchain_core.messages.base.TextAccessor"})
"""Text classes of libraries that are restored as plain strings: they only add a deprecated way to read the text."""


_MOST_WITHIN = 10_000
"""How many objects of `data_objects.WITHOUT_FORM` one of them may contain. They may refer to each other on ever more ways."""


class Exact:
    """A value as JSON. In a payload it stands for this JSON.

    Attributes:
        json: the value.
        inexact: the types of values in it that cannot be restored exactly, although the JSON does not show that.
    """

    __slots__ = ("inexact", "json")

    def __init__(self, json: JsonValue, inexact: tuple[str, ...]) -> None:
        self.json = json
        self.inexact = inexact


def exact(payloads: Payloads, value: Any) -> Exact:
    """Return any value as JSON from which it can be rebuilt. Nothing that the value does raises an error here.

    Args:
        payloads: knows what is secret and how large the result may be.
        value: a value of the program.
    """
    conversion = _ExactConversion(payloads)
    try:
        result = conversion.convert(value, 0)
    except BaseException as error:
        if is_from_signal(error):
            raise
        result = {"$type": full_name(type(value)), "repr": "<cannot be read>"}
    return Exact(result, tuple(conversion.inexact))


class _ExactConversion(_Conversion):
    """The same conversion, in which each type has a form of its own.

    An object of `data_objects.WITHOUT_FORM` is recorded as a whole or not at all. While that is tried, the first value that
    cannot be restored ends the attempt.
    """

    __slots__ = ("_attempt_failed", "_modes", "_objects", "_objects_in_attempt", "inexact")

    def __init__(self, payloads: Payloads) -> None:
        super().__init__(payloads)
        self.inexact: dict[str, None] = {}
        self._modes: dict[
            int, str | None
        ] = {}  # by the ids of classes, which the converted value keeps alive
        self._objects: dict[int, tuple[Any, int, dict[str, Any]]] = {}
        self._objects_in_attempt = (
            0  # how many objects of `data_objects.WITHOUT_FORM` are in the current attempt
        )
        self._attempt_failed = False

    def convert(self, value: Any, depth: int) -> JsonValue:
        """Return any value as JSON."""
        if self._attempt_failed:
            return None
        if id(value) in self._path and depth < self._depth:  # a cycle
            self._attempt_failed = self._objects_in_attempt > 0
        return super().convert(value, depth)

    def clean(self, text: str) -> str:
        """Return a text without secrets and without what JSON cannot represent. The latter makes it inexact."""
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            self.inexact["str"] = None
        return super().clean(text)

    def _container(self, value: Any, kind: type, depth: int) -> JsonValue:
        """Return anything but a plain value as JSON, and list its type as inexact if the form loses something."""
        if kind is list:
            return self.items(value, len(value), depth)
        if kind is tuple:
            return {"$type": "tuple", "items": self.items(value, len(value), depth)}
        if kind is dict:
            if _has_plain_keys(value):
                return self.pairs(value.items(), len(value), depth)
            return {"$type": "dict", "items": self.pairs_as_items(value, depth + 1)}
        full_form = _FULL_FORMS.get(full_name(kind))
        complete: JsonValue | None = None if full_form is None else full_form(self, value, depth)
        if complete is not None:
            return complete
        mode = self._mode_of(kind)
        if mode in data_objects.WITHOUT_FORM:
            if (restorable := self._try_whole(value, mode, depth)) is not None:
                return self._number_object(value, restorable)
            mode = None
        form: JsonValue = describe(self, value, kind, depth)
        restorable = None if mode is None else data_objects.to_json(self, value, mode, form, depth)
        if restorable is not None:
            return self._number_object(value, restorable)
        if kind is bytearray and type(form) is dict and form.get("$type") == "bytes":
            return {**form, "$type": "bytearray"}
        self._attempt_failed |= self._objects_in_attempt > 0 and not _is_restorable(kind, form)
        if not _is_exact(kind, form):
            self.inexact[self.clean(full_name(kind))] = None
        return form

    def _mode_of(self, kind: type) -> str | None:
        """Return the cached result of `data_objects.find_mode` for a class."""
        marker = id(kind)
        if marker not in self._modes:
            self._modes[marker] = data_objects.find_mode(kind)
        return self._modes[marker]

    def _try_whole(self, value: Any, mode: str, depth: int) -> dict[str, JsonValue] | None:
        """Return the form of an object that is recorded as a whole or not at all, or `None` if that fails."""
        self._objects_in_attempt += 1
        if self._objects_in_attempt > 1:
            self._attempt_failed |= self._objects_in_attempt > _MOST_WITHIN
            return data_objects.to_json(self, value, mode, None, depth)
        before = self.cut, self.redacted, self._left
        inexact, objects = len(self.inexact), len(self._objects)
        self.cut = False
        form = data_objects.to_json(self, value, mode, None, depth)
        is_whole = form is not None and not (self._attempt_failed or self.cut or len(self.inexact) > inexact)
        self._objects_in_attempt, self._attempt_failed = 0, False
        if is_whole:
            self.cut = before[0]
            return form
        self.cut, self.redacted, self._left = before
        for names, kept in ((self.inexact, inexact), (self._objects, objects)):
            while len(names) > kept:
                names.popitem()
        return None

    def _number_object(self, value: Any, form: dict[str, Any]) -> dict[str, JsonValue]:
        """Return the form of an object. If the object occurs several times, all its forms get the same number."""
        if form["made"] in data_objects.WITH_IDENTITY:
            _, number, first = self._objects.setdefault(id(value), (value, len(self._objects) + 1, form))
            if first is not form:
                form["same"] = first["same"] = number
        return form

    def pairs_as_items(self, value: dict[Any, Any], depth: int) -> list[JsonValue]:
        """Return the items of a dict as pairs. Values under secret names are replaced here too."""
        pairs = list(islice(value.items(), self._items))
        result: list[JsonValue] = []
        for key, item in pairs:
            if self._left <= 0:
                break
            if type(key) is str:  # as in an object, where the name shows whether the value is secret
                [converted] = self.pairs([(key, item)], 1, depth).values()
            else:
                converted = self.convert(item, depth + 1)
            result.append([self.convert(key, depth + 1), converted])
        left_out = len(value) - len(result)
        if left_out > 0:
            self.cut = True
            result.append({"$truncated": left_out})
        return result


def _has_plain_keys(value: dict[Any, Any]) -> bool:
    keys = list(value)
    return all(type(key) is str for key in keys) and _FORM_KEYS.isdisjoint(keys)


def _mapping(conversion: _ExactConversion, value: dict[Any, Any], depth: int) -> dict[str, JsonValue]:
    """Return a dict of a class of the standard library as JSON."""
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


def _moment(conversion: _ExactConversion, value: Any, _depth: int) -> dict[str, JsonValue] | None:
    """Return a datetime or a time as JSON. A zone that is more than an offset has its own entry."""
    form = {"$type": type(value).__name__, "value": value.isoformat()}
    if value.fold:
        form["fold"] = value.fold
    zone = value.tzinfo
    if zone is None:
        return form
    if type(zone) is dt.timezone:
        offset, *names = zone.__getinitargs__()  # type: ignore[attr-defined]  # pickle uses it
        if not names:
            return form
        name = conversion.clean(names[0])
        zone_form: dict[str, JsonValue] | None = {
            "$type": "zone",
            "value": name,
            "seconds": offset.total_seconds(),
        }
    elif full_name(type(zone)) == "zoneinfo.ZoneInfo":
        zone_form = None if zone.key is None else {"$type": "zone", "value": zone.key}
    else:
        zone_form = data_objects.zone_to_json(zone)
    return None if zone_form is None else {**form, "zone": zone_form}


def _path(conversion: _ExactConversion, value: Any, _depth: int) -> dict[str, JsonValue]:
    text = conversion.text(str(value))
    return {"$type": "path", "class": type(value).__name__, "value": text}


_FACTORIES = (bool, dict, float, int, list, set, str, tuple)
_FullForm = Callable[[_ExactConversion, Any, int], "dict[str, JsonValue] | None"]
_FULL_FORMS: dict[str, _FullForm] = {
    "collections.Counter": _mapping,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _with_default,
    "collections.deque": _deque,
    "complex": lambda _conversion, value, _depth: {"$type": "complex", "value": repr(value)},
    "datetime.datetime": _moment,
    "datetime.time": _moment,
    "uuid.UUID": lambda conversion, value, _depth: {"$type": "uuid", "value": conversion.clean(str(value))},
} | {
    f"{module}.{name}": _path
    for module in ("pathlib", "pathlib._local")  # the latter from Python 3.13 on
    for name in ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
}
"""Name of a class -> the complete form of its objects, which `objects` simplifies. Subclasses are not included."""


def _is_exact(kind: type, form: Any) -> bool:
    """Return whether a form restores an object exactly, or shows by its `$type` that it does not."""
    if type(form) is dict and "$type" in form and form["$type"] not in STANDARD:
        return True  # the form names a class of the program
    return _is_restorable(kind, form)


def _is_restorable(kind: type, form: Any) -> bool:
    """Return whether the form of an object can be restored without `holders`."""
    return full_name(kind) in _RESTORABLE or (type(form) is str and full_name(kind) in _PLAIN_TEXT_CLASSES)
