"""Objects of classes that only hold data, recorded so that they can be rebuilt.

These are dataclasses, classes of attrs, models of pydantic 2, named tuples, members of enumerations, time zones,
values of some libraries, and the objects of `plain`. The entry `made` of their form is the mode, which says how to
rebuild them. Nothing is imported for that: the class is the one that the program has under the name. No constructor
or setter runs, except for values of libraries: the attributes are set directly.
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

from namel3ss_debug.capture.payloads import arrays, plain_objects
from namel3ss_debug.capture.payloads.contract import Conversion
from namel3ss_debug.capture.payloads.introspection import (
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
"""Modes: a dataclass or a class of attrs, a model of pydantic, a named tuple, a member of an enumeration, a time zone."""

PLAIN, VALUE, ARRAY = "plain", "value", "array"
"""Modes: an object of `plain`, an object that is built from a single value, and an array of numpy."""

WITHOUT_FORM = frozenset({PLAIN, VALUE, ARRAY})
"""Modes whose JSON is made from the object alone, without the form that is shown to people."""

WITH_IDENTITY = frozenset({OBJECT, MODEL, PLAIN})
"""Modes of mutable objects, for which it matters whether two of them are the same object."""

_MOST_PARTS = 100

_ZONES: dict[str, Callable[[Any, float], Any]] = {
    "dateutil.tz.tz.tzutc": lambda kind, _seconds: kind(),
    "pydantic_core._pydantic_core.TzInfo": lambda kind, seconds: kind(seconds),
}
"""Class of a time zone with a fixed offset -> a function that builds the zone from the offset in seconds."""

_IP = [f"ipaddress.IPv{version}{kind}" for version in (4, 6) for kind in ("Address", "Interface", "Network")]
_URLS = ("pydantic_core._pydantic_core.MultiHostUrl", "pydantic_core._pydantic_core.Url")
_VALUE_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("fractions.Fraction", *_IP, *_URLS), str),
    "numpy.generic": arrays.number,
}
"""Class whose objects are built from one plain value -> a function that reads this value from an object."""

_CACHED_HASH = "_attrs_cached_hash"  # attrs computed it in the process that made the object
_UNSET = frozenset(
    {
        "attr._make._Nothing",
        "pydantic_core._pydantic_core.PydanticUndefinedType",
    }
)
"""Classes of the marks for a missing default. The one of `dataclasses` has no class of its own from Python 3.15 on."""

_FIELD_ATTRIBUTES = ("__dataclass_fields__", "__attrs_attrs__")
_PLAIN_TYPES = (str, int, float, bool, bytes, type(None))
_CONTAINER_TYPES = (dict, frozenset, list, set, tuple)


def find_imported(name: str) -> Any:
    """Return what has a dotted name in an imported module, without computing an attribute."""
    parts = name.split(".", _MOST_PARTS)
    if len(parts) == 1:
        return vars(builtins).get(name)
    for length in range(len(parts) - 1, 0, -1):
        target: Any = sys.modules.get(".".join(parts[:length]))
        if target is None:
            continue
        for name_part in parts[length:]:
            members = own_attributes(target) if issubclass(type(target), type) else instance_dict(target)
            target = members.get(name_part)
        return target
    return None


def find_mode(kind: type) -> str | None:
    """Return the mode of a class, or `None` if its objects cannot be rebuilt. The class must be found by its name."""
    mode = _mode_of(kind)
    return mode if mode in _TO_JSON and find_imported(full_name(kind)) is kind else None


def to_json(conversion: Conversion, value: Any, mode: str, form: Any, depth: int) -> dict[str, Any] | None:
    """Return the form of an object from which it can be rebuilt; `None` if it does not have what its class declares.

    Args:
        conversion: the conversion of the whole payload.
        value: the object.
        mode: the mode of its class.
        form: its form as it is shown to people; not used for the modes `WITHOUT_FORM`.
        depth: how deep it is nested.
    """
    if mode not in (MEMBER, *WITHOUT_FORM) and not (type(form) is dict and "fields" in form):
        return None
    try:
        restorable = _TO_JSON[mode](conversion, value, form, depth)
    except (AttributeError, TypeError, KeyError):  # the class does not work like others of its mode
        return None
    return None if restorable is None else {**restorable, "made": mode}


def zone_to_json(zone: Any) -> dict[str, Any] | None:
    """Return the form of a time zone of a library with one fixed offset, from which it can be rebuilt; else `None`."""
    name = full_name(type(zone))
    if name not in _ZONES or find_imported(name) is not type(zone):
        return None
    return {"$type": name, "made": ZONE, "seconds": zone.utcoffset(None).total_seconds()}


def make(recorded: DataObject) -> Any:
    """Rebuild an object from a trace.

    Raises:
        LookupError: the program has no such class now, or the class stores its data differently.
    """
    kind = find_imported(recorded.type)
    if not isinstance(kind, type) or _mode_of(kind) != recorded.made:
        raise LookupError(recorded.type)
    try:
        return _REBUILDERS[recorded.made](kind, recorded.parts)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise LookupError(recorded.type) from error


def _mode_of(kind: type) -> str | None:
    """Return the mode of a class, or `None` if its objects cannot be rebuilt."""
    names = {full_name(ancestor) for ancestor in lineage(kind)}
    if class_attribute(kind, "__del__") is not None:  # a finalizer does something with what the object holds
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
    is_written_in_python = all(
        ancestor.__flags__ & plain_objects.WRITTEN_IN_PYTHON for ancestor in lineage(kind)[:-1]
    )
    if "pydantic.main.BaseModel" in names and is_written_in_python:
        return MODEL if type(class_attribute(kind, "__pydantic_fields__")) is dict else None
    if any(class_attribute(kind, attribute_name) is not None for attribute_name in _FIELD_ATTRIBUTES):
        return OBJECT if is_written_in_python else None
    return None if plain_objects.find_base(kind) is None else PLAIN


def _value_class(kind: type) -> str | None:
    """Return the name of a class in `_VALUE_READERS`. A subclass that the program defines may hold more, so it has none."""
    if kind.__flags__ & plain_objects.WRITTEN_IN_PYTHON:
        return full_name(kind) if full_name(kind) in _VALUE_READERS else None
    return next((name for name in map(full_name, lineage(kind)) if name in _VALUE_READERS), None)


def _value_to_json(conversion: Conversion, value: Any, _form: Any, depth: int) -> dict[str, Any]:
    kind = type(value)
    json = conversion.convert(_VALUE_READERS[str(_value_class(kind))](value), depth + 1)
    return {"$type": full_name(kind), "value": json}


def _object_to_json(conversion: Conversion, value: Any, form: Any, depth: int) -> dict[str, Any]:
    """Return the fields, and what else the object holds."""
    attributes = plain_objects.read_attributes(value)
    if _CACHED_HASH in attributes:
        raise TypeError
    return {
        **form,
        **_missing_fields_entry(type(value), OBJECT, form),
        **_extra_attributes_entry(conversion, attributes, form, depth),
    }


def _missing_fields_entry(kind: type, mode: str, form: Any) -> dict[str, Any]:
    """Return which fields are missing in an object, as in one that was created without its constructor."""
    missing = _missing_fields(kind, mode, form["fields"])
    return {"without": list(missing)} if missing else {}


def _extra_attributes_entry(
    conversion: Conversion, attributes: Mapping[str, Any], form: Any, depth: int
) -> dict[str, Any]:
    """Return what an object holds besides its fields, such as cached properties."""
    more = [
        (name, value)
        for name, value in attributes.items()
        if name not in form["fields"] and name not in plain_objects.NOT_ATTRIBUTES
    ]
    return {"beside": conversion.pairs(more, len(more), depth + 1)} if more else {}


def _model_to_json(conversion: Conversion, value: Any, form: Any, depth: int) -> dict[str, Any]:
    """Return the fields, the names of those set and of those not declared, private attributes, and all else."""
    fields_set = sorted(attribute(value, "__pydantic_fields_set__"))
    result = {**form, "given": conversion.items(fields_set, len(fields_set), depth + 1)}
    result |= _missing_fields_entry(type(value), MODEL, form) | _extra_attributes_entry(
        conversion, dict(instance_dict(value)), form, depth
    )
    with suppress(AttributeError):  # a model of one value has neither
        extra = attribute(value, "__pydantic_extra__")
        if extra is not None:
            result["extra"] = conversion.items(list(extra), len(extra), depth + 1)
        private = attribute(value, "__pydantic_private__")
        if private is not None:
            result["private"] = conversion.pairs(private.items(), len(private), depth + 1)
    return result


def _member_to_json(conversion: Conversion, value: Any, form: Any, _depth: int) -> dict[str, Any] | None:
    """Return the name and the value of a member. Several flags together have no name, only a value."""
    kind, name = type(value), attribute(value, "_name_")
    result = {"$type": conversion.clean(full_name(kind))}
    if class_attribute(kind, "_member_map_").get(name) is value:
        return {**result, "name": name, "value": form}
    return {**result, "value": form} if enum.Flag in lineage(kind) else None


def _rebuild_object(kind: type, parts: Mapping[str, Any]) -> Any:
    rebuilt: Any = object.__new__(kind)
    plain_objects.set_attributes(rebuilt, {**_current_fields(kind, OBJECT, parts), **parts.get("beside", {})})
    return rebuilt


def _current_fields(kind: type, mode: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the class declares now. A field that is new has its default, if that is plain.

    Raises:
        LookupError: a new field has no such default, for example because it was renamed.
    """
    now, recorded, without = _declared_fields(kind, mode), parts["fields"], parts.get("without", ())
    kept = {name: value for name, value in recorded.items() if now is None or name in now}
    added = {
        name: field for name, field in _missing_fields(kind, mode, recorded).items() if name not in without
    }
    return kept | {name: _default(field) for name, field in added.items()}


def _declared_fields(kind: type, mode: str) -> dict[str, Any] | None:
    """Return the fields that a class declares, by name; `None` if it declares none."""
    if mode == MODEL:
        return cast("dict[str, Any]", class_attribute(kind, "__pydantic_fields__"))
    attrs_fields = class_attribute(kind, "__attrs_attrs__")
    if attrs_fields is not None:
        return {field.name: field for field in attrs_fields}
    is_dataclass = class_attribute(kind, "__dataclass_fields__") is not None
    return {field.name: field for field in dataclasses.fields(kind)} if is_dataclass else None


def _missing_fields(kind: type, mode: str, present: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that every object of a class has and that are not present."""
    missing = {
        name: field for name, field in (_declared_fields(kind, mode) or {}).items() if name not in present
    }
    return {name: field for name, field in missing.items() if _is_always_stored(kind, name, field)}


def _is_always_stored(kind: type, name: str, field: Any) -> bool:
    """Return whether the constructor always stores a field: it has a value, and no property replaces it."""
    class_value = class_attribute(kind, name)
    if (
        type(class_value) is not types.MemberDescriptorType
        and class_attribute(type(class_value), "__get__") is not None
    ):
        return False
    return field.init is not False or not _is_unset(field.default)


def _default(field: Any) -> Any:
    default = field.default
    factory: Any = getattr(default, "factory", getattr(field, "default_factory", None))
    if type(default) in _CONTAINER_TYPES and not default:
        factory = type(default)
    if any(factory is container_type for container_type in _CONTAINER_TYPES):
        return factory()
    if not _is_unset(default) and type(default) in _PLAIN_TYPES:
        return default
    raise LookupError


def _is_unset(default: Any) -> bool:
    return default is dataclasses.MISSING or full_name(type(default)) in _UNSET


def _rebuild_model(kind: type, parts: Mapping[str, Any]) -> Any:
    rebuilt: Any = object.__new__(kind)
    extra = parts.get("extra")
    fields = _current_fields(kind, MODEL, parts) | parts.get("beside", {})
    internals = {
        "__pydantic_fields_set__": {
            name for name in parts["given"] if name in fields or name in (extra or ())
        },
        "__pydantic_extra__": None if extra is None else {name: parts["fields"][name] for name in extra},
        "__pydantic_private__": parts.get("private"),
    }
    object.__setattr__(rebuilt, "__dict__", fields)
    for name, value in internals.items():
        if type(class_attribute(kind, name)) is types.MemberDescriptorType:
            object.__setattr__(rebuilt, name, value)
    return rebuilt


def _rebuild_tuple(kind: Any, parts: Mapping[str, Any]) -> Any:
    names = class_attribute(kind, "_fields")
    rebuilt = tuple.__new__(kind, [parts["fields"][name] for name in names])
    plain_objects.set_attributes(rebuilt, parts.get("beside", {}))
    return rebuilt


def _rebuild_member(kind: Any, parts: Mapping[str, Any]) -> Any:
    if "name" in parts:
        return class_attribute(kind, "_member_map_")[parts["name"]]
    member = class_attribute(kind, "_value2member_map_").get(parts["value"])
    if member is None:  # a user who edits an answer may write the name
        member = class_attribute(kind, "_member_map_").get(parts["value"])
    if member is None and enum.Flag in lineage(kind):
        # Several flags that the program has not combined yet. Python 3.11.2 drops bits that are no flag.
        member = vars(enum.Flag)["_missing_"].__func__(kind, parts["value"])
        if getattr(member, "_value_", None) != parts["value"]:
            raise LookupError
    if member is None:
        raise LookupError
    return member


_TO_JSON: dict[str, Callable[[Conversion, Any, Any, int], dict[str, Any] | None]] = {
    OBJECT: _object_to_json,
    MODEL: _model_to_json,
    TUPLE: lambda conversion, value, form, depth: {
        **form,
        **_extra_attributes_entry(conversion, dict(instance_dict(value)), {"fields": {}}, depth),
    },
    MEMBER: _member_to_json,
    PLAIN: lambda conversion, value, _form, depth: plain_objects.to_json(conversion, value, depth),
    VALUE: _value_to_json,
    ARRAY: lambda conversion, value, _form, depth: arrays.to_json(conversion, value, depth),
}
_REBUILDERS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    OBJECT: _rebuild_object,
    MODEL: _rebuild_model,
    TUPLE: _rebuild_tuple,
    MEMBER: _rebuild_member,
    ZONE: lambda kind, parts: _ZONES[full_name(kind)](kind, parts["seconds"]),
    PLAIN: plain_objects.rebuild,
    VALUE: lambda kind, parts: kind(parts["value"]),
    ARRAY: arrays.rebuild,
}
