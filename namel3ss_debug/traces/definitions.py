"""Digest the definitions of a source file, so that a re-run can say which of them have changed.

A digest covers what the code does. Comments, docstrings, line numbers, formatting, annotations, the names of local
variables and logging calls below the level of the program's logs do not enter it, and a variable that the next statement
alone reads counts as its value. A digest is the same in every version of Python.
"""

from __future__ import annotations

import ast
import copy
import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final, NamedTuple

VERSION: Final = 4
"""Digests of different versions are not comparable. Raise it with every change of what a digest covers."""

REST: Final = "<module>"
"""The definition that holds the statements at the top of a module that define nothing, such as calls."""
DIGITS: Final = 16
"""How long a digest is. That of a function with annotations is followed by the digest of these."""

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(fields.split())
    for name, fields in {
        "FunctionDef": "name args body decorator_list returns type_params",
        "AsyncFunctionDef": "name args body decorator_list returns type_params",
        "ClassDef": "name bases keywords body decorator_list type_params",
        "Return": "value",
        "Delete": "targets",
        "Assign": "targets value",
        "TypeAlias": "name type_params value",
        "AugAssign": "target op value",
        "AnnAssign": "target annotation value",
        "For": "target iter body orelse",
        "AsyncFor": "target iter body orelse",
        "While": "test body orelse",
        "If": "test body orelse",
        "With": "items body",
        "AsyncWith": "items body",
        "Match": "subject cases",
        "Raise": "exc cause",
        "Try": "body handlers orelse finalbody",
        "TryStar": "body handlers orelse finalbody",
        "Assert": "test msg",
        "Import": "names",
        "ImportFrom": "module names level",
        "Global": "names",
        "Nonlocal": "names",
        "Expr": "value",
        "BoolOp": "op values",
        "NamedExpr": "target value",
        "BinOp": "left op right",
        "UnaryOp": "op operand",
        "Lambda": "args body",
        "IfExp": "test body orelse",
        "Dict": "keys values",
        "Set": "elts",
        "ListComp": "elt generators",
        "SetComp": "elt generators",
        "DictComp": "key value generators",
        "GeneratorExp": "elt generators",
        "Await": "value",
        "Yield": "value",
        "YieldFrom": "value",
        "Compare": "left ops comparators",
        "Call": "func args keywords",
        "FormattedValue": "value conversion format_spec",
        "Interpolation": "value str conversion format_spec",
        "JoinedStr": "values",
        "TemplateStr": "values",
        "Constant": "value",
        "Attribute": "value attr",
        "Subscript": "value slice",
        "Starred": "value",
        "Name": "id",
        "List": "elts",
        "Tuple": "elts",
        "Slice": "lower upper step",
        "comprehension": "target iter ifs is_async",
        "ExceptHandler": "type name body",
        "arguments": "posonlyargs args vararg kwonlyargs kw_defaults kwarg defaults",
        "arg": "arg annotation",
        "keyword": "arg value",
        "alias": "name asname",
        "withitem": "context_expr optional_vars",
        "match_case": "pattern guard body",
        "MatchValue": "value",
        "MatchSingleton": "value",
        "MatchSequence": "patterns",
        "MatchMapping": "keys patterns rest",
        "MatchClass": "cls patterns kwd_attrs kwd_patterns",
        "MatchStar": "name",
        "MatchAs": "pattern name",
        "MatchOr": "patterns",
        "TypeVar": "name bound default_value",
        "ParamSpec": "name default_value",
        "TypeVarTuple": "name default_value",
    }.items()
}
"""The fields of each node that enter a digest. Written out, because later versions of Python add fields."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Method = ast.FunctionDef | ast.AsyncFunctionDef
Scopes = tuple[ast.AST, ...]
"""The functions and classes around a piece of code, outermost first."""

SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_LOOKS_AT_LOCALS = frozenset({"locals", "vars", "dir", "eval", "exec"})
_LOG_LEVELS: Final = {
    name: level
    for level, names in {
        10: "debug",
        20: "info",
        30: "warning warn",
        40: "error exception",
        50: "critical",
    }.items()
    for name in names.split()
}
LOG_LEVEL: Final = 30
"""The level from which on `logging` shows a line of a program that sets none."""
ALL_LOGS: Final = 100
"""Above every level."""
_LOGGERS = ("log", "logger", "logging")
_MUTATORS = frozenset(
    {
        *(
            "add",
            "append",
            "appendleft",
            "clear",
            "discard",
            "extend",
            "insert",
            "pop",
            "popitem",
            "register",
        ),
        *("remove", "reverse", "setdefault", "sort", "update", "difference_update", "intersection_update"),
        *("__setitem__", "__delitem__"),
    }
)
"""Methods that change the object itself. Other calls at the top of a module, such as `asyncio.run(main())`, define nothing."""


# --- the digest of a syntax tree


def digest(nodes: Iterable[ast.AST]) -> str:
    """Return the digest of some syntax trees, the same in every version of Python."""
    out: list[str] = []
    for node in nodes:
        _write(node, out, None)
    return _digest_text(out)


def _digest_text(out: list[str]) -> str:
    return blake2b("".join(out).encode(), digest_size=DIGITS // 2).hexdigest()


class _Names:
    """The names in a function: its local variables have a number in its digest in place of their name.

    Attributes:
        depth: how many functions are around it.
        used_once: the variables that are set once and read once.
    """

    def __init__(self, function: ast.AST, outer: _Names | None) -> None:
        self._outer = outer
        self.depth: int = 0 if outer is None else outer.depth + 1
        self._renamed, self._kept, self.used_once = _find_locals(function)
        self._numbers: dict[str, int] = {}

    def name(self, name: str) -> str:
        """Return what stands for a name; a local variable counts up from its first appearance."""
        if name in self._renamed:
            return f"#{self.depth}.{self._numbers.setdefault(name, len(self._numbers))}"
        return name if name in self._kept or self._outer is None else self._outer.name(name)

    def is_own(self, name: str) -> bool:
        """Return whether a name is a variable of the function."""
        return name in self._renamed or name in self._kept

    def for_inner(self) -> _Names | None:
        """Return the names that a function inside it sees."""
        return self


class _ClassNames(_Names):
    """The names in the body of a class: its attributes, and those of the function around it."""

    def __init__(self, node: ast.ClassDef, outer: _Names | None) -> None:
        self._outer = outer
        self.depth = 0 if outer is None else outer.depth
        self._renamed, self.used_once, self._numbers = set(), set(), {}
        self._kept = set() if outer is None else set(find_bindings(node.body))

    def for_inner(self) -> _Names | None:
        return self._outer  # methods do not see the attributes


def _find_locals(function: ast.AST) -> tuple[set[str], set[str], set[str]]:
    """Return the local variables of a function that may be renamed, its other names, and the variables used once.

    Parameters may not be renamed, because callers name them, and nothing may where the code looks at its variables by name.
    """
    kept = set(parameter_names(function)) if isinstance(function, Function) else set()
    outer: set[str] = set()
    reads: Counter[str] = Counter()
    sets: Counter[str] = Counter()
    for node in _walk_scope(function):
        if isinstance(node, SCOPES):
            kept.add(getattr(node, "name", ""))
            reads.update(2 * [each.id for each in ast.walk(node) if isinstance(each, ast.Name)])
        elif isinstance(node, ast.Name):
            (reads if isinstance(node.ctx, ast.Load) else sets)[node.id] += 1
        elif isinstance(node, ast.Global):
            kept.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            outer.update(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            kept.update(each.asname or each.name.partition(".")[0] for each in node.names)
        else:
            sets.update(_captured_names(node))
    if not _LOOKS_AT_LOCALS.isdisjoint(reads):
        return set(), kept | (sets.keys() - outer), set()
    renamed = sets.keys() - kept - outer
    return renamed, kept, {each for each in renamed if sets[each] == reads[each] == 1}


def _captured_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def _write(node: Any, out: list[str], names: _Names | None) -> None:
    node = _fold(node)
    kind = type(node).__name__
    if kind == "Name":
        out.append(f"Name({node.id if names is None else names.name(node.id)!r})")
        return
    if kind == "Constant":
        # `ascii`, because which characters `repr` escapes depends on the Unicode version of the Python.
        out.append(f"{type(node.value).__name__}:{node.value!a};")
        return
    if kind == "AnnAssign":  # without its annotation, except in the body of a class
        kind = "AnnAssign" if isinstance(names, _ClassNames) else "Assign"
    inner = names
    if isinstance(node, SCOPES):
        outer = None if names is None else names.for_inner()
        inner = _ClassNames(node, outer) if isinstance(node, ast.ClassDef) else _Names(node, outer)
    out.append(f"{kind}(")
    for name in _FIELDS.get(kind, ()):
        value: Any = getattr(node, name, None)
        if name == "targets" and value is None:
            value = [node.target]  # of an annotated assignment
        if isinstance(value, ast.AST):
            is_annotation = name in ("annotation", "returns") and kind != "AnnAssign"
            is_empty = name == "format_spec" and not getattr(value, "values", True)
            if not (is_annotation or is_empty):
                out.append(f"{name}=")
                _write(value, out, inner)
        elif isinstance(value, list):
            if kind == "JoinedStr":
                value = _merge_texts(value)
            elif name in _BLOCKS:
                value = _simplify(value, inner, is_class=kind == "ClassDef")
            if value:
                out.append(f"{name}=[")
                for each in value:
                    if isinstance(each, ast.AST):
                        _write(each, out, inner if name == "body" or kind == "Lambda" else names)
                    else:
                        out.append(f"{names.name(each) if names and kind == 'Nonlocal' else each!r},")
                out.append("]")
        elif value is not None:
            own = names is not None and name in ("name", "rest") and not isinstance(node, SCOPES)
            out.append(f"{name}={names.name(value) if own and names else value!r},")
    out.append(")")


_BLOCKS: Final = ("body", "orelse", "finalbody")
"""The fields of a node that hold statements."""


def _merge_texts(items: list[Any]) -> list[Any]:
    """Merge the texts of an f-string, which Python versions split differently."""
    merged: list[Any] = []
    for each in items:
        if isinstance(each, ast.Constant) and merged and isinstance(merged[-1], ast.Constant):
            merged[-1] = ast.Constant(str(merged[-1].value) + str(each.value))
        elif not (isinstance(each, ast.Constant) and each.value == ""):
            merged.append(each)
    return merged


def _simplify(items: list[Any], names: _Names | None, *, is_class: bool) -> list[Any]:
    """Leave out what has no effect or is never reached, an `else` behind a `return`, and variables that are used once."""
    kept: list[Any] = []
    pending = [*reversed(items)]
    while pending:
        each = pending.pop()
        if has_no_effect(each) and not (is_class and isinstance(each, ast.AnnAssign)):  # a field
            continue
        if isinstance(each, ast.If) and each.orelse and isinstance(each.body[-1], _LEAVES):
            pending += reversed(each.orelse)
            each = ast.If(each.test, each.body, [])
        while kept and names is not None and (inlined := _inline(kept[-1], each, names)) is not None:
            kept.pop()
            each = inlined
        kept.append(each)
    for place, each in enumerate(kept):
        if isinstance(each, _LEAVES) and not any(map(_makes_local, kept[place + 1 :])):
            return kept[: place + 1]
    return kept


_LEAVES: Final = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def _makes_local(node: ast.AST) -> bool:
    """Return whether a statement counts where it is never reached: it makes a name local, or a function a generator."""
    kinds = (*SCOPES, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom)
    return any(
        isinstance(each, kinds) or not isinstance(getattr(each, "ctx", ast.Load()), ast.Load)
        for each in ast.walk(node)
    ) or any(True for each in ast.walk(node) for _ in _captured_names(each))


_EVALUATED: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(fields.split())
    for name, fields in {
        "Return": "value",
        "Expr": "value",
        "Assign": "value",
        "AnnAssign": "value",
        "AugAssign": "target value",
        "If": "test",
        "For": "iter",
        "With": "items:1",
        "withitem": "context_expr",
        "Raise": "exc",
        "Assert": "test",
        "Match": "subject",
        "BoolOp": "values:1",
        "BinOp": "left right",
        "UnaryOp": "operand",
        "IfExp": "test",
        "Dict": "values",
        "Set": "elts",
        "ListComp": "generators:1",
        "SetComp": "generators:1",
        "DictComp": "generators:1",
        "GeneratorExp": "generators:1",
        "comprehension": "iter",
        "Await": "value",
        "Compare": "left comparators:1",
        "Call": "func args keywords",
        "keyword": "value",
        "FormattedValue": "value",
        "JoinedStr": "values",
        "Attribute": "value",
        "Subscript": "value slice",
        "Starred": "value",
        "List": "elts",
        "Tuple": "elts",
    }.items()
}
"""What each node evaluates for sure and once, in order, before anything else of it; `:1` is the first of a list."""
_EFFECTS: Final = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)


def _inline(before: ast.AST, statement: ast.AST, names: _Names) -> Any:
    """Return a statement with the variable that the one before sets replaced by its value; None if that could differ."""
    if not isinstance(before, ast.Assign | ast.AnnAssign) or before.value is None:
        return None
    target = before.targets[0] if isinstance(before, ast.Assign) else before.target
    kinds = (ast.Yield, ast.YieldFrom, ast.NamedExpr)
    if (
        not isinstance(target, ast.Name)
        or target.id not in names.used_once
        or any(isinstance(each, kinds) for each in ast.walk(before.value))
    ):
        return None
    return _put_in(statement, target.id, before.value, names)


def _put_in(node: Any, name: str, value: Any, names: _Names) -> Any:
    """Return a node with a value in place of a variable; None where something that could interfere is evaluated before."""
    if isinstance(node, ast.Name):
        return value if node.id == name else None
    for each in _EVALUATED.get(type(node).__name__, ()):
        field, is_first, _ = each.partition(":")
        children = getattr(node, field)
        several = children if isinstance(children, list) else [children]
        for place, child in enumerate(several[:1] if is_first else several):
            found = None if child is None else _put_in(child, name, value, names)
            if found is not None:
                node = copy.copy(node)
                changed = [*several[:place], found, *several[place + 1 :]]
                setattr(node, field, changed if isinstance(children, list) else found)
                return node
            if not _can_wait(child, value, names, is_called=field == "func"):
                return None
    return None


def _can_wait(node: Any, value: ast.AST, names: _Names, *, is_called: bool) -> bool:
    """Return whether a node gives the same before and after a value is computed."""
    if not _has_effect(value):
        return not _has_effect(node)
    if isinstance(node, ast.Name):
        return is_called or names.is_own(node.id)
    return isinstance(node, ast.Constant) or (is_called and bool(dotted_name(node)))


def _has_effect(node: ast.AST) -> bool:
    return any(isinstance(each, _EFFECTS) for each in ast.walk(node))


_FOLDED: Final[Mapping[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_NEGATED: Final[Mapping[type, type]] = {ast.In: ast.NotIn, ast.Is: ast.IsNot, ast.Eq: ast.NotEq}
_NEGATED_NUMBERS: Final[Mapping[type, type]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
}
"""Only of numbers: sets may be neither smaller nor larger."""
_TURNED: Final[Mapping[type, type]] = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}


def _fold(node: Any) -> Any:
    """Return the number that Python itself makes of `19 / 100`, and one form of equal comparisons; else the node."""
    if isinstance(node, ast.BinOp) and type(node.op) in _FOLDED:
        numbers = [each.value for each in (node.left, node.right) if isinstance(each, ast.Constant)]
        if len(numbers) == 2 and all(type(each) in (int, float) for each in numbers):
            with suppress(ArithmeticError):
                return ast.Constant(_FOLDED[type(node.op)](*numbers))
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and _is_number(node.value):
        node = ast.Assign([node.target], ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value))
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.Not)
        and isinstance(node.operand, ast.Compare)
    ):
        compare = node.operand
        sides = (compare.left, *compare.comparators)
        of_numbers = any(map(_is_number, sides))
        negated = {**_NEGATED, **(_NEGATED_NUMBERS if of_numbers else {})}.get(type(compare.ops[0]))
        if negated is not None and len(sides) == 2:
            node = ast.Compare(compare.left, [negated()], compare.comparators)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and not _has_effect(node):
        turned = _TURNED.get(type(node.ops[0]))
        if turned is not None:
            node = ast.Compare(node.comparators[0], [turned()], [node.left])
    return node


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def has_no_effect(node: Any) -> bool:
    """Return whether a statement is `pass`, a bare constant, or a bare annotation."""
    if isinstance(node, ast.AnnAssign):
        return node.value is None
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def parse_source(source: str | bytes, log_level: int = LOG_LEVEL) -> ast.Module:
    """Return the syntax tree of a file, without the logging calls below a level that have no call in them."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in _BLOCKS:
            block = getattr(node, name, None)
            if isinstance(block, list):
                block[:] = [each for each in block if not _only_logs(each, log_level)]
    return tree


def _only_logs(node: ast.AST, level: int) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    if (
        not isinstance(call, ast.Call)
        or not isinstance(call.func, ast.Attribute)
        or _LOG_LEVELS.get(call.func.attr, level) >= level
    ):
        return False
    logger = dotted_name(call.func.value).rpartition(".")[2].lower().strip("_")
    if logger not in _LOGGERS and not logger.endswith(("_logger", "_log")):
        return False
    return not any(isinstance(each, _EFFECTS) for each in ast.walk(call) if each is not call)


def _digest_annotations(node: ast.AST) -> str:
    """Return the digest of the annotations of a function; "" if it has none."""
    if not isinstance(node, Method):
        return ""
    out: list[str] = []
    for each in find_parameters(node):
        if each.annotation is not None:
            out.append(f"{each.arg}:")
            _write(each.annotation, out, None)
    if node.returns is not None:
        out.append("->")
        _write(node.returns, out, None)
    return _digest_text(out) if out else ""


# --- the definitions of a file


class CodeDefinition(NamedTuple):
    """A piece of code that is compared as a whole.

    Attributes:
        nodes: the function; the head and the variables of a class; or the statements that bind or change a name.
        scopes: the functions and classes around it.
    """

    nodes: list[ast.AST]
    scopes: Scopes = ()


def find_definitions(tree: ast.Module) -> dict[str, CodeDefinition]:
    """Return the definitions of a file by their labels, qualified as `__qualname__` is.

    `convert`, `Converter` and `Converter.run` are functions and classes, `RATE` a variable of the module, and
    `make.<locals>.rate` a variable of a function that a function inside it uses. `RATE=` is every place that assigns or
    changes something of this name elsewhere, `Converter.offset=` an attribute that a method of the class assigns to
    its object, `main.<locals>.make()` the arguments with which `main` calls a function or class of this name, and
    `partial(convert)` those of `functools.partial`.
    """
    found: dict[str, CodeDefinition] = {}
    places = _Places(found, tree)
    places.read(tree, _Place())
    _add_block(found, tree.body, "", (), places)
    # What an assignment binds is a definition of its own.
    known = (*SCOPES, ast.Import, ast.ImportFrom, ast.Assign, ast.AugAssign, ast.AnnAssign)
    found[REST] = CodeDefinition(
        [each for each in tree.body if not isinstance(each, known) and not has_no_effect(each)]
    )
    return found


def digest_definitions(definitions: Mapping[str, CodeDefinition]) -> dict[str, str]:
    """Return the digest of each definition."""
    return {
        label: digest(each.nodes) + "".join(_digest_annotations(node) for node in each.nodes)
        for label, each in definitions.items()
    }


def _add(found: dict[str, CodeDefinition], label: str, nodes: Iterable[ast.AST], scopes: Scopes) -> None:
    found.setdefault(label, CodeDefinition([], scopes)).nodes.extend(nodes)


def _add_block(
    found: dict[str, CodeDefinition],
    body: list[ast.stmt],
    prefix: str,
    scopes: Scopes,
    places: _Places,
) -> None:
    """Add what the statements of a module or class define."""
    for name, nodes in find_bindings(body).items():
        for node in nodes:
            if isinstance(node, Method):
                _add_function(found, node, prefix, scopes, places)
            elif isinstance(node, ast.ClassDef):
                _add(found, f"{prefix}{name}", _class_head(node), (*scopes, node))
                _add_block(found, node.body, f"{prefix}{name}.", (*scopes, node), places)
            elif not scopes:
                _add(found, f"{prefix}{name}", [node], scopes)


def _add_function(
    found: dict[str, CodeDefinition], node: ast.AST, prefix: str, scopes: Scopes, places: _Places
) -> None:
    """Add a function, the functions inside it, and its variables that these or the arguments of calls use."""
    name = getattr(node, "name", "<lambda>")
    _add(found, f"{prefix}{name}", [node], scopes)
    inner = [each for each in places.nodes_of(node) if isinstance(each, SCOPES)]
    names = {each.id for function in inner for each in ast.walk(function) if isinstance(each, ast.Name)}
    names |= places.used.get(id(node), set())
    if not names:
        return
    prefix, scopes = f"{prefix}{name}.<locals>.", (*scopes, node)
    for each in inner:
        if isinstance(each, ast.ClassDef):
            _add(found, f"{prefix}{each.name}", _class_head(each), (*scopes, each))
            _add_block(found, each.body, f"{prefix}{each.name}.", (*scopes, each), places)
        else:
            _add_function(found, each, prefix, scopes, places)
    body = getattr(node, "body", ())
    bindings = find_bindings(body if isinstance(body, list) else ())
    values = {
        variable: [each for each in nodes if not isinstance(each, SCOPES)]
        for variable, nodes in bindings.items()
    }
    pending, wanted = list(names), set()
    while pending:  # a variable may be made of others: `for row in tables` of `tables = read_tables()`
        variable = pending.pop()
        if values.get(variable) and variable not in wanted:
            wanted.add(variable)
            pending += [
                each.id for node in values[variable] for each in ast.walk(node) if isinstance(each, ast.Name)
            ]
    for variable, assigned in values.items():
        if variable in wanted:
            _add(found, f"{prefix}{variable}", assigned, scopes)


def _walk_scope(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes inside a function or class; of functions and classes inside it, only themselves."""
    pending = [scope]
    while pending:
        for node in ast.iter_child_nodes(pending.pop()):
            yield node
            if not isinstance(node, SCOPES):
                pending.append(node)


def _class_head(node: ast.ClassDef) -> list[ast.AST]:
    fields = [each for each in node.body if not isinstance(each, Method | ast.ClassDef)]
    constants = [each for each in fields if isinstance(each, ast.Assign) and _is_literal(each.value)]
    # The order of constants has no effect, unlike that of annotated fields.
    fields = [each for each in fields if each not in constants] + sorted(constants, key=ast.dump)
    head = ast.ClassDef(node.name, node.bases, node.keywords, fields, node.decorator_list)
    ast.copy_location(head, node)
    return [head]


def _is_literal(node: ast.AST) -> bool:
    kinds = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Load, ast.UnaryOp, ast.unaryop)
    return all(isinstance(each, kinds) for each in ast.walk(node))


class _Places:
    """Finds the places of a file that assign or change something of a name, and the calls with arguments.

    Attributes:
        used: id of a function -> its variables that stand in the arguments of such calls.
    """

    def __init__(self, found: dict[str, CodeDefinition], tree: ast.Module) -> None:
        self.used: dict[int, set[str]] = {}
        self._nodes: dict[int, list[ast.AST]] = {}
        self._found = found
        self._callable: set[str] = set()
        for name, nodes in find_bindings(tree.body).items():
            if any(isinstance(each, SCOPES) or _is_foreign_import(each) for each in nodes):
                self._callable.add(name)

    def nodes_of(self, function: ast.AST) -> list[ast.AST]:
        """Return the nodes inside a function; of functions and classes inside it, only themselves."""
        if id(function) not in self._nodes:
            self._nodes[id(function)] = list(_walk_scope(function))
        return self._nodes[id(function)]

    def read(self, node: ast.AST, place: _Place) -> None:
        """Read what is inside a node."""
        for each in ast.iter_child_nodes(node):
            if isinstance(each, ast.ClassDef):
                label = f"{place.class_label}.{each.name}" if place.class_label else each.name
                self.read(each, place._replace(class_label=label, in_class=True))
            elif isinstance(each, Function):
                self._read_function(each, place)
            else:
                self._read_node(each, place)
                self.read(each, place._replace(in_class=False) if place.in_class else place)

    def _read_function(self, node: Function, place: _Place) -> None:
        names = parameter_names(node)
        bound = set(_names_bound_in(self.nodes_of(node)))
        inner = {
            each.name for each in self.nodes_of(node) if isinstance(each, Method | ast.ClassDef)
        } - self._callable
        self._callable |= inner
        name = getattr(node, "name", "<lambda>")
        owner = f"{place.class_label}." if place.in_class else ""
        within = _Place(
            place.class_label,
            False,
            place.local | bound | set(names),
            names[0] if place.in_class and names else place.receiver,
            f"{place.prefix}{owner}{name}.<locals>.",
            (*place.scopes, node),
        )
        self.read(node, within)
        self._callable -= inner

    def _read_node(self, node: ast.AST, place: _Place) -> None:
        targets: list[ast.AST] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = [*node.targets]
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call):
            self._read_call(node, place)
            function = node.func
            if isinstance(function, ast.Attribute) and function.attr in _MUTATORS:
                targets = [ast.Subscript(function.value, function.value)]  # as an item of it is assigned
            elif isinstance(function, ast.Name) and function.id == "setattr" and len(node.args) == 3:
                name = node.args[1]
                if isinstance(name, ast.Constant):
                    targets = [ast.Attribute(node.args[0], str(name.value))]
        for target in targets:
            for each in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                self._add_store(node, each, place)

    def _add_store(self, node: ast.AST, target: ast.AST, place: _Place) -> None:
        changes = False
        while isinstance(target, ast.Subscript | ast.Starred):
            target, changes = target.value, True
        if isinstance(target, ast.Attribute):
            own = place.receiver and isinstance(target.value, ast.Name) and target.value.id == place.receiver
            label = f"{place.class_label}.{target.attr}=" if own else f"{target.attr}="
        elif isinstance(target, ast.Name) and (target.id not in place.local if place.scopes else changes):
            label = f"{target.id}="
        else:
            return
        _add(self._found, label, [node], ())

    def _read_call(self, node: ast.Call, place: _Place) -> None:
        name, form = dotted_name(node.func), "{}()"
        arguments = node.args
        if name.rpartition(".")[2] == "partial" and arguments:
            name, form, arguments = dotted_name(arguments[0]), "partial({})", arguments[1:]
        if name.partition(".")[0] not in self._callable or not (arguments or node.keywords):
            return
        label = place.prefix + form.format(name.rpartition(".")[2])
        _add(self._found, label, [*arguments, *node.keywords], place.scopes)
        if place.scopes:
            names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            self.used.setdefault(id(place.scopes[-1]), set()).update(names)


class _Place(NamedTuple):
    """Where `_Places` reads.

    Attributes:
        class_label: the class around it; "" for none.
        in_class: whether it is directly in the body of that class.
        local: the variables of the functions around it.
        receiver: the name of the object in a method.
        prefix: what the labels of definitions in the function around it begin with.
        scopes: the functions around it.
    """

    class_label: str = ""
    in_class: bool = False
    local: frozenset[str] = frozenset()
    receiver: str = ""
    prefix: str = ""
    scopes: Scopes = ()


def _is_foreign_import(node: ast.AST) -> bool:
    """Return whether this is an import that may be one of the project: none of Python itself."""
    if isinstance(node, ast.Import):
        return node.names[0].name.partition(".")[0] not in sys.stdlib_module_names
    if isinstance(node, ast.ImportFrom):
        return bool(node.level) or (node.module or "").partition(".")[0] not in sys.stdlib_module_names
    return False


def _names_bound_in(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names that a function binds as its own; `nodes` are those inside it."""
    declared: set[str] = set()
    bound: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Global | ast.Nonlocal):
            declared.update(node.names)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.append(node.id)
        elif isinstance(node, Method | ast.ClassDef | ast.ExceptHandler) and node.name:
            bound.append(node.name)
    yield from (each for each in bound if each not in declared)


def dotted_name(node: ast.AST) -> str:
    """Return `a.b.c` for names and attributes of names, `super.b` for `super().b`; "" for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
        node = node.func
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(names)])


def parameter_names(node: Function) -> list[str]:
    """Return the names of all parameters."""
    return [each.arg for each in find_parameters(node)]


def find_parameters(node: Function) -> list[ast.arg]:
    """Return all parameters of a function."""
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [*plain, *(each for each in (arguments.vararg, arguments.kwarg) if each is not None)]


# --- the names that statements bind


def find_bindings(body: Iterable[ast.stmt]) -> dict[str, list[ast.AST]]:
    """Return the statements of a block that bind or change each name, without what inner functions do."""
    found: dict[str, list[ast.AST]] = {}
    for statement in body:
        for name, node in _bound_by(statement):
            found.setdefault(name, []).append(node)
    return found


def _bound_by(statement: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that a statement binds or changes, each with the code of its value."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name, statement
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for each in statement.names:
            top = each.name.partition(".")[0] if isinstance(statement, ast.Import) else each.name
            one: ast.Import | ast.ImportFrom = ast.Import([each])
            if isinstance(statement, ast.ImportFrom):
                one = ast.ImportFrom(statement.module, [each], statement.level)
            yield each.asname or top, one  # the other names of the statement are definitions of their own
    elif isinstance(statement, ast.Assign | ast.Delete):
        for target in statement.targets:
            for name in _targets(target):
                yield name, statement
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
        for name in _targets(statement.target):
            yield name, statement
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        chain = dotted_name(statement.value.func)  # PRICES.update(...)
        if chain.count(".") == 1 and chain.partition(".")[2] in _MUTATORS:
            yield chain.partition(".")[0], statement
    elif isinstance(statement, ast.For | ast.AsyncFor):
        for name in _targets(statement.target):
            yield name, ast.Assign([statement.target], statement.iter)
    elif isinstance(statement, ast.With | ast.AsyncWith):
        for item in statement.items:
            for name in _targets(item.optional_vars):
                yield name, item
    elif type(statement).__name__ == "TypeAlias":  # from Python 3.12 on
        yield vars(statement)["name"].id, statement
    for part in (statement, *getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        if not isinstance(part, (*Function.__args__, ast.ClassDef)):
            for name in ("body", "orelse", "finalbody"):
                for inner in getattr(part, name, ()):
                    yield from _bound_by(inner)


def _targets(node: ast.AST | None) -> Iterator[str]:
    """Yield the names that an assignment binds, or whose contents it changes."""
    if isinstance(node, ast.Tuple | ast.List):
        for each in node.elts:
            yield from _targets(each)
    else:
        while isinstance(node, ast.Starred | ast.Subscript | ast.Attribute):
            node = node.value
        if isinstance(node, ast.Name):
            yield node.id


def digest_source(source: bytes) -> str:
    """Return the digest of a whole file."""
    return blake2b(source, digest_size=DIGITS // 2).hexdigest()
