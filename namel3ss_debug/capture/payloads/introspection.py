"""Reads foreign objects without running their code: through `type`, `object` and the built-in types.

A class of the traced program may override whatever Python lets it override, so `isinstance`, `getattr` and `len` may
raise, lie or load rows from a database. The functions here avoid such overrides.
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
    """Return the class and all its ancestors, in method resolution order."""
    return cast("tuple[type, ...]", _mro(kind))


def own_attributes(kind: type) -> types.MappingProxyType[str, Any]:
    """Return what the body of a class defined, without what it inherits."""
    return cast("types.MappingProxyType[str, Any]", _class_dict(kind))


def class_attribute(kind: type, name: str) -> Any:
    """Return what a class or its nearest ancestor defines under a name, without binding it; `None` if nothing."""
    for ancestor in lineage(kind):
        defined = own_attributes(ancestor).get(name, _MISSING)
        if defined is not _MISSING:
            return defined
    return None


def class_name(kind: type) -> tuple[str, str]:
    """Return the module and the qualified name of a class."""
    module, name = _module(kind), _qualname(kind)
    return (module if type(module) is str else "?"), name


def full_name(kind: type) -> str:
    """Return `package.module.Class`; for built-in types the name alone."""
    module, name = class_name(kind)
    return name if module == "builtins" else f"{module}.{name}"


def instance_dict(value: object) -> dict[Any, Any]:
    """Return the attributes set on an object; empty if it has no `__dict__` or overrides it."""
    for ancestor in lineage(type(value)):
        descriptor = own_attributes(ancestor).get("__dict__")
        if descriptor is not None and type(descriptor) in (
            types.GetSetDescriptorType,
            types.MemberDescriptorType,
        ):
            attributes = descriptor.__get__(value)
            return attributes if type(attributes) is dict else {}
    return {}


def attribute(value: object, name: str) -> Any:
    """Return an attribute as it is stored: in the instance, in a slot, or as a plain value of the class.

    Raises:
        AttributeError: it is not set, or not stored but computed on access.
    """
    stored = instance_dict(value)
    if name in stored:
        return stored[name]
    defined = class_attribute(type(value), name)
    if type(defined) is types.MemberDescriptorType:
        return defined.__get__(value)
    if defined is None or class_attribute(type(defined), "__get__") is not None:
        raise AttributeError(name)
    return defined


def function_name(function: Any) -> str:
    """Return `package.module.function` of a function, method or coroutine function. Runs no code of the program."""
    function = getattr(function, "__func__", function)
    name, module = getattr(function, "__qualname__", "?"), getattr(function, "__module__", None)
    return f"{module}.{name}" if type(module) is str and module != "builtins" else str(name)


def remove_addresses(text: str) -> str:
    """Return a `repr` without memory addresses, which differ from run to run."""
    return _ADDRESS.sub("", text)


def is_from_signal(error: BaseException) -> bool:
    """Return whether an exception comes from a signal rather than from the object that was read.

    A handler of the program's is in the traceback. Python's own handler of Ctrl-C is written in C and leaves no frame;
    then the exception did not begin at a `raise`.
    """
    codes = [frame.f_code for frame in _frames(error)]
    if isinstance(error, KeyboardInterrupt) and not _began_at_raise(error):
        return True
    return any(handler in codes for handler in _handler_codes())


def _frames(error: BaseException) -> list[types.FrameType]:
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _began_at_raise(error: BaseException) -> bool:
    traceback = error.__traceback__
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_code[traceback.tb_lasti] == _RAISE


def _handler_codes() -> list[types.CodeType]:
    """Return the code of all signal handlers that are written in Python."""
    codes = []
    for number in signal.valid_signals():
        handler: Any = None
        with contextlib.suppress(ValueError, OSError):
            handler = signal.getsignal(number)
        while isinstance(handler, functools.partial):
            handler = handler.func
        handler = getattr(handler, "__func__", handler)
        code = getattr(handler, "__code__", None)
        if isinstance(code, types.CodeType):
            codes.append(code)
    return codes
