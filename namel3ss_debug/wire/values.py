"""Make Python values from the JSON forms in a trace, and find the parts that cannot be restored exactly.

JSON cannot express tuples, sets, bytes, decimals, dates and times, NaN and infinity, and integers beyond 64 bits: a
trace contains them as objects with a `$type`. Any other `$type` belongs to an object of a class outside of the standard
library. Only the program can make such an object, and only if the field `made` names the way. Nothing here imports,
calls or evaluates anything that a trace names.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

TYPE: Final = "$type"
TRUNCATED: Final = "$truncated"

_MAX_DEPTH = 200
_MAX_FLAWS = 20
_MAX_EXACT_SECONDS = 2**33
"""Beyond about 270 years the seconds of a `timedelta` lose microseconds (library reference, `total_seconds`)."""

_NAME = re.compile(r"[^\W\d]\w*\Z")
_REDACTED = re.compile(r"\[REDACTED:[^\]]{1,100}\]")
_INTEGER = re.compile(r"-?(?:0x[0-9a-f]+|[0-9]{1,4000})\Z")
_SPECIAL_FLOATS = {"nan", "inf", "-inf"}
_FACTORIES = {factory.__name__: factory for factory in (bool, dict, float, int, list, set, str, tuple)}
"""The default factories of a `defaultdict` that are restored, by name."""


class Flaw(NamedTuple):
    """A place in a value that cannot be restored exactly.

    Attributes:
        kind: `cut`, `redacted`, `opaque` (an object of the program's own) or `damaged` (not a form of a trace).
        path: the place in the value, as a JSON path.
        what: the type of the object, or the mark in its place.
    """

    kind: str
    path: str
    what: str


SETTINGS: Final = {"cut": "max_payload_size", "redacted": "redact", "token": "redact"}
"""Kind of a flaw -> the setting that keeps such values."""


class RevivedValue(NamedTuple):
    """A Python value and its flaws; if there are flaws, `value` has no meaning."""

    value: Any
    flaws: tuple[Flaw, ...]

    @property
    def exact(self) -> bool:
        """Return whether the value is equal to the program's."""
        return not self.flaws


@dataclass(frozen=True, eq=False)
class DataObject:
    """An object that consists only of data, of a class that the program has.

    Attributes:
        type: its class, as `module.Class`.
        made: how it is restored: `object`, `model`, `tuple`, `member`, `plain`, `value` or `array`.
        parts: its contents, by name.
    """

    type: str
    made: str
    parts: dict[str, Any]


def revive(form: Any, make: Callable[[DataObject], Any] | None = None) -> RevivedValue:
    """Return the Python value of a payload of a trace.

    Args:
        form: the payload.
        make: makes an object of one of the program's classes, or raises LookupError; without it, each of these objects
            is a `DataObject`.
    """
    reviver = _Reviver(make)
    value = reviver.revive(form, "$", 0)
    return RevivedValue(value, tuple(reviver.flaws))


def find_flaws(payload: Any) -> tuple[Flaw, ...]:
    """Return the cut and redacted parts of a payload that was JSON in the program too; in it, a `$type` has no meaning."""
    reviver = _Reviver(None, plain=True)
    reviver.revive(payload, "$", 0)
    return tuple(reviver.flaws)


def at_key(path: str, key: str) -> str:
    """Return the JSON path (RFC 9535) of the value of a key."""
    if _NAME.match(key):
        return f"{path}.{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{escaped}']"


class _Reviver:
    """The revival of one payload: its flaws, and its objects by number for references between them."""

    def __init__(self, make: Callable[[DataObject], Any] | None, *, plain: bool = False) -> None:
        self.flaws: list[Flaw] = []
        self.objects: dict[int, Any] = {}
        self._make = make
        self._plain = plain

    def add_flaw(self, kind: str, path: str, what: str) -> None:
        """Report a flaw, up to a maximum number."""
        if len(self.flaws) < _MAX_FLAWS:
            self.flaws.append(Flaw(kind, path, what))

    def revive(self, form: Any, path: str, depth: int) -> Any:
        """Return the Python value of a form."""
        if depth > _MAX_DEPTH:
            self.add_flaw("cut", path, "nested too deeply")
            return None
        if isinstance(form, str):
            mark = _REDACTED.search(form)
            if mark is not None:
                self.add_flaw("redacted", path, mark[0])
            return form
        if isinstance(form, list):
            return [self.revive(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(form)]
        return self._revive_object(form, path, depth) if isinstance(form, dict) else form

    def _revive_object(self, form: dict[str, Any], path: str, depth: int) -> Any:
        if TRUNCATED in form:
            self.add_flaw("cut", path, TRUNCATED)
            return None
        if form == {"$cycle": True}:
            self.add_flaw("opaque", path, "a container inside itself")
            return None
        kind = form.get(TYPE)
        if self._plain or not isinstance(kind, str):
            return {key: self.revive(item, at_key(path, key), depth + 1) for key, item in form.items()}
        revive_form = _FORMS.get(kind, _revive_data_object if isinstance(form.get("made"), str) else None)
        if revive_form is None:
            self.add_flaw("opaque", path, kind)
            return None
        before = len(self.flaws)
        try:
            return revive_form(self, form, path, depth)
        except Exception:
            # The form is damaged, or a set or dict called a hash method of the program's class, which may raise anything.
            if len(self.flaws) == before:
                self.add_flaw("damaged", path, kind)
            return None

    def make_object(self, data: DataObject, path: str) -> Any:
        """Make an object of one of the program's classes."""
        try:
            return data if self._make is None else self._make(data)
        except LookupError:
            self.add_flaw("opaque", path, data.type)
            return None

    def revive_items(self, form: dict[str, Any], path: str, depth: int) -> list[Any]:
        """Return the values of the items in a form."""
        items = form["items"]
        if not isinstance(items, list):
            raise TypeError
        return [self.revive(item, f"{path}.items[{index}]", depth + 1) for index, item in enumerate(items)]


def _make_hashable(item: Any) -> Hashable:
    """Return an item of a set: a list in the trace can only have been a tuple."""
    return tuple(map(_make_hashable, item)) if isinstance(item, list) else item


def _revive_dict(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    """Return a dict with keys that JSON cannot express, from a list of pairs."""
    return {_make_hashable(key): value for key, value in reviver.revive_items(form, path, depth)}


def _mapping_reviver(make: Callable[[Any], Any]) -> _FormReviver:
    """Return the reviver of a dict of another class, from its `fields` or from its items as pairs."""

    def revive_mapping(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
        fields = form.get("fields")
        if fields is None:
            return make(_revive_dict(reviver, form, path, depth))
        if not isinstance(fields, dict):
            raise TypeError
        return make(reviver.revive(fields, f"{path}.fields", depth + 1))

    return revive_mapping


def _revive_defaultdict(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    name = form["default"]
    factory = None if name is None else _FACTORIES[name]
    return _mapping_reviver(lambda items: defaultdict(factory, items))(reviver, form, path, depth)


def _revive_data_object(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    """Return an object that consists only of data, if all of it can be restored; for a reference, the other object."""
    same = form.get("same")
    if isinstance(same, int) and same in reviver.objects:
        return reviver.objects[same]
    before = len(reviver.flaws)
    # If a name identifies the object, its value is in the trace only to be shown.
    skipped = {TYPE, "made", "same", "value"} if "name" in form else {TYPE, "made", "same"}
    parts = {
        name: reviver.revive(part, at_key(path, name), depth + 1)
        for name, part in form.items()
        if name not in skipped
    }
    if len(reviver.flaws) > before:
        return None
    made = reviver.make_object(DataObject(form[TYPE], form["made"], parts), path)
    if isinstance(same, int):
        reviver.objects[same] = made
    return made


def _revive_bytes(reviver: _Reviver, form: dict[str, Any], path: str, _depth: int) -> Any:
    if "length" in form:
        reviver.add_flaw("cut", path, "bytes")
        return None
    raw = base64.b64decode(form["base64"], validate=True)
    mark = _REDACTED.search(raw.decode("latin-1"))
    if mark is not None:
        reviver.add_flaw("redacted", path, mark[0])
    return raw


def _revive_bytearray(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    raw = _revive_bytes(reviver, form, path, depth)
    return None if raw is None else bytearray(raw)


def _revive_integer(reviver: _Reviver, form: dict[str, Any], path: str, _depth: int) -> Any:
    if "bits" in form:
        reviver.add_flaw("cut", path, "int")
        return None
    if not _INTEGER.match(form["value"]):
        raise ValueError
    return int(form["value"], 0)


def _revive_float(_reviver: _Reviver, form: dict[str, Any], _path: str, _depth: int) -> Any:
    if form["value"] not in _SPECIAL_FLOATS:
        raise ValueError
    return float(form["value"])


def _revive_timedelta(reviver: _Reviver, form: dict[str, Any], path: str, _depth: int) -> Any:
    seconds = form["value"]
    if abs(seconds) > _MAX_EXACT_SECONDS:
        reviver.add_flaw("opaque", path, "a timedelta of more than 270 years")
        return None
    return dt.timedelta(seconds=seconds)


def _text_reviver(make: Callable[[str], Any]) -> _FormReviver:
    """Return the reviver of a form `{"$type": name, "value": text}`."""

    def revive_text(_reviver: _Reviver, form: dict[str, Any], _path: str, _depth: int) -> Any:
        if not isinstance(form["value"], str):
            raise TypeError
        return make(form["value"])

    return revive_text


def _time_reviver(make: Callable[[str], Any]) -> _FormReviver:
    """Return the reviver of a date and time, or of a time, with its zone."""

    def revive_time(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
        before = len(reviver.flaws)
        moment = make(form["value"]).replace(fold=form.get("fold", 0))
        if "zone" not in form:
            return moment
        zone = reviver.revive(form["zone"], at_key(path, "zone"), depth + 1)
        if len(reviver.flaws) > before or isinstance(zone, DataObject):
            return moment
        return moment.replace(tzinfo=zone)

    return revive_time


def _revive_zone(_reviver: _Reviver, form: dict[str, Any], _path: str, _depth: int) -> Any:
    """Return a time zone by its key, or an offset with a name, as `astimezone()` makes it."""
    if not isinstance(form["value"], str):
        raise TypeError
    if "seconds" in form:
        return dt.timezone(dt.timedelta(seconds=form["seconds"]), form["value"])
    from zoneinfo import ZoneInfo  # not many programs have one

    return ZoneInfo(form["value"])


def _make_decimal(text: str) -> Any:
    from decimal import Decimal

    return Decimal(text)


def _make_uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


def _revive_path(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    import pathlib

    classes = (pathlib.PosixPath, pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.WindowsPath)
    by_name = {path_class.__name__: path_class for path_class in classes}
    return by_name[form["class"]](reviver.revive(form["value"], at_key(path, "value"), depth + 1))


_FormReviver = Callable[[_Reviver, dict[str, Any], str, int], Any]

_FORMS: dict[str, _FormReviver] = {
    "tuple": lambda reviver, *form: tuple(reviver.revive_items(*form)),
    "set": lambda reviver, *form: set(map(_make_hashable, reviver.revive_items(*form))),
    "frozenset": lambda reviver, *form: frozenset(map(_make_hashable, reviver.revive_items(*form))),
    "dict": _revive_dict,
    "bytes": _revive_bytes,
    "bytearray": _revive_bytearray,
    "int": _revive_integer,
    "float": _revive_float,
    "decimal": _text_reviver(_make_decimal),
    "datetime": _time_reviver(dt.datetime.fromisoformat),
    "date": _text_reviver(dt.date.fromisoformat),
    "time": _time_reviver(dt.time.fromisoformat),
    "timedelta": _revive_timedelta,
    "types.SimpleNamespace": lambda reviver, form, path, depth: SimpleNamespace(
        **reviver.revive(form["fields"], at_key(path, "fields"), depth + 1)
    ),
    "uuid": _text_reviver(_make_uuid),
    "zone": _revive_zone,
    "path": _revive_path,
    "collections.Counter": _mapping_reviver(Counter),
    "collections.OrderedDict": _mapping_reviver(OrderedDict),
    "collections.defaultdict": _revive_defaultdict,
    "collections.deque": lambda reviver, form, path, depth: deque(
        reviver.revive_items(form, path, depth), form.get("longest")
    ),
    "complex": _text_reviver(complex),
}
"""`$type` of a value of the standard library -> its reviver."""

STANDARD: Final = frozenset(_FORMS)
"""Every `$type` of the standard library; any other belongs to an object of the program's own."""
