"""Looking at foreign objects without running their code: through `type`, `object` and the built-in types.

A class of the traced program may override whatever Python lets it override, so `isinstance`, `getattr` and `len` may
raise, lie or load rows from a database. Everything here goes around such overrides, or says that it does not.
"""

from __future__ import annotations

import contextlib
import functools
import opcode
import re
import signal
import types
from typing import Any, cast

_mro = type.__dict__["__mro__"].__get__
_class_dict = type.__dict__["__dict__"].__get__
_module = type.__dict__["__module__"].__get__
_qualname = type.__dict__["__qualname__"].__get__
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]{4,16}| id='\d{9,20}'")
_RAISE = opcode.opmap["RAISE_VARARGS"]
_MISSING = object()


def lineage(kind: type) -> tuple[type, ...]:
    """The class and all it inherits from, in the order of method resolution."""
    return cast("tuple[type, ...]", _mro(kind))


def own_attributes(kind: type) -> types.MappingProxyType[str, Any]:
    """What the body of a class defined, without what it inherits."""
    return cast("types.MappingProxyType[str, Any]", _class_dict(kind))


def class_attribute(kind: type, name: str) -> Any:
    """What a class or one of its ancestors defined under a name, as it stands in the class; `None` if nothing."""
    for ancestor in lineage(kind):
        found = own_attributes(ancestor).get(name, _MISSING)
        if found is not _MISSING:
            return found
    return None


def class_name(kind: type) -> tuple[str, str]:
    """Module and qualified name of a class."""
    module, name = _module(kind), _qualname(kind)
    return (module if type(module) is str else "?"), name


def full_name(kind: type) -> str:
    """`package.module.Class`; built-in types without a module."""
    module, name = class_name(kind)
    return name if module == "builtins" else f"{module}.{name}"


def instance_dict(value: object) -> dict[Any, Any]:
    """The attributes set on an object; empty if it has no `__dict__` or overrides it."""
    for ancestor in lineage(type(value)):
        descriptor = own_attributes(ancestor).get("__dict__")
        if descriptor is not None and type(descriptor) in (
            types.GetSetDescriptorType,
            types.MemberDescriptorType,
        ):
            found = descriptor.__get__(value)
            return found if type(found) is dict else {}
    return {}


def attribute(value: object, name: str) -> Any:
    """An attribute as it is stored: in the instance, in a slot, or a plain value of the class.

    Raises:
        AttributeError: it is not stored, but computed when asked for, or not set.
    """
    stored = instance_dict(value)
    if name in stored:
        return stored[name]
    found = class_attribute(type(value), name)
    if type(found) is types.MemberDescriptorType:
        return found.__get__(value)
    if found is None or class_attribute(type(found), "__get__") is not None:
        raise AttributeError(name)
    return found


def function_name(function: Any) -> str:
    """`package.module.function` of a function, method or coroutine function; runs no code of the program's."""
    function = getattr(function, "__func__", function)
    name, module = getattr(function, "__qualname__", "?"), getattr(function, "__module__", None)
    return f"{module}.{name}" if type(module) is str and module != "builtins" else str(name)


def without_address(text: str) -> str:
    """A `repr` without memory addresses, which differ from run to run."""
    return _ADDRESS.sub("", text)


def from_signal(error: BaseException) -> bool:
    """Whether an exception comes from a signal rather than from the object that was being looked at.

    A handler of the program's is in the traceback. Python's own handler of Ctrl-C is written in C and leaves none;
    then the exception did not begin at a `raise`.
    """
    codes = [frame.f_code for frame in _frames(error)]
    if isinstance(error, KeyboardInterrupt) and not _began_at_raise(error):
        return True
    return any(handler in codes for handler in _handlers())


def _frames(error: BaseException) -> list[types.FrameType]:
    frames = []
    place = error.__traceback__
    while place is not None:
        frames.append(place.tb_frame)
        place = place.tb_next
    return frames


def _began_at_raise(error: BaseException) -> bool:
    place = error.__traceback__
    if place is None:
        return False
    while place.tb_next is not None:
        place = place.tb_next
    return place.tb_frame.f_code.co_code[place.tb_lasti] == _RAISE


def _handlers() -> list[types.CodeType]:
    """The code of all signal handlers that are written in Python."""
    found = []
    for number in signal.valid_signals():
        handler: Any = None
        with contextlib.suppress(ValueError, OSError):
            handler = signal.getsignal(number)
        while isinstance(handler, functools.partial):
            handler = handler.func
        handler = getattr(handler, "__func__", handler)
        code = getattr(handler, "__code__", None)
        if isinstance(code, types.CodeType):
            found.append(code)
    return found
