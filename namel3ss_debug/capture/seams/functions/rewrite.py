"""Turn the user's own functions into seams: the body of each `def` is edited while its module is compiled.

There is no decorator and no further frame; function object, signature, lines and tracebacks stay the same. A function

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

The code before the body has the line on which the body begins, the code after it has no line, so debuggers and
coverage see the user's lines only. While a name is not in `HOT`, a call costs a look into a set and an empty `with`.
For a name in `HOT`, `hot_calls` does the rest.

Each `except` clause also notes which exception it has handled (`handlers`), in generators and at the top of a module too.

Not edited are generators (their body runs later), dunder methods except `__call__`, functions that look at their own
locals (`locals vars dir exec eval`, `f_locals`), empty functions, and those whose decorator compiles their bytecode
(`jit`). Only modules below the user's root are edited, and never read from or written to `.pyc` files.
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

from namel3ss_debug.capture.core.own_code import PACKAGE_FOLDER
from namel3ss_debug.capture.seams.functions import handlers
from namel3ss_debug.capture.seams.functions.hot_calls import HotCall

HOT: set[str] = set()
"""Names of functions whose calls are of interest. Add to it and remove from it in place."""

LOADED: Callable[[Iterable[str]], None] | None = None
"""Called with the names of tools when they become hot, if loaded functions are edited as well (module `loaded`)."""

EDITED: set[str] = set()
"""Names of functions that have been edited. A tool of such a name is likely to be one of them."""

DEFINITIONS: dict[str, dict[tuple[str, int], bool]] = {}
"""Name of edited functions -> path and line of each definition -> whether it is a method."""

PLAIN: dict[str, list[CodeType]] = {}
"""Path -> the unedited code of the module; for a cell, that of each statement."""

MARKS: dict[str, bytes] = {}
"""Path -> the digest of the source that a module was compiled from, to recognise a file that was edited since."""

CALLS = "__n3_calls__"
"""The name that every edited function reads first."""

RECEIVERS = frozenset({"self", "cls"})

_LOOKS_AT_LOCALS = frozenset({"locals", "vars", "dir", "exec", "eval", "f_locals"})
_COMPILES_BYTECODE = frozenset({"jit", "njit", "vectorize", "guvectorize", "cfunc", "stencil"})
_WITH_EDITABLE_CLAUSES = frozenset(
    {"__call__", "__init__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__next__", "__anext__"}
)
_FOREIGN = frozenset({"site-packages", "dist-packages", "lib2to3"})

_PLAIN_LOADER = importlib.machinery.SourceFileLoader
_NO_LINE = -1
"""The compiler's own mark (`NO_LOCATION`) for instructions that belong to no line."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Statements = ast.Module | ast.Interactive
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def is_edited(code: CodeType) -> bool:
    """Return whether this is the code of an edited function."""
    return CALLS in code.co_names


def uses_our_names(code: CodeType) -> bool:
    """Return whether this code can only run where edited code can: that of an edited function, or of an edited clause."""
    return CALLS in code.co_names or handlers.HANDLED in code.co_names


def _make_empty_context() -> AbstractContextManager[object]:
    """Return a context manager without a Python frame, so that a deep recursion does not become deeper.

    A closed directory iterator does nothing on `with`, any number of times and in every thread.
    """
    iterator = os.scandir(os.path.dirname(__file__))
    iterator.close()
    return iterator


class _RestoresBuiltins:
    """Puts names back into `builtins` when it is deleted.

    Python removes foreign names from `builtins` when it exits, but finalizers of the program may call edited functions
    after that. This module may be gone by then, so the object keeps all it needs.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        self.names, self._put = names, vars(builtins).update

    def __del__(self) -> None:
        self._put(self.names)


_COLD = _make_empty_context()
_NAMES = {
    "__n3_hot__": HOT,
    "__n3_cold__": _COLD,
    CALLS: (_COLD, HotCall()),
    handlers.HANDLED: handlers.note_handled,
    "__n3_overflow__": (RecursionError, MemoryError),
}
"""The names that edited code uses."""


def _offer_names() -> None:
    """Put the names that edited functions use where every module finds them."""
    space = vars(builtins)
    if "__n3_to_the_end__" in space:
        return
    space.update(_NAMES)
    restores = _RestoresBuiltins(_NAMES | {"__n3_hot__": frozenset()})
    # Of two threads that get here at once, one deletes its object again. It must not make all functions cold by that.
    if space.setdefault("__n3_to_the_end__", restores) is not restores:
        restores.names = {}


def compile_source(source: bytes | str, path: str, *, silent: bool = False) -> CodeType:
    """Compile a module or script with its functions edited.

    Args:
        source: the text of the file; bytes are decoded as Python decodes them.
        path: the file, for tracebacks.
        silent: whether to suppress the compiler's warnings.

    Returns:
        The code of the module, unedited if editing fails for whatever reason.

    Raises:
        SyntaxError: the source is not Python.
        ValueError: the source holds a null byte.
    """
    with _without_warnings(path) if silent else nullcontext():
        tree = ast.parse(source, path)
        plain: CodeType = compile(tree, path, "exec", dont_inherit=True)
    PLAIN.pop(path, None)
    MARKS[path] = mark_of(source)
    return _compile_edited(tree, plain, path, lambda edited: compile(edited, path, "exec", dont_inherit=True))


def mark_of(source: bytes | str) -> bytes:
    """Return a short digest of a source text."""
    return blake2b(source if isinstance(source, bytes) else source.encode(), digest_size=8).digest()


def compile_statements(
    tree: _Statements, plain: CodeType, path: str, compiled: Callable[[_Statements], CodeType]
) -> CodeType:
    """Compile statements of an interactive session with their functions edited.

    Args:
        tree: the statements, which stay as they are.
        plain: their unedited code.
        path: the file, for tracebacks.
        compiled: compiles statements as the session does.

    Returns:
        Their code; `plain` if there is nothing to edit, or editing fails for whatever reason.
    """
    if not any(isinstance(node, _Function | ast.Try | ast.TryStar) for node in ast.walk(tree)):
        return plain
    return _compile_edited(deepcopy(tree), plain, path, compiled)


def _compile_edited(
    tree: _Statements, plain: CodeType, path: str, compiled: Callable[[_Statements], CodeType]
) -> CodeType:
    """Edit a tree and return its code, or the plain code if that fails."""
    _offer_names()
    try:
        # A statement that Python runs interactively would display the result of our call.
        is_module = isinstance(tree, ast.Module)
        handlers.edit_clauses(tree.body, path, _has_editable_clauses, inside=is_module)
        _edit_block(tree.body, _first_lines(plain), path)
        with _without_warnings(path):
            code = compiled(tree)
    except Exception:  # such as too many nested blocks for the compiler
        return plain
    known = PLAIN.setdefault(path, [])
    if plain not in known:  # a cell may run again and again
        known.append(plain)
    return code


@contextmanager
def _without_warnings(path: str) -> Iterator[None]:
    """Suppress the compiler's warnings about one file.

    `warnings.catch_warnings` would do so for every thread, and would show warnings again that were shown once.
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
        silent = False  # another thread may have put its function in front, so ours must work without effect below it
        vars(warnings)["_showwarnmsg"] = show


def _first_lines(module: CodeType) -> dict[tuple[str, int], int]:
    """Return the line on which the body of each function begins, by the function's name and first line."""
    lines: dict[tuple[str, int], int] = {}
    pending = [module]
    while pending:
        code = pending.pop()
        pending.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
        first = code.co_firstlineno
        found = (line for _, _, line in code.co_lines() if line is not None and line != first)
        lines[code.co_name, first] = next(found, first)
    return lines


def _edit_block(
    statements: Iterable[ast.stmt], first_lines: Mapping[tuple[str, int], int], path: str
) -> None:
    """Edit the functions among some statements, and within them, the innermost first."""
    for statement in statements:
        for block in _blocks(statement):
            _edit_block(block, first_lines, path)
        if isinstance(statement, _Function) and _is_editable(statement):
            start = min([statement.lineno, *(decorator.lineno for decorator in statement.decorator_list)])
            # The compiler drops what can never run, such as the body of `if 0:`.
            _edit(statement, first_lines.get((statement.name, start), start))
            first = [*statement.args.posonlyargs, *statement.args.args][:1]
            is_method = bool(first) and first[0].arg in RECEIVERS
            DEFINITIONS.setdefault(statement.name, {})[path, start] = is_method


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the lists of statements within a statement."""
    for part in (statement, *getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        for name in ("body", "orelse", "finalbody"):
            yield getattr(part, name, [])


def _is_editable(function: _Function) -> bool:
    """Return whether a body means the same inside the guard: not that of a generator, nor one that reads its locals."""
    if not _has_editable_clauses(function) or (function.name != "__call__" and _is_special(function)):
        return False
    if all(
        isinstance(statement, ast.Pass)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in function.body
    ):
        return False
    return not any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(function))


def _has_editable_clauses(function: _Function) -> bool:
    """Return whether a function may have one more variable, and is not a special method that recording itself may call."""
    if function.name not in _WITH_EDITABLE_CLAUSES and _is_special(function):
        return False
    for decorator in function.decorator_list:
        if _last_name(decorator.func if isinstance(decorator, ast.Call) else decorator) in _COMPILES_BYTECODE:
            return False
    return not any(_last_name(node) in _LOOKS_AT_LOCALS for node in _own_nodes(function))


def _is_special(function: _Function) -> bool:
    return function.name.startswith("__") and function.name.endswith("__")


def _own_nodes(function: _Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body, without those inside the functions and classes in it."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, _SCOPES):
            pending.extend(ast.iter_child_nodes(node))


def _last_name(node: ast.AST | None) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _edit(function: _Function, first_line: int) -> None:
    """Put the body into a `with` block that records the call, after a statement that may return an answer."""
    EDITED.add(function.name)
    documented = ast.get_docstring(function, clean=False) is not None
    body = function.body[documented:]
    _edit_returns(body)
    handled, answer = "__n3__.handled", "__n3__.answer()"
    if isinstance(function, ast.AsyncFunctionDef):
        handled, answer = "await __n3__.is_handled()", "await __n3__.answer_async()"
    (guard,) = ast.parse(
        f"with __n3_calls__[{function.name!r} in __n3_hot__] as __n3__:\n"
        f" if __n3__ is not __n3_cold__ and {handled}: return {answer}\n"
        " __n3_value__ = None\n"
    ).body
    assert isinstance(guard, ast.With)
    _set_position(guard, _NO_LINE, _NO_LINE)
    # The compiler gives instructions without a line that of the ones before them: what opens the block begins on
    # the body's first line, what closes it stays without.
    opening = guard.items[0].context_expr
    assert isinstance(opening, ast.Subscript)
    _set_position(opening.value, first_line)
    _set_position(guard.body[0], first_line)
    guard.body[1:1] = body
    function.body[documented:] = [guard]


def _edit_returns(block: list[ast.stmt]) -> None:
    """Let each `return` of a function's own body leave its value in `__n3_value__`."""
    for position in range(len(block) - 1, -1, -1):
        statement = block[position]
        if isinstance(statement, ast.Return) and _last_name(statement.value) == handlers.VALUE:
            continue
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


def _set_position(tree: ast.AST, line: int, column: int = 0) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.stmt):
            node.lineno = node.end_lineno = line
            node.col_offset = node.end_col_offset = column


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from code that the finder has compiled; `.pyc` files are neither read nor written."""

    code: CodeType | None = None

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the edited code, compiled again for each further request."""
        code, self.code = self.code, None
        path = self.get_filename(fullname)
        return code or compile_source(self.get_data(path), path)


class Finder:
    """Finds the user's own modules, below `root`, and leaves all others to the other finders."""

    def __init__(self, root: str) -> None:
        self.root = os.path.join(os.path.realpath(root), "")
        prefix = os.path.realpath(sys.prefix)
        # An environment within the project is not the user's code; a project within the prefix is.
        folders = [
            PACKAGE_FOLDER,
            os.path.dirname(os.__file__),
            *([prefix] if prefix.startswith(self.root) else []),
        ]
        self.foreign = tuple(os.path.join(folder, "") for folder in folders)
        self.known: dict[str, bool] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of one of the user's modules, with its code compiled and edited, or None."""
        try:
            return self._find(fullname, path, target)
        except Exception:  # the ordinary finders will raise it again as Python does
            return None

    def _find(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> importlib.machinery.ModuleSpec | None:
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
        # Python would load a compiled file, and not warn about the source again.
        cached = spec.cached
        silent = bool(
            cached and os.path.exists(cached) and os.path.getmtime(cached) >= os.path.getmtime(spec.origin)
        )
        loader.code = compile_source(loader.get_data(spec.origin), spec.origin, silent=silent)
        spec.loader = loader
        return spec

    def is_own(self, path: str) -> bool:
        """Return whether a path is in the user's own tree."""
        if path not in self.known:
            real = os.path.join(os.path.realpath(path), "")
            below = real.startswith(self.root) and _FOREIGN.isdisjoint(real.split(os.sep))
            self.known[path] = below and not real.startswith(self.foreign)
        return self.known[path]


def install(root: str | os.PathLike[str]) -> Callable[[], None]:
    """Edit the modules below a folder as they are imported from now on.

    Args:
        root: the folder of the user's own code.

    Returns:
        A function that stops editing modules.
    """
    finder = Finder(os.fspath(root))
    _offer_names()
    sys.meta_path.insert(0, finder)

    def uninstall() -> None:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)

    return uninstall


def find_loader(name: str, path: str) -> Loader | None:
    """Return a loader for a module that a library loads by the path of its file; `None` if it is not the user's own."""
    own = any(isinstance(finder, Finder) and finder.is_own(path) for finder in sys.meta_path)
    return Loader(name, path) if own else None


def is_installed() -> bool:
    """Return whether modules are edited when they are imported."""
    return any(isinstance(finder, Finder) for finder in sys.meta_path)
