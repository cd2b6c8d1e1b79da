"""Tell the processes that a traced program starts to which trace and span they belong.

A forked child inherits context variables and needs nothing. A new interpreter gets its session from the environment:
`subprocess` and `multiprocessing` are edited to add our variables there, while the program's own view of `os.environ`
stays free of them. The server of multiprocessing's `forkserver` is older than its children, so these get their parent
with the preparation data.

The functions of the standard library are edited in their bodies, not wrapped: a wrapper would be a foreign frame in the
traceback of each failing call. `os.exec*`, `os.system` and the like pass on the C environment, which contains the session
and the span in which this process itself was started. A call with an environment of its own that bypasses `subprocess`
(`os.execve(.., os.environ)`) is not recorded.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any, Protocol

from namel3ss_debug.capture.core.editing import call_of, edit_body
from namel3ss_debug.capture.core.own_code import CAPTURE_FOLDER
from namel3ss_debug.capture.core.patching import call_when_imported
from namel3ss_debug.config import LINEAGE_VARIABLE, PARENT_VARIABLE, SESSION_VARIABLE

BOOT = os.path.join(CAPTURE_FOLDER, "launch", "boot")
_PARENT_KEY = "namel3ss_debug_parent"
_STATE_KEY = "namel3ss_debug_carried"


class ChildState(Protocol):
    """What further processes need besides the session and the span."""

    def variables(self, environment: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return further variables for a process that is started now with this environment."""

    def hidden(self) -> dict[bytes, tuple[bytes, bytes]]:
        """Return variables of this process that are ours as long as they have the first value; the program sees the second."""

    def word_for_child(self) -> str | None:
        """Return a word for a process that gets no environment."""

    def adopt(self, word: str) -> None:
        """Take the word in the child."""


_hidden: dict[bytes, bytes] = {}
_child_state: ChildState | None = None
_current: Callable[[], str | None] | None = None
_adopt: Callable[[str], None] | None = None
_watched: set[str] = set()
_worker_callbacks: list[Callable[[], None]] = []
_own_pid = os.getpid()


def install(
    current_place: Callable[[], str | None], adopt: Callable[[str], None] | None = None
) -> Callable[[], None]:
    """Tell processes that are started from now on in which span they were started.

    Args:
        current_place: returns the `traceparent` of the span that the caller is in, if any.
        adopt: called with the `traceparent` in a process that gets it only after its start, a child of the fork server.

    Returns:
        A function that undoes it.
    """
    global _current, _adopt
    _current, _adopt = current_place, adopt
    for name, edit in _EDITS.items():
        _call_when_imported(name, edit)

    def uninstall() -> None:
        global _current, _adopt
        _current, _adopt = None, None

    return uninstall


def carry(state: ChildState) -> Callable[[], None]:
    """Pass this state to processes that are started from now on; return a function that undoes it."""
    global _child_state  # one tracer a process
    _child_state = state

    def restore() -> None:
        global _child_state
        _child_state = None

    return restore


def at_end_of_forked_workers(callback: Callable[[], None]) -> None:
    """Call back at the end of each forked worker of multiprocessing, which ends without `atexit`."""
    if not _worker_callbacks:
        _call_when_imported("multiprocessing.util", _watch_forked_workers)
    _worker_callbacks.append(callback)


def parent_from_environment(environ: Mapping[str, str]) -> str | None:
    """Return the `traceparent` of the span in which this process was started, from its environment."""
    hidden = _hidden.get(PARENT_VARIABLE.encode())
    return environ.get(PARENT_VARIABLE) or (os.fsdecode(hidden) if hidden else None)


def record_children(session: str) -> Callable[[], None]:
    """Let processes that are started from now on join the trace that this process has begun by itself.

    Only what `subprocess` and `multiprocessing` start: the C environment stays as it is.

    Args:
        session: the session as it is in the environment.

    Returns:
        A function that undoes it.
    """
    _hidden[SESSION_VARIABLE.encode()] = session.encode()

    def restore() -> None:
        _hidden.pop(SESSION_VARIABLE.encode(), None)

    return restore


@contextmanager
def span_in_environment() -> Iterator[None]:
    """Pass the current span on to a process that inherits the C environment, which `os.environ` does not show."""
    parent = _current() if _current is not None else None
    if parent is None or SESSION_VARIABLE.encode() not in _hidden:
        yield
        return
    os.putenv(PARENT_VARIABLE, parent)
    try:
        yield
    finally:
        before = _hidden.get(PARENT_VARIABLE.encode())
        if before is None:
            os.unsetenv(PARENT_VARIABLE)
        else:
            os.putenv(PARENT_VARIABLE.encode(), before)


def has_our_session(environ: Mapping[str, str]) -> bool:
    """Return whether a process with this environment was started in the trace that this process belongs to."""
    session = _hidden.get(SESSION_VARIABLE.encode())
    return session is not None and environ.get(SESSION_VARIABLE) == os.fsdecode(session)


def hide() -> None:
    """Remove our variables from the program's view of `os.environ`.

    The C environment keeps them, so that processes that are not started by `subprocess` still inherit them.
    """
    data: Any = getattr(os.environ, "_data", None)
    if not isinstance(data, dict):
        return
    for name in (SESSION_VARIABLE, PARENT_VARIABLE):
        value = data.pop(name.encode(), None)
        if value is not None:
            _hidden[name.encode()] = value
    if data.pop(LINEAGE_VARIABLE.encode(), None) is not None:
        os.unsetenv(LINEAGE_VARIABLE)  # it identifies this process alone
    for key, (ours, theirs) in (_child_state.hidden() if _child_state is not None else {}).items():
        if data.get(key) == ours:
            data.pop(key)
            os.unsetenv(key)  # only `subprocess` gets it again, see `_additions`
            if theirs:
                os.environb[key] = theirs
    paths = _without_boot(data.get(b"PYTHONPATH", b""))
    if paths:
        data[b"PYTHONPATH"] = paths
    else:
        data.pop(b"PYTHONPATH", None)


def keep_boot_folder(paths: bytes = b"") -> None:
    """Keep our hook on the PYTHONPATH of the C environment after the program has set or deleted the variable."""
    if SESSION_VARIABLE.encode() in _hidden:
        os.putenv(b"PYTHONPATH", _with_boot(paths))


def _with_boot(paths: bytes) -> bytes:
    return os.pathsep.encode().join(filter(None, [os.fsencode(BOOT), _without_boot(paths)]))


def _without_boot(paths: bytes) -> bytes:
    separator = os.pathsep.encode()
    return separator.join(path for path in paths.split(separator) if path != os.fsencode(BOOT))


def _environment(environment: Any) -> Any:
    """Return the environment for a new process with our variables added.

    Args:
        environment: `None` for that of this process, a list of `NAME=value` in bytes, or a mapping.

    Returns:
        A list for a list or `None`, a mapping for a mapping. An environment that shares less than half of the variables
        of this process is meant to be a clean one, and is returned as it is.
    """
    try:
        own = dict(os.environb)
        if environment is None:
            variables = own
        elif isinstance(environment, list):
            variables = {name: value for name, _, value in (entry.partition(b"=") for entry in environment)}
        else:
            variables = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
        in_common = sum(variables.get(name) == value for name, value in own.items())
        added = _additions(variables)
        if not added or (variables is not own and in_common * 2 < len(own)):
            return environment
        result = {**variables, **added}
        if environment is None or isinstance(environment, list):
            return [name + b"=" + value for name, value in result.items()]
        return result
    except Exception:
        return environment


def _mapping(environment: Any) -> Any:
    """Return what `_environment` returns, for a function that takes a mapping or, since Python 3.13, `None`."""
    return _environment(os.environ if environment is None else environment)


def _additions(environment: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the variables with which a new process joins the trace."""
    session = _hidden.get(SESSION_VARIABLE.encode())
    if session is None or _current is None:
        return {}
    if environment.get(SESSION_VARIABLE.encode(), session) != session:  # a `debug trace` inside the program
        return {}
    parent = _current() or parent_from_environment({})
    return {
        b"PYTHONPATH": _with_boot(environment.get(b"PYTHONPATH", b"")),
        SESSION_VARIABLE.encode(): session,
        **({PARENT_VARIABLE.encode(): parent.encode()} if parent else {}),
        **(_child_state.variables(environment) if _child_state is not None else {}),
    }


def _add_to_preparation(data: dict[str, Any]) -> dict[str, Any]:
    """Add the span to the preparation data of a new multiprocessing process; `prepare` ignores unknown keys."""
    try:
        parent = _current() if _current is not None else None
        if parent:
            data[_PARENT_KEY] = parent
        if _child_state is not None:
            data[_STATE_KEY] = _child_state.word_for_child()
    except Exception:  # a missing parent is no reason to fail the program
        pass
    return data


def _read_preparation(data: Mapping[str, Any]) -> None:
    """Take, in a worker of multiprocessing, what its parent put into the preparation data."""
    try:
        parent = data.get(_PARENT_KEY)
        if parent and _adopt is not None:
            _adopt(parent)
        word = data.get(_STATE_KEY)
        if word and _child_state is not None:
            _child_state.adopt(word)
    except Exception:  # as above
        pass


class _WrapArgument(ast.NodeTransformer):
    """Passes one positional argument of the calls of a function through `_namel3ss_environment` or `_namel3ss_mapping`."""

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
    """Passes the result of a function through `_namel3ss_prepared`."""

    def visit_Return(self, node: ast.Return) -> ast.Return:
        if node.value is not None:
            node.value = call_of("_namel3ss_prepared", node.value)
        return node


class _CallFirst(ast.NodeTransformer):
    """Calls `_namel3ss_prepare` with the first argument of a function, before its body."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        first = node.body[0]
        argument = ast.copy_location(ast.Name(node.args.args[0].arg, ast.Load()), first)
        node.body.insert(1, ast.copy_location(ast.Expr(call_of("_namel3ss_prepare", argument)), first))
        return node


def _edit(module: Any, name: str, change: ast.NodeTransformer) -> None:
    """Edit a function of a module or class, if this version of Python has it."""
    function = getattr(module, name, None)
    if isinstance(function, FunctionType):
        edit_body(function, _NAMES, change)


def _edit_subprocess(module: Any) -> None:
    _edit(module.Popen, "_execute_child", _WrapArgument("_fork_exec", 5))
    _edit(module.Popen, "_posix_spawn", _WrapArgument("posix_spawn", 2, "mapping"))


def _edit_multiprocessing_util(module: ModuleType) -> None:
    _edit(module, "spawnv_passfds", _WrapArgument("fork_exec", 5))


def _edit_multiprocessing_spawn(module: ModuleType) -> None:
    _edit(module, "get_preparation_data", _WrapReturn())
    _edit(module, "prepare", _CallFirst())


_NAMES: dict[str, Callable[..., Any]] = {
    "_namel3ss_environment": _environment,
    "_namel3ss_mapping": _mapping,
    "_namel3ss_prepared": _add_to_preparation,
    "_namel3ss_prepare": _read_preparation,
}
_EDITS: dict[str, Callable[[ModuleType], None]] = {
    "subprocess": _edit_subprocess,
    "multiprocessing.util": _edit_multiprocessing_util,
    "multiprocessing.spawn": _edit_multiprocessing_spawn,
}


def _watch_forked_workers(module: ModuleType) -> None:
    def register(_key: object) -> None:
        if os.getpid() != _own_pid:  # a spawned worker ends by sys.exit, which runs atexit
            for callback in _worker_callbacks:
                module.Finalize(None, callback, exitpriority=-1000)

    module.register_after_fork(_watch_forked_workers, register)


def _call_when_imported(name: str, action: Callable[[ModuleType], None]) -> None:
    """Call an action with a module once, when it is imported, or now if it is."""
    key = f"{name} {action.__name__}"
    if key in _watched:
        return
    _watched.add(key)
    call_when_imported(name, action)
