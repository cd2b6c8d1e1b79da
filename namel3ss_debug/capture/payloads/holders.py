"""Objects of classes that only hold data, recorded so that they can be made again.

These are dataclasses, classes of attrs, models of pydantic 2, named tuples, members of enumerations, time zones and
values of some libraries, and the objects of `plain`; a `made` in their form says which. Nothing is imported to make
one, and but for those of libraries no constructor runs, nor a setter: the class is the one that the program has under
the name, and what the object held is put back into it.
"""

from __future__ import annotations

import builtins
import dataclasses
import enum
import sys
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from namel3ss_debug.capture.payloads import arrays, plain
from namel3ss_debug.capture.payloads.contract import Conversion
from namel3ss_debug.capture.payloads.looks import (
    attribute,
    class_attribute,
    full_name,
    instance_dict,
    lineage,
    own_attributes,
)

if TYPE_CHECKING:
    from namel3ss_debug.wire.values import DataObject

OBJECT, MODEL, TUPLE, MEMBER, ZONE = "object", "model", "tuple", "member", "zone"
"""What `made` says: of a dataclass or of attrs, a model of pydantic, a named tuple, a member of an enumeration, a time zone."""

PLAIN, VALUE, ARRAY = "plain", "value", "array"
"""The same of an object of `plain`, of one that a single value tells, and of an array of numpy."""

WITHOUT_FORM = frozenset({PLAIN, VALUE, ARRAY})
"""What `made` says of objects that are told by themselves alone."""

WITH_IDENTITY = frozenset({OBJECT, MODEL, PLAIN})
"""What `made` says of objects that may be changed, so that it matters whether two are one."""

_MOST_PARTS = 100

_ZONES: dict[str, Callable[[Any, float], Any]] = {
    "dateutil.tz.tz.tzutc": lambda kind, _seconds: kind(),
    "pydantic_core._pydantic_core.TzInfo": lambda kind, seconds: kind(seconds),
}
"""Classes of zones with an offset that never changes, which is all that they hold: how one is made of it, in seconds."""

_IP = [f"ipaddress.IPv{version}{kind}" for version in (4, 6) for kind in ("Address", "Interface", "Network")]
_URLS = ("pydantic_core._pydantic_core.MultiHostUrl", "pydantic_core._pydantic_core.Url")
_VALUES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("fractions.Fraction", *_IP, *_URLS), str),
    "numpy.generic": arrays.number,
}
"""Classes of objects that one plain value tells, of which the class makes them again: what asks for the value."""

_OWN_HASH = "_attrs_cached_hash"  # attrs computed it in the process that made the object
_UNSET = frozenset(
    {
        "attr._make._Nothing",
        "pydantic_core._pydantic_core.PydanticUndefinedType",
    }
)
"""Classes of what stands in place of a default where there is none; that of `dataclasses` has none of its own since 3.15."""

_MARKS = ("__dataclass_fields__", "__attrs_attrs__")
_PLAIN = (str, int, float, bool, bytes, type(None))
_EMPTY = (dict, frozenset, list, set, tuple)


def imported(name: str) -> Any:
    """What has a dotted name in a module that is there already; no attribute is computed to find it."""
    parts = name.split(".", _MOST_PARTS)
    if len(parts) == 1:
        return vars(builtins).get(name)
    for place in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:place]))
        if found is None:
            continue
        for part in parts[place:]:
            members = own_attributes(found) if issubclass(type(found), type) else instance_dict(found)
            found = members.get(part)
        return found
    return None


def found_as(kind: type) -> str | None:
    """How objects of a class can be told and made again, if they can be: the class has to be found by its name."""
    made = _made_as(kind)
    return made if made in _TELLERS and imported(full_name(kind)) is kind else None


def told(conversion: Conversion, value: Any, made: str, form: Any, depth: int) -> dict[str, Any] | None:
    """The form of an object from which it can be made again; `None` where it does not hold what its class says.

    Args:
        conversion: the walk that the form is part of.
        value: the object.
        made: what `found_as` says of its class.
        form: its form, as it is shown to people; of those `WITHOUT_FORM` nobody needs it.
        depth: where it stands.
    """
    if made not in (MEMBER, *WITHOUT_FORM) and not (type(form) is dict and "fields" in form):
        return None
    try:
        told = _TELLERS[made](conversion, value, form, depth)
    except (AttributeError, TypeError, KeyError):  # a class that does otherwise than its kind
        return None
    return None if told is None else {**told, "made": made}


def told_zone(zone: Any) -> dict[str, Any] | None:
    """The form of a time zone from which it can be made again, if it is of a library's class with one offset."""
    name = full_name(type(zone))
    if name not in _ZONES or imported(name) is not type(zone):
        return None
    return {"$type": name, "made": ZONE, "seconds": zone.utcoffset(None).total_seconds()}


def make(held: DataObject) -> Any:
    """The object that a recording tells of.

    Raises:
        LookupError: the program has no such class here, or it holds its data otherwise.
    """
    kind = imported(held.type)
    if not isinstance(kind, type) or _made_as(kind) != held.made:
        raise LookupError(held.type)
    try:
        return _MAKERS[held.made](kind, held.parts)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise LookupError(held.type) from error


def _made_as(kind: type) -> str | None:
    """How objects of a class can be made again, if they can be."""
    names = {full_name(ancestor) for ancestor in lineage(kind)}
    if class_attribute(kind, "__del__") is not None:  # it does something with what it holds
        return None
    if names & _ZONES.keys():
        return ZONE
    if "enum.Enum" in names:
        return MEMBER
    if "numpy.ndarray" in names:
        return ARRAY if full_name(kind) == "numpy.ndarray" else None
    if _value_class(kind) is not None:
        return VALUE
    if type(class_attribute(kind, "_fields")) is tuple and "tuple" in names:
        return TUPLE
    is_written_in_python = all(each.__flags__ & plain.WRITTEN_IN_PYTHON for each in lineage(kind)[:-1])
    if "pydantic.main.BaseModel" in names and is_written_in_python:
        return MODEL if type(class_attribute(kind, "__pydantic_fields__")) is dict else None
    if any(class_attribute(kind, mark) is not None for mark in _MARKS):
        return OBJECT if is_written_in_python else None
    return None if plain.base_of(kind) is None else PLAIN


def _value_class(kind: type) -> str | None:
    """The name in `_VALUES` of a class; one that the program has derived from it may hold more."""
    if kind.__flags__ & plain.WRITTEN_IN_PYTHON:
        return full_name(kind) if full_name(kind) in _VALUES else None
    return next((name for name in map(full_name, lineage(kind)) if name in _VALUES), None)


def _told_value(conversion: Conversion, value: Any, _form: Any, depth: int) -> dict[str, Any]:
    kind = type(value)
    told = conversion.convert(_VALUES[str(_value_class(kind))](value), depth + 1)
    return {"$type": full_name(kind), "value": told}


def _told_object(conversion: Conversion, value: Any, form: Any, depth: int) -> dict[str, Any]:
    """The fields, and what else the object holds."""
    held = plain.stored(value)
    if _OWN_HASH in held:
        raise TypeError
    return {**form, **_without(type(value), OBJECT, form), **_beside(conversion, held, form, depth)}


def _without(kind: type, made: str, form: Any) -> dict[str, Any]:
    """Which fields an object does not have that others of its class have, as one that no constructor has made."""
    missing = _missing(kind, made, form["fields"])
    return {"without": list(missing)} if missing else {}


def _beside(conversion: Conversion, held: Mapping[str, Any], form: Any, depth: int) -> dict[str, Any]:
    """What an object holds that is none of its fields, such as what a property has computed once."""
    more = [
        (name, part)
        for name, part in held.items()
        if name not in form["fields"] and name not in plain.NOT_HELD
    ]
    return {"beside": conversion.pairs(more, len(more), depth + 1)} if more else {}


def _told_model(conversion: Conversion, value: Any, form: Any, depth: int) -> dict[str, Any]:
    """The fields; which of them were given, which are beyond the declared ones, the private attributes, and what else there is."""
    given = sorted(attribute(value, "__pydantic_fields_set__"))
    told = {**form, "given": conversion.items(given, len(given), depth + 1)}
    told |= _without(type(value), MODEL, form) | _beside(conversion, dict(instance_dict(value)), form, depth)
    with suppress(AttributeError):  # a model of one value has neither
        extra = attribute(value, "__pydantic_extra__")
        if extra is not None:
            told["extra"] = conversion.items(list(extra), len(extra), depth + 1)
        private = attribute(value, "__pydantic_private__")
        if private is not None:
            told["private"] = conversion.pairs(private.items(), len(private), depth + 1)
    return told


def _told_tuple(conversion: Conversion, value: Any, form: Any, depth: int) -> dict[str, Any]:
    return {**form, **_beside(conversion, dict(instance_dict(value)), {"fields": {}}, depth)}


def _told_member(conversion: Conversion, value: Any, form: Any, _depth: int) -> dict[str, Any] | None:
    """Its name and its value; of several flags together, which have no name, the value."""
    kind, name = type(value), attribute(value, "_name_")
    told = {"$type": conversion.clean(full_name(kind))}
    if class_attribute(kind, "_member_map_").get(name) is value:
        return {**told, "name": name, "value": form}
    return {**told, "value": form} if enum.Flag in lineage(kind) else None


def _made_object(kind: type, parts: Mapping[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    plain.put(made, {**_fields_now(kind, OBJECT, parts), **parts.get("beside", {})})
    return made


def _fields_now(kind: type, made: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the class has by now; one that it had not then has its default, where that is plain.

    Raises:
        LookupError: one has no such default, as where it was named otherwise.
    """
    now, held, without = _declared(kind, made), parts["fields"], parts.get("without", ())
    kept = {name: value for name, value in held.items() if now is None or name in now}
    added = {name: one for name, one in _missing(kind, made, held).items() if name not in without}
    return kept | {name: _default(one) for name, one in added.items()}


def _declared(kind: type, made: str) -> dict[str, Any] | None:
    """The fields that a class declares, by their names; `None` of one that declares none."""
    if made == MODEL:
        return cast("dict[str, Any]", class_attribute(kind, "__pydantic_fields__"))
    of_attrs = class_attribute(kind, "__attrs_attrs__")
    if of_attrs is not None:
        return {one.name: one for one in of_attrs}
    is_dataclass = class_attribute(kind, "__dataclass_fields__") is not None
    return {one.name: one for one in dataclasses.fields(kind)} if is_dataclass else None


def _missing(kind: type, made: str, held: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that every object of a class has, and these fields are without."""
    missing = {name: one for name, one in (_declared(kind, made) or {}).items() if name not in held}
    return {name: one for name, one in missing.items() if _is_always_there(kind, name, one)}


def _is_always_there(kind: type, name: str, field: Any) -> bool:
    """Whether the constructor stores a field: it has a value, and no property stands in its place."""
    stored = class_attribute(kind, name)
    if (
        type(stored) is not types.MemberDescriptorType
        and class_attribute(type(stored), "__get__") is not None
    ):
        return False
    return field.init is not False or not _is_unset(field.default)


def _default(field: Any) -> Any:
    default = field.default
    factory: Any = getattr(default, "factory", getattr(field, "default_factory", None))
    if type(default) in _EMPTY and not default:
        factory = type(default)
    if any(factory is plain for plain in _EMPTY):
        return factory()
    if not _is_unset(default) and type(default) in _PLAIN:
        return default
    raise LookupError


def _is_unset(default: Any) -> bool:
    return default is dataclasses.MISSING or full_name(type(default)) in _UNSET


def _made_model(kind: type, parts: Mapping[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    extra = parts.get("extra")
    fields = _fields_now(kind, MODEL, parts) | parts.get("beside", {})
    own = {
        "__pydantic_fields_set__": {
            name for name in parts["given"] if name in fields or name in (extra or ())
        },
        "__pydantic_extra__": None if extra is None else {name: parts["fields"][name] for name in extra},
        "__pydantic_private__": parts.get("private"),
    }
    object.__setattr__(made, "__dict__", fields)
    for name, value in own.items():
        if type(class_attribute(kind, name)) is types.MemberDescriptorType:
            object.__setattr__(made, name, value)
    return made


def _made_tuple(kind: Any, parts: Mapping[str, Any]) -> Any:
    names = class_attribute(kind, "_fields")
    made = tuple.__new__(kind, [parts["fields"][name] for name in names])
    plain.put(made, parts.get("beside", {}))
    return made


def _made_member(kind: Any, parts: Mapping[str, Any]) -> Any:
    if "name" in parts:
        return class_attribute(kind, "_member_map_")[parts["name"]]
    found = class_attribute(kind, "_value2member_map_").get(parts["value"])
    if found is None:  # by its name, as one who changes an answer may write it
        found = class_attribute(kind, "_member_map_").get(parts["value"])
    if found is None and enum.Flag in lineage(kind):
        # several flags together, which nobody has put together here yet; Python 3.11.2 leaves out what is no flag
        found = vars(enum.Flag)["_missing_"].__func__(kind, parts["value"])
        if getattr(found, "_value_", None) != parts["value"]:
            raise LookupError
    if found is None:
        raise LookupError
    return found


def _made_value(kind: Any, parts: Mapping[str, Any]) -> Any:
    return kind(parts["value"])


def _made_zone(kind: Any, parts: Mapping[str, Any]) -> Any:
    return _ZONES[full_name(kind)](kind, parts["seconds"])


_TELLERS: dict[str, Callable[[Conversion, Any, Any, int], dict[str, Any] | None]] = {
    OBJECT: _told_object,
    MODEL: _told_model,
    TUPLE: _told_tuple,
    MEMBER: _told_member,
    PLAIN: lambda conversion, value, _form, depth: plain.told(conversion, value, depth),
    VALUE: _told_value,
    ARRAY: lambda conversion, value, _form, depth: arrays.told(conversion, value, depth),
}
_MAKERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    OBJECT: _made_object,
    MODEL: _made_model,
    TUPLE: _made_tuple,
    MEMBER: _made_member,
    ZONE: _made_zone,
    PLAIN: plain.made,
    VALUE: _made_value,
    ARRAY: arrays.made,
}
