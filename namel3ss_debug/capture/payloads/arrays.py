"""JSON forms of arrays and tables: their type, shape and first items. None of the libraries is imported.

An array of plain numbers and a number of numpy also have a form from which they can be rebuilt.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any

from namel3ss_debug.capture.payloads.contract import FOREIGN_ITEMS, Conversion
from namel3ss_debug.capture.payloads.introspection import full_name

_ROWS = 20
_COLUMNS = 100
_MOST_ITEMS = 100_000
_NUMBER_KINDS = "biuf"
"""The kinds of numpy's types whose values Python's own numbers and booleans can represent."""


def array(conversion: Conversion, value: Any, depth: int) -> Any:
    """Return the type, the shape and the first items of a numpy array."""
    items = conversion.items(value.flat[:FOREIGN_ITEMS].tolist(), int(value.size), depth + 1)
    shape = [int(size) for size in value.shape]
    return {"$type": "numpy.ndarray", "dtype": str(value.dtype), "shape": shape, "items": items}


def to_json(conversion: Conversion, value: Any, depth: int) -> dict[str, Any] | None:
    """Return an array of plain numbers completely; `None` for any other array."""
    if value.dtype.kind not in _NUMBER_KINDS or value.dtype.itemsize > 8 or value.size > _MOST_ITEMS:
        return None
    shape = [int(size) for size in value.shape]
    items = conversion.items(value.ravel().tolist(), int(value.size), depth + 1)
    return {"$type": "numpy.ndarray", "dtype": value.dtype.str, "shape": shape, "items": items}


def rebuild(_kind: type, parts: Mapping[str, Any]) -> Any:
    """Rebuild the array from its JSON form."""
    return sys.modules["numpy"].array(parts["items"], dtype=parts["dtype"]).reshape(parts["shape"])


def number(value: Any) -> Any:
    """Return a scalar of numpy as a number of Python.

    Raises:
        TypeError: Python has no such number.
    """
    if value.dtype.kind not in _NUMBER_KINDS or value.dtype.itemsize > 8:
        raise TypeError
    return value.item()


def tensor(conversion: Conversion, value: Any, _depth: int) -> Any:
    """Return the type and the shape of a torch tensor. Its items may be on another device."""
    name = conversion.clean(full_name(type(value)))
    return {"$type": name, "dtype": str(value.dtype), "shape": [int(size) for size in value.shape]}


def scalar(conversion: Conversion, value: Any, depth: int) -> Any:
    """Return a numpy scalar as a Python value.

    Raises:
        TypeError: Python has no such value.
    """
    item = value.item()
    if type(item) is type(value):
        raise TypeError
    return conversion.convert(item, depth + 1)


def frame(conversion: Conversion, value: Any, depth: int) -> Any:
    """Return the shape, the columns and the first rows of a pandas table."""
    columns = [str(name) for name in islice(value.columns, _COLUMNS)]
    first = value.iloc[:_ROWS, :_COLUMNS].values.tolist()
    rows = [list(zip(columns, row, strict=False)) for row in first]
    shape = [int(size) for size in value.shape]
    conversion.cut |= shape[0] > _ROWS or shape[1] > _COLUMNS
    return {
        "$type": "pandas.DataFrame",
        "shape": shape,
        "columns": conversion.items(columns, shape[1], depth + 1),
        "rows": [conversion.pairs(row, len(row), depth + 2) for row in rows],
    }


def series(conversion: Conversion, value: Any, depth: int) -> Any:
    """Return the type, the length and the first items of a pandas column."""
    first = value.iloc[:FOREIGN_ITEMS].tolist()
    items = conversion.items(first, int(value.size), depth + 1)
    return {"$type": "pandas.Series", "dtype": str(value.dtype), "shape": [int(value.size)], "items": items}
