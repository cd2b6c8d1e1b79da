"""Digest the code behind a tool, so that a re-run can say whether the code that produced a recorded answer has changed.

The digest covers the syntax tree of the tool's function, the constants of its module that it names, the methods of its
class that it reaches, and the functions of the user's project that these name. It is read from the source files, never
from bytecode: coverage tools, pytest's assertion rewriting and our own edits change only the latter. Code that cannot be
followed is listed as not verified.

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
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from hashlib import blake2b
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple

from namel3ss_debug.capture.core.callsite import CallSites, innermost
from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.functions.syntax import (
    Function,
    Mentions,
    Method,
    Scopes,
    assigned_attributes,
    digest,
    dotted_name,
    find_bindings,
    find_mentions,
    first_line,
    has_no_effect,
    methods_of,
    parameter_names,
)
from namel3ss_debug.traces.clocks import time

VERSION: Final = 1
"""Digests of different versions are not comparable. Raise it with every change of what a digest covers."""

MOST_LEVELS: Final = 5
MOST_FUNCTIONS: Final = 200
MOST_NOT_VERIFIED: Final = 40

_STARTED = time()
"""A file changed later than this may differ from the code that runs, if the source at import is not known."""

_OF_INSTANCES = frozenset({"__init__", "__new__", "__post_init__", "__getattr__", "__getattribute__"})
_GLOBAL = re.compile(r"^[ \t]*global[ \t]+([\w, \t]+)", re.MULTILINE)


# --- source files


class _Source:
    """A file of the user's code.

    Attributes:
        path: the file.
        shown: the file as call sites name it.
        changed: whether the file was edited after the process loaded it.
        tree: its syntax tree.
    """

    def __init__(self, path: str, shown: str, text: bytes | str, *, changed: bool) -> None:
        self.path, self.shown, self.changed = path, shown, changed
        self._text = text
        self.tree = ast.parse(text, path)

    @cached_property
    def bindings(self) -> dict[str, list[ast.AST]]:
        """The statements at the top of the module that bind or change each name."""
        return find_bindings(self.tree.body)

    @cached_property
    def reassigned(self) -> frozenset[str]:
        """The names that functions of the module declare global."""
        text = self._text if isinstance(self._text, str) else self._text.decode("utf-8", "replace")
        return frozenset(name.strip() for names in _GLOBAL.findall(text) for name in names.split(","))

    def find(self, line: int, name: str) -> list[tuple[ast.AST, Scopes]]:
        """Return the functions of this name whose first line is `line`, each with the scopes around it."""
        found: list[tuple[ast.AST, Scopes]] = []
        pending: list[tuple[ast.AST, Scopes]] = [(self.tree, ())]
        while pending:
            node, scopes = pending.pop()
            if isinstance(node, Function):
                own = "<lambda>" if isinstance(node, ast.Lambda) else node.name
                if own == name and first_line(node) == line:
                    found.append((node, scopes))
                    continue
            inner = (*scopes, node) if isinstance(node, (*Function.__args__, ast.ClassDef)) else scopes
            pending += [
                (child, inner)
                for child in ast.iter_child_nodes(node)
                if first_line(child, line) <= line <= (getattr(child, "end_lineno", None) or line)
            ]
        return found


@lru_cache(maxsize=32)
def _read_source(
    path: str, shown: str, _state: tuple[int, int], loaded: bytes | None, *, changed: bool
) -> _Source:
    with open(path, "rb") as file:
        text = file.read()
    return _Source(
        path, shown, text, changed=changed or (loaded is not None and rewrite.mark_of(text) != loaded)
    )


def _load_source(sites: CallSites, path: str) -> _Source | None:
    """Return a file of the user's code, or None if it is not the user's or cannot be read.

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
    return _read_source(path, shown, (stat.st_mtime_ns, stat.st_size), loaded, changed=changed)


# --- what a tool reaches


class _Module(NamedTuple):
    """A module of the user's project: its source, its name and package for imports, and its variables."""

    source: _Source
    name: str
    package: str
    variables: Mapping[str, Any]


class _OwnClass(NamedTuple):
    """A class of the user's, with the scopes around it."""

    module: _Module
    node: ast.ClassDef
    scopes: Scopes


class _Piece(NamedTuple):
    """A piece of code to follow, usually a function.

    Attributes:
        module: the module that holds it.
        node: its syntax tree.
        scopes: the functions and classes around it.
        level: how many steps it is away from the tool's function.
        classes: of a method, the user's classes that its object is an instance of.
    """

    module: _Module
    node: ast.AST
    scopes: Scopes
    level: int
    classes: tuple[_OwnClass, ...] = ()

    @property
    def label(self) -> str:
        """The name of the part: `tools.py:Converter.run`."""
        return _label(self.module, [*self.scopes, self.node])


def _label(module: _Module, nodes: Sequence[ast.AST]) -> str:
    names = [getattr(node, "name", "<lambda>") for node in nodes]
    return f"{module.source.shown}:{'.'.join(names)}"


class _CodeCollector:
    """Collects the parts of the code behind a tool, breadth first.

    Attributes:
        parts: label of each part -> its digest.
        not_verified: what could not be followed, in the order in which it was met.
    """

    def __init__(self, sites: CallSites) -> None:
        self._sites = sites
        self.parts: dict[str, str] = {}
        self.not_verified: dict[str, None] = {}
        self._nodes: dict[str, list[ast.AST]] = {}
        self._queue: deque[_Piece] = deque()
        self._followed: set[tuple[str, int, int]] = set()
        self._modules: dict[str, _Module | None] = {}
        self._values: set[tuple[str, str]] = set()

    def follow(self, piece: _Piece) -> None:
        """Collect a function and the code that it reaches."""
        self.add(piece)
        while self._queue:
            self._follow_piece(self._queue.popleft())
        self.parts = {label: digest(nodes) for label, nodes in sorted(self._nodes.items())}

    def add(self, piece: _Piece) -> None:
        """Add a function, and follow it later."""
        node = piece.node
        key = (piece.module.source.path, getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
        if key in self._followed:
            return
        if piece.level > MOST_LEVELS or len(self._followed) >= MOST_FUNCTIONS:
            self.add_unverified(piece.label, "not followed so far")
            return
        self._followed.add(key)
        self._add_part(piece.module, piece.label, node)
        self._queue.append(piece)

    def add_unverified(self, what: str, why: str = "") -> None:
        """Record that something was not followed."""
        if len(self.not_verified) < MOST_NOT_VERIFIED:
            self.not_verified[f"{what} ({why})" if why else what] = None

    def _add_part(self, module: _Module, label: str, *nodes: ast.AST) -> None:
        if module.source.changed:
            self.add_unverified(module.source.shown, "edited since it was loaded")
        else:
            self._nodes.setdefault(label, []).extend(nodes)

    # --- following names

    def _follow_piece(self, piece: _Piece) -> None:
        mentions = find_mentions([piece.node])
        self._follow_names(mentions, piece)
        # A function that was passed in is another one at each call, so its code is not part of the tool's.
        parameters = set(parameter_names(piece.node)) if isinstance(piece.node, Function) else set()
        for name in sorted(mentions.called & parameters):
            self.add_unverified(f"{piece.label}: {name}()")
        receiver = _receiver_name(piece)
        for chain in mentions.own:
            names = chain.split(".")
            if receiver and names[0] == receiver:
                self._follow_attribute(piece, names[1] if len(names) > 1 else None)
            elif len(names) > 1 and names[0] in parameters and names[-1] in rewrite.EDITED:
                self.add_unverified(f"{piece.label}: {chain}")
        if receiver:
            for chain in mentions.free:
                if chain.startswith("super."):
                    self._follow_attribute(piece, chain.split(".")[1])

    def _follow_names(self, mentions: Mentions, piece: _Piece) -> None:
        for what in sorted(mentions.dynamic):
            self.add_unverified(f"{piece.label}: {what}()")
        for (level, module, name), rest in mentions.imports:
            self._follow_import(piece.module, level, module, name, rest, piece.level)
        decorators = [
            dotted_name(getattr(each, "func", each)) for each in getattr(piece.node, "decorator_list", ())
        ]
        for chain in mentions.free:
            self._follow_name(chain.split("."), piece, is_decorator=chain in decorators)

    def _follow_name(self, names: list[str], piece: _Piece, *, is_decorator: bool = False) -> None:
        for depth in range(len(piece.scopes), 0, -1):
            scope = piece.scopes[depth - 1]
            if not isinstance(scope, Function):
                continue
            outer = piece.scopes[: depth - 1]
            bound = find_bindings(scope.body) if isinstance(scope.body, list) else {}
            if names[0] in bound:
                self._follow_bound(piece, bound[names[0]], names, (*outer, scope))
                return
            if names[0] in parameter_names(scope):
                self.add_unverified(f"{_label(piece.module, (*outer, scope))}: {names[0]}")
                return
        self._follow_global(piece.module, names, piece.level + 1, is_decorator=is_decorator)

    def _follow_global(
        self, module: _Module, names: list[str], level: int, *, is_decorator: bool = False
    ) -> None:
        """Follow a name of a module. `names` is the name and the attributes that are used of it."""
        name = names[0]
        bound = module.source.bindings.get(name)
        if bound is None:
            self._follow_unbound(module, names, level)
            return
        if is_decorator and not isinstance(
            bound[0], ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
        ):
            # `@agent.tool` belongs to the function, but the agent and its prompt do not.
            return
        piece = _Piece(module, ast.Pass(), (), level - 1)
        if is_decorator and all(isinstance(each, ast.Import | ast.ImportFrom) for each in bound):
            foreign = len(self.not_verified)
            self._follow_bound(piece, bound, names, ())
            for each in list(self.not_verified)[foreign:]:
                if ":" not in each:  # the framework's own decorator; its version is in `trace_start`
                    del self.not_verified[each]
            return
        self._follow_bound(piece, bound, names, ())
        self._compare_with_running(module, name, bound, level)

    def _follow_bound(self, piece: _Piece, bound: list[ast.AST], names: list[str], scopes: Scopes) -> None:
        """Follow a name to the statements that bind it."""
        module, level, name = piece.module, piece.level + 1, names[0]
        values: list[ast.AST] = []
        for node in bound:
            if isinstance(node, Method):
                self.add(_Piece(module, node, scopes, level))
            elif isinstance(node, ast.ClassDef):
                self.add_class(module, node, scopes, level)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for each in node.names:
                    own = each.name.partition(".")[0] if isinstance(node, ast.Import) else each.name
                    if (each.asname or own) != name:
                        continue
                    if isinstance(node, ast.ImportFrom):
                        what = (node.level, node.module or "", each.name)
                    else:
                        what = (0, each.name if each.asname else own, "")
                    self._follow_import(module, *what, names[1:], piece.level)
            else:
                values.append(node)
        if values:
            label = f"{_label(module, scopes)}.{name}" if scopes else f"{module.source.shown}:{name}"
            self._add_value(module, label, values, scopes, level)

    def _add_value(
        self,
        module: _Module,
        label: str,
        nodes: list[ast.AST],
        scopes: Scopes,
        level: int,
    ) -> None:
        """Add a constant or another variable: the code that makes it, and the names in that code."""
        if (module.source.path, label) in self._values:
            return
        self._values.add((module.source.path, label))
        if level > MOST_LEVELS:
            self.add_unverified(label, "not followed so far")
            return
        self._add_part(module, label, *nodes)
        piece = _Piece(module, ast.Pass(), scopes, level)
        mentions = find_mentions(nodes)
        name = re.split(r"[:.]", label)[-1]
        for chain in [each for each in mentions.free if each.partition(".")[0] == name]:
            del mentions.free[chain]
        self._follow_names(mentions, piece)

    def _compare_with_running(self, module: _Module, name: str, bound: list[ast.AST], level: int) -> None:
        """Note if the running module holds something other than what its source says."""
        label = f"{module.source.shown}:{name}"
        if name in module.source.reassigned:
            self.add_unverified(label, "reassigned by a function")
        if len(bound) != 1 or name not in module.variables:
            return
        node, now = bound[0], module.variables[name]
        if isinstance(node, Method) and not node.decorator_list:
            code = getattr(now, "__code__", None) if type(now) is FunctionType else None
            if code is None or code.co_filename != module.source.path or code.co_name != name:
                self.add_unverified(label, "replaced while the program ran")
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
                self.add_unverified(label, "changed while the program ran")

    def _follow_code(self, code: Any, level: int) -> None:
        """Follow a function that was put in place of another one."""
        if not isinstance(code, CodeType):
            return
        source = _load_source(self._sites, code.co_filename)
        if source is None:
            return
        for node, scopes in source.find(code.co_firstlineno, code.co_name)[:1]:
            self.add(_Piece(_Module(source, "", "", {}), node, scopes, level))

    def _follow_unbound(self, module: _Module, names: list[str], level: int) -> None:
        """Follow a name that no statement of its module binds: it came with `import *`, or was set at run time."""
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
            self.add_unverified(f"{module.source.shown}:{name}")

    # --- imports of modules

    def _absolute(self, module: _Module, level: int, name: str) -> str:
        if not level:
            return name
        package = module.package.rsplit(".", level - 1)[0] if level > 1 else module.package
        return f"{package}.{name}" if name and package else package or name

    def _follow_import(
        self, module: _Module, level: int, imported: str, name: str, rest: list[str], level_of_piece: int
    ) -> None:
        """Follow `from imported import name`, or `import imported`, and the attributes that are used of it."""
        absolute = self._absolute(module, level, imported)
        self._follow_module(absolute, [name, *rest] if name else rest, level_of_piece + 1)

    def _follow_module(self, absolute: str, names: list[str], level: int) -> None:
        found = self._module(absolute)
        if found is not None and names and names[0] in found.source.bindings:
            self._follow_global(found, names, level)
        elif names and self._is_own(f"{absolute}.{names[0]}"):
            self._follow_module(f"{absolute}.{names[0]}", names[1:], level)
        elif found is not None and names:
            self._follow_unbound(found, names, level)
        elif self._is_own(absolute):
            self.add_unverified(absolute, "used as a value")
        elif absolute.partition(".")[0] not in sys.stdlib_module_names:
            self.add_unverified(".".join([absolute, *names]))
        elif names[-1:] == ["import_module"]:
            self.add_unverified("importlib.import_module")

    def _is_own(self, absolute: str) -> bool:
        return self._module(absolute) is not None or self._is_namespace(absolute)

    def _is_namespace(self, absolute: str) -> bool:
        """Return whether this is a folder of the user's without `__init__.py`."""
        return any(
            os.path.isdir(folder) and self._sites.shown(os.path.join(folder, "__init__.py")) is not None
            for folder in self._possible_paths(absolute)
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
                each
                for place in self._possible_paths(absolute)
                for each in (f"{place}/__init__.py", f"{place}.py")
            ]
        found = None
        for each in paths:
            if each.endswith(".py") and os.path.isfile(each):
                source = _load_source(self._sites, each)
                if source is not None:
                    package = absolute if each.endswith("__init__.py") else absolute.rpartition(".")[0]
                    found = _Module(source, absolute, package, variables)
                break
        self._modules[absolute] = found
        return found

    def _possible_paths(self, absolute: str) -> list[str]:
        """Return the paths, without an ending, at which a module may be found."""
        parent, _, last = absolute.rpartition(".")
        if parent in sys.modules:
            folders = [str(each) for each in getattr(sys.modules[parent], "__path__", ())]
        else:
            folders = self._possible_paths(parent) if parent else [each or os.getcwd() for each in sys.path]
        return [os.path.join(folder, last) for folder in folders]

    # --- classes

    def add_class(
        self,
        module: _Module,
        node: ast.ClassDef,
        scopes: Scopes,
        level: int,
        *,
        whole: bool = True,
    ) -> None:
        """Add a class: its body and bases, and if it is used as a whole, all its methods."""
        label = _label(module, [*scopes, node])
        key = (module.source.path, node.lineno, -1 if whole else -2)
        if key in self._followed or (*key[:2], -1) in self._followed:
            return
        if level > MOST_LEVELS or len(self._followed) >= MOST_FUNCTIONS:
            self.add_unverified(label, "not followed so far")
            return
        self._followed.add(key)
        methods = methods_of(node)
        if label not in self._nodes:
            heads = [*node.decorator_list, *node.bases, *node.keywords]
            heads += [each for each in node.body if each not in methods and not has_no_effect(each)]
            self._add_part(module, label, *heads)
            self._follow_names(find_mentions(heads), _Piece(module, node, scopes, level))
        for method in methods if whole else ():
            self.add(_Piece(module, method, (*scopes, node), level))

    def _follow_attribute(self, piece: _Piece, attribute: str | None) -> None:
        """Follow `self.attribute` to the method of this name and to those that assign it; without a name, to all."""
        for module, node, scopes in piece.classes:
            for method in methods_of(node):
                if attribute in (None, method.name) or attribute in assigned_attributes(method):
                    self.add(_Piece(module, method, (*scopes, node), piece.level + 1, piece.classes))

    def classes_of(self, module: _Module, scopes: Scopes, receiver: Any) -> list[_OwnClass]:
        """Return the user's classes that define the methods of an object, that of the called method first."""
        lexical = scopes[-1]
        assert isinstance(lexical, ast.ClassDef)
        kind = receiver if isinstance(receiver, type) else type(receiver)
        found = [_OwnClass(module, lexical, scopes[:-1])]
        for each in kind.__mro__ if receiver is not None else ():
            names = each.__qualname__.split(".")
            own = module if each.__module__ == module.name else self._module(each.__module__)
            if own is None or "<locals>" in names:
                continue
            for node in own.source.bindings.get(names[0], ()):
                around: Scopes = ()
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
                    found.append(_OwnClass(own, inner, around))
        return found


def _receiver_name(piece: _Piece) -> str:
    """Return the name that a method has for its object or class, `self` or `cls`; "" for a function."""
    if not piece.classes or not isinstance(piece.node, Function):
        return ""
    names = parameter_names(piece.node)
    static = any(dotted_name(each) == "staticmethod" for each in getattr(piece.node, "decorator_list", ()))
    return names[0] if names and not static else ""


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
    """Describes the code of each tool with its first call, and again when a later call runs other code.

    A tracer keeps one. The code of a function is read once.
    """

    def __init__(self, sites: CallSites) -> None:
        self._sites = sites
        self._known: dict[tuple[int, int], tuple[CodeType, dict[str, Any]]] = {}
        self._written: dict[str, dict[str, Any]] = {}

    def of_call(
        self, name: str, code: CodeType, receiver: Any = None, variables: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Return the description of a tool's code to record, or None if the trace holds the same already.

        Args:
            name: the name of the tool.
            code: the code of its function.
            receiver: the object or class that the function is a method of.
            variables: the globals of the function; taken from its running frame by default.
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
    """Return the digest of the code behind a function, the digests of its parts, and what was not verified.

    Args:
        sites: knows which files are the user's.
        code: the code of the function.
        receiver: the object or class that it is a method of; None for a function.
        variables: the globals of the function.
    """
    missing = {"version": VERSION, "not_verified": [code.co_name]}
    try:
        source = _load_source(sites, code.co_filename)
        found = [] if source is None else source.find(code.co_firstlineno, code.co_name)
        if source is None or not found:
            return missing
        if source.changed:
            return missing | {"not_verified": [f"{source.shown} (edited since it was loaded)"]}
        collector = _CodeCollector(sites)
        name = str(variables.get("__name__") or "")
        package = str(variables.get("__package__") or "")
        module = _Module(source, name, package, variables)
        for node, scopes in found:
            classes: tuple[_OwnClass, ...] = ()
            if scopes and isinstance(scopes[-1], ast.ClassDef):
                classes = tuple(collector.classes_of(module, scopes, receiver))
                for own, each, around in classes:
                    collector.add_class(own, each, around, 0, whole=False)
                    for method in methods_of(each):
                        if method.name in _OF_INSTANCES:
                            collector.add(_Piece(own, method, (*around, each), 0, classes))
            collector.follow(_Piece(module, node, scopes, 0, classes))
        parts = collector.parts
        # Without the paths: a copy of the program in another folder has the same code.
        named = sorted((label.rpartition(":")[2], mark) for label, mark in parts.items())
        whole = blake2b(repr(named).encode(), digest_size=8).hexdigest()
        described: dict[str, Any] = {"version": VERSION, "digest": whole, "parts": parts}
        if collector.not_verified:
            described["not_verified"] = sorted(collector.not_verified)
        return described
    except (
        OSError,
        SyntaxError,
        ValueError,
        RecursionError,
    ):  # the file was removed, or is not Python any more
        return missing


def _globals_of(code: CodeType) -> Mapping[str, Any]:
    """Return the globals of the running call of a function, or {} if it does not run."""
    frame = innermost(2)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return {} if frame is None else frame.f_globals
