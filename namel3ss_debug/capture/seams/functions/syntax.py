"""Read syntax trees for `codedigest`: digest them, and find which names they mention and bind.

A digest covers what the code does. Comments, docstrings, line numbers and formatting do not enter it, and it is the
same in every version of Python.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

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

_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_RUNS_TEXT = frozenset({"eval", "exec", "globals", "__import__", "compile"})


# --- the digest of a syntax tree


def digest(nodes: Iterable[ast.AST]) -> str:
    """Return the digest of some syntax trees: 16 hexadecimal digits, the same in every version of Python."""
    out: list[str] = []
    for node in nodes:
        _write(node, out)
    return blake2b("".join(out).encode(), digest_size=8).hexdigest()


def _write(node: ast.AST, out: list[str]) -> None:
    kind = type(node).__name__
    if isinstance(node, ast.Constant):
        # `ascii`, because which characters `repr` escapes depends on the Unicode version of the Python.
        out.append(f"{type(node.value).__name__}:{node.value!a};")
        return
    out.append(f"{kind}(")
    for name in _FIELDS.get(kind, ()):
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            if not (name == "format_spec" and not getattr(value, "values", True)):
                out.append(f"{name}=")
                _write(value, out)
        elif isinstance(value, list):
            if value := _without_effectless(value, kind):
                out.append(f"{name}=[")
                for each in value:
                    if isinstance(each, ast.AST):
                        _write(each, out)
                    else:
                        out.append(f"{each!r},")
                out.append("]")
        elif value is not None:
            out.append(f"{name}={value!r},")
    out.append(")")


def _without_effectless(items: list[Any], kind: str) -> list[Any]:
    """Leave out docstrings and `pass`; merge the texts of an f-string, which Python versions split differently."""
    if kind == "JoinedStr":
        merged: list[Any] = []
        for each in items:
            if isinstance(each, ast.Constant) and merged and isinstance(merged[-1], ast.Constant):
                merged[-1] = ast.Constant(str(merged[-1].value) + str(each.value))
            elif not (isinstance(each, ast.Constant) and each.value == ""):
                merged.append(each)
        return merged
    return [each for each in items if not has_no_effect(each)]


def has_no_effect(node: Any) -> bool:
    """Return whether a statement is `pass`, a docstring or another bare constant."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


# --- the names that a piece of code mentions


class Mentions:
    """The names that a piece of code mentions, as dotted names: `convert`, `config.RATE`.

    Attributes:
        free: names that it does not bind itself.
        own: names whose first part is a parameter or a local variable.
        imports: names that it imports itself: the statement's `(level, module, name)`, and the attributes used of it.
        called: its own names that it calls.
        dynamic: calls that cannot be followed, such as `eval`.
    """

    def __init__(self) -> None:
        self.free: dict[str, None] = {}
        self.own: dict[str, None] = {}
        self.imports: list[tuple[tuple[int, str, str], list[str]]] = []
        self.called: set[str] = set()
        self.dynamic: set[str] = set()


class _NameScope:
    """A scope while it is read. `close` hands the names that it does not bind to the scope around it."""

    def __init__(self, found: Mentions, parent: _NameScope | None = None, *, is_class: bool = False) -> None:
        self.found, self.parent, self.is_class = found, parent, is_class
        self.loads: dict[str, None] = {}
        self.called: set[str] = set()
        self.bound: set[str] = set()
        self.declared: set[str] = set()
        self.imports: dict[str, tuple[int, str, str]] = {}

    def read(self, node: Any) -> None:
        """Read a node, or a list of nodes."""
        if isinstance(node, list):
            for each in node:
                self.read(each)
            return
        if not isinstance(node, ast.AST):
            return
        if isinstance(node, ast.Attribute):
            chain = dotted_name(node)
            if chain:
                self.loads[chain] = None
            else:
                self.read(node.value)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                self.loads[node.id] = None
            else:
                self.bound.add(node.id)
        elif isinstance(node, Function):
            self.read_function(node)
        elif isinstance(node, ast.ClassDef):
            self.bound.add(node.name)
            self.read([*node.decorator_list, *node.bases, *node.keywords])
            inner = _NameScope(self.found, self, is_class=True)
            inner.read(node.body)
            inner.close()
        elif isinstance(node, _Comprehension):
            inner = _NameScope(self.found, self)
            inner.read([each.target for each in node.generators])
            inner.read(list(ast.iter_child_nodes(node)))
            inner.close()
        else:
            self._read_other(node)

    def _read_other(self, node: ast.AST) -> None:
        if isinstance(node, ast.Global | ast.Nonlocal):
            self.declared.update(node.names)
        elif isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                self.imports[each.asname or top] = (0, each.name if each.asname else top, "")
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                self.imports[each.asname or each.name] = (node.level, node.module or "", each.name)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            self.bound.update([node.name] if node.name else [])
        elif isinstance(node, ast.MatchMapping):
            self.bound.update([node.rest] if node.rest else [])
        elif isinstance(node, ast.Call):
            self._read_call(node)
        self.read(list(ast.iter_child_nodes(node)))

    def _read_call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name):
            return
        name = node.func.id
        self.called.add(name)
        if name in _RUNS_TEXT:
            self.found.dynamic.add(name)
        elif name in ("getattr", "setattr", "hasattr") and len(node.args) > 1:
            owner, attribute = node.args[:2]
            if isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
                chain = dotted_name(owner)
                if chain:
                    self.loads[f"{chain}.{attribute.value}"] = None
            elif name != "hasattr":
                self.found.dynamic.add(name)

    def read_function(self, node: Function) -> None:
        """Read a function: defaults, decorators and annotations belong to this scope, its body to an inner one."""
        arguments = node.args
        parameters = _parameters(node)
        self.read([each.annotation for each in parameters])
        self.read([*arguments.defaults, *arguments.kw_defaults])
        if not isinstance(node, ast.Lambda):
            self.bound.add(node.name)
            self.read(node.decorator_list)
            self.read(node.returns)
        inner = _NameScope(self.found, self)
        inner.bound.update(each.arg for each in parameters)
        inner.read(node.body)
        inner.close()

    def close(self) -> None:
        """Hand what is not bound here to the scope around, or to the result."""
        bound = self.bound - self.declared
        self.loads |= dict.fromkeys(sorted(self.bound & self.declared))
        outer = self.parent
        while outer is not None and outer.is_class and not self.is_class:
            outer = outer.parent  # a class body's names are not visible in its methods
        for chain in self.loads:
            root, _, rest = chain.partition(".")
            if root in self.imports:
                self.found.imports.append((self.imports[root], rest.split(".") if rest else []))
            elif root in bound:
                if outer is None:
                    self.found.own[chain] = None
            elif outer is not None:
                outer.loads[chain] = None
            else:
                self.found.free[chain] = None
        self.found.called |= self.called & bound


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


def find_mentions(nodes: Iterable[ast.AST]) -> Mentions:
    """Return the names that some code mentions. The parameters and local variables of a function are its own."""
    found = Mentions()
    outer = _NameScope(found)
    for node in nodes:
        if isinstance(node, Function):
            inner = _NameScope(found)
            outer.read_function(node)
            # A method may call a function of its own name.
            outer.bound.discard(getattr(node, "name", ""))
            inner.bound.update(parameter_names(node))
            inner.read(node.body)
            inner.close()
        else:
            outer.read(node)
    outer.close()
    return found


def parameter_names(node: Function) -> list[str]:
    """Return the names of all parameters."""
    return [each.arg for each in _parameters(node)]


def _parameters(node: Function) -> list[ast.arg]:
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
            yield each.asname or top, statement
    elif isinstance(statement, ast.Assign | ast.Delete):
        for target in statement.targets:
            for name in _targets(target):
                yield name, statement
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
        for name in _targets(statement.target):
            yield name, statement
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        chain = dotted_name(statement.value.func)  # PRICES.update(...)
        if "." in chain:
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


# --- functions and classes


def first_line(node: ast.AST, default: int = 0) -> int:
    """Return the line on which a node begins, decorators included, as `co_firstlineno` counts them."""
    lines: list[int] = [each.lineno for each in getattr(node, "decorator_list", ())]
    return min([*lines, getattr(node, "lineno", default)])


def methods_of(node: ast.ClassDef) -> list[Method]:
    """Return the methods that stand in the body of a class."""
    return [each for each in node.body if isinstance(each, Method)]


def assigned_attributes(method: Method) -> frozenset[str]:
    """Return the attributes of its object that a method assigns."""
    own = parameter_names(method)[:1]
    return frozenset(
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and [node.value.id] == own
    )
