"""Objects that are only attributes and the value of a built-in base class, recorded so that they can be made again.

Such an object is recorded whole or not at all: made from a part of it, it would be another object. What is put back
is what pickle puts back by default. A class with its own way of pickling is left out, for only it knows what its
objects are.
"""

from __future__ import annotations

import copyreg
import sys
import types
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from namel3ss_debug.capture.payloads.contract import Conversion
from namel3ss_debug.capture.payloads.looks import (
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
"""Classes with a way of their own to be pickled, which does no more than the default."""

_ENDINGS = ("__exit__", "__aexit__")
_OF_NO_LIBRARY = frozenset(
    {
        "abc.ABC", "argparse.Namespace", "argparse._AttributeHolder", "collections.UserDict", "collections.UserList",
        "collections.UserString", "subprocess.CompletedProcess",
    }
)  # fmt: skip
"""Of the classes of the standard library those that only hold data, or nothing; others, such as queues, are ways to other work."""

_SECRETS = frozenset({"pydantic.types._SecretBase", "pydantic.v1.types.SecretField"})
"""Classes that are there to keep out of logs what they hold."""

NOT_HELD = frozenset({"__dict__", "__weakref__", "__orig_class__"})
"""What stands in an object and is no attribute of its own."""


def base_of(kind: type) -> type | None:
    """The built-in class that the objects of a class are of besides their attributes, mostly `object`.

    Returns:
        `None` where there may be more to them: they are made or pickled in a way of their own, are to be closed, hold
        secrets, or have memory that C reads; or where they belong to a part of the standard library that does
        something.
    """
    base = _built_in(kind)
    if base not in _PARTS and not _is_exception(base, kind):
        return None
    added = [each for each in lineage(kind) if each not in lineage(base)]
    names = {full_name(each) for each in added}
    if not _all_in_sight(kind, base, added) or names & _SECRETS or any(map(_does_something, added)):
        return None
    own = {name for name in _PICKLED_BY if class_attribute(kind, name) is not class_attribute(base, name)}
    if (own and not names & _PICKLED_BY_DEFAULT) or kind in copyreg.dispatch_table:
        return None
    if any(class_attribute(kind, name) is not None for name in _ENDINGS):
        return None
    made_by = class_attribute(kind, "__new__"), class_attribute(type(kind), "__call__")
    is_made_as_usual = made_by == (vars(object)["__new__"], vars(type)["__call__"])
    return base if is_made_as_usual or (base is not object and added) or _is_exception(base, kind) else None


def stored(value: Any) -> dict[str, Any]:
    """The attributes of an object, those in slots as well."""
    held = dict(instance_dict(value))
    for ancestor in lineage(type(value)):
        for name, slot in own_attributes(ancestor).items():
            if type(slot) is types.MemberDescriptorType and ancestor.__flags__ & WRITTEN_IN_PYTHON:
                with suppress(AttributeError):  # it is not set
                    held[name] = slot.__get__(value)
    return {name: part for name, part in held.items() if name not in NOT_HELD}


def put(made: Any, held: Mapping[str, Any]) -> None:
    """Put into an object what it held, where it is stored: in a slot, or in its dict, whatever stands in the class."""
    for name, value in held.items():
        slot = class_attribute(type(made), name)
        if type(slot) is types.MemberDescriptorType:
            slot.__set__(made, value)
        else:
            instance_dict(made)[name] = value


def told(conversion: Conversion, value: Any, depth: int) -> dict[str, Any] | None:
    """What an object of such a class holds; `None` where that is nothing, so that all it is is which one it is.

    Returns:
        The attributes of an object stand in `fields`, as those of an exception do beside its arguments in `items`. What
        another built-in class has is in `fields` where it is a dict with names, else in `items` or `value`, and then
        the attributes are in `beside`.
    """
    base, held = _built_in(type(value)), stored(value)
    form: dict[str, Any] = {"$type": conversion.clean(full_name(type(value)))}
    if base is object and not held:
        return None
    name = "fields" if base is object or issubclass(base, Exception) else "beside"
    if base is not object:
        form |= _content(conversion.convert(_part(base)(value), depth))
    if held:
        form[name] = conversion.pairs(held.items(), len(held), depth + 1)
    return form


def made(kind: Any, parts: Mapping[str, Any]) -> Any:
    """The object that was told.

    Raises:
        KeyError: the class is another one by now.
    """
    base: Any = _built_in(kind)
    if base is object:
        made = object.__new__(kind)
    elif base is dict:
        made = dict.__new__(kind)
        dict.update(made, parts["items"] if "items" in parts else parts["fields"])
    elif base in (list, set):
        made = base.__new__(kind)
        (list.extend if base is list else set.update)(made, parts["items"])
    elif issubclass(base, Exception):
        made = base.__new__(kind, *parts["items"])
    else:
        made = base.__new__(kind, parts["items" if base in (tuple, frozenset) else "value"])
    has_fields = base is object or issubclass(base, Exception)
    put(made, parts.get("fields" if has_fields else "beside", {}))
    return made


def _content(form: Any) -> dict[str, Any]:
    """What a built-in object holds, by the name of its part in a form."""
    if type(form) is list:
        return {"items": form}
    if type(form) is not dict or ("$type" in form and "items" not in form):
        return {"value": form}
    return {"items": form["items"]} if "$type" in form else {"fields": form}


def _built_in(kind: type) -> type:
    """The nearest ancestor of a class, or itself, that is not written in Python."""
    return next(each for each in lineage(kind) if not each.__flags__ & WRITTEN_IN_PYTHON)


def _is_exception(base: type, kind: type) -> bool:
    """Whether a built-in class is one of exceptions that hold their arguments alone, or those by which the system names its own."""
    if not issubclass(base, Exception):
        return False
    if issubclass(base, OSError):
        return type(class_attribute(kind, "__init__")) is types.WrapperDescriptorType
    return base.__basicsize__ == BaseException.__basicsize__


def _all_in_sight(kind: type, base: type, added: list[type]) -> bool:
    """Whether the memory of the objects of a class is that of a built-in one, its dict, its slots, and nothing else."""
    slots = sum(
        type(member) is types.MemberDescriptorType
        for each in added
        for member in own_attributes(each).values()
    )
    has_dict = kind.__dictoffset__ != base.__dictoffset__ and not kind.__flags__ & _HAS_MANAGED_DICT
    has_weak_references = kind.__weakrefoffset__ > 0 and not base.__weakrefoffset__
    parts = slots + has_dict + has_weak_references
    is_as_large = kind.__basicsize__ == base.__basicsize__ + _POINTER * parts
    return is_as_large and all(each.__flags__ & WRITTEN_IN_PYTHON for each in added)


def _does_something(kind: type) -> bool:
    """Whether a class is one of the standard library that is there to do something."""
    package, name = str(kind.__module__).partition(".")[0], full_name(kind)
    if package not in sys.stdlib_module_names or name in _OF_NO_LIBRARY:
        return False
    return not name.startswith(("collections.abc.", "typing."))


def _part(base: type) -> Callable[[Any], Any]:
    """What takes out of an object what its built-in class has, as an object of that class."""
    if base in _PARTS:
        return _PARTS[base]
    reduced = class_attribute(base, "__reduce__")
    return lambda error: reduced(error)[1]  # the arguments, with those by which the system names a file


_PARTS: dict[type, Callable[[Any], Any]] = {
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
