"""Find the names that a piece of code mentions, for `code_reach`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, Final

from namel3ss_debug.traces.definitions import Function, dotted_name, find_parameters, parameter_names

_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_RUNS_TEXT: Final = frozenset({"eval", "exec", "globals", "__import__", "compile"})


class Mentions:
    """The names that a piece of code mentions, as dotted names: `convert`, `config.RATE`.

    Attributes:
        free: names that it does not bind itself.
        imports: names that it imports itself: the statement's `(level, module, name)`, and the attributes used of it.
        attributes: the names of all attributes that it reads, of whatever object.
        own_attributes: those that a method reads of its own object, `self.offset`.
        any_own: whether a method reads attributes of its own object by computed names, `getattr(self, name)`.
        dynamic: calls that cannot be followed, such as `eval`.
    """

    def __init__(self) -> None:
        self.free: dict[str, None] = {}
        self.imports: list[tuple[tuple[int, str, str], list[str]]] = []
        self.attributes: set[str] = set()
        self.own_attributes: set[str] = set()
        self.receiver = ""
        self.any_own = False
        self.dynamic: set[str] = set()


class _NameScope:
    """A scope while it is read. `close` hands the names that it does not bind to the scope around it."""

    def __init__(self, found: Mentions, parent: _NameScope | None = None, *, is_class: bool = False) -> None:
        self.found, self.parent, self.is_class = found, parent, is_class
        self.loads: dict[str, None] = {}
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
            names = list(_attributes(node))
            root = chain.partition(".")[0]
            if root and root in ("super", self.found.receiver):
                self.found.own_attributes.add(names.pop())
            self.found.attributes.update(names)
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
        elif isinstance(node, _COMPREHENSIONS):
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
        elif (
            isinstance(node, ast.AnnAssign) and not self.is_class
        ):  # only fields of classes have annotations that count
            self.read([node.target, node.value])
            return
        self.read(list(ast.iter_child_nodes(node)))

    def _read_call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name):
            return
        name = node.func.id
        if name in _RUNS_TEXT:
            self.found.dynamic.add(name)
        elif name in ("getattr", "setattr", "hasattr") and len(node.args) > 1:
            owner, attribute = node.args[:2]
            if isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
                chain = dotted_name(owner)
                self.found.attributes.add(attribute.value)
                if chain:
                    self.loads[f"{chain}.{attribute.value}"] = None
            elif isinstance(owner, ast.Name) and owner.id == self.found.receiver:
                self.found.any_own = True
            elif name != "hasattr":
                self.found.dynamic.add(name)

    def read_function(self, node: Function) -> None:
        """Read a function: its defaults and decorators belong to this scope, its body to an inner one."""
        arguments = node.args
        self.read([*arguments.defaults, *arguments.kw_defaults])
        if not isinstance(node, ast.Lambda):
            self.bound.add(node.name)
            self.read(node.decorator_list)
        inner = _NameScope(self.found, self)
        inner.bound.update(parameter_names(node))
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
                continue
            elif outer is not None:
                outer.loads[chain] = None
            else:
                self.found.free[chain] = None


def _attributes(node: ast.AST) -> Iterator[str]:
    """Yield the names of a chain of attributes, the last first."""
    while isinstance(node, ast.Attribute):
        yield node.attr
        node = node.value


def find_mentions(nodes: Iterable[ast.AST], *, receiver: str = "", with_signature: bool = False) -> Mentions:
    """Return the names that some code mentions, except the parameters and local variables of its functions.

    Args:
        nodes: the code.
        receiver: the name that a method has for its object; "" for other code.
        with_signature: whether annotations of the functions count, which are those of a tool.
    """
    found = Mentions()
    found.receiver = receiver
    outer = _NameScope(found)
    for node in nodes:
        if isinstance(node, Function):
            outer.read_function(node)
            if with_signature:
                outer.read([each.annotation for each in find_parameters(node)])
                outer.read(getattr(node, "returns", None))
            # A method may call a function of its own name.
            outer.bound.discard(getattr(node, "name", ""))
        else:
            outer.read(node)
    outer.close()
    return found
