"""Objects of classes that only hold data, told so that they can be made again.

These are dataclasses, classes of attrs, models of pydantic 2, named tuples, members of enumerations, and time zones of some
libraries; a `made` in their form says which. Nothing is imported to make one, and but for those of zones no constructor runs,
nor a setter: the class is the one that the program has under the name, and what the object held is put back into it.
"""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

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
    from namel3ss_debug.wire.values import Held

OBJECT, MODEL, TUPLE, MEMBER, ZONE = "object", "model", "tuple", "member", "zone"
"""What `made` says: of a dataclass or of attrs, a model of pydantic, a named tuple, a member of an enumeration, a time zone."""

WITH_IDENTITY = frozenset({OBJECT, MODEL})
"""What `made` says of objects that may be changed, so that it matters whether two are one."""

_AS_DATACLASSES = frozenset({"langgraph.types.Send"})
"""Classes that hold nothing but what they were made of, though nothing in them says so."""

_ZONES: dict[str, Callable[[Any, float], Any]] = {
    "dateutil.tz.tz.tzutc": lambda kind, _seconds: kind(),
    "pydantic_core._pydantic_core.TzInfo": lambda kind, seconds: kind(seconds),
}
"""Classes of zones with an offset that never changes, which is all that they hold: how one is made of it, in seconds."""

_WRITTEN_IN_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_OWN_HASH = "_attrs_cached_hash"  # attrs computed it in the process that made the object
_NOT_HELD = frozenset({"__dict__", "__weakref__", "__orig_class__"})


def imported(name: str) -> Any:
    """What has a dotted name in a module that is there already; no attribute is computed to find it."""
    parts = name.split(".")
    for place in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:place]))
        if found is None:
            continue
        for part in parts[place:]:
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
        return found
    return None


def told(conversion: Conversion, value: Any, form: Any, depth: int) -> dict[str, Any] | None:
    """The form of an object from which it can be made again; `None` of any other value.

    Args:
        conversion: the walk that the form is part of.
        value: the object.
        form: its form, as it is shown to people.
        depth: where it stands.
    """
    kind = type(value)
    made = _made_as(kind)
    tell = None if made is None else _TELLERS.get(made)
    if tell is None or imported(full_name(kind)) is not kind:
        return None
    if made != MEMBER and not (type(form) is dict and "fields" in form):
        return None
    try:
        told = tell(conversion, value, form, depth)
    except (AttributeError, TypeError, KeyError):  # a class that does otherwise than its kind
        return None
    return None if told is None else {**told, "made": made}


def told_zone(zone: Any) -> dict[str, Any] | None:
    """The form of a time zone from which it can be made again, if it is of a library's class with one offset."""
    name = full_name(type(zone))
    if name not in _ZONES or imported(name) is not type(zone):
        return None
    return {"$type": name, "made": ZONE, "seconds": zone.utcoffset(None).total_seconds()}


def make(held: Held) -> Any:
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
    if "tuple" in names:
        return TUPLE if type(class_attribute(kind, "_fields")) is tuple else None
    if not all(ancestor.__flags__ & _WRITTEN_IN_PYTHON for ancestor in lineage(kind)[:-1]):
        return None
    if "pydantic.main.BaseModel" in names:
        return MODEL if type(class_attribute(kind, "__pydantic_fields__")) is dict else None
    marks = class_attribute(kind, "__dataclass_fields__"), class_attribute(kind, "__attrs_attrs__")
    return OBJECT if marks != (None, None) or names & _AS_DATACLASSES else None


def _told_object(conversion: Conversion, value: Any, form: Any, depth: int) -> dict[str, Any]:
    """The fields, and what else the object holds."""
    held = dict(instance_dict(value))
    for ancestor in lineage(type(value)):
        for name, slot in own_attributes(ancestor).items():
            if type(slot) is types.MemberDescriptorType:
                with suppress(AttributeError):  # it is not set
                    held[name] = slot.__get__(value)
    if _OWN_HASH in held:
        raise TypeError
    return {**form, **_beside(conversion, held, form, depth)}


def _beside(conversion: Conversion, held: Mapping[str, Any], form: Any, depth: int) -> dict[str, Any]:
    """What an object holds that is none of its fields, such as what a property has computed once."""
    more = [
        (name, part) for name, part in held.items() if name not in form["fields"] and name not in _NOT_HELD
    ]
    return {"beside": conversion.pairs(more, len(more), depth + 1)} if more else {}


def _told_model(conversion: Conversion, value: Any, form: Any, depth: int) -> dict[str, Any]:
    """The fields; which of them were given, which are beyond the declared ones, the private attributes, and what else there is."""
    given = sorted(attribute(value, "__pydantic_fields_set__"))
    told = {**form, "given": conversion.items(given, len(given), depth + 1)}
    told |= _beside(conversion, instance_dict(value), form, depth)
    with suppress(AttributeError):  # a model of one value has neither
        extra = attribute(value, "__pydantic_extra__")
        if extra is not None:
            told["extra"] = conversion.items(list(extra), len(extra), depth + 1)
        private = attribute(value, "__pydantic_private__")
        if private is not None:
            told["private"] = conversion.pairs(private.items(), len(private), depth + 1)
    return told


def _told_tuple(conversion: Conversion, value: Any, form: Any, depth: int) -> dict[str, Any]:
    return {**form, **_beside(conversion, instance_dict(value), {"fields": {}}, depth)}


def _told_member(conversion: Conversion, value: Any, form: Any, _depth: int) -> dict[str, Any] | None:
    """Its name and its value; of several flags together, which have no name, the value."""
    kind, name = type(value), attribute(value, "_name_")
    told = {"$type": conversion.clean(full_name(kind))}
    if class_attribute(kind, "_member_map_").get(name) is value:
        return {**told, "name": name, "value": form}
    return {**told, "value": form} if enum.Flag in lineage(kind) else None


def _made_object(kind: type, parts: Mapping[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    _put(made, {**parts["fields"], **parts.get("beside", {})})
    return made


def _put(made: Any, held: Mapping[str, Any]) -> None:
    """Put into an object what it held, where it is stored: in a slot, or in its dict, whatever stands in the class."""
    for name, value in held.items():
        slot = class_attribute(type(made), name)
        if type(slot) is types.MemberDescriptorType:
            slot.__set__(made, value)
        else:
            object.__getattribute__(made, "__dict__")[name] = value


def _made_model(kind: type, parts: Mapping[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    extra, fields = parts.get("extra"), {**parts["fields"], **parts.get("beside", {})}
    own = {
        "__pydantic_fields_set__": set(parts["given"]),
        "__pydantic_extra__": None if extra is None else {name: fields.pop(name) for name in extra},
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
    _put(made, parts.get("beside", {}))
    return made


def _made_member(kind: Any, parts: Mapping[str, Any]) -> Any:
    if "name" in parts:
        return class_attribute(kind, "_member_map_")[parts["name"]]
    found = class_attribute(kind, "_value2member_map_").get(parts["value"])
    if found is None:  # by its name, as one who changes an answer may write it
        found = class_attribute(kind, "_member_map_").get(parts["value"])
    if found is None and enum.Flag in lineage(
        kind
    ):  # several flags together, which nobody has put together here yet
        found = vars(enum.Flag)["_missing_"].__func__(kind, parts["value"])
    if found is None:
        raise LookupError
    return found


def _made_zone(kind: Any, parts: Mapping[str, Any]) -> Any:
    return _ZONES[full_name(kind)](kind, parts["seconds"])


_TELLERS: dict[str, Callable[[Conversion, Any, Any, int], dict[str, Any] | None]] = {
    OBJECT: _told_object,
    MODEL: _told_model,
    TUPLE: _told_tuple,
    MEMBER: _told_member,
}
_MAKERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    OBJECT: _made_object,
    MODEL: _made_model,
    TUPLE: _made_tuple,
    MEMBER: _made_member,
    ZONE: _made_zone,
}
