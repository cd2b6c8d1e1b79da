"""Patch modules when the program imports them, and undo it."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import wrapt

from namel3ss_debug.capture.core import interruptions

Undo = Callable[[], None]
"""Restores what was replaced."""

_AWAITED: dict[str, list[Callable[[ModuleType], None]]] = {}
"""The callbacks for each module that is yet to be imported. A hook of wrapt cannot be removed, so each module has one."""

_lock = threading.Lock()
_here = threading.local()
"""`made`: the replacements so far in the module that this thread is patching."""


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
        has_hook = name in _AWAITED
        _AWAITED.setdefault(name, []).append(action)
    if not has_hook or name in sys.modules:
        wrapt.register_post_import_hook(functools.partial(_imported, name), name)

    def forget() -> None:
        with _lock:
            actions = _AWAITED.get(name, [])
            if action in actions:
                actions.remove(action)

    return forget


def _imported(name: str, module: ModuleType) -> None:
    with _lock:
        actions = _AWAITED.pop(name, [])
    for action in actions:
        action(module)
