"""JSON forms of values that JSON has no type for, chosen by the names of an object's classes.

Nothing is imported to recognise anything: numpy, pandas, pydantic and attrs are known by the names of their classes
or by the attributes that they leave in them. A value is shown by its `repr` if no form fits, or the form fails.
"""

from __future__ import annotations

import base64
import collections
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from namel3ss_debug.capture.payloads import arrays
from namel3ss_debug.capture.payloads.contract import FOREIGN_ITEMS, Conversion, Form
from namel3ss_debug.capture.payloads.introspection import (
    attribute,
    class_attribute,
    full_name,
    function_name,
    instance_dict,
    is_from_signal,
    lineage,
    own_attributes,
)
from namel3ss_debug.capture.payloads.texts import TEXT_LIMIT, format_value

_BYTES_LIMIT = 1024 * 1024
_RUN_CONTEXT_FIELDS = (
    "deps",
    "retry",
    "tool_call_approved",
    "tool_call_metadata",
    "metadata",
    "session_id",
    "user_id",
    "dependencies",
    "knowledge_filters",
    "session_state",
)
"""The fields of a framework's run context that hold the program's own data."""


def describe(conversion: Conversion, value: Any, kind: type, depth: int) -> Any:
    """Return the JSON of anything that is not a plain JSON value. Raises nothing but what a signal raises."""
    try:
        form = _form(kind)
        if form is not None:
            return form(conversion, value, depth)
    except BaseException as error:
        if is_from_signal(error):
            raise
    return _by_repr(conversion, value, depth)


def _form(kind: type) -> Form | None:
    """Return the form of the nearest ancestor that has one."""
    for ancestor in lineage(kind):
        form = FORMS.get(full_name(ancestor))
        if form is not None:
            return form
        attributes = own_attributes(ancestor)
        for mark, marked_form in FORMS_BY_MARK.items():
            if mark in attributes:
                return marked_form
    return None


def _by_repr(conversion: Conversion, value: Any, _depth: int) -> Any:
    """Show an object by its `repr`, or by its class alone if it has no `repr` of its own."""
    name = full_name(type(value))
    if class_attribute(type(value), "__repr__") is object.__repr__:
        return _opaque(conversion, name, f"<{name} object>")
    return _opaque(conversion, name, format_value(value, repr))


def _opaque(conversion: Conversion, name: str, text: str) -> dict[str, Any]:
    return {"$type": conversion.clean(name), "repr": _bounded_text(conversion, text)}


def _bounded_text(conversion: Conversion, text: str) -> str:
    """Return a text about an object, within bounds."""
    room = min(TEXT_LIMIT, max(conversion.left, 256))
    if len(text) > room:
        conversion.cut = True
        text = conversion.beginning(text, room) + "…"
    else:
        text = conversion.clean(text)
    conversion.charge(len(text))
    return text


def _fields(conversion: Conversion, value: Any, fields: list[tuple[Any, Any]], depth: int) -> dict[str, Any]:
    name = conversion.clean(full_name(type(value)))
    conversion.charge(len(name))
    return {"$type": name, "fields": conversion.pairs(fields, len(fields), depth + 1)}


def _stored_attributes(value: Any, names: Iterable[str]) -> list[tuple[Any, Any]]:
    """Return the named attributes of an object that are set and not computed on access."""
    attributes = []
    for name in names:
        try:
            attributes.append((name, attribute(value, name)))
        except AttributeError:
            continue
    return attributes


def _dataclass(conversion: Conversion, value: Any, depth: int) -> Any:
    return _fields(
        conversion, value, _stored_attributes(value, [f.name for f in dataclasses.fields(type(value))]), depth
    )


def _attrs(conversion: Conversion, value: Any, depth: int) -> Any:
    names = [field.name for field in class_attribute(type(value), "__attrs_attrs__")]
    return _fields(conversion, value, _stored_attributes(value, names), depth)


def _slots(conversion: Conversion, value: Any, depth: int) -> Any:
    return _fields(
        conversion, value, _stored_attributes(value, class_attribute(type(value), "__slots__")), depth
    )


def _run_context(conversion: Conversion, value: Any, depth: int) -> Any:
    """Convert a framework's run context: the program's own data, and not the agent and the messages behind it."""
    return _fields(conversion, value, _stored_attributes(value, _RUN_CONTEXT_FIELDS), depth)


def _struct(conversion: Conversion, value: Any, depth: int) -> Any:
    return _fields(
        conversion, value, _stored_attributes(value, class_attribute(type(value), "__struct_fields__")), depth
    )


def _model(conversion: Conversion, value: Any, depth: int) -> Any:
    """Convert a pydantic model of version 1 or 2: its fields and its extra values."""
    stored = list(instance_dict(value).items())
    declared = class_attribute(type(value), "__pydantic_fields__")
    if type(declared) is dict:
        stored = [(name, item) for name, item in stored if name in declared]
    for _, extra in _stored_attributes(value, ["__pydantic_extra__"]):
        if type(extra) is dict:
            stored += extra.items()
    return _fields(conversion, value, stored, depth)


def _namespace(conversion: Conversion, value: Any, depth: int) -> Any:
    return _fields(conversion, value, list(instance_dict(value).items()), depth)


def _data(conversion: Conversion, value: Any, depth: int) -> Any:
    return conversion.convert(attribute(value, "data"), depth + 1)


def _list(conversion: Conversion, value: Any, depth: int) -> Any:
    return conversion.items(list.__iter__(value), list.__len__(value), depth)


def _tuple(conversion: Conversion, value: Any, depth: int) -> Any:
    names = class_attribute(type(value), "_fields")
    if type(names) is tuple and len(names) == tuple.__len__(value):
        return _fields(conversion, value, list(zip(names, tuple.__iter__(value), strict=True)), depth)
    return conversion.items(tuple.__iter__(value), tuple.__len__(value), depth)


def _set(conversion: Conversion, value: Any, depth: int) -> Any:
    """Convert a set, in an order that does not depend on the hash seed."""
    kind = set if issubclass(type(value), set) else frozenset
    size = kind.__len__(value)
    items = conversion.items(kind.__iter__(value), size, depth + 1)
    rest = [items.pop()] if items and type(items[-1]) is dict and items[-1].keys() == {"$truncated"} else []
    try:
        items.sort()
    except TypeError:
        items.sort(key=orjson.dumps)
    return {"$type": kind.__name__, "items": items + rest}


def _deque(conversion: Conversion, value: Any, depth: int) -> Any:
    kind = collections.deque
    items = conversion.items(kind.__iter__(value), kind.__len__(value), depth + 1)
    return {"$type": conversion.clean(full_name(type(value))), "items": items}


def _sequence(conversion: Conversion, value: Any, depth: int) -> Any:
    """Convert an array of the standard library or a view of a dict."""
    items = conversion.items(iter(value), len(value), depth + 1, limit=FOREIGN_ITEMS)
    return {"$type": conversion.clean(full_name(type(value))), "items": items}


def _enum(conversion: Conversion, value: Any, depth: int) -> Any:
    return conversion.convert(attribute(value, "_value_"), depth + 1)


def _text(conversion: Conversion, value: Any, _depth: int) -> Any:
    return conversion.text(str.__str__(str(value)))


def _value(name: str, read: Callable[[Any], Any]) -> Form:
    """Return a form that gives `{"$type": name, "value": ...}`."""

    def form(conversion: Conversion, value: Any, depth: int) -> Any:
        return {"$type": name, "value": conversion.convert(read(value), depth + 1)}

    return form


def _exception(conversion: Conversion, value: Any, depth: int) -> Any:
    message = _bounded_text(conversion, format_value(value, str))
    form: dict[str, Any] = {
        "$type": "exception",
        "class": conversion.clean(full_name(type(value))),
        "message": message,
    }
    if issubclass(type(value), BaseExceptionGroup):
        inner = BaseExceptionGroup.exceptions.__get__(value)
        form["exceptions"] = conversion.items(inner, len(inner), depth + 1)
        return form
    arguments = BaseException.args.__get__(value)  # type: ignore[attr-defined]  # a descriptor
    if not (len(arguments) <= 1 and all(type(argument) is str for argument in arguments)):
        form["args"] = conversion.items(arguments, len(arguments), depth + 1)
    return form


def _bytes(conversion: Conversion, value: Any, _depth: int) -> Any:
    return _raw(conversion, bytes(memoryview(value)[: _bytes_room(conversion)]), memoryview(value).nbytes)


def _memoryview(conversion: Conversion, value: memoryview, _depth: int) -> Any:
    room = _bytes_room(conversion)
    whole = value if value.nbytes <= room else value[: max(1, room * len(value) // value.nbytes)]
    return _raw(conversion, whole.tobytes()[:room], value.nbytes)


def _bytes_room(conversion: Conversion) -> int:
    return min(_BYTES_LIMIT, max(conversion.left * 3 // 4, 64))


def _raw(conversion: Conversion, raw: bytes, length: int) -> dict[str, Any]:
    """Return bytes as base64. Secrets are replaced first, because base64 would only disguise them."""
    as_text = raw.decode("latin-1")
    clear = conversion.clean(as_text)
    redacted = raw if clear is as_text else clear.encode("latin-1")
    encoded = base64.b64encode(redacted).decode()
    conversion.charge(len(encoded))
    if len(raw) == length:
        return {"$type": "bytes", "base64": encoded}
    conversion.cut = True
    return {"$type": "bytes", "base64": encoded, "length": length}


def _function(conversion: Conversion, value: Any, _depth: int) -> Any:
    return _opaque(conversion, full_name(type(value)), function_name(value))


def _module(conversion: Conversion, value: Any, _depth: int) -> Any:
    return _opaque(conversion, "module", str(instance_dict(value).get("__name__")))


def _by_class(conversion: Conversion, value: Any, _depth: int) -> Any:
    """Show an object by its class alone, because its `repr` fetches something or differs from run to run."""
    name = full_name(type(value))
    return _opaque(conversion, name, f"<{name} object>")


FORMS: dict[str, Form] = {
    "namel3ss_debug.capture.payloads.exact.Exact": lambda _conversion, value, _depth: value.json,
    "str": lambda conversion, value, _depth: conversion.text(str.__str__(value)),
    "int": lambda conversion, value, depth: conversion.convert(int.__int__(value), depth),
    "float": lambda conversion, value, depth: conversion.convert(float.__float__(value), depth),
    "dict": lambda conversion, value, depth: conversion.pairs(dict.items(value), dict.__len__(value), depth),
    "list": _list,
    "tuple": _tuple,
    "set": _set,
    "frozenset": _set,
    "bytes": _bytes,
    "bytearray": _bytes,
    "memoryview": _memoryview,
    "BaseException": _exception,
    "function": _function,
    "method": _function,
    "builtin_function_or_method": _function,
    "type": lambda conversion, value, _depth: _opaque(conversion, "type", full_name(value)),
    "module": _module,
    "mappingproxy": lambda conversion, value, depth: conversion.pairs(
        value.items(), len(value), depth, limit=FOREIGN_ITEMS
    ),
    "dict_keys": _sequence,
    "dict_values": _sequence,
    "dict_items": _sequence,
    "functools.partial": lambda conversion, value, depth: {
        "$type": "functools.partial",
        "fields": {"func": conversion.convert(value.func, depth + 1)},
    },
    "types.SimpleNamespace": _namespace,
    "argparse.Namespace": _namespace,
    "collections.ChainMap": _namespace,
    "collections.OrderedDict": lambda conversion, value, depth: conversion.pairs(
        collections.OrderedDict.items(value), dict.__len__(value), depth
    ),
    "collections.UserDict": _data,
    "collections.UserList": _data,
    "collections.UserString": _data,
    "collections.deque": _deque,
    "array.array": _sequence,
    "enum.Enum": _enum,
    "enum.IntEnum": _enum,
    "enum.StrEnum": _enum,
    "enum.IntFlag": _enum,
    "decimal.Decimal": _value("decimal", str),
    "datetime.datetime": _value("datetime", dt.datetime.isoformat),
    "datetime.date": _value("date", dt.date.isoformat),
    "datetime.time": _value("time", dt.time.isoformat),
    "datetime.timedelta": _value("timedelta", dt.timedelta.total_seconds),
    "uuid.UUID": _text,
    "pathlib.PurePath": _text,
    "pathlib._local.PurePath": _text,
    "pydantic.main.BaseModel": _model,
    "pydantic.v1.main.BaseModel": _model,
    "langgraph.types.Send": _slots,
    "numpy.ndarray": arrays.array,
    "numpy.generic": arrays.scalar,
    "pandas.core.frame.DataFrame": arrays.frame,
    "pandas.DataFrame": arrays.frame,
    "pandas.core.series.Series": arrays.series,
    "pandas.Series": arrays.series,
    "pandas._libs.tslibs.nattype.NaTType": _by_repr,
    "pandas.api.typing.NaTType": _by_repr,
    "torch.Tensor": arrays.tensor,
    "agno.run.base.RunContext": _run_context,
    "django.db.models.query.QuerySet": _by_class,
    "pydantic_ai._run_context.RunContext": _run_context,
    "pydantic_core._pydantic_core.SchemaSerializer": _by_class,
    "pydantic_core._pydantic_core.SchemaValidator": _by_class,
}
"""Qualified name of a class -> its form. The first class in method resolution order that has a form decides."""

FORMS_BY_MARK: dict[str, Form] = {
    "__attrs_attrs__": _attrs,
    "__dataclass_fields__": _dataclass,
    "__struct_fields__": _struct,
}
"""Attribute that attrs, dataclasses or msgspec leave in a class -> the form of its objects."""
