"""Patch modules when the program imports them, and undo it."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from namel3ss_debug.capture.core import interruptions

Undo = Callable[[], None]
"""Restores what was replaced."""

_AWAITED: dict[str, list[Callable[[ModuleType], None]]] = {}
"""The callbacks for each module that is yet to be imported."""

_lock = threading.Lock()
_here = threading.local()
"""`made`: the replacements so far in the module that this thread is patching; `sought`: the modules that it looks for."""


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Undo:
    """Replace an attribute by `make(original)`, and return a function that restores it.

    If another library has replaced it since then, it stays as it is.

    What another has put in its place since then stays.
    """
    original = getattr(owner, name)
    ours = functools.wraps(original)(make(original))
    setattr(owner, name, ours)

    def put_back() -> None:
        if getattr(owner, name) is ours:
            setattr(owner, name, original)

    if (made := getattr(_here, "made", None)) is not None:
        made.append(put_back)
    return put_back


def hide_own_frame(error: BaseException) -> None:
    """Remove the calling frame, which caught the exception, from its traceback; a bare `raise` follows."""
    trace = error.__traceback__
    error.__traceback__ = None if trace is None else trace.tb_next


def when_imported(patches: Mapping[str, Callable[[Any], list[Undo]]], missing: Callable[[str], None]) -> Undo:
    """Patch modules by name, now or when they are imported.

    Args:
        patches: module -> the function that patches it.
        missing: called with a message if a patch fails because the module lacks what it replaces. The module then
            stays as it was.

    Returns:
        A function that restores everything, and cancels patches of modules that are not imported yet.
    """
    undo: list[Undo] = []
    awaited: list[Undo] = []
    active = True

    def patch(how: Callable[[Any], list[Undo]], module: ModuleType) -> None:
        if not active:
            return
        around, _here.made = getattr(_here, "made", None), []
        try:
            undo.extend(how(module))
        except Exception as error:  # another version may lack anything; the program still gets its module
            for put_back in reversed(_here.made):
                put_back()
            if interruptions.is_from_signal_handler(error):
                raise
            missing(f"{module.__name__} is not recorded: {error}")
        finally:
            _here.made = around

    for name, how in patches.items():
        awaited.append(_await(name, functools.partial(patch, how)))

    def put_back() -> None:
        nonlocal active
        active = False
        for each in (awaited, undo):
            while each:
                each.pop()()

    return put_back


def _await(name: str, action: Callable[[ModuleType], None]) -> Undo:
    """Call back when a module is imported, and return a function that cancels this."""
    with _lock:
        _AWAITED.setdefault(name, []).append(action)
        if not any(type(each) is _Finder for each in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        module = sys.modules.get(name)
    if module is not None:
        _imported(name, module)

    def forget() -> None:
        with _lock:
            actions = _AWAITED.get(name, [])
            if action in actions:
                actions.remove(action)

    return forget


def call_when_imported(name: str, action: Callable[[ModuleType], None]) -> None:
    """Call an action with a module when it is imported, or now if it is."""
    _await(name, action)


def _imported(name: str, module: ModuleType) -> None:
    with _lock:
        actions = _AWAITED.pop(name, [])
    for action in actions:
        action(module)


class _Finder:
    """Lets the finders behind it find a module that is awaited, so that it is patched as soon as it has run.

    `wrapt` has the same, and takes a quarter of what it costs to start a traced program: it imports asyncio and email.
    """

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of an awaited module, with a loader that calls back; None for any other."""
        if not _AWAITED.get(name):
            return None
        sought: set[str] = _here.__dict__.setdefault("sought", set())
        if name in sought:  # another finder of this kind asks all finders as well
            return None
        sought.add(name)
        try:
            for finder in list(sys.meta_path):
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec: ModuleSpec | None = None if find is None else find(name, path, target)
                if spec is not None:
                    # A loader without `exec_module` loads in another way, as those of before Python 3.4 do.
                    if hasattr(spec.loader, "exec_module"):
                        spec.loader = _Loader(spec.loader, name)  # type: ignore[assignment]  # it passes for one
                    return spec
        finally:
            sought.discard(name)
        return None


class _Loader:
    """The loader of an awaited module, which passes for the real one; the module itself gets the real one."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader = loader
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    @property  # type: ignore[misc]  # for `isinstance`
    def __class__(self) -> Any:
        return self._loader.__class__

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module as the real loader does."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then patch it."""
        for owner, name in ((module.__spec__, "loader"), (module, "__loader__")):
            if getattr(owner, name, None) is self:
                setattr(owner, name, self._loader)
        try:
            self._loader.exec_module(module)
        except BaseException as error:
            hide_own_frame(error)
            raise
        _imported(self._name, module)
