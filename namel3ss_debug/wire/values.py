"""Makes Python values from the JSON forms in a recording, and finds the parts that cannot be restored exactly.

JSON cannot express tuples, sets, bytes, decimals, dates and times, NaN and infinity, and integers beyond 64 bits: a
recording holds them as objects with a `$type`. Any other `$type` belongs to an object of a class that is not in the
standard library, which only the program can make, and only where `made` says how. Nothing here imports, calls or
evaluates anything that a recording names.
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

_DEEPEST = 200
_MOST_FLAWS = 20
_LONGEST_EXACT_SECONDS = 2**33
"""Beyond about 270 years the seconds of a `timedelta` lose microseconds (library reference, `total_seconds`)."""

_NAME = re.compile(r"[^\W\d]\w*\Z")
_REDACTED = re.compile(r"\[REDACTED:[^\]]{1,100}\]")
_INTEGER = re.compile(r"-?(?:0x[0-9a-f]+|[0-9]{1,4000})\Z")
_FLOATS = {"nan", "inf", "-inf"}
_FACTORIES = {one.__name__: one for one in (bool, dict, float, int, list, set, str, tuple)}


class Flaw(NamedTuple):
    """A place in a value that cannot be restored exactly.

    Attributes:
        kind: `cut`, `redacted`, `opaque` (an object of the program's own) or `damaged` (not a form of a recording).
        path: the place, as a JSON path.
        what: the type of the object, or the mark in its place.
    """

    kind: str
    path: str
    what: str


SETTINGS: Final = {"cut": "max_payload_size", "redacted": "redact", "token": "redact"}
"""Kind of a flaw -> the setting with which the value would have been kept."""


class Revived(NamedTuple):
    """A Python value and its flaws; where there are flaws, `value` has no meaning."""

    value: Any
    flaws: tuple[Flaw, ...]

    @property
    def exact(self) -> bool:
        """Whether the value is equal to the program's."""
        return not self.flaws


@dataclass(frozen=True, eq=False)
class Held:
    """An object that only holds data, of a class that the program has.

    Attributes:
        type: its class, as `module.Class`.
        made: how it is restored: `object`, `model`, `tuple`, `member`, `plain`, `value` or `array`.
        parts: its contents, by their names in its form.
    """

    type: str
    made: str
    parts: dict[str, Any]


def revive(form: Any, make: Callable[[Held], Any] | None = None) -> Revived:
    """The Python value of a payload of a recording.

    Args:
        form: the payload.
        make: makes an object of one of the program's classes, or raises LookupError; without it, each of these objects
            is a `Held`.
    """
    reviver = _Reviver(make)
    value = reviver.value(form, "$", 0)
    return Revived(value, tuple(reviver.flaws))


def find_flaws(payload: Any) -> tuple[Flaw, ...]:
    """The cut and redacted parts of a payload that was JSON in the program too, where a `$type` has no meaning."""
    reviver = _Reviver(None, plain=True)
    reviver.value(payload, "$", 0)
    return tuple(reviver.flaws)


def at_key(path: str, key: str) -> str:
    """The JSON path (RFC 9535) of the value of a key."""
    if _NAME.match(key):
        return f"{path}.{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{escaped}']"


class _Reviver:
    """One walk over one payload."""

    def __init__(self, make: Callable[[Held], Any] | None, *, plain: bool = False) -> None:
        self.flaws: list[Flaw] = []
        self.objects: dict[int, Any] = {}
        self._make = make
        self._plain = plain

    def flaw(self, kind: str, path: str, what: str) -> None:
        if len(self.flaws) < _MOST_FLAWS:
            self.flaws.append(Flaw(kind, path, what))

    def value(self, form: Any, path: str, depth: int) -> Any:
        if depth > _DEEPEST:
            self.flaw("cut", path, "nested too deeply")
            return None
        if isinstance(form, str):
            found = _REDACTED.search(form)
            if found is not None:
                self.flaw("redacted", path, found[0])
            return form
        if isinstance(form, list):
            return [self.value(item, f"{path}[{place}]", depth + 1) for place, item in enumerate(form)]
        return self._object(form, path, depth) if isinstance(form, dict) else form

    def _object(self, form: dict[str, Any], path: str, depth: int) -> Any:
        if TRUNCATED in form:
            self.flaw("cut", path, TRUNCATED)
            return None
        if form == {"$cycle": True}:
            self.flaw("opaque", path, "a container inside itself")
            return None
        kind = form.get(TYPE)
        if self._plain or not isinstance(kind, str):
            return {key: self.value(item, at_key(path, key), depth + 1) for key, item in form.items()}
        revive_form = _FORMS.get(kind, _held if isinstance(form.get("made"), str) else None)
        if revive_form is None:
            self.flaw("opaque", path, kind)
            return None
        before = len(self.flaws)
        try:
            return revive_form(self, form, path, depth)
        except (
            Exception
        ):  # of a form that is damaged, or of a class whose objects are hashed for a set or a dict
            if len(self.flaws) == before:
                self.flaw("damaged", path, kind)
            return None

    def held(self, held: Held, path: str) -> Any:
        """An object of one of the program's classes."""
        try:
            return held if self._make is None else self._make(held)
        except LookupError:
            self.flaw("opaque", path, held.type)
            return None

    def items(self, form: dict[str, Any], path: str, depth: int) -> list[Any]:
        """The items in a form."""
        items = form["items"]
        if not isinstance(items, list):
            raise TypeError
        return [self.value(item, f"{path}.items[{place}]", depth + 1) for place, item in enumerate(items)]


def _tuple(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    return tuple(reviver.items(form, path, depth))


def _set(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    return {_hashable(item) for item in reviver.items(form, path, depth)}


def _frozenset(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    return frozenset(_hashable(item) for item in reviver.items(form, path, depth))


def _hashable(item: Any) -> Hashable:
    """An item of a set: a list in the recording can only have been a tuple."""
    return tuple(map(_hashable, item)) if isinstance(item, list) else item


def _dict(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    """A dict with keys that JSON cannot express: a list of pairs."""
    return {_hashable(key): value for key, value in reviver.items(form, path, depth)}


def _mapping(make: Callable[[Any], Any]) -> _Form:
    """A dict of another class: its `fields`, or its items as pairs."""

    def form(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
        fields = form.get("fields")
        if fields is None:
            return make(_dict(reviver, form, path, depth))
        if not isinstance(fields, dict):
            raise TypeError
        return make(reviver.value(fields, f"{path}.fields", depth + 1))

    return form


def _with_default(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    factory = form["default"]
    found = None if factory is None else _FACTORIES[factory]
    return _mapping(lambda items: defaultdict(found, items))(reviver, form, path, depth)


def _held(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    """An object that only holds data, if all of it was restored; where a name identifies it, its value is only shown.

    A reference to another object becomes that object.
    """
    same = form.get("same")
    if isinstance(same, int) and same in reviver.objects:
        return reviver.objects[same]
    before = len(reviver.flaws)
    told = {TYPE, "made", "same", "value"} if "name" in form else {TYPE, "made", "same"}
    parts = {
        name: reviver.value(part, at_key(path, name), depth + 1)
        for name, part in form.items()
        if name not in told
    }
    if len(reviver.flaws) > before:
        return None
    made = reviver.held(Held(form[TYPE], form["made"], parts), path)
    if isinstance(same, int):
        reviver.objects[same] = made
    return made


def _deque(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    return deque(reviver.items(form, path, depth), form.get("longest"))


def _bytes(reviver: _Reviver, form: dict[str, Any], path: str, _depth: int) -> Any:
    if "length" in form:
        reviver.flaw("cut", path, "bytes")
        return None
    raw = base64.b64decode(form["base64"], validate=True)
    found = _REDACTED.search(raw.decode("latin-1"))
    if found is not None:
        reviver.flaw("redacted", path, found[0])
    return raw


def _bytearray(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    raw = _bytes(reviver, form, path, depth)
    return None if raw is None else bytearray(raw)


def _integer(reviver: _Reviver, form: dict[str, Any], path: str, _depth: int) -> Any:
    if "bits" in form:
        reviver.flaw("cut", path, "int")
        return None
    if not _INTEGER.match(form["value"]):
        raise ValueError
    return int(form["value"], 0)


def _float(_reviver: _Reviver, form: dict[str, Any], _path: str, _depth: int) -> Any:
    if form["value"] not in _FLOATS:
        raise ValueError
    return float(form["value"])


def _timedelta(reviver: _Reviver, form: dict[str, Any], path: str, _depth: int) -> Any:
    seconds = form["value"]
    if abs(seconds) > _LONGEST_EXACT_SECONDS:
        reviver.flaw("opaque", path, "a timedelta of more than 270 years")
        return None
    return dt.timedelta(seconds=seconds)


def _from_text(make: Callable[[str], Any]) -> _Form:
    """A form `{"$type": name, "value": text}`."""

    def form(_reviver: _Reviver, form: dict[str, Any], _path: str, _depth: int) -> Any:
        if not isinstance(form["value"], str):
            raise TypeError
        return make(form["value"])

    return form


def _moment(make: Callable[[str], Any]) -> _Form:
    """A date and time, or a time, with its zone."""

    def form(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
        before = len(reviver.flaws)
        moment = make(form["value"]).replace(fold=form.get("fold", 0))
        if "zone" not in form:
            return moment
        zone = reviver.value(form["zone"], at_key(path, "zone"), depth + 1)
        return (
            moment if len(reviver.flaws) > before or isinstance(zone, Held) else moment.replace(tzinfo=zone)
        )

    return form


def _zone(_reviver: _Reviver, form: dict[str, Any], _path: str, _depth: int) -> Any:
    """A time zone by its key, or an offset with a name, as `astimezone()` makes it."""
    if not isinstance(form["value"], str):
        raise TypeError
    if "seconds" in form:
        return dt.timezone(dt.timedelta(seconds=form["seconds"]), form["value"])
    from zoneinfo import ZoneInfo  # noqa: PLC0415  (not many programs have one)

    return ZoneInfo(form["value"])


def _namespace(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    return SimpleNamespace(**reviver.value(form["fields"], at_key(path, "fields"), depth + 1))


def _decimal(text: str) -> Any:
    from decimal import Decimal  # noqa: PLC0415  (as above)

    return Decimal(text)


def _uuid(text: str) -> Any:
    from uuid import UUID  # noqa: PLC0415  (as above)

    return UUID(text)


def _path(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    import pathlib  # noqa: PLC0415  (as above)

    classes = (pathlib.PosixPath, pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.WindowsPath)
    by_name = {one.__name__: one for one in classes}
    return by_name[form["class"]](reviver.value(form["value"], at_key(path, "value"), depth + 1))


_Form = Callable[[_Reviver, dict[str, Any], str, int], Any]

_FORMS: dict[str, _Form] = {
    "tuple": _tuple,
    "set": _set,
    "frozenset": _frozenset,
    "dict": _dict,
    "bytes": _bytes,
    "bytearray": _bytearray,
    "int": _integer,
    "float": _float,
    "decimal": _from_text(_decimal),
    "datetime": _moment(dt.datetime.fromisoformat),
    "date": _from_text(dt.date.fromisoformat),
    "time": _moment(dt.time.fromisoformat),
    "timedelta": _timedelta,
    "types.SimpleNamespace": _namespace,
    "uuid": _from_text(_uuid),
    "zone": _zone,
    "path": _path,
    "collections.Counter": _mapping(Counter),
    "collections.OrderedDict": _mapping(OrderedDict),
    "collections.defaultdict": _with_default,
    "collections.deque": _deque,
    "complex": _from_text(complex),
}
"""The forms that stand for a value of the standard library, by their `$type`."""

STANDARD: Final = frozenset(_FORMS)
"""Every `$type` of the standard library; any other belongs to an object of the program's own."""
