"""The operators and functions of the expression language, which work on JSON data only.

Each function here makes or is a closure that `language` puts together. Each checks the exact type of its arguments
(`type(x) is dict`, never by a method of the value), so that no code of an object can run, and returns null or false
where the types do not fit.
"""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

Evaluate = Callable[[Any], Any]

MAX_NUMBER = 10**30
"""The limit for numbers: a larger result of a calculation is null."""

MAX_TEXT = 65_536
"""How many characters of a value `text` returns at most."""

NUMBERS = (int, float)
_SIZED = (str, list, dict)
_JSON = (str, int, float, bool, type(None), list, dict)
_LOOP_ITEMS = 1000


def always(_scope: Any) -> bool:
    """True, whatever the scope."""
    return True


def lookup(inner: Evaluate, key: str) -> Evaluate:
    """`a.key`: the member of an object, or the field of an object of one of the program's classes."""

    def look(scope: Any) -> Any:
        value = inner(scope)
        if type(value) is not dict:
            return None
        fields = value.get("fields") if "$type" in value else None
        if type(fields) is dict and (key in fields or key not in value):
            value = fields
        return value.get(key)

    return look


def item(inner: Evaluate, index: int) -> Evaluate:
    """`a[index]`: the item of a list, counted from its end where negative."""

    def look(scope: Any) -> Any:
        value = inner(scope)
        if type(value) is dict:
            value = as_json_value(value)
        return value[index] if type(value) is list and -len(value) <= index < len(value) else None

    return look


def as_json_value(value: Any) -> Any:
    """Return what stands for a value that JSON does not have: a tuple's items, a date's text, an enumeration member's value."""
    if type(value) is not dict or "$type" not in value:
        return value
    if value["$type"] == "tuple" and type(value.get("items")) is list:
        return value["items"]
    return value.get("value", value)


def both(parts: list[Evaluate]) -> Evaluate:
    """`and` of two or more parts; the value is that of the deciding part, as in Python."""
    *others, last = parts
    if len(others) == 1:
        first = others[0]
        return lambda scope: first(scope) and last(scope)

    def run(scope: Any) -> Any:
        for part in others:
            value = part(scope)
            if not value:
                return value
        return last(scope)

    return run


def either(parts: list[Evaluate]) -> Evaluate:
    """`or` of two or more parts; the value is that of the deciding part, as in Python."""
    *others, last = parts
    if len(others) == 1:
        first = others[0]
        return lambda scope: first(scope) or last(scope)

    def run(scope: Any) -> Any:
        for part in others:
            value = part(scope)
            if value:
                return value
        return last(scope)

    return run


def loop(
    combine: Callable[[Any], bool], items: Evaluate, variable: str, test: Evaluate, body: Evaluate
) -> Evaluate:
    """`any` or `all` over the first 1,000 items of a list; false for anything but a list."""

    def run(scope: Any) -> bool:
        values = as_json_value(items(scope))
        if type(values) is not list:
            return False
        scopes = ({**scope, variable: value} for value in values[:_LOOP_ITEMS])
        return combine(body(inner) for inner in scopes if test(inner))

    return run


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """Return a comparison by order that is false unless both sides are numbers or both are texts."""

    def test(left: Any, right: Any) -> bool:
        kind, other = type(left), type(right)
        if kind is dict or other is dict:
            left, right = as_json_value(left), as_json_value(right)
            kind, other = type(left), type(right)
        if (kind in NUMBERS and other in NUMBERS) or (kind is str and other is str):
            return compare(left, right)
        return False

    return test


def _same(left: Any, right: Any) -> bool:
    """Equality of JSON values: 1 and 1.0 are the same, true and 1 are not."""
    kind, other = type(left), type(right)
    if kind is other:
        return kind in _JSON and bool(left == right)
    if kind is dict or other is dict:
        left, right = as_json_value(left), as_json_value(right)
        return type(left) is not dict and type(right) is not dict and _same(left, right)
    return kind in NUMBERS and other in NUMBERS and bool(left == right)


@dataclass(slots=True)
class Mismatches:
    """The comparisons of one `<`, `==` or the like whose operands had different types.

    A field that is missing is no mismatch: `null` means that an event does not have it.

    Attributes:
        text: the comparison as the user wrote it.
        ordered: whether it is `<`, `<=`, `>` or `>=`.
        times: how often the operands had different types.
        fitting: how often they had the same.
        types: the two types of the first mismatch, in words.
    """

    text: str
    ordered: bool
    times: int = 0
    fitting: int = 0
    types: tuple[str, str] = ("", "")

    def describe(self) -> str:
        """Return what was compared and how often, and what the language does with it."""
        times = "once" if self.times == 1 else f"{self.times:,} times"
        left, right = self.types
        return (
            f"`{self.text}` compares {left} with {right} ({times}), which is always false"
            if self.ordered
            else f"`{self.text}` compares {left} with {right} ({times}), which are never equal"
        )

    def note(self, left: Any, right: Any) -> None:
        """Count a comparison that was false because of its operands' types, or would have been."""
        left, right = as_json_value(left), as_json_value(right)
        if left is None or right is None:
            return
        self.times += 1
        if self.times == 1:
            self.types = (_TYPE_NAMES.get(type(left), "a value"), _TYPE_NAMES.get(type(right), "a value"))


def noting(sign: type[ast.cmpop], mismatches: Mismatches) -> Callable[[Any, Any], bool]:
    """Return the comparison of an operator, which counts the operands that cannot be compared."""
    test = COMPARISONS[sign]
    if sign not in _TYPED:
        return test

    def compare(left: Any, right: Any) -> bool:
        kind, other = type(left), type(right)
        if kind is other or (kind in NUMBERS and other in NUMBERS):
            mismatches.fitting += 1
        elif left is not None and right is not None:
            mismatches.note(left, right)
        return test(left, right)

    return compare


def _contains(container: Any, item: Any) -> bool:
    container, item = as_json_value(container), as_json_value(item)
    kind = type(container)
    if kind is list:
        return any(_same(item, value) for value in container)
    return kind in (str, dict) and type(item) is str and item in container


COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: _same,
    ast.NotEq: lambda left, right: not _same(left, right),
    ast.Lt: _ordered(operator.lt),
    ast.LtE: _ordered(operator.le),
    ast.Gt: _ordered(operator.gt),
    ast.GtE: _ordered(operator.ge),
    ast.In: lambda item, container: _contains(container, item),
    ast.NotIn: lambda item, container: not _contains(container, item),
    ast.Is: _same,
    ast.IsNot: lambda left, right: not _same(left, right),
}


ORDERED: Final = frozenset({ast.Lt, ast.LtE, ast.Gt, ast.GtE})
_TYPED: Final = ORDERED | {ast.Eq, ast.NotEq}
"""The operators that are always false, or with `!=` always true, for operands of different types."""

_TYPE_NAMES: Final[dict[type[Any], str]] = {
    int: "a number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def compare(test: Callable[[Any, Any], bool], left: Evaluate, right: Evaluate, node: ast.expr) -> Evaluate:
    """Return one comparison; `node` is the right side in the syntax tree."""
    if not isinstance(node, ast.Constant):
        return lambda scope: test(left(scope), right(scope))
    value = node.value  # the usual case, a field against a constant, saves a call
    return lambda scope: test(left(scope), value)


def chain(tests: list[Callable[[Any, Any], bool]], parts: list[Evaluate]) -> Evaluate:
    """`a < b < c`: each part is evaluated once."""
    first, *others = parts
    pairs = list(zip(tests, others, strict=True))

    def run(scope: Any) -> bool:
        left = first(scope)
        for test, part in pairs:
            right = part(scope)
            if not test(left, right):
                return False
            left = right
        return True

    return run


def _bounded(value: Any) -> Any:
    """Return the number, or null where it is too large, or not a number."""
    return value if -MAX_NUMBER <= value <= MAX_NUMBER else None


def calculate(operation: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    """Arithmetic on two numbers; null for anything else, and where it overflows or divides by zero."""

    def run(scope: Any) -> Any:
        first, second = left(scope), right(scope)
        if type(first) in NUMBERS and type(second) in NUMBERS:
            try:
                return _bounded(operation(first, second))
            except ArithmeticError:
                return None
        return None

    return run


def sign(inner: Evaluate, sign: int) -> Evaluate:
    """Return a number with its sign kept (1) or changed (-1)."""

    def run(scope: Any) -> Any:
        value = inner(scope)
        return sign * value if type(value) in NUMBERS else None

    return run


def call(function: Callable[..., Any], parts: list[Evaluate]) -> Evaluate:
    """Return a call of one of `FUNCTIONS`."""
    if len(parts) == 1:
        only = parts[0]
        return lambda scope: function(only(scope))
    return lambda scope: function(*[part(scope) for part in parts])


def _text(value: Any) -> str:
    value = as_json_value(value)
    return value if type(value) is str else ""


def _as_text(value: Any) -> str:
    """Return the first 64 KB of a value's JSON text; a text stays itself. Works at any depth, and stops at that size."""
    if type(value) is str:
        return value[:MAX_TEXT]
    pieces: list[str] = []
    size = 0
    open_ones: list[Iterator[tuple[str, Any]]] = [iter([("", value)])]
    closings = [""]
    while open_ones and size < MAX_TEXT:
        following = next(open_ones[-1], None)
        if following is None:
            open_ones.pop()
            piece = closings.pop()
        elif type(following[1]) in (dict, list) and following[1]:
            is_object = type(following[1]) is dict
            piece = following[0] + ("{" if is_object else "[")
            open_ones.append(_members(following[1]) if is_object else _items(following[1]))
            closings.append("}" if is_object else "]")
        else:
            piece = following[0] + _literal(following[1])
        pieces.append(piece)
        size += len(piece)
    return "".join(pieces)[:MAX_TEXT]


def _members(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    before = ""
    for key, item in value.items():
        yield f"{before}{_literal(key)}: ", item
        before = ", "


def _items(value: list[Any]) -> Iterator[tuple[str, Any]]:
    before = ""
    for item in value:
        yield before, item
        before = ", "


def _literal(value: Any) -> str:
    """Return the JSON text of a value without members or items."""
    if type(value) is str:
        return json.dumps(value[:MAX_TEXT], ensure_ascii=False)
    return json.dumps(value) if type(value) in _JSON else "null"


def _extreme(choose: Callable[[Any], Any]) -> Callable[..., Any]:
    """Min or max of a list or of the arguments, which must be all numbers or all texts; otherwise null."""

    def run(*values: Any) -> Any:
        items = values[0] if len(values) == 1 and type(values[0]) is list else values
        if items and (all(type(v) in NUMBERS for v in items) or all(type(v) is str for v in items)):
            return choose(items)
        return None

    return run


def _round(value: Any, digits: Any = 0) -> Any:
    if type(value) not in NUMBERS or type(digits) is not int or not 0 <= digits <= 15:
        return None
    try:
        return round(value, digits) if digits else round(value)
    except (ArithmeticError, ValueError):
        return None


FUNCTIONS: Final[dict[str, tuple[Callable[..., Any], int, int]]] = {
    "len": (lambda value: len(value) if type(value := as_json_value(value)) in _SIZED else None, 1, 1),
    "lower": (lambda value: value.lower() if type(value := as_json_value(value)) is str else None, 1, 1),
    "upper": (lambda value: value.upper() if type(value := as_json_value(value)) is str else None, 1, 1),
    "startswith": (lambda text, part: type(part) is str and _text(text).startswith(part), 2, 2),
    "endswith": (lambda text, part: type(part) is str and _text(text).endswith(part), 2, 2),
    "contains": (_contains, 2, 2),
    "matches": (always, 2, 2),
    "text": (_as_text, 1, 1),
    "any": (lambda values: type(values := as_json_value(values)) is list and any(values), 1, 1),
    "all": (lambda values: type(values := as_json_value(values)) is list and all(values), 1, 1),
    "min": (_extreme(min), 1, 20),
    "max": (_extreme(max), 1, 20),
    "abs": (lambda value: abs(value) if type(value) in NUMBERS else None, 1, 1),
    "round": (_round, 1, 2),
}
"""Each function with its smallest and largest number of arguments; `matches` is handled by the compiler."""

OTHER_NAMES: Final = {"str": "text", "json": "text", "dumps": "text", "search": "matches", "regex": "matches"}
"""Names of functions in other languages, and ours."""

ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
REFUSED_OPERATORS: Final[dict[type[ast.operator], str]] = {
    ast.Pow: "**",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.MatMult: "@",
}
