"""Patching modules of others when the program imports them, and putting everything back."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import wrapt

from namel3ss_debug.capture import interruptions

Undo = Callable[[], None]
"""Puts back what was replaced."""

_AWAITED: dict[str, list[Callable[[ModuleType], None]]] = {}
"""What is called when a module is imported, for each that wrapt has been told of; wrapt itself forgets nothing."""

_lock = threading.Lock()
_here = threading.local()
"""`made`: what was replaced so far of the module that this thread is patching."""


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Undo:
    """Put `make(original)` in the place of an attribute; the result puts it back.

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
    """Take the calling frame, which caught the exception, out of its traceback; to be followed by a bare `raise`."""
    trace = error.__traceback__
    error.__traceback__ = None if trace is None else trace.tb_next


def when_imported(patches: Mapping[str, Callable[[Any], list[Undo]]], missing: Callable[[str], None]) -> Undo:
    """Patch modules by name, now or when they are imported.

    Args:
        patches: what is done with each module.
        missing: told in words where a patch fails, because a module has not what it replaces; the module then stays as
            it was.

    Returns:
        A function that puts everything back, and leaves alone what is imported later.
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
        except Exception as error:  # whatever another version lacks, the program gets its module
            for put_back in reversed(_here.made):
                put_back()
            if interruptions.is_of_the_program(error):
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
    """Call back once a module is there; the result does so no more."""
    with _lock:
        told = name in _AWAITED
        _AWAITED.setdefault(name, []).append(action)
    if not told or name in sys.modules:  # by whatever way it came there
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
