"""JSON forms of arrays and tables: what they are, and their first items. None of the libraries is imported.

Of an array of plain numbers, and of such a number, there is a form as well from which it can be made again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any

from namel3ss_debug.capture.payloads.contract import FOREIGN_ITEMS, Conversion
from namel3ss_debug.capture.payloads.looks import full_name

_ROWS = 20
_COLUMNS = 100
_MOST_TOLD = 100_000
_NUMBERS = "biuf"
"""The kinds of numpy's types whose values are numbers or truth values of Python."""


def array(conversion: Conversion, value: Any, depth: int) -> Any:
    """A numpy array: what it is, and its first items."""
    items = conversion.items(value.flat[:FOREIGN_ITEMS].tolist(), int(value.size), depth + 1)
    shape = [int(size) for size in value.shape]
    return {"$type": "numpy.ndarray", "dtype": str(value.dtype), "shape": shape, "items": items}


def told(conversion: Conversion, value: Any, depth: int) -> dict[str, Any] | None:
    """An array of plain numbers as a whole; `None` of any other."""
    if value.dtype.kind not in _NUMBERS or value.dtype.itemsize > 8 or value.size > _MOST_TOLD:
        return None
    shape = [int(size) for size in value.shape]
    items = conversion.items(value.ravel().tolist(), int(value.size), depth + 1)
    return {"$type": "numpy.ndarray", "dtype": value.dtype.str, "shape": shape, "items": items}


def made(_kind: type, parts: Mapping[str, Any]) -> Any:
    """The array that was told."""
    return sys.modules["numpy"].array(parts["items"], dtype=parts["dtype"]).reshape(parts["shape"])


def number(value: Any) -> Any:
    """A scalar of numpy as the number of Python that it is as well.

    Raises:
        TypeError: there is no such number.
    """
    if value.dtype.kind not in _NUMBERS or value.dtype.itemsize > 8:
        raise TypeError
    return value.item()


def tensor(conversion: Conversion, value: Any, _depth: int) -> Any:
    """A torch tensor: what it is; its items may lie on another device."""
    name = conversion.clean(full_name(type(value)))
    return {"$type": name, "dtype": str(value.dtype), "shape": [int(size) for size in value.shape]}


def scalar(conversion: Conversion, value: Any, depth: int) -> Any:
    """A numpy scalar as a Python value.

    Raises:
        TypeError: it has no Python value.
    """
    item = value.item()
    if type(item) is type(value):
        raise TypeError
    return conversion.convert(item, depth + 1)


def frame(conversion: Conversion, value: Any, depth: int) -> Any:
    """A pandas table: its shape and columns, and its first rows."""
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
    """A pandas column: what it is, and its first items."""
    first = value.iloc[:FOREIGN_ITEMS].tolist()
    items = conversion.items(first, int(value.size), depth + 1)
    return {"$type": "pandas.Series", "dtype": str(value.dtype), "shape": [int(value.size)], "items": items}
