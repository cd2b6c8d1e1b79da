"""Makes the user's own functions callable seams: each `def` is edited in its body while its module is compiled.

No decorator, no further frame, the same function object, signature, lines and tracebacks. A function

    def f(a, *, b):
        "doc"
        BODY

is compiled as if it were

    def f(a, *, b):
        "doc"
        with __n3_calls__["f" in __n3_hot__] as __n3__:     # of two context managers: one in C, doing nothing
            if __n3__ is not __n3_cold__ and __n3__.handled:
                return __n3__.answer()            # in a coroutine function, both are awaited
            BODY                                  # with `return x` as `__n3_value__ = x; return __n3_value__`
            __n3_value__ = None

What is added before the body carries the line the body begins with, what is added after it none at all, so
debuggers and coverage see the user's lines only. While a name is not in `HOT` a call costs a look into a set and
an empty `with`. For a name in `HOT`, `hot_calls` does the rest.

What is not edited: generators (their body runs later), dunder methods but `__call__`, functions that look at their
own locals (`locals vars dir exec eval`, `f_locals`), functions with nothing in them, and those whose decorator compiles
their bytecode (`jit`). Modules are edited below the user's root only, and never read from or written to `.pyc` files.
Cells of IPython are edited statement by statement (`notebooks`).
"""

from __future__ import annotations

import ast
import builtins
import importlib.machinery
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from hashlib import blake2b
from types import CodeType, ModuleType
from typing import Any

from namel3ss_debug.capture.hot_calls import HotCall

HOT: set[str] = set()
"""Names of functions whose calls are of interest. Add to it and remove from it in place."""

LOADED: Callable[[Iterable[str]], None] | None = None
"""Told the names of tools as they become hot, where functions that are loaded already are edited as well (`loaded`)."""

EDITED: set[str] = set()
"""Names of functions that have been edited, each at least once: a tool of such a name is likely to be one of them."""

PLAIN: dict[str, list[CodeType]] = {}
"""By path: the code of each module with edited functions, as it would be without them; of a cell, of each statement."""

MARKS: dict[str, bytes] = {}
"""By path: the mark of the source that a module was compiled from, to recognise a file that was edited since."""

CALLS = "__n3_calls__"
"""The name that every edited function asks for first."""

_LOOKS_AT_LOCALS = frozenset({"locals", "vars", "dir", "exec", "eval", "f_locals"})
_COMPILES_BYTECODE = frozenset({"jit", "njit", "vectorize", "guvectorize", "cfunc", "stencil"})
_FOREIGN = frozenset({"site-packages", "dist-packages", "lib2to3"})
_OWN_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_PLAIN_LOADER = importlib.machinery.SourceFileLoader
_NO_LINE = -1
"""The compiler's own mark (`NO_LOCATION`) for instructions that belong to no line."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Statements = ast.Module | ast.Interactive
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def is_edited(code: CodeType) -> bool:
    """Whether this is the code of a function whose calls can be of interest."""
    return CALLS in code.co_names


def _nothing() -> AbstractContextManager[object]:
    """A context manager without a Python frame, so that a call deep in a recursion is not one frame deeper.

    A directory iterator that is closed does nothing on `with`, as often as one likes and in every thread.
    """
    iterator = os.scandir(os.path.dirname(__file__))
    iterator.close()
    return iterator


class _ToTheEnd:
    """Puts names back into `builtins` when it goes: Python, as it ends, takes out of there what is not its own.

    Objects of the program that go after that may yet call edited functions. This module may be gone by then.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        self._names, self._put = names, vars(builtins).update

    def __del__(self) -> None:
        self._put(self._names)


def _offer_names() -> None:
    """Put the names that edited functions use where every module finds them."""
    if "__n3_calls__" not in vars(builtins):
        cold = _nothing()
        names = {"__n3_hot__": HOT, "__n3_cold__": cold, "__n3_calls__": (cold, HotCall())}
        at_the_end = names | {"__n3_hot__": frozenset()}
        vars(builtins).update(names, __n3_to_the_end__=_ToTheEnd(at_the_end))


def compile_source(source: bytes | str, path: str, *, silent: bool = False) -> CodeType:
    """Compile a module or script with its functions edited.

    Args:
        source: the text of the file; bytes are decoded as Python decodes them.
        path: the file, for tracebacks.
        silent: whether the compiler's warnings are left out.

    Returns:
        The code of the module; where editing fails for whatever reason, compiled as it stands.

    Raises:
        SyntaxError: the source is not Python.
        ValueError: the source holds a null byte.
    """
    with _without_warnings(path) if silent else nullcontext():
        tree = ast.parse(source, path)
        plain: CodeType = compile(tree, path, "exec", dont_inherit=True)
    PLAIN.pop(path, None)
    MARKS[path] = mark_of(source)
    return _edited(tree, plain, path, lambda edited: compile(edited, path, "exec", dont_inherit=True))


def mark_of(source: bytes | str) -> bytes:
    """Return a short digest of a source text."""
    return blake2b(source if isinstance(source, bytes) else source.encode(), digest_size=8).digest()


def compile_statements(
    tree: _Statements, plain: CodeType, path: str, compiled: Callable[[_Statements], CodeType]
) -> CodeType:
    """Compile statements of an interactive session with their functions edited.

    Args:
        tree: the statements, which stay as they are.
        plain: their code as they stand.
        path: the file, for tracebacks.
        compiled: compiles statements as the session does.

    Returns:
        Their code; where there is nothing to edit, or editing fails for whatever reason, as it stands.
    """
    if not any(isinstance(node, _Function) for node in ast.walk(tree)):
        return plain
    return _edited(deepcopy(tree), plain, path, compiled)


def _edited(
    tree: _Statements, plain: CodeType, path: str, compiled: Callable[[_Statements], CodeType]
) -> CodeType:
    """The code of a tree, which is edited; the plain code, where that fails."""
    _offer_names()
    try:
        _edit_block(tree.body, _first_lines(plain))
        with _without_warnings(path):
            code = compiled(tree)
    except Exception:  # such as more nested blocks than Python compiles, or more depth than Python walks
        return plain
    known = PLAIN.setdefault(path, [])
    if plain not in known:  # a cell may run again and again
        known.append(plain)
    return code


@contextmanager
def _without_warnings(path: str) -> Iterator[None]:
    """Leave out what the compiler warns of in one file.

    `warnings.catch_warnings` would do it for every thread, and make warnings that were shown once show again.
    """
    show: Callable[..., None] = getattr(warnings, "_showwarnmsg", warnings.showwarning)
    silent = True

    def show_others(message: warnings.WarningMessage) -> None:
        if not silent or message.filename != path:
            show(message)

    vars(warnings)["_showwarnmsg"] = show_others
    try:
        yield
    finally:
        silent = False  # should another thread have put its own in between, ours stays below it
        vars(warnings)["_showwarnmsg"] = show


def _first_lines(module: CodeType) -> dict[tuple[str, int], int]:
    """By name and first line of each function in a module: the line its body begins with."""
    lines: dict[tuple[str, int], int] = {}
    pending = [module]
    while pending:
        code = pending.pop()
        pending.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
        first = code.co_firstlineno
        found = (line for _, _, line in code.co_lines() if line is not None and line != first)
        lines[code.co_name, first] = next(found, first)
    return lines


def _edit_block(statements: Iterable[ast.stmt], first_lines: Mapping[tuple[str, int], int]) -> None:
    """Edit the functions among some statements, and within them, the innermost first."""
    for statement in statements:
        for block in _blocks(statement):
            _edit_block(block, first_lines)
        if isinstance(statement, _Function) and _is_editable(statement):
            start = min([statement.lineno, *(decorator.lineno for decorator in statement.decorator_list)])
            # The compiler drops what can never run, such as the body of `if 0:`.
            _edit(statement, first_lines.get((statement.name, start), start))


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The lists of statements within a statement."""
    for part in (statement, *getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        for name in ("body", "orelse", "finalbody"):
            yield getattr(part, name, [])


def _is_editable(function: _Function) -> bool:
    """Whether a body means the same inside the guard: no generator, none that looks at its own locals or is compiled further."""
    if function.name.startswith("__") and function.name.endswith("__") and function.name != "__call__":
        return False
    for decorator in function.decorator_list:
        if _last_name(decorator.func if isinstance(decorator, ast.Call) else decorator) in _COMPILES_BYTECODE:
            return False
    if not _does_something(function.body):
        return False
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom) or _last_name(node) in _LOOKS_AT_LOCALS:
            return False
        if not isinstance(node, _SCOPES):
            pending.extend(ast.iter_child_nodes(node))
    return True


def _does_something(body: list[ast.stmt]) -> bool:
    return not all(
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in body
    )


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _edit(function: _Function, first_line: int) -> None:
    """Put the body into a `with` block that records the call where somebody asked for it, and an answer before it."""
    EDITED.add(function.name)
    documented = ast.get_docstring(function, clean=False) is not None
    body = function.body[documented:]
    _edit_returns(body)
    handled, answer = "__n3__.handled", "__n3__.answer()"
    if isinstance(function, ast.AsyncFunctionDef):
        handled, answer = "await __n3__.is_handled()", "await __n3__.reach()"
    (guard,) = ast.parse(
        f"with __n3_calls__[{function.name!r} in __n3_hot__] as __n3__:\n"
        f" if __n3__ is not __n3_cold__ and {handled}: return {answer}\n"
        " __n3_value__ = None\n"
    ).body
    assert isinstance(guard, ast.With)
    _place(guard, _NO_LINE, _NO_LINE)
    # The compiler gives instructions without a line that of the ones before them: what opens the block begins on
    # the body's first line, what closes it stays without.
    opening = guard.items[0].context_expr
    assert isinstance(opening, ast.Subscript)
    _place(opening.value, first_line)
    _place(guard.body[0], first_line)
    guard.body[1:1] = body
    function.body[documented:] = [guard]


def _edit_returns(block: list[ast.stmt]) -> None:
    """Let each `return` of a function's own body leave its value in `__n3_value__`."""
    for position in range(len(block) - 1, -1, -1):
        statement = block[position]
        if isinstance(statement, ast.Return):
            value = statement.value or ast.copy_location(ast.Constant(None), statement)
            keep = ast.copy_location(ast.Assign([_name(statement, ast.Store())], value), statement)
            statement.value = _name(statement, ast.Load())
            block.insert(position, keep)
        elif not isinstance(statement, _SCOPES):
            for inner in _blocks(statement):
                _edit_returns(inner)


def _name(at: ast.stmt, context: ast.expr_context) -> ast.Name:
    return ast.copy_location(ast.Name("__n3_value__", context), at)


def _place(tree: ast.AST, line: int, column: int = 0) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.stmt):
            node.lineno = node.end_lineno = line
            node.col_offset = node.end_col_offset = column


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from code that the finder has compiled; `.pyc` files are neither read nor written."""

    code: CodeType | None = None

    def get_code(self, fullname: str) -> CodeType | None:
        """The edited code; compiled anew when it is asked for again."""
        code, self.code = self.code, None
        path = self.get_filename(fullname)
        return code or compile_source(self.get_data(path), path)


class Finder:
    """Finds the user's own modules, below `root`, and has no opinion on all others."""

    def __init__(self, root: str) -> None:
        self.root = os.path.join(os.path.realpath(root), "")
        prefix = os.path.realpath(sys.prefix)
        # An environment within the project is not the user's code; a project within the prefix is.
        places = [
            _OWN_PACKAGE,
            os.path.dirname(os.__file__),
            *([prefix] if prefix.startswith(self.root) else []),
        ]
        self.foreign = tuple(os.path.join(place, "") for place in places)
        self.known: dict[str, bool] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of one of the user's modules, its code compiled already, or `None`."""
        try:
            return self._find(fullname, path, target)
        except Exception:  # whatever it is, the ordinary finders will say it in their own words
            return None

    def _find(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module of the user's own code, compiled with its edits; None for any other."""
        find = importlib.machinery.PathFinder.find_spec
        own = [entry for entry in (sys.path if path is None else path) if self.is_own(entry or os.getcwd())]
        if not own or find(fullname, own, target) is None:
            return None
        spec = find(fullname, path, target)
        if spec is None or spec.origin is None or type(spec.loader) is not _PLAIN_LOADER:
            return None
        if not self.is_own(spec.origin):
            return None
        loader = Loader(fullname, spec.origin)
        source, silent = loader.get_data(spec.origin), _is_compiled(spec.origin, spec.cached)
        loader.code = compile_source(source, spec.origin, silent=silent)
        spec.loader = loader
        return spec

    def is_own(self, path: str) -> bool:
        """Whether a path lies in the user's own tree."""
        if path not in self.known:
            real = os.path.join(os.path.realpath(path), "")
            below = real.startswith(self.root) and _FOREIGN.isdisjoint(real.split(os.sep))
            self.known[path] = below and not real.startswith(self.foreign)
        return self.known[path]


def _is_compiled(path: str, cached: str | None) -> bool:
    """Whether Python would take a compiled file, and so not warn about the source again."""
    return bool(cached and os.path.exists(cached) and os.path.getmtime(cached) >= os.path.getmtime(path))


def install(root: str | os.PathLike[str]) -> Callable[[], None]:
    """Edit the modules below a folder as they are imported from now on.

    Args:
        root: the folder of the user's own code.

    Returns:
        A function that takes it back for modules yet to be imported.
    """
    finder = Finder(os.fspath(root))
    _offer_names()
    sys.meta_path.insert(0, finder)

    def uninstall() -> None:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)

    return uninstall


def is_installed() -> bool:
    """Whether modules are edited as they are imported."""
    return any(isinstance(finder, Finder) for finder in sys.meta_path)
