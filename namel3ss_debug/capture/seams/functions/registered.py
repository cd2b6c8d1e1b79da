"""Find the functions that a program has registered as tools, when a model requests a call of them.

A program looks a tool up by its name: in a dict, among the attributes of an object, in a module or a class. So the
objects that refer to the name lead to the function: a lambda in a dict, a method of a tool object, a function of an
installed package, what a `functools.partial` or a callable object calls. Only the garbage collector's references are
followed, so no code of the program runs.

What is found may be too much, such as a function of a library that has the same name. The caller records a call only if
it got the arguments that the model requested.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from types import FunctionType, MethodType
from typing import Any

from namel3ss_debug.capture.core.callsite import innermost, is_library
from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER

_MOST_NAMESAKES = 8
"""How many functions of a name may be defined in the packages that run; with more, the name is too common."""

_MOST_ITEMS = 1000
_MOST_WRAPPED = 20
_LONGEST_RECORD = 8
"""How many items a tuple or list may have in which a name stands beside its function."""

_HEAP_TYPE = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: a class that Python code defines."""

_NAMESPACE = frozenset({"__module__", "__spec__", "__builtins__"})
"""Keys of the dicts of classes and modules."""

_CACHED = type(lru_cache(len))
_DEFINED = (FunctionType, staticmethod, classmethod)
_PACKAGES = tuple(
    os.path.join(os.path.dirname(os.__file__), folder) + os.sep
    for folder in ("site-packages", "dist-packages")
)
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep


@dataclass(frozen=True)
class FoundFunction:
    """A function that the program may run as a tool.

    Attributes:
        function: the function.
        bound: the arguments that a partial binds, by name.
        is_registered: whether it stands beside the name of the tool, in a dict or an object. Otherwise a module or class
            defines it under that name.
    """

    function: FunctionType
    bound: Mapping[str, Any]
    is_registered: bool


def find_functions(names: Collection[str]) -> dict[str, list[FoundFunction]]:
    """Return the functions that the program may run as the tools of these names.

    Functions of the standard library are not among them: recording calls them itself.
    """
    wanted = {sys.intern(name) for name in names}
    packages = _packages_on_stack()
    holders = _holders(wanted)  # before there are dicts of our own with these names
    found: dict[str, dict[FunctionType, FoundFunction]] = {name: {} for name in wanted}
    defined: dict[str, dict[FunctionType, FoundFunction]] = {name: {} for name in wanted}
    for holder in holders:
        for name in wanted:
            for value, function in _unwrap_all(_registered_in(holder, name)):
                found[name].setdefault(
                    function, FoundFunction(function, _bound_in(value), is_registered=True)
                )
            for value, function in _unwrap_all(_defined_in(holder, name)):
                path = function.__code__.co_filename
                if not is_library(path) or package_of(function.__globals__) in packages:
                    defined[name][function] = FoundFunction(function, _bound_in(value), is_registered=False)
    for name, functions in defined.items():
        if len(functions) <= _MOST_NAMESAKES:
            found[name] |= {each: functions[each] for each in functions if each not in found[name]}
    return {name: [*functions.values()] for name, functions in found.items() if functions}


def _registered_in(holder: Any, name: str) -> Iterable[Any]:
    """Yield the values that an object, a dict or a short record refers to together with a name."""
    kind = type(holder)
    if kind is dict:
        if not _NAMESPACE.isdisjoint(holder):
            return
        if name in holder:
            value = holder[name]
            yield value
            if unwrap(value) is None:  # an object that has the function
                yield from _members(value)
        if _is_named(holder, name):
            yield from islice(list(holder.values()), _MOST_ITEMS)
        return
    is_record = (kind is tuple or kind is list) and len(holder) <= _LONGEST_RECORD
    if is_record or (kind.__flags__ & _HEAP_TYPE and not issubclass(kind, type)):
        values = gc.get_referents(holder)
        if any(type(value) is str and value == name for value in values):
            yield from values


def _defined_in(holder: Any, name: str) -> Iterable[Any]:
    """Yield the functions of a name that a module or class defines, and the methods of a class of tools of this name."""
    if type(holder) is FunctionType and holder.__name__ == name:
        yield holder
    if type(holder) is not dict or _NAMESPACE.isdisjoint(holder):
        return
    if name in holder:
        yield holder[name]
    if "__module__" in holder and _is_named(holder, name):
        for key, value in list(holder.items()):
            if type(value) in _DEFINED and (key == "__call__" or not key.startswith("__")):
                yield value


def _is_named(attributes: dict[Any, Any], name: str) -> bool:
    """Return whether an attribute such as `name` or `tool_name` is the name."""
    return any(
        type(value) is str and value == name and type(key) is str and "name" in key.lower()
        for key, value in islice(list(attributes.items()), _MOST_ITEMS)
    )


def _members(value: Any) -> Iterator[Any]:
    """Yield what the attributes of an object refer to."""
    for member in islice(gc.get_referents(value), _MOST_ITEMS):
        yield member
        if type(member) is dict and not issubclass(type(value), type):
            yield from islice(list(member.values()), _MOST_ITEMS)


def _unwrap_all(values: Iterable[Any]) -> Iterator[tuple[Any, FunctionType]]:
    for value in values:
        try:
            function = unwrap(value)
        except Exception:  # a class may define even the lookup of its attributes
            continue
        if function is not None and not _is_excluded(function.__code__.co_filename):
            yield value, function


def _bound_in(value: Any) -> dict[str, Any]:
    """Return the arguments that a partial binds, by name; {} for other objects."""
    if not issubclass(type(value), partial):
        return {}
    function = unwrap(value)
    names = () if function is None else function.__code__.co_varnames[: function.__code__.co_argcount]
    by_place: dict[str, Any] = dict(zip(names[type(value.func) is MethodType :], value.args, strict=False))
    return {**by_place, **value.keywords}


def _is_excluded(path: str) -> bool:
    standard = path.startswith(_STANDARD_LIBRARY) and not path.startswith(_PACKAGES)
    return standard or path.startswith((PACKAGE_FOLDER, "<frozen "))


def _packages_on_stack() -> set[str]:
    """Return the packages whose functions run now: one of them sends the request, and may run its tools."""
    packages = set()
    frame = innermost(1)
    while frame is not None:
        packages.add(package_of(frame.f_globals))
        frame = frame.f_back
    return packages - sys.stdlib_module_names


def package_of(space: dict[str, Any]) -> str:
    """Return the top package of a module from its globals; "" if it has none."""
    name = space.get("__name__")
    return name.partition(".")[0] if isinstance(name, str) else ""


def unwrap(value: Any) -> FunctionType | None:
    """Return the function that a call of an object runs in the end; None if it is none of Python's kinds.

    The object is a function, a method, a partial, or an instance of a class with `__call__`.
    """
    for _ in range(_MOST_WRAPPED):
        kind = type(value)
        if kind is FunctionType:
            wrapped = value.__dict__.get("__wrapped__")
            if wrapped is None:
                return value  # type: ignore[no-any-return]
            value = wrapped
        elif kind is MethodType or kind is staticmethod or kind is classmethod:
            value = value.__func__
        elif issubclass(kind, partial):
            value = value.func
        elif kind is _CACHED:
            value = value.__wrapped__
        elif issubclass(kind, type):
            return None
        else:
            value = next((vars(base)["__call__"] for base in kind.__mro__ if "__call__" in vars(base)), None)
            # A followed framework records such calls itself, under the name of each object of the class.
            if type(value) is FunctionType and value.__code__.co_filename.startswith(PACKAGE_FOLDER):
                return None
    return None


def _holders(names: set[str]) -> list[Any]:
    """Return the objects that refer to one of the names, and the dicts that have one as a key.

    The collector does not follow the keys of a dict that are all texts.
    """
    dicts = [each for each in gc.get_objects() if type(each) is dict]
    with_keys = [each for name in names for each in dicts if name in each]
    referring = [each for each in gc.get_referrers(*names) if each is not names]
    return list({id(each): each for each in (*with_keys, *referring)}.values())
