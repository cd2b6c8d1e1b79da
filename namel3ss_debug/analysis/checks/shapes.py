"""Describe the shape of values: their types, keys and order of magnitude. Compare values with such a description.

A shape is JSON. A text names what a value may be: `text`, `number`, `truth`, `null`, `list`, `object` or `any`, several
with ` or ` between them; `number 2 to 400` limits the size of a number regardless of its sign, and 0 is always allowed.
An object names the keys that must be there, a list of one shape is that of every item. A text that is JSON counts as
its value, because tools often return one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from namel3ss_debug.errors import RuleError, short
from namel3ss_debug.wire import lenient

MAGNITUDE: Final = 50
"""How many times smaller or larger a number may be. Cents for euros, metres for kilometres and milliseconds for
seconds are a factor of 100 and more; other inputs of the same program rarely are."""

_KINDS: Final = ("text", "number", "truth", "null", "list", "object", "any")
_RANGE: Final = re.compile(r"number (\S+) to (\S+)\Z")
_COUNTS: Final = re.compile(r"(?:^|_)(?:id|ids|index|offset|page|count|seq|version)\Z", re.IGNORECASE)
"""Keys whose numbers count something or are names, so that their size says nothing."""
_MOST_KEYS: Final = 24
_MOST_ITEMS: Final = 100
_DEEPEST: Final = 6
_LONGEST: Final = 60


def plain(value: Any) -> Any:
    """Return the value in a text that is a JSON object or list; any other value as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        parsed = lenient.load(value)
        return parsed if isinstance(parsed, dict | list) else value
    return value


def describe_shape(values: Sequence[Any], key: str = "", depth: int = 0) -> Any:
    """Return a shape that all of some values have; a key that one of them lacks is left out.

    Args:
        values: the values, at least one.
        key: the key that they stand under.
        depth: how deep they are nested.
    """
    values = [plain(value) for value in values]
    kinds = sorted({_kind_of(value) for value in values}, key=_KINDS.index)
    if kinds == ["object"] and depth < _DEEPEST:
        shared = [name for name in values[0] if all(name in value for value in values)]
        if not 0 < len(shared) <= _MOST_KEYS or any("$type" in value for value in values):
            return "object"
        return {name: describe_shape([value[name] for value in values], name, depth + 1) for name in shared}
    if kinds == ["list"] and depth < _DEEPEST:
        items = [item for value in values for item in value[:_MOST_ITEMS]]
        return [describe_shape(items, key, depth + 1)] if items else "list"
    if kinds == ["number"]:
        sizes = [abs(value) for value in values if value]
        if sizes and not _COUNTS.search(key):
            return f"number {_round(min(sizes) / MAGNITUDE)} to {_round(max(sizes) * MAGNITUDE)}"
    return " or ".join(kinds)


def check_shape(shape: Any, where: str = "shape") -> None:
    """Check that something is a shape.

    Raises:
        RuleError: it is none.
    """
    if isinstance(shape, dict):
        for name, inner in shape.items():
            check_shape(inner, f"{where}.{name}")
    elif isinstance(shape, list) and len(shape) == 1:
        check_shape(shape[0], f"{where}[]")
    elif not isinstance(shape, str) or not all(map(_is_word, shape.split(" or "))):
        raise RuleError(
            f"{where} is {short(repr(shape), _LONGEST)}; a shape is {', '.join(_KINDS)}, number A to B, "
            "several with or between them, an object of shapes, or a list of one"
        )


def find_misfits(shape: Any, value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield where a value does not have a shape: the path, and what is wrong there."""
    value = plain(value)
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield path, f"is {_show(value)}, not an object"
            return
        for name, inner in shape.items():
            if name not in value:
                yield f"{path}.{name}", "is missing"
            else:
                yield from find_misfits(inner, value[name], f"{path}.{name}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield path, f"is {_show(value)}, not a list"
            return
        for place, item in enumerate(value[:_MOST_ITEMS]):
            yield from find_misfits(shape[0], item, f"{path}[{place}]")
    elif not any(_fits(word, value) for word in shape.split(" or ")):
        yield path, f"is {_show(value)}, not {shape}"


def _fits(word: str, value: Any) -> bool:
    limits = _RANGE.match(word)
    if limits is None:
        return word in ("any", _kind_of(value))
    return lenient.is_number(value) and (not value or float(limits[1]) <= abs(value) <= float(limits[2]))


def _is_word(word: str) -> bool:
    limits = _RANGE.match(word)
    try:
        return word in _KINDS if limits is None else float(limits[1]) <= float(limits[2])
    except ValueError:
        return False


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "truth"
    if lenient.is_number(value):
        return "number"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "object"


def _round(value: float) -> str:
    """Return a number with two significant digits, without an exponent where people would not write one."""
    rounded = float(f"{value:.1e}")
    return f"{rounded:g}" if abs(rounded) < 1e6 else f"{rounded:.0f}"


def _show(value: Any) -> str:
    return short(lenient.dump(value).decode(), _LONGEST)
