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
from types import FunctionType, ModuleType
from typing import Any, Protocol

from namel3ss_debug.capture.editing import call_of, edit_body
from namel3ss_debug.config import LINEAGE_VARIABLE, PARENT_VARIABLE, SESSION_VARIABLE

BOOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot")
_PREPARED = "namel3ss_debug_parent"
_CARRIED = "namel3ss_debug_carried"


class Carried(Protocol):
    """What further processes are told of themselves."""

    def variables(self, given: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Further variables for a process that is started now with the environment `given`."""

    def hidden(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Variables of this process that are ours as long as they have the first value; the program sees the second."""

    def prepared(self) -> str | None:
        """A word for a process that gets no environment."""

    def adopt(self, word: str) -> None:
        """This process was given the word."""


_hidden: dict[bytes, bytes] = {}
_carried: Carried | None = None
_current: Callable[[], str | None] | None = None
_adopt: Callable[[str], None] | None = None
_watched: set[str] = set()
_ends: list[Callable[[], None]] = []
_own_pid = os.getpid()


def install(
    current_place: Callable[[], str | None], adopt: Callable[[str], None] | None = None
) -> Callable[[], None]:
    """Tell processes that are started from now on which span they were started in.

    Args:
        current_place: what tells the span the caller is in, if any: a `traceparent`.
        adopt: called in a process that learns only after its start in which span it was started (a child of
            the fork server), with the same.

    Returns:
        A function that takes it back.
    """
    global _current, _adopt
    _current, _adopt = current_place, adopt
    for name, edit in _EDITS.items():
        _when_imported(name, edit)
    return _uninstall


def _uninstall() -> None:
    global _current, _adopt  # noqa: PLW0603  (one tracer a process)
    _current = _adopt = None


def carry(carried: Carried) -> Callable[[], None]:
    """Tell processes that are started from now on what `carried` says; the result takes it back."""
    global _carried  # noqa: PLW0603  (one tracer a process)
    _carried = carried

    def take_back() -> None:
        global _carried  # noqa: PLW0603  (as above)
        _carried = None

    return take_back


def at_end_of_forked_workers(callback: Callable[[], None]) -> None:
    """Call back at the end of each forked worker of multiprocessing, which ends without `atexit`."""
    if not _ends:
        _when_imported("multiprocessing.util", _watch_forked_workers)
    _ends.append(callback)


def parent_from_environment(environ: Mapping[str, str]) -> str | None:
    """What tells the span this process was started in, from its environment."""
    hidden = _hidden.get(PARENT_VARIABLE.encode())
    return environ.get(PARENT_VARIABLE) or (os.fsdecode(hidden) if hidden else None)


def record_children(session: str) -> Callable[[], None]:
    """Let the processes that are started from now on go on with a recording that this process has begun by itself.

    Only what `subprocess` and `multiprocessing` start: the C environment stays as it is.

    Args:
        session: the recording, as the environment tells it.

    Returns:
        A function that takes it back.
    """
    _hidden[SESSION_VARIABLE.encode()] = session.encode()

    def take_back() -> None:
        _hidden.pop(SESSION_VARIABLE.encode(), None)

    return take_back


def has_our_session(environ: Mapping[str, str]) -> bool:
    """Whether a process with this environment was started in the recording that this process belongs to."""
    session = _hidden.get(SESSION_VARIABLE.encode())
    return session is not None and environ.get(SESSION_VARIABLE) == os.fsdecode(session)


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
    if data.pop(LINEAGE_VARIABLE.encode(), None) is not None:
        os.unsetenv(LINEAGE_VARIABLE)  # it names this process alone
    for key, (ours, theirs) in (_carried.hidden() if _carried is not None else {}).items():
        if data.get(key) == ours:
            data.pop(key)
            os.unsetenv(key)  # `subprocess` is given it, and nothing else shall show it
            if theirs:
                os.environb[key] = theirs
    paths = _without_boot(data.get(b"PYTHONPATH", b""))
    if paths:
        data[b"PYTHONPATH"] = paths
    else:
        data.pop(b"PYTHONPATH", None)


def keep_hook(paths: bytes = b"") -> None:
    """The program has set its `PYTHONPATH`, or deleted it: what inherits the C environment finds our hook there still."""
    if SESSION_VARIABLE.encode() in _hidden:
        os.putenv(b"PYTHONPATH", _behind_boot(paths))


def _behind_boot(paths: bytes) -> bytes:
    return os.pathsep.encode().join(filter(None, [os.fsencode(BOOT), _without_boot(paths)]))


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
    """The variables with which a process that is started goes on with the recording."""
    session = _hidden.get(SESSION_VARIABLE.encode())
    if session is None or _current is None:
        return {}
    if given.get(SESSION_VARIABLE.encode(), session) != session:  # of a `debug trace` within the program
        return {}
    parent = _current() or parent_from_environment({})
    return {
        b"PYTHONPATH": _behind_boot(given.get(b"PYTHONPATH", b"")),
        SESSION_VARIABLE.encode(): session,
        **({PARENT_VARIABLE.encode(): parent.encode()} if parent else {}),
        **(_carried.variables(given) if _carried is not None else {}),
    }


def _prepared(data: dict[str, Any]) -> dict[str, Any]:
    """Add the span to what multiprocessing tells a new process; older keys there are ignored by `prepare`."""
    try:
        parent = _current() if _current is not None else None
        if parent:
            data[_PREPARED] = parent
        if _carried is not None:
            data[_CARRIED] = _carried.prepared()
    except Exception:  # noqa: S110  (a span without its parent is no reason to fail the program)
        pass
    return data


def _prepare(data: Mapping[str, Any]) -> None:
    """Take over, in a worker of multiprocessing, what its parent put into the preparation data."""
    try:
        parent = data.get(_PREPARED)
        if parent and _adopt is not None:
            _adopt(parent)
        word = data.get(_CARRIED)
        if word and _carried is not None:
            _carried.adopt(word)
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
            node.args[self.position] = call_of(self.through, argument)
        return node


class _WrapReturn(ast.NodeTransformer):
    """Passes what a function returns through `_prepared`."""

    def visit_Return(self, node: ast.Return) -> ast.Return:
        if node.value is not None:
            node.value = call_of("_namel3ss_prepared", node.value)
        return node


class _CallFirst(ast.NodeTransformer):
    """Calls `_prepare` with the first argument of a function, before its body."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        first = node.body[0]
        argument = ast.copy_location(ast.Name(node.args.args[0].arg, ast.Load()), first)
        node.body.insert(1, ast.copy_location(ast.Expr(call_of("_namel3ss_prepare", argument)), first))
        return node


def _edit_subprocess(module: ModuleType) -> None:
    for name, change in (
        ("_execute_child", _WrapArgument("_fork_exec", 5)),
        ("_posix_spawn", _WrapArgument("posix_spawn", 2, "mapping")),
    ):
        _edit_functions([getattr(module.Popen, name, None)], change)


def _edit_functions(functions: Iterable[object], change: ast.NodeTransformer) -> None:
    for function in functions:
        if isinstance(function, FunctionType):
            edit_body(function, _NAMES, change)


def _edit_multiprocessing_util(module: ModuleType) -> None:
    _edit_functions([getattr(module, "spawnv_passfds", None)], _WrapArgument("fork_exec", 5))


def _edit_spawn(module: ModuleType) -> None:
    _edit_functions([getattr(module, "get_preparation_data", None)], _WrapReturn())
    _edit_functions([getattr(module, "prepare", None)], _CallFirst())


_NAMES: dict[str, Callable[..., Any]] = {
    "_namel3ss_environment": _environment,
    "_namel3ss_mapping": _mapping,
    "_namel3ss_prepared": _prepared,
    "_namel3ss_prepare": _prepare,
}
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
