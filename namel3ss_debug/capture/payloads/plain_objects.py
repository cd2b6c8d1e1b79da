"""Objects that consist of attributes and the value of a built-in base class, recorded so that they can be rebuilt.

Such an object is recorded as a whole or not at all, because one rebuilt from a part of it would be another object.
What pickle restores by default is restored here. A class that defines its own pickling is left out, because only the
class knows what its objects consist of.
"""

from __future__ import annotations

import copyreg
import sys
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from namel3ss_debug.capture.payloads.contract import Conversion
from namel3ss_debug.capture.payloads.introspection import (
    class_attribute,
    full_name,
    instance_dict,
    lineage,
    own_attributes,
)

WRITTEN_IN_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_HAS_MANAGED_DICT = 1 << 4  # Py_TPFLAGS_MANAGED_DICT
_POINTER = tuple.__itemsize__

_PICKLED_BY = (
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__getnewargs__",
    "__getnewargs_ex__",
)
_PICKLED_BY_DEFAULT = frozenset({"pydantic.v1.main.BaseModel"})
"""Classes that define their own pickling, although it does no more than the default."""

_EXIT_METHODS = ("__exit__", "__aexit__")
_LIBRARY_DATA_CLASSES = frozenset(
    {
        "abc.ABC", "argparse.Namespace", "argparse._AttributeHolder", "collections.UserDict", "collections.UserList",
        "collections.UserString", "subprocess.CompletedProcess",
    }
)  # fmt: skip
"""Classes of the standard library that only hold data. Others, such as queues, are connected to something else."""

_SECRETS = frozenset({"pydantic.types._SecretBase", "pydantic.v1.types.SecretField"})
"""Classes that exist to keep their content out of logs."""

NOT_ATTRIBUTES = frozenset({"__dict__", "__weakref__", "__orig_class__"})
"""Entries of an object's `__dict__` and slots that are not its own attributes."""


def find_base(kind: type) -> type | None:
    """Return the built-in class to which the objects of a class only add attributes, mostly `object`.

    Returns:
        `None` if the objects may consist of more: their class defines how they are created or pickled, or that they
        are closed; they hold secrets or memory that C code reads; or they belong to an active part of the standard
        library.
    """
    base = _nearest_builtin(kind)
    if base not in _VALUE_READERS and not _is_simple_exception(base, kind):
        return None
    added = [ancestor for ancestor in lineage(kind) if ancestor not in lineage(base)]
    names = {full_name(ancestor) for ancestor in added}
    if (
        not _is_fully_visible(kind, base, added)
        or names & _SECRETS
        or any(map(_is_active_library_class, added))
    ):
        return None
    own_pickling = {
        name for name in _PICKLED_BY if class_attribute(kind, name) is not class_attribute(base, name)
    }
    if (own_pickling and not names & _PICKLED_BY_DEFAULT) or kind in copyreg.dispatch_table:
        return None
    if any(class_attribute(kind, name) is not None for name in _EXIT_METHODS):
        return None
    created_by = class_attribute(kind, "__new__"), class_attribute(type(kind), "__call__")
    is_created_by_default = created_by == (vars(object)["__new__"], vars(type)["__call__"])
    return (
        base
        if is_created_by_default or (base is not object and added) or _is_simple_exception(base, kind)
        else None
    )


def read_attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, including those in slots."""
    attributes = dict(instance_dict(value))
    for ancestor in lineage(type(value)):
        for name, slot in own_attributes(ancestor).items():
            if type(slot) is types.MemberDescriptorType and ancestor.__flags__ & WRITTEN_IN_PYTHON:
                with suppress(AttributeError):  # it is not set
                    attributes[name] = slot.__get__(value)
    return {name: item for name, item in attributes.items() if name not in NOT_ATTRIBUTES}


def set_attributes(target: Any, attributes: Mapping[str, Any]) -> None:
    """Set the attributes of an object where Python stores them, in slots or its dict, without running setters."""
    for name, value in attributes.items():
        slot = class_attribute(type(target), name)
        if type(slot) is types.MemberDescriptorType:
            slot.__set__(target, value)
        else:
            instance_dict(target)[name] = value


def to_json(conversion: Conversion, value: Any, depth: int) -> dict[str, Any] | None:
    """Return an object as JSON, or `None` if it has no attributes and no value: then only its identity matters.

    Returns:
        Attributes of a plain object or an exception are in `fields`; the arguments of an exception are in `items`. The
        value of another built-in class is in `fields` if it is a dict with names, else in `items` or `value`; then
        the attributes are in `beside`.
    """
    base, attributes = _nearest_builtin(type(value)), read_attributes(value)
    form: dict[str, Any] = {"$type": conversion.clean(full_name(type(value)))}
    if base is object and not attributes:
        return None
    name = "fields" if base is object or issubclass(base, Exception) else "beside"
    if base is not object:
        form |= _content_fields(conversion.convert(_value_reader(base)(value), depth))
    if attributes:
        form[name] = conversion.pairs(attributes.items(), len(attributes), depth + 1)
    return form


def rebuild(kind: Any, parts: Mapping[str, Any]) -> Any:
    """Rebuild an object from its JSON form.

    Raises:
        KeyError: the class has changed since.
    """
    base: Any = _nearest_builtin(kind)
    if base is object:
        rebuilt = object.__new__(kind)
    elif base is dict:
        rebuilt = dict.__new__(kind)
        dict.update(rebuilt, parts["items"] if "items" in parts else parts["fields"])
    elif base in (list, set):
        rebuilt = base.__new__(kind)
        (list.extend if base is list else set.update)(rebuilt, parts["items"])
    elif issubclass(base, Exception):
        rebuilt = base.__new__(kind, *parts["items"])
    else:
        rebuilt = base.__new__(kind, parts["items" if base in (tuple, frozenset) else "value"])
    has_fields = base is object or issubclass(base, Exception)
    set_attributes(rebuilt, parts.get("fields" if has_fields else "beside", {}))
    return rebuilt


def _content_fields(form: Any) -> dict[str, Any]:
    """Return the value of a built-in class under the key that it has in a form."""
    if type(form) is list:
        return {"items": form}
    if type(form) is not dict or ("$type" in form and "items" not in form):
        return {"value": form}
    return {"items": form["items"]} if "$type" in form else {"fields": form}


def _nearest_builtin(kind: type) -> type:
    """Return the class itself or its nearest ancestor that is not written in Python."""
    return next(ancestor for ancestor in lineage(kind) if not ancestor.__flags__ & WRITTEN_IN_PYTHON)


def _is_simple_exception(base: type, kind: type) -> bool:
    """Return whether a built-in exception class holds only its arguments.

    An `OSError` keeps an error number and file names, which are arguments as well unless the class has its own
    `__init__`.
    """
    if not issubclass(base, Exception):
        return False
    if issubclass(base, OSError):
        return type(class_attribute(kind, "__init__")) is types.WrapperDescriptorType
    return base.__basicsize__ == BaseException.__basicsize__


def _is_fully_visible(kind: type, base: type, added: list[type]) -> bool:
    """Return whether an object consists of the value of its built-in class, its dict and its slots alone."""
    slots = sum(
        type(member) is types.MemberDescriptorType
        for ancestor in added
        for member in own_attributes(ancestor).values()
    )
    has_dict = kind.__dictoffset__ != base.__dictoffset__ and not kind.__flags__ & _HAS_MANAGED_DICT
    has_weak_references = kind.__weakrefoffset__ > 0 and not base.__weakrefoffset__
    pointers = slots + has_dict + has_weak_references
    has_no_other_memory = kind.__basicsize__ == base.__basicsize__ + _POINTER * pointers
    return has_no_other_memory and all(ancestor.__flags__ & WRITTEN_IN_PYTHON for ancestor in added)


def _is_active_library_class(kind: type) -> bool:
    """Return whether a class belongs to an active part of the standard library, and is not only a container of data."""
    package, name = str(kind.__module__).partition(".")[0], full_name(kind)
    if package not in sys.stdlib_module_names or name in _LIBRARY_DATA_CLASSES:
        return False
    return not name.startswith(("collections.abc.", "typing."))


def _value_reader(base: type) -> Callable[[Any], Any]:
    """Return the function that reads the value of a built-in class from an object."""
    if base in _VALUE_READERS:
        return _VALUE_READERS[base]
    reduced = class_attribute(base, "__reduce__")
    return lambda error: reduced(error)[1]  # unlike `args`, these include the file names of an `OSError`


_VALUE_READERS: dict[type, Callable[[Any], Any]] = {
    bytes: lambda value: bytes(memoryview(value)),
    dict: lambda value: dict(dict.items(value)),
    float: float.__float__,
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    int: int.__int__,
    list: lambda value: list(list.__iter__(value)),
    object: lambda _value: None,
    set: lambda value: set(set.__iter__(value)),
    str: str.__str__,
    tuple: lambda value: tuple(tuple.__iter__(value)),
}
