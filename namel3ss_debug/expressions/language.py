"""The one expression language, for breakpoint conditions, `--where` and checks.

It looks like Python and reads data only. The text is parsed by Python's own parser, every node is looked up in
a table of what is allowed, and the result is a chain of closures: nothing is evaluated as Python, no attribute
of an object is ever read, nothing is called but the functions below, and time and memory are bounded.

- A name is a field of the event, or `kind` (its component), `name` (its component name), `llm`, `tool`, `agent` (the
  name, when the kind is that), `n` (event number), `totals.cost|tokens|errors|ms`, `state.*`, `event`. `tokens` and
  `cost` are `tokens_used` and `cost_estimate` where only these are known, and the other way round. A cost that is not
  recorded is that of the tokens of the call, as in the tables.
- `a.b`, `a["b"]` and `a[0]` look into objects and lists; of an object of the program's own, `a.b` is its field. What is
  missing is `null`. What JSON does not have counts as its `value`: a date as its text, a member of an enumeration as
  its own.
- `and or not`, `== != < <= > >=` (also chained), `in`, `not in`, `is null`, `x if c else y`, `+ - * / // %` on numbers.
- Values of different kinds are unequal, and `<` between them is false; a sum with something that is no number is
  `null`.
- `any(c.name == "search" for c in outputs.tool_calls)` and `all(...)` go through a list, its first 1,000 items.
- `in` looks among the items of a list, the names of an object, the characters of a text. What stands deeper is
  found with `"S-00" in text(outputs)`: the JSON text of any value, as the tables show it, its first 64 KB.
- Functions: `len lower upper startswith endswith contains matches text any all min max abs round`. The pattern of
  `matches(error, "time.?out")` follows the rules of `patterns`; where it has backslashes, it is written `r"..."`.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from namel3ss_debug.errors import ExpressionError
from namel3ss_debug.expressions import operations
from namel3ss_debug.expressions.operations import MAX_NUMBER, Evaluate, Mismatches
from namel3ss_debug.expressions.patterns import compile_pattern
from namel3ss_debug.fields import FIELD_NAMES

Scope = Mapping[str, Any]

DERIVED_NAMES: Final = frozenset(["kind", "name", "llm", "tool", "agent", "n", "totals", "state", "event"])
"""The names whose values are derived from an event and its place in the trace."""

NAMES: Final = FIELD_NAMES | DERIVED_NAMES
CONSTANTS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None, "none": None}

ALIASES: Final = {
    "tokens": "tokens_used",
    "cost": "cost_estimate",
    "tokens_used": "tokens",
    "cost_estimate": "cost",
}
"""Names with another form, which is used where only that one is known: of events and measures."""

MAX_CHARACTERS = 4096
MAX_NODES = 500
MAX_DEPTH = 40

_OFTEN_ASKED = (
    *(
        "kind",
        "name",
        "llm",
        "tool",
        "agent",
        "status",
        "error",
        "duration_ms",
        "tokens_used",
        "cost_estimate",
    ),
    *("inputs", "outputs", "metadata", "n"),
)
_OFTEN_MEASURED = (
    *("tokens", "cost", "duration_ms", "calls", "llm_calls", "tool_calls", "retries", "failures"),
    *("turns", "longest_ms", "errors", "execution_overview", "resource_usage"),
)
_UNFINISHED = re.compile(r"(?:[-+*/%<>=,.]|\b(?:and|or|not|in|is|if|else|for))\s*$")
_WHICH_LINE = " (detected at line 1)"
_PAYLOADS = frozenset(["inputs", "outputs", "metadata", "event"])
_INSTEAD = {"&&": "and", "||": "or", "===": "==", "=": "==", "!": "not"}
_FOREIGN = re.compile(r"&&|\|\||===|(?<![=!<>])=(?!=)|!(?!=)")
_NO_SCOPE: Final[dict[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression: its text, the top-level names it reads, and the function that evaluates it.

    `hint` suggests what may have been meant, where the expression searches for a text only among the names of an
    object, or compares a component with a name. `mismatches` counts the comparisons of values of different types.
    """

    text: str
    names: frozenset[str]
    _function: Evaluate = field(repr=False, compare=False)
    hint: str = field(default="", repr=False, compare=False)
    mismatches: tuple[Mismatches, ...] = field(default=(), repr=False, compare=False)

    def evaluate(self, scope: Scope) -> Any:
        """Return the value for the names in `scope`; it is always JSON data, and nothing is raised."""
        try:
            return self._function(scope)
        except RecursionError:  # comparing data nested deeper than Python's own limit
            return None

    def describe_mismatches(self) -> str:
        """Return what was compared although its types differ, in one line; empty if nothing was.

        An equality is named only if the types never were the same: `outputs.result == "x"` is fine where the results of
        other calls are numbers.
        """
        found = [each for each in self.mismatches if each.times and (each.ordered or not each.fitting)]
        return "; ".join(each.describe() for each in found)

    def matches(self, scope: Scope) -> bool:
        """Return whether the value is true, as Python sees it: not null, zero, false or empty."""
        return bool(self.evaluate(scope))

    def matches_event(
        self,
        number: int,
        event: dict[str, Any],
        totals: Mapping[str, Any] = _NO_SCOPE,
        state: Mapping[str, Any] = _NO_SCOPE,
    ) -> bool:
        """Return whether the expression is true for an event; faster than `matches(event_scope(...))`."""
        if self.names <= FIELD_NAMES:
            return bool(self.evaluate(event))
        return bool(self.evaluate(event_scope(number, event, totals, state)))


def event_scope(
    number: int,
    event: dict[str, Any],
    totals: Mapping[str, Any] = _NO_SCOPE,
    state: Mapping[str, Any] = _NO_SCOPE,
) -> dict[str, Any]:
    """Return the names of the language for one event.

    Args:
        number: its place in the trace, from 1.
        event: the event as it is in the file; it is not changed.
        totals: `cost` (dollars), `tokens`, `errors` and `ms` up to this event, which is included.
        state: the latest recorded state of the program's memory and variables.
    """
    kind, name = event.get("component"), event.get("component_name")
    scope = event.copy()
    scope["kind"] = kind
    scope["name"] = name
    scope["llm"] = name if kind == "llm" else None
    scope["tool"] = name if kind == "tool" else None
    scope["agent"] = name if kind == "agent" else None
    scope["n"] = number
    scope["totals"] = totals
    scope["state"] = state
    scope["event"] = event
    return scope


def compile_expression(
    text: str, names: frozenset[str] = NAMES, *, notes_mismatches: bool = False
) -> Expression:
    """Check an expression and make it ready to evaluate.

    Args:
        text: the expression, at most 4,096 characters.
        names: the top-level names that are allowed.
        notes_mismatches: whether comparisons of different types are counted, which costs a third more time.

    Raises:
        ExpressionError: it does not parse, or uses something that the language does not have; the message names the
            column, from 1, and what is allowed.
    """
    tree, source = _parse(text)
    compiler = _Compiler(source, names, notes_mismatches=notes_mismatches)
    function = compiler.compile(tree, 0)
    return Expression(
        text.strip(), frozenset(compiler.read), function, compiler.hint, tuple(compiler.mismatches)
    )


def nearest(word: str, choices: frozenset[str] | set[str] | list[str]) -> str:
    """Return the words "; did you mean ...?" with the nearest of the choices, or nothing where none is near."""
    close = get_close_matches(word.lower(), sorted(choices), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _parse(text: str) -> tuple[ast.expr, str]:
    """Return the syntax tree of a text, and the text that the columns in the tree refer to."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(
            f"the expression has {len(text)} characters; at most {MAX_CHARACTERS} are allowed"
        )
    if not text.strip():
        raise ExpressionError(
            'the expression is empty; write one such as duration_ms > 500 and tool == "search"'
        )
    # Leading space would be an indentation, and with line breaks a column alone would not be enough.
    source = "".join(" " if character.isspace() else character for character in text)
    lead = len(source) - len(source.lstrip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source[lead:], mode="eval").body, source
    except SyntaxError as problem:
        column = lead + problem.offset if problem.offset else len(source)
        unfinished = problem.msg == "invalid syntax" and _UNFINISHED.search(source) is not None
        problem_text = (
            "something is missing at the end" if unfinished else problem.msg.removesuffix(_WHICH_LINE)
        )
        raise ExpressionError(f"expression, column {column}: {problem_text}{_hint(source)}") from None
    except (ValueError, MemoryError, RecursionError):
        raise ExpressionError(
            "the expression cannot be read: it is nested too deep or holds odd characters"
        ) from None


def _hint(source: str) -> str:
    """Return what to write instead of an operator of other languages."""
    found = _FOREIGN.search(source)
    return f"; write {_INSTEAD[found[0]]} instead of {found[0]}" if found else ""


class _Compiler:
    """Turns checked nodes into closures; `read` collects the top-level names."""

    def __init__(self, source: str, names: frozenset[str], *, notes_mismatches: bool) -> None:
        self.source = source
        self.lead = len(source) - len(source.lstrip())
        self.names = names
        self.read: set[str] = set()
        self.count = 0
        self.variable: str | None = None
        self.hint = ""
        self.compared: set[str] = set()
        self.notes_mismatches = notes_mismatches
        self.mismatches: list[operations.Mismatches] = []

    def fail(self, node: ast.AST, message: str) -> NoReturn:
        offset = getattr(node, "col_offset", 0)
        before = self.source[self.lead :].encode("utf-8", "surrogatepass")[:offset]
        column = self.lead + len(before.decode("utf-8", "ignore")) + 1
        raise ExpressionError(f"expression, column {column}: {message}")

    def noting(self, sign: type[ast.cmpop], left: ast.expr, right: ast.expr) -> Callable[[Any, Any], bool]:
        """Return the comparison of two nodes, which counts values of different types."""
        found = operations.Mismatches(self.written(left, right), sign in operations.ORDERED)
        self.mismatches.append(found)
        return operations.noting(sign, found)

    def written(self, first: ast.expr, last: ast.expr) -> str:
        """Return the part of the source from one node to another."""
        source = self.source[self.lead :].encode("utf-8", "surrogatepass")
        return source[first.col_offset : last.end_col_offset].decode("utf-8", "ignore")

    def compile(self, node: ast.expr, depth: int) -> Evaluate:
        """Return the function that evaluates a part of the expression."""
        self.count += 1
        if self.count > MAX_NODES:
            self.fail(node, f"more than {MAX_NODES} parts; split the expression")
        if depth > MAX_DEPTH:
            self.fail(node, f"nested deeper than {MAX_DEPTH}; split the expression")
        handler = _NODES.get(type(node))
        if handler is None:
            self.fail(node, f"{_REFUSED.get(type(node), 'this')} is not part of the language; {_ALLOWED}")
        return handler(self, node, depth + 1)

    def constant(self, node: ast.Constant, _: int) -> Evaluate:
        value = node.value
        if value is not None and not isinstance(value, (str, int, float)):
            self.fail(node, "only text, numbers, true, false and null can be written")
        if isinstance(value, (int, float)) and not -MAX_NUMBER <= value <= MAX_NUMBER:
            self.fail(node, "the number is too large; at most 30 digits are allowed")
        return lambda _scope: value

    def name(self, node: ast.Name, _: int) -> Evaluate:
        name = node.id
        if name in CONSTANTS and name not in self.names:
            value = CONSTANTS[name]
            return lambda _scope: value
        if name != self.variable:
            if name not in self.names and ALIASES.get(name) in self.names:
                name = ALIASES[name]
            if name not in self.names:
                called = f"; {name} is a function: write {name}(...)" if name in operations.FUNCTIONS else ""
                quoted = f'; put a text in quotes: "{name}"' if name in self.compared else ""
                hint = (
                    called
                    or nearest(name, self.names)
                    or quoted
                    or f"; the names are {_list_names(self.names)}"
                )
                self.fail(node, f"unknown name {name!r}{hint}")
            self.read.add(name)
        return lambda scope: scope.get(name)

    def attribute(self, node: ast.Attribute, depth: int) -> Evaluate:
        return operations.lookup(self.compile(node.value, depth), node.attr)

    def subscript(self, node: ast.Subscript, depth: int) -> Evaluate:
        key = node.slice
        negative = isinstance(key, ast.UnaryOp) and isinstance(key.op, ast.USub)
        literal = key.operand if isinstance(key, ast.UnaryOp) and negative else key
        value = literal.value if isinstance(literal, ast.Constant) else None
        if isinstance(value, int) and not isinstance(value, bool):
            return operations.item(self.compile(node.value, depth), -value if negative else value)
        if isinstance(value, str) and not negative:
            return operations.lookup(self.compile(node.value, depth), value)
        return self.fail(key, 'brackets take a text or a whole number, as in outputs["text"] or messages[0]')

    def both(self, node: ast.BoolOp, depth: int) -> Evaluate:
        parts = [self.compile(value, depth) for value in node.values]
        return (operations.both if isinstance(node.op, ast.And) else operations.either)(parts)

    def unary(self, node: ast.UnaryOp, depth: int) -> Evaluate:
        if isinstance(node.op, ast.Invert):
            self.fail(node, "~ is not part of the language; write not")
        inner = self.compile(node.operand, depth)
        if isinstance(node.op, ast.Not):
            return lambda scope: not inner(scope)
        return operations.sign(inner, -1 if isinstance(node.op, ast.USub) else 1)

    def binary(self, node: ast.BinOp, depth: int) -> Evaluate:
        operation = operations.ARITHMETIC.get(type(node.op))
        if operation is None:
            sign = operations.REFUSED_OPERATORS.get(type(node.op), "this operator")
            self.fail(node, f"{sign} is not part of the language; the operators are + - * / // %")
        for side in (node.left, node.right):
            texts = isinstance(side, ast.Constant) and not isinstance(side.value, (int, float))
            if texts or isinstance(side, (ast.List, ast.Tuple)):
                self.fail(side, "+ - * / // % work on numbers only")
        return operations.calculate(
            operation, self.compile(node.left, depth), self.compile(node.right, depth)
        )

    def compare(self, node: ast.Compare, depth: int) -> Evaluate:
        sides = [node.left, *node.comparators]
        for sign, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if isinstance(sign, (ast.Is, ast.IsNot)) and not (_is_literal(left) or _is_literal(right)):
                self.fail(right, "is compares with null, true and false only; write == instead")
            text = left.value if isinstance(left, ast.Constant) else None
            if isinstance(sign, (ast.In, ast.NotIn)) and isinstance(text, str) and _is_payload(right):
                wanted = json.dumps(text, ensure_ascii=False)
                self.hint = f"to search inside it, write {wanted} in text({ast.unparse(right)})"
            named = {side.id for side in (left, right) if isinstance(side, ast.Name)}
            if named & {"kind", "component"} and named & {"llm", "tool", "agent"}:
                (component,) = named - {"kind", "component"}
                self.hint = f'{component} is the name of one here; the component is written "{component}"'
            if not (isinstance(left, ast.Constant) or isinstance(right, ast.Constant)):
                self.compared.update(named)
        tests = [operations.COMPARISONS[type(sign)] for sign in node.ops]
        if self.notes_mismatches:
            tests = [
                self.noting(type(sign), left, right)
                for sign, left, right in zip(node.ops, sides, sides[1:], strict=False)
            ]
        parts = [self.compile(side, depth) for side in sides]
        if len(tests) > 1:
            return operations.chain(tests, parts)
        return operations.compare(tests[0], parts[0], parts[1], node.comparators[0])

    def sequence(self, node: ast.List | ast.Tuple, depth: int) -> Evaluate:
        parts = [self.compile(element, depth) for element in node.elts]
        return lambda scope: [part(scope) for part in parts]

    def choose(self, node: ast.IfExp, depth: int) -> Evaluate:
        test, yes, no = (self.compile(part, depth) for part in (node.test, node.body, node.orelse))
        return lambda scope: yes(scope) if test(scope) else no(scope)

    def call(self, node: ast.Call, depth: int) -> Evaluate:
        if isinstance(node.func, ast.Attribute):
            known = node.func.attr in operations.FUNCTIONS
            self.fail(
                node,
                f"there are no methods; {_CALLS if not known else f'write {node.func.attr}(value, ...)'}",
            )
        if not isinstance(node.func, ast.Name):
            self.fail(node, f"only functions can be called; {_CALLS}")
        name = node.func.id
        if name not in operations.FUNCTIONS:
            meant = operations.OTHER_NAMES.get(name)
            hint = f"; write {meant}(...)" if meant else nearest(name, set(operations.FUNCTIONS))
            self.fail(node, f"unknown function {name!r}{hint or f'; {_CALLS}'}")
        function, least, most = operations.FUNCTIONS[name]
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            self.fail(node, f"{name} takes plain arguments only")
        if not least <= len(node.args) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            self.fail(node, f"{name} takes {wanted} argument{'s' * (wanted != '1')}, not {len(node.args)}")
        if name == "matches":
            return self.match(node, depth)
        if name in ("any", "all") and isinstance(node.args[0], ast.GeneratorExp):
            return self.loop(node.args[0], any if name == "any" else all, depth)
        parts = [self.compile(argument, depth) for argument in node.args]
        return operations.call(function, parts)

    def match(self, node: ast.Call, depth: int) -> Evaluate:
        text, pattern = self.compile(node.args[0], depth), node.args[1]
        if not (isinstance(pattern, ast.Constant) and isinstance(pattern.value, str)):
            self.fail(
                pattern, 'the pattern of matches is a text in quotes, as in matches(error, "time.?out")'
            )
        try:
            search = compile_pattern(pattern.value).search
        except ExpressionError as problem:
            self.fail(pattern, str(problem))
        return operations.call(
            lambda value: type(value := operations.as_json_value(value)) is str and search(value), [text]
        )

    def loop(self, node: ast.GeneratorExp, combine: Callable[[Any], bool], depth: int) -> Evaluate:
        part = node.generators[0]
        plain = len(node.generators) == 1 and isinstance(part.target, ast.Name) and not part.is_async
        if not plain or self.variable is not None:
            self.fail(
                node,
                "one 'for' with one plain name is allowed, as in any(c.name == 'x' for c in outputs.tool_calls)",
            )
        items = self.compile(part.iter, depth)
        self.variable = variable = part.target.id  # type: ignore[attr-defined]  # `plain` says it is a name
        tests = [self.compile(condition, depth) for condition in part.ifs]
        body = self.compile(node.elt, depth)
        self.variable = None
        test = operations.both([operations.always, operations.always, *tests])
        return operations.loop(combine, items, variable, test, body)


def _list_names(names: frozenset[str]) -> str:
    """Return the names, or the most useful of them where there are many."""
    if len(names) <= len(_OFTEN_ASKED):
        return ", ".join(sorted(names))
    if not names >= FIELD_NAMES:
        useful = [name for name in _OFTEN_MEASURED if name in names]
        return f"{', '.join(useful)} and {len(names) - len(useful)} more"
    return f"{', '.join(name for name in _OFTEN_ASKED if name in names)} and the other fields of an event"


def _is_payload(node: ast.expr) -> bool:
    """Return whether this refers to an object of an event, or to something in one that is not a text by its name."""
    if isinstance(node, ast.Attribute) and node.attr in {"text", "error", "message", "content"}:
        return False
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return isinstance(node, ast.Name) and node.id in _PAYLOADS


def _is_literal(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in CONSTANTS
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))


_NODES: Final[dict[type[ast.expr], Callable[[_Compiler, Any, int], Evaluate]]] = {
    ast.Constant: _Compiler.constant,
    ast.Name: _Compiler.name,
    ast.Attribute: _Compiler.attribute,
    ast.Subscript: _Compiler.subscript,
    ast.BoolOp: _Compiler.both,
    ast.UnaryOp: _Compiler.unary,
    ast.BinOp: _Compiler.binary,
    ast.Compare: _Compiler.compare,
    ast.List: _Compiler.sequence,
    ast.Tuple: _Compiler.sequence,
    ast.IfExp: _Compiler.choose,
    ast.Call: _Compiler.call,
}
_REFUSED: Final[dict[type[ast.expr], str]] = {
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment with :=",
    ast.JoinedStr: "an f-string",
    ast.Dict: "an object in braces",
    ast.Set: "a set in braces",
    ast.ListComp: "a list comprehension",
    ast.SetComp: "a set comprehension",
    ast.DictComp: "a dict comprehension",
    ast.GeneratorExp: "a loop outside any(...) and all(...)",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.Starred: "*",
}
_ALLOWED = (
    "allowed are names, constants, lists, a.b, a[0], comparisons, in, and/or/not, + - * / // %, functions"
)
_CALLS = f"the functions are {' '.join(operations.FUNCTIONS)}"
