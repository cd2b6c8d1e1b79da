"""Parentage of the processes a traced program starts: which span they were started in, and in which recording.

A forked child inherits context variables and needs nothing. A new interpreter learns of its recording from the
environment: `subprocess` and `multiprocessing` are made to add our variables there, while the program's own view
of `os.environ` stays free of them. The server of multiprocessing's `forkserver` is older than its children, so
these get their parent with the preparation data.

The functions of the standard library are edited in their bodies, not wrapped: a wrapper would be a foreign frame
in the traceback of each call that fails. `os.exec*`, `os.system` and the like pass on what the C environment
holds, which is the recording and the span this process itself was started in; a call with an environment of its
own that goes around `subprocess` (`os.execve(.., os.environ)`) is not recorded.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from namel3ss_debug.config import PARENT_VARIABLE, SESSION_VARIABLE

BOOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot")
_PREPARED = "namel3ss_debug_parent"

_hidden: dict[bytes, bytes] = {}
_current: Callable[[], str | None] | None = None
_adopt: Callable[[str], None] | None = None
_watched: set[str] = set()
_ends: list[Callable[[], None]] = []
_own_pid = os.getpid()


def install(
    current_span_id: Callable[[], str | None], adopt: Callable[[str], None] | None = None
) -> Callable[[], None]:
    """Tell processes that are started from now on which span they were started in.

    Args:
        current_span_id: the id of the span the caller is in, if any.
        adopt: called in a process that learns only after its start in which span it was started (a child of
            the fork server), with the id.

    Returns:
        A function that takes it back.
    """
    global _current, _adopt
    _current, _adopt = current_span_id, adopt
    for name, edit in _EDITS.items():
        _when_imported(name, edit)
    return _uninstall


def _uninstall() -> None:
    global _current, _adopt  # noqa: PLW0603  (one tracer a process)
    _current = _adopt = None


def after_fork(callback: Callable[[], None]) -> None:
    """Call back in each forked child, as soon as it runs; this cannot be taken back."""
    os.register_at_fork(after_in_child=callback)


def at_end_of_forked_workers(callback: Callable[[], None]) -> None:
    """Call back at the end of each forked worker of multiprocessing, which ends without `atexit`."""
    if not _ends:
        _when_imported("multiprocessing.util", _watch_forked_workers)
    _ends.append(callback)


def parent_from_environment(environ: Mapping[str, str]) -> str | None:
    """The id of the span this process was started in, as its environment tells."""
    hidden = _hidden.get(PARENT_VARIABLE.encode())
    return environ.get(PARENT_VARIABLE) or (os.fsdecode(hidden) if hidden else None)


def hide() -> None:
    """Take our variables out of the program's view of `os.environ`.

    The C environment keeps them, so that what is started around `subprocess` still inherits them.
    """
    data: Any = getattr(os.environ, "_data", None)
    if not isinstance(data, dict):
        return
    for name in (SESSION_VARIABLE, PARENT_VARIABLE):
        value = data.pop(name.encode(), None)
        if value is not None:
            _hidden[name.encode()] = value
    paths = _without_boot(data.get(b"PYTHONPATH", b""))
    if paths:
        data[b"PYTHONPATH"] = paths
    else:
        data.pop(b"PYTHONPATH", None)


def _without_boot(paths: bytes) -> bytes:
    separator = os.pathsep.encode()
    return separator.join(path for path in paths.split(separator) if path != os.fsencode(BOOT))


def _environment(environment: Any) -> Any:
    """The environment for a new process with our variables added.

    Args:
        environment: `None` for that of this process, a list of `NAME=value` in bytes, or a mapping.

    Returns:
        A list for a list or `None`, a mapping for a mapping. An environment that has little in common with that
        of this process was meant to be a clean one, and is given back as it is.
    """
    try:
        own = dict(os.environb)
        given = own if environment is None else _variables(environment)
        added = _additions(given)
        if not added or (given is not own and not _derived(given, own)):
            return environment
        result = {**given, **added}
        if environment is None or isinstance(environment, list):
            return [name + b"=" + value for name, value in result.items()]
        return result
    except Exception:
        return environment


def _mapping(environment: Any) -> Any:
    """As `_environment`, for a function that takes a mapping or, since Python 3.13, `None`."""
    return _environment(os.environ if environment is None else environment)


def _variables(environment: Any) -> dict[bytes, bytes]:
    if isinstance(environment, list):
        return {name: value for name, _, value in (entry.partition(b"=") for entry in environment)}
    return {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}


def _derived(given: Mapping[bytes, bytes], own: Mapping[bytes, bytes]) -> bool:
    return sum(given.get(name) == value for name, value in own.items()) * 2 >= len(own)


def _additions(given: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    session = _hidden.get(SESSION_VARIABLE.encode())
    if session is None or _current is None:
        return {}
    paths = [os.fsencode(BOOT), _without_boot(given.get(b"PYTHONPATH", b""))]
    parent = _current() or parent_from_environment({})
    return {
        b"PYTHONPATH": os.pathsep.encode().join(filter(None, paths)),
        SESSION_VARIABLE.encode(): session,
        **({PARENT_VARIABLE.encode(): parent.encode()} if parent else {}),
    }


def _prepared(data: dict[str, Any]) -> dict[str, Any]:
    """Add the span to what multiprocessing tells a new process; older keys there are ignored by `prepare`."""
    try:
        parent = _current() if _current is not None else None
        if parent:
            data[_PREPARED] = parent
    except Exception:  # noqa: S110  (a span without its parent is no reason to fail the program)
        pass
    return data


def _prepare(data: Mapping[str, Any]) -> None:
    try:
        parent = data.get(_PREPARED)
        if parent and _adopt is not None:
            _adopt(parent)
    except Exception:  # noqa: S110  (as above)
        pass


class _WrapArgument(ast.NodeTransformer):
    """Passes one positional argument of the calls of a function through `_environment` or `_mapping`."""

    def __init__(self, function: str, position: int, through: str = "environment") -> None:
        self.function = function
        self.position = position
        self.through = f"_namel3ss_{through}"

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if self.function in {getattr(node.func, "id", None), getattr(node.func, "attr", None)}:
            argument = node.args[self.position]
            node.args[self.position] = _call(self.through, argument)
        return node


class _WrapReturn(ast.NodeTransformer):
    """Passes what a function returns through `_prepared`."""

    def visit_Return(self, node: ast.Return) -> ast.Return:
        if node.value is not None:
            node.value = _call("_namel3ss_prepared", node.value)
        return node


class _CallFirst(ast.NodeTransformer):
    """Calls `_prepare` with the first argument of a function, before its body."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        first = node.body[0]
        argument = ast.copy_location(ast.Name(node.args.args[0].arg, ast.Load()), first)
        node.body.insert(1, ast.copy_location(ast.Expr(_call("_namel3ss_prepare", argument)), first))
        return node


def _call(name: str, argument: ast.expr) -> ast.expr:
    function = ast.copy_location(ast.Name(name, ast.Load()), argument)
    return ast.copy_location(ast.Call(function, [argument], []), argument)


def _edit_body(function: FunctionType, *changes: ast.NodeTransformer) -> None:
    """Give a function of the standard library a body compiled from its own source with `changes` made.

    Where the source cannot be found or gives another function, all stays as it is.
    """
    old = function.__code__
    try:
        tree = _source_tree(old)
        for change in changes:
            tree = change.visit(tree)
        module = compile(ast.fix_missing_locations(tree), old.co_filename, "exec", dont_inherit=True)
        new = next(code for code in module.co_consts if isinstance(code, CodeType))
    except (OSError, SyntaxError, StopIteration, IndexError):
        return
    same = new.co_varnames == old.co_varnames and new.co_freevars == old.co_freevars
    if same and new.co_firstlineno == old.co_firstlineno and set(old.co_names) <= set(new.co_names):
        names = {"environment": _environment, "mapping": _mapping, "prepared": _prepared, "prepare": _prepare}
        function.__globals__.update({f"_namel3ss_{name}": value for name, value in names.items()})
        function.__code__ = new.replace(co_qualname=old.co_qualname)


def _source_tree(code: CodeType) -> ast.Module:
    with open(code.co_filename, encoding="utf-8") as file:
        lines = file.readlines()[code.co_firstlineno - 1 :]
    indent = _indent(lines[0])
    end = next(
        (n for n, line in enumerate(lines[1:], 1) if line.strip() and _indent(line) <= indent), len(lines)
    )
    shift = code.co_firstlineno - 1
    if indent:  # a method: a block around it keeps lines and columns as they are in the file
        tree = ast.parse("if 1:\n" + "".join(lines[:end]))
        block = tree.body[0]
        assert isinstance(block, ast.If)
        tree.body, shift = block.body, shift - 1
    else:
        tree = ast.parse("".join(lines[:end]))
    ast.increment_lineno(tree, shift)
    return tree


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _edit_subprocess(module: ModuleType) -> None:
    for name, change in (
        ("_execute_child", _WrapArgument("_fork_exec", 5)),
        ("_posix_spawn", _WrapArgument("posix_spawn", 2, "mapping")),
    ):
        _edit_functions([getattr(module.Popen, name, None)], change)


def _edit_functions(functions: Iterable[object], change: ast.NodeTransformer) -> None:
    for function in functions:
        if isinstance(function, FunctionType):
            _edit_body(function, change)


def _edit_multiprocessing_util(module: ModuleType) -> None:
    _edit_functions([getattr(module, "spawnv_passfds", None)], _WrapArgument("fork_exec", 5))


def _edit_spawn(module: ModuleType) -> None:
    _edit_functions([getattr(module, "get_preparation_data", None)], _WrapReturn())
    _edit_functions([getattr(module, "prepare", None)], _CallFirst())


_EDITS: dict[str, Callable[[ModuleType], None]] = {
    "subprocess": _edit_subprocess,
    "multiprocessing.util": _edit_multiprocessing_util,
    "multiprocessing.spawn": _edit_spawn,
}


def _watch_forked_workers(module: ModuleType) -> None:
    def register(_key: object) -> None:
        if os.getpid() != _own_pid:  # a spawned worker ends by sys.exit, and has atexit
            for callback in _ends:
                module.Finalize(None, callback, exitpriority=-1000)

    module.register_after_fork(_watch_forked_workers, register)


def _when_imported(name: str, action: Callable[[ModuleType], None]) -> None:
    """Do something with a module once, when it is imported, or now if it is."""
    key = f"{name} {action.__name__}"
    if key in _watched:
        return
    _watched.add(key)
    module = sys.modules.get(name)
    if module is not None:
        action(module)
        return
    from wrapt import register_post_import_hook  # noqa: PLC0415  (only where something is yet to be imported)

    register_post_import_hook(action, name)
