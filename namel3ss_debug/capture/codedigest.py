"""Digest the code behind a tool, so that a re-run can say whether the code that produced a recorded answer has changed.

The digest covers the syntax tree of the tool's function, the constants of its module that it names, the methods of its
class that it reaches, and the functions of the user's project that these name. It is read from the source files, never
from bytecode: coverage tools, pytest's assertion rewriting and our own edits change only the latter. Comments,
docstrings, line numbers and formatting do not enter it. What cannot be followed is listed as not verified.

Names are resolved in the source text, not in the running modules: in a re-run some tools do not run, so what they would
have imported or assigned is missing there, and the same code would have another digest.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import blake2b
from types import CodeType, FunctionType
from typing import Any, Final

from namel3ss_debug.capture import rewrite
from namel3ss_debug.capture.callsite import CallSites, innermost
from namel3ss_debug.traces.clocks import time

VERSION: Final = 1
"""Digests of different versions are not comparable. Raise it with every change of what a digest covers."""

MOST_LEVELS: Final = 5
MOST_FUNCTIONS: Final = 200
MOST_NOT_VERIFIED: Final = 40

_STARTED = time()
"""A file changed later than this may not hold what the process runs, where the source at import is not known."""

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
"""What of each node enters a digest. Fixed, because later versions of Python add fields; operators have none."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_RUNS_TEXT = frozenset({"eval", "exec", "globals", "__import__", "compile"})
_OF_INSTANCES = frozenset({"__init__", "__new__", "__post_init__", "__getattr__", "__getattribute__"})
_GLOBAL = re.compile(r"^[ \t]*global[ \t]+([\w, \t]+)", re.MULTILINE)


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
    return [each for each in items if not _has_no_effect(each)]


def _has_no_effect(node: Any) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


# --- the names that a piece of code mentions


@dataclass
class _Mentions:
    """The names that a piece of code mentions, as dotted chains: `convert`, `config.RATE`.

    Attributes:
        free: those that it does not bind itself.
        own: those whose first name is a parameter or a local variable.
        imports: what is reached through imports inside it: the statement's `(level, module, name)` and the rest.
        called: names of its own that it calls.
        dynamic: what it does that cannot be followed.
    """

    free: dict[str, None] = field(default_factory=dict)
    own: dict[str, None] = field(default_factory=dict)
    imports: list[tuple[tuple[int, str, str], list[str]]] = field(default_factory=list)
    called: set[str] = field(default_factory=set)
    dynamic: set[str] = field(default_factory=set)


class _Scope:
    """One scope while it is read; names of inner scopes that these do not bind come to the scope around them."""

    def __init__(self, found: _Mentions, parent: _Scope | None = None, *, is_class: bool = False) -> None:
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
            chain = _dotted(node)
            if chain:
                self.loads[chain] = None
            else:
                self.read(node.value)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                self.loads[node.id] = None
            else:
                self.bound.add(node.id)
        elif isinstance(node, _Function):
            self._read_function(node)
        elif isinstance(node, ast.ClassDef):
            self.bound.add(node.name)
            self.read([*node.decorator_list, *node.bases, *node.keywords])
            inner = _Scope(self.found, self, is_class=True)
            inner.read(node.body)
            inner.close()
        elif isinstance(node, _Comprehension):
            inner = _Scope(self.found, self)
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
                chain = _dotted(owner)
                if chain:
                    self.loads[f"{chain}.{attribute.value}"] = None
            elif name != "hasattr":
                self.found.dynamic.add(name)

    def _read_function(self, node: _Function) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
        self.read([each.annotation for each in every])
        self.read([*arguments.defaults, *arguments.kw_defaults])
        if not isinstance(node, ast.Lambda):
            self.bound.add(node.name)
            self.read(node.decorator_list)
            self.read(node.returns)
        inner = _Scope(self.found, self)
        inner.bound.update(each.arg for each in every)
        inner.read(node.body)
        inner.close()

    def close(self) -> None:
        """Hand what is not bound here to the scope around, or to the result."""
        bound = self.bound - self.declared
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


def _dotted(node: ast.AST) -> str:
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


def _mentions(nodes: Iterable[ast.AST]) -> _Mentions:
    """Return the names that some code mentions; of a function, its parameters and local variables are its own."""
    found = _Mentions()
    outer = _Scope(found)
    for node in nodes:
        if isinstance(node, _Function):
            inner = _Scope(found)
            outer._read_function(node)  # noqa: SLF001  (for decorators, defaults and annotations)
            # A method may call a function of its own name.
            outer.bound.discard(getattr(node, "name", ""))
            inner.bound.update(_parameters(node))
            inner.read(node.body)
            inner.close()
        else:
            outer.read(node)
    outer.close()
    return found


def _parameters(node: _Function) -> list[str]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [each.arg for each in (*every, arguments.vararg, arguments.kwarg) if each is not None]


# --- source files


class _Source:
    """A file of the user's code.

    Attributes:
        path: the file.
        shown: the file as call sites name it.
        changed: whether the file no longer holds what the process has loaded.
        tree: its syntax tree.
    """

    def __init__(self, path: str, shown: str, text: bytes | str, *, changed: bool) -> None:
        self.path, self.shown, self.changed = path, shown, changed
        self._text = text
        self.tree = ast.parse(text, path)

    @cached_property
    def bindings(self) -> dict[str, list[ast.AST]]:
        """The statements at the top of the module that bind or change each name."""
        return _bindings(self.tree.body)

    @cached_property
    def reassigned(self) -> frozenset[str]:
        """The names that functions of the module declare global."""
        text = self._text if isinstance(self._text, str) else self._text.decode("utf-8", "replace")
        return frozenset(name.strip() for names in _GLOBAL.findall(text) for name in names.split(","))

    def find(self, line: int, name: str) -> list[tuple[ast.AST, tuple[ast.AST, ...]]]:
        """Return the functions of this name whose first line is `line`, each with the scopes around it."""
        found: list[tuple[ast.AST, tuple[ast.AST, ...]]] = []
        pending: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(self.tree, ())]
        while pending:
            node, scopes = pending.pop()
            if isinstance(node, _Function):
                own = "<lambda>" if isinstance(node, ast.Lambda) else node.name
                if own == name and _first_line(node) == line:
                    found.append((node, scopes))
                    continue
            inner = (*scopes, node) if isinstance(node, (*_Function.__args__, ast.ClassDef)) else scopes
            pending += [
                (child, inner)
                for child in ast.iter_child_nodes(node)
                if _first_line(child, line) <= line <= (getattr(child, "end_lineno", None) or line)
            ]
        return found


def _first_line(node: ast.AST, default: int = 0) -> int:
    lines: list[int] = [each.lineno for each in getattr(node, "decorator_list", ())]
    return min([*lines, getattr(node, "lineno", default)])


def _bindings(body: Iterable[ast.stmt]) -> dict[str, list[ast.AST]]:
    """Return the statements of a block that bind or change each name, without what inner functions do."""
    found: dict[str, list[ast.AST]] = {}
    for statement in body:
        for name, node in _bound_by(statement):
            found.setdefault(name, []).append(node)
    return found


def _bound_by(statement: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The names that a statement binds or changes, each with the code that says to what."""
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
        chain = _dotted(statement.value.func)  # PRICES.update(...)
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
        if not isinstance(part, (*_Function.__args__, ast.ClassDef)):
            for name in ("body", "orelse", "finalbody"):
                for inner in getattr(part, name, ()):
                    yield from _bound_by(inner)


def _targets(node: ast.AST | None) -> Iterator[str]:
    """The names that an assignment binds, or whose contents it changes."""
    if isinstance(node, ast.Tuple | ast.List):
        for each in node.elts:
            yield from _targets(each)
    else:
        while isinstance(node, ast.Starred | ast.Subscript | ast.Attribute):
            node = node.value
        if isinstance(node, ast.Name):
            yield node.id


@lru_cache(maxsize=32)
def _read(path: str, shown: str, _state: tuple[int, int], loaded: bytes | None, *, changed: bool) -> _Source:
    with open(path, "rb") as file:
        text = file.read()
    return _Source(
        path, shown, text, changed=changed or (loaded is not None and rewrite.mark_of(text) != loaded)
    )


def _source(sites: CallSites, path: str) -> _Source | None:
    """Return a file of the user's code; None where it is not the user's, or cannot be read.

    Raises:
        SyntaxError: the file no longer holds Python.
    """
    shown = sites.shown(path)
    if shown is None:
        return None
    try:
        stat = os.stat(path)
    except OSError:
        lines = linecache.getlines(path)  # a cell of IPython has no file
        return _Source(path, shown, "".join(lines), changed=False) if lines else None
    loaded = rewrite.MARKS.get(path)
    changed = loaded is None and stat.st_mtime > _STARTED
    return _read(path, shown, (stat.st_mtime_ns, stat.st_size), loaded, changed=changed)


# --- what a tool reaches


@dataclass(frozen=True)
class _Module:
    """A module of the user's project: its source, its name and package for imports, and its variables."""

    source: _Source
    name: str
    package: str
    variables: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Unit:
    """A function to follow: where it stands, and the classes of the object that it is a method of."""

    module: _Module
    node: ast.AST
    scopes: tuple[ast.AST, ...]
    level: int
    classes: tuple[tuple[_Module, ast.ClassDef, tuple[ast.AST, ...]], ...] = ()

    @property
    def label(self) -> str:
        """The name of the part: `tools.py:Converter.run`."""
        return _label(self.module, [*self.scopes, self.node])


def _label(module: _Module, nodes: Sequence[ast.AST]) -> str:
    names = [getattr(node, "name", "<lambda>") for node in nodes]
    return f"{module.source.shown}:{'.'.join(names)}"


class _Reached:
    """The parts of the code behind a tool, gathered breadth first."""

    def __init__(self, sites: CallSites) -> None:
        self._sites = sites
        self.parts: dict[str, str] = {}
        self.not_verified: dict[str, None] = {}
        self._nodes: dict[str, list[ast.AST]] = {}
        self._queue: deque[_Unit] = deque()
        self._followed: set[tuple[str, int, int]] = set()
        self._modules: dict[str, _Module | None] = {}
        self._values: set[tuple[str, str]] = set()

    def follow(self, unit: _Unit) -> None:
        """Gather a function and what it reaches."""
        self.add(unit)
        while self._queue:
            each = self._queue.popleft()
            self._follow_unit(each)
        self.parts = {label: digest(nodes) for label, nodes in sorted(self._nodes.items())}

    def add(self, unit: _Unit) -> None:
        """Add a function, and follow it later."""
        node = unit.node
        key = (unit.module.source.path, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
        if key in self._followed:
            return
        if unit.level > MOST_LEVELS or len(self._followed) >= MOST_FUNCTIONS:
            self.miss(unit.label, "not followed so far")
            return
        self._followed.add(key)
        self._add_part(unit.module, unit.label, node)
        self._queue.append(unit)

    def miss(self, what: str, why: str = "") -> None:
        """Record that something was not followed."""
        if len(self.not_verified) < MOST_NOT_VERIFIED:
            self.not_verified[f"{what} ({why})" if why else what] = None

    def _add_part(self, module: _Module, label: str, *nodes: ast.AST) -> None:
        if module.source.changed:
            self.miss(module.source.shown, "edited since it was loaded")
        else:
            self._nodes.setdefault(label, []).extend(nodes)

    # --- following names

    def _follow_unit(self, unit: _Unit) -> None:
        mentions = _mentions([unit.node])
        self._follow_names(mentions, unit)
        parameters = set(_parameters(unit.node)) if isinstance(unit.node, _Function) else set()
        for name in sorted(mentions.called & parameters):
            self.miss(f"{unit.label}: {name}()")
        receiver = _receiver(unit)
        for chain in mentions.own:
            names = chain.split(".")
            if receiver and names[0] == receiver:
                self._follow_attribute(unit, names[1] if len(names) > 1 else None)
            elif len(names) > 1 and names[0] in parameters and names[-1] in rewrite.EDITED:
                self.miss(f"{unit.label}: {chain}")
        if receiver:
            for chain in mentions.free:
                if chain.startswith("super."):
                    self._follow_attribute(unit, chain.split(".")[1])

    def _follow_names(self, mentions: _Mentions, unit: _Unit) -> None:
        for what in sorted(mentions.dynamic):
            self.miss(f"{unit.label}: {what}()")
        for (level, module, name), rest in mentions.imports:
            self._follow_import(unit.module, level, module, name, rest, unit.level)
        decorators = [
            _dotted(getattr(each, "func", each)) for each in getattr(unit.node, "decorator_list", ())
        ]
        for chain in mentions.free:
            self._follow_name(chain.split("."), unit, is_decorator=chain in decorators)

    def _follow_name(self, names: list[str], unit: _Unit, *, is_decorator: bool = False) -> None:
        for depth in range(len(unit.scopes), 0, -1):
            scope = unit.scopes[depth - 1]
            if not isinstance(scope, _Function):
                continue
            outer = unit.scopes[: depth - 1]
            bound = _bindings(scope.body) if isinstance(scope.body, list) else {}
            if names[0] in bound:
                self._follow_bound(unit, bound[names[0]], names, (*outer, scope))
                return
            if names[0] in _parameters(scope):
                self.miss(f"{_label(unit.module, (*outer, scope))}: {names[0]}")
                return
        self._follow_global(unit.module, names, unit.level + 1, is_decorator=is_decorator)

    def _follow_global(
        self, module: _Module, names: list[str], level: int, *, is_decorator: bool = False
    ) -> None:
        """Follow a name of a module; `names` are what is mentioned of it."""
        name, rest = names[0], names[1:]
        bound = module.source.bindings.get(name)
        if bound is None:
            self._follow_unbound(module, names, level)
            return
        if is_decorator and not isinstance(
            bound[0], ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
        ):
            # `@agent.tool`: the decorator belongs to the function, the agent's own prompt does not
            return
        unit = _Unit(module, ast.Pass(), (), level - 1)
        if is_decorator and all(isinstance(each, ast.Import | ast.ImportFrom) for each in bound):
            foreign = len(self.not_verified)
            self._follow_bound(unit, bound, names, ())
            for each in list(self.not_verified)[foreign:]:
                if ":" not in each:  # the framework's own decorator; its version is in `trace_start`
                    del self.not_verified[each]
            return
        self._follow_bound(unit, bound, [name, *rest], ())
        self._compare_with_running(module, name, bound, level)

    def _follow_bound(
        self, unit: _Unit, bound: list[ast.AST], names: list[str], scopes: tuple[ast.AST, ...]
    ) -> None:
        """Follow a name to the statements that bind it."""
        module, level, name = unit.module, unit.level + 1, names[0]
        values: list[ast.AST] = []
        for node in bound:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.add(_Unit(module, node, scopes, level))
            elif isinstance(node, ast.ClassDef):
                self._add_class(module, node, scopes, level)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for each in node.names:
                    own = each.name.partition(".")[0] if isinstance(node, ast.Import) else each.name
                    if (each.asname or own) != name:
                        continue
                    if isinstance(node, ast.ImportFrom):
                        what = (node.level, node.module or "", each.name)
                    else:
                        what = (0, each.name if each.asname else own, "")
                    self._follow_import(module, *what, names[1:], unit.level)
            else:
                values.append(node)
        if values:
            label = f"{_label(module, scopes) if scopes else module.source.shown + ':'}{'.' if scopes else ''}{name}"
            self._add_value(module, label, values, scopes, level)

    def _add_value(
        self,
        module: _Module,
        label: str,
        nodes: list[ast.AST],
        scopes: tuple[ast.AST, ...],
        level: int,
    ) -> None:
        """Add a constant, or another variable: the code that makes it, and what that names."""
        if (module.source.path, label) in self._values:
            return
        self._values.add((module.source.path, label))
        if level > MOST_LEVELS:
            self.miss(label, "not followed so far")
            return
        self._add_part(module, label, *nodes)
        unit = _Unit(module, ast.Pass(), scopes, level)
        mentions = _mentions(nodes)
        name = re.split(r"[:.]", label)[-1]
        for chain in [each for each in mentions.free if each.partition(".")[0] == name]:
            del mentions.free[chain]
        self._follow_names(mentions, unit)

    def _compare_with_running(self, module: _Module, name: str, bound: list[ast.AST], level: int) -> None:
        """Record where the running module holds something other than what its source says."""
        label = f"{module.source.shown}:{name}"
        if name in module.source.reassigned:
            self.miss(label, "reassigned by a function")
        if len(bound) != 1 or name not in module.variables:
            return
        node, now = bound[0], module.variables[name]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.decorator_list:
            code = getattr(now, "__code__", None) if type(now) is FunctionType else None
            if code is None or code.co_filename != module.source.path or code.co_name != name:
                self.miss(label, "replaced while the program ran")
                self._follow_code(code, level)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            try:
                written = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                return
            # An empty container is where a program keeps its state, and no constant.
            if (
                name not in module.source.reassigned
                and not _is_same(written, now)
                and written not in ([], {})
            ):
                self.miss(label, "changed while the program ran")

    def _follow_code(self, code: Any, level: int) -> None:
        """Follow a function that was put in place of another one."""
        if not isinstance(code, CodeType):
            return
        source = _source(self._sites, code.co_filename)
        if source is None:
            return
        for node, scopes in source.find(code.co_firstlineno, code.co_name)[:1]:
            self.add(_Unit(_Module(source, "", "", {}), node, scopes, level))

    def _follow_unbound(self, module: _Module, names: list[str], level: int) -> None:
        """Follow a name that no statement of its module binds: of `import *`, or put there while the program ran."""
        name = names[0]
        stars = [each for each in module.source.bindings.get("*", ()) if isinstance(each, ast.ImportFrom)]
        for each in stars:
            found = self._module(self._absolute(module, each.level, each.module or ""))
            if found is not None and name in found.source.bindings:
                self._follow_global(found, names, level)
                return
        if name in vars(builtins) or name in ("__name__", "__file__", "__doc__", "super"):
            return
        now = module.variables.get(name)
        if type(now) is FunctionType and self._sites.shown(now.__code__.co_filename) is not None:
            self._follow_code(now.__code__, level)
        elif not _is_foreign(now):
            self.miss(f"{module.source.shown}:{name}")

    # --- imports of modules

    def _absolute(self, module: _Module, level: int, name: str) -> str:
        if not level:
            return name
        package = module.package.rsplit(".", level - 1)[0] if level > 1 else module.package
        return f"{package}.{name}" if name and package else package or name

    def _follow_import(
        self, module: _Module, level: int, imported: str, name: str, rest: list[str], unit_level: int
    ) -> None:
        """Follow `from imported import name`, or `import imported`, and the attributes that are used of it."""
        absolute = self._absolute(module, level, imported)
        self._follow_module(absolute, [name, *rest] if name else rest, unit_level + 1)

    def _follow_module(self, absolute: str, names: list[str], level: int) -> None:
        found = self._module(absolute)
        if found is not None and names and names[0] in found.source.bindings:
            self._follow_global(found, names, level)
        elif names and self._is_own(f"{absolute}.{names[0]}"):
            self._follow_module(f"{absolute}.{names[0]}", names[1:], level)
        elif found is not None and names:
            self._follow_unbound(found, names, level)
        elif self._is_own(absolute):
            self.miss(absolute, "used as a value")
        elif absolute.partition(".")[0] not in sys.stdlib_module_names:
            self.miss(".".join([absolute, *names]))
        elif names[-1:] == ["import_module"]:
            self.miss("importlib.import_module")

    def _is_own(self, absolute: str) -> bool:
        return self._module(absolute) is not None or self._is_namespace(absolute)

    def _is_namespace(self, absolute: str) -> bool:
        """Return whether this is a folder of the user's without `__init__.py`."""
        return any(
            os.path.isdir(folder) and self._sites.shown(os.path.join(folder, "__init__.py")) is not None
            for folder in self._places(absolute)
        )

    def _module(self, absolute: str) -> _Module | None:
        """Return a module of the user's; None for any other. A module that is not imported yet is found on `sys.path`."""
        if absolute in self._modules:
            return self._modules[absolute]
        running = sys.modules.get(absolute)
        variables = getattr(running, "__dict__", {})
        path = variables.get("__file__")
        paths = [path] if isinstance(path, str) else []
        if running is None:
            paths = [
                each for place in self._places(absolute) for each in (f"{place}/__init__.py", f"{place}.py")
            ]
        found = None
        for each in paths:
            if each.endswith(".py") and os.path.isfile(each):
                source = _source(self._sites, each)
                if source is not None:
                    package = absolute if each.endswith("__init__.py") else absolute.rpartition(".")[0]
                    found = _Module(source, absolute, package, variables)
                break
        self._modules[absolute] = found
        return found

    def _places(self, absolute: str) -> list[str]:
        """The paths, without an ending, at which a module may stand."""
        parent, _, last = absolute.rpartition(".")
        if parent in sys.modules:
            folders = [str(each) for each in getattr(sys.modules[parent], "__path__", ())]
        else:
            folders = self._places(parent) if parent else [each or os.getcwd() for each in sys.path]
        return [os.path.join(folder, last) for folder in folders]

    # --- classes

    def _add_class(
        self,
        module: _Module,
        node: ast.ClassDef,
        scopes: tuple[ast.AST, ...],
        level: int,
        *,
        whole: bool = True,
    ) -> None:
        """Add a class: what stands in its body, its bases, and where it is used as a whole all its methods."""
        label = _label(module, [*scopes, node])
        key = (module.source.path, node.lineno, -1 if whole else -2)
        if key in self._followed or (*key[:2], -1) in self._followed:
            return
        if level > MOST_LEVELS or len(self._followed) >= MOST_FUNCTIONS:
            self.miss(label, "not followed so far")
            return
        self._followed.add(key)
        methods = [each for _, each in _methods(node)]
        if label not in self._nodes:
            heads = [*node.decorator_list, *node.bases, *node.keywords]
            heads += [each for each in node.body if each not in methods and not _has_no_effect(each)]
            self._add_part(module, label, *heads)
            self._follow_names(_mentions(heads), _Unit(module, node, scopes, level))
        for method in methods if whole else ():
            self.add(_Unit(module, method, (*scopes, node), level))

    def _follow_attribute(self, unit: _Unit, attribute: str | None) -> None:
        """Follow `self.attribute` of a method: to the method of this name, and to those that assign it; None: to all."""
        for module, node, scopes in unit.classes:
            for name, method in _methods(node):
                if attribute is None or name == attribute or attribute in _assigned(method):
                    self.add(_Unit(module, method, (*scopes, node), unit.level + 1, unit.classes))

    def classes_of(self, module: _Module, scopes: tuple[ast.AST, ...], receiver: Any) -> Iterator[Any]:
        """The classes of the user's that an object's methods are of, as `(module, class, scopes)`."""
        lexical = scopes[-1]
        assert isinstance(lexical, ast.ClassDef)
        kind = receiver if isinstance(receiver, type) else type(receiver)
        found = [(module, lexical, scopes[:-1])]
        for each in kind.__mro__ if receiver is not None else ():
            names = each.__qualname__.split(".")
            own = module if each.__module__ == module.name else self._module(each.__module__)
            if own is None or "<locals>" in names:
                continue
            for node in own.source.bindings.get(names[0], ()):
                around: tuple[ast.AST, ...] = ()
                inner: ast.AST | None = node
                for name in names[1:]:
                    assert inner is not None
                    around = (*around, inner)
                    inner = next(
                        (each for each in getattr(inner, "body", ()) if getattr(each, "name", "") == name),
                        None,
                    )
                    if inner is None:
                        break
                if isinstance(inner, ast.ClassDef) and inner is not lexical:
                    found.append((own, inner, around))
        return iter(found)


def _receiver(unit: _Unit) -> str:
    """The name by which a method names its object or class; "" of a function."""
    if not unit.classes or not isinstance(unit.node, _Function):
        return ""
    names = _parameters(unit.node)
    static = any(_dotted(each) == "staticmethod" for each in getattr(unit.node, "decorator_list", ()))
    return names[0] if names and not static else ""


def _methods(node: ast.ClassDef) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (each.name, each) for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _assigned(method: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """The attributes of its object that a method assigns."""
    own = _parameters(method)[:1]
    return frozenset(
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and [node.value.id] == own
    )


def _is_same(written: Any, now: Any) -> bool:
    """Return whether two values are the same, without running code of the program."""
    if type(written) is not type(now):
        return False
    if type(written) in (list, tuple):
        return len(written) == len(now) and all(map(_is_same, written, now))
    if type(written) is dict:
        return list(written) == list(now) and all(_is_same(written[key], now[key]) for key in written)
    if type(written) in (set, frozenset):
        return all(type(each) in (str, int, float, bytes, bool) for each in now) and written == now
    return bool(written == now)


def _is_foreign(value: Any) -> bool:
    """Return whether a value is a module, function or class of an installed package or of Python itself."""
    module = getattr(value, "__module__", None) or getattr(value, "__name__", None)
    return isinstance(module, str) and isinstance(value, (FunctionType, type, type(sys)))


# --- the calls of tools


class ToolCode:
    """Tells, at calls of tools, which code they run: in the first call of each, and where it differs later.

    Kept by a tracer; the code of a function is looked at once.
    """

    def __init__(self, sites: CallSites) -> None:
        self._sites = sites
        self._known: dict[tuple[int, int], tuple[CodeType, dict[str, Any]]] = {}
        self._written: dict[str, dict[str, Any]] = {}

    def of_call(
        self, name: str, code: CodeType, receiver: Any = None, variables: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Return what to record of the code of a tool; None where the trace holds the same already.

        Args:
            name: the name of the tool.
            code: the code of its function.
            receiver: the object or class that the function is a method of.
            variables: the globals of the function; taken from its running frame if left out.
        """
        key = (id(code), id(type(receiver)))
        known = self._known.get(key)
        if known is None or known[0] is not code:
            variables = _globals_of(code) if variables is None else variables
            known = self._known[key] = (code, describe_code(self._sites, code, receiver, variables))
        if self._written.get(name) == known[1]:
            return None
        self._written[name] = known[1]
        return known[1]


def describe_code(
    sites: CallSites, code: CodeType, receiver: Any, variables: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the digest of the code behind a function, of its parts, and what was not verified.

    Args:
        sites: tells which files are the user's.
        code: the code of the function.
        receiver: the object or class that it is a method of; None for a function.
        variables: the globals of the function.
    """
    missing = {"version": VERSION, "not_verified": [code.co_name]}
    try:
        source = _source(sites, code.co_filename)
        found = [] if source is None else source.find(code.co_firstlineno, code.co_name)
        if source is None or not found:
            return missing
        if source.changed:
            return missing | {"not_verified": [f"{source.shown} (edited since it was loaded)"]}
        reached = _Reached(sites)
        name = str(variables.get("__name__") or "")
        package = str(variables.get("__package__") or "")
        module = _Module(source, name, package, variables)
        for node, scopes in found:
            classes: tuple[Any, ...] = ()
            if scopes and isinstance(scopes[-1], ast.ClassDef):
                classes = tuple(reached.classes_of(module, scopes, receiver))
                for own, each, around in classes:
                    reached._add_class(own, each, around, 0, whole=False)  # noqa: SLF001
                    for method_name, method in _methods(each):
                        if method_name in _OF_INSTANCES:
                            reached.add(_Unit(own, method, (*around, each), 0, classes))
            reached.follow(_Unit(module, node, scopes, 0, classes))
        parts = reached.parts
        # Without the folders: a program that is started from another one has the same code.
        named = sorted((os.path.basename(label), mark) for label, mark in parts.items())
        whole = blake2b(repr(named).encode(), digest_size=8).hexdigest()
        described: dict[str, Any] = {"version": VERSION, "digest": whole, "parts": parts}
        if reached.not_verified:
            described["not_verified"] = sorted(reached.not_verified)
        return described
    except (OSError, SyntaxError, ValueError, RecursionError):  # the file is gone, or no Python any more
        return missing


def _globals_of(code: CodeType) -> Mapping[str, Any]:
    """The globals of the running call of a function; {} where it does not run."""
    frame = innermost(2)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return {} if frame is None else frame.f_globals
