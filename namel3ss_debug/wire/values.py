"""Python values from the JSON forms that a recording holds, and what in them would not come back as it was.

JSON has no word for tuples, sets, bytes, decimals, dates and times, numbers that are none, and integers beyond 64 bits:
a recording holds them as objects with a `$type`. Whatever else stands under a `$type` was an object of the program's
own, which only the program can make. Nothing here imports, calls or evaluates what a recording names.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections.abc import Callable, Hashable
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


class Flaw(NamedTuple):
    """A place in a value that does not come back as it was.

    Attributes:
        kind: `cut`, `redacted`, `opaque` (an object of the program's own) or `damaged` (no form of a recording's).
        path: where it stands, as a JSON path.
        what: the type of the object, or what stands in its place.
    """

    kind: str
    path: str
    what: str


SETTINGS: Final = {"cut": "max_payload_size", "redacted": "redact"}
"""By the kind of a flaw: the setting that would have kept the value."""


class Revived(NamedTuple):
    """A Python value, and what in it is not as it was; `value` stands for nothing where there are flaws."""

    value: Any
    flaws: tuple[Flaw, ...]

    @property
    def exact(self) -> bool:
        """Whether the value is what the program had."""
        return not self.flaws


def revive(form: Any) -> Revived:
    """The Python value that a payload of a recording stands for."""
    reviver = _Reviver()
    value = reviver.value(form, "$", 0)
    return Revived(value, tuple(reviver.flaws))


def find_flaws(payload: Any) -> tuple[Flaw, ...]:
    """What is cut or redacted in a payload that was JSON in the program too, where a `$type` means nothing."""
    reviver = _Reviver(plain=True)
    reviver.value(payload, "$", 0)
    return tuple(reviver.flaws)


def at_key(path: str, key: str) -> str:
    """The JSON path (RFC 9535) of what stands under a key."""
    if _NAME.match(key):
        return f"{path}.{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{escaped}']"


class _Reviver:
    """One walk over one payload."""

    def __init__(self, *, plain: bool = False) -> None:
        self.flaws: list[Flaw] = []
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
        revive_form = _FORMS.get(kind)
        if revive_form is None:
            self.flaw("opaque", path, kind)
            return None
        before = len(self.flaws)
        try:
            return revive_form(self, form, path, depth)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            if len(self.flaws) == before:
                self.flaw("damaged", path, kind)
            return None

    def items(self, form: dict[str, Any], path: str, depth: int) -> list[Any]:
        """The items of a form that holds some."""
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
    """An item of a set: what is a list in the recording can only have been a tuple."""
    return tuple(map(_hashable, item)) if isinstance(item, list) else item


def _dict(reviver: _Reviver, form: dict[str, Any], path: str, depth: int) -> Any:
    """A dict whose keys JSON could not tell: a list of pairs."""
    return {_hashable(key): value for key, value in reviver.items(form, path, depth)}


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


def _decimal(text: str) -> Any:
    from decimal import Decimal  # noqa: PLC0415  (not many programs have one)

    return Decimal(text)


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
    "datetime": _from_text(dt.datetime.fromisoformat),
    "date": _from_text(dt.date.fromisoformat),
    "time": _from_text(dt.time.fromisoformat),
    "timedelta": _timedelta,
}
"""The forms that stand for a value of the standard library, by their `$type`."""

STANDARD: Final = frozenset(_FORMS)
"""Every `$type` whose form gives a value back; under any other stands an object of the program's own."""
