"""Replaces functions of the language while an app runs, in every module that has imported them, and restores them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, replace

_LANGUAGE = "namel3ss"


def import_language_module(name: str) -> Any:
    """Import a module of the language: `errors.base` for `namel3ss.errors.base`.

    Raises:
        ImportError: this version of the language has no such module.
    """
    return importlib.import_module(f"{_LANGUAGE}.{name}")


class Seams:
    """The replaced functions of one run.

    Args:
        missing: receives a message for each function that this version of the language does not have.
    """

    def __init__(self, missing: Callable[[str], None]) -> None:
        self._missing = missing
        self._undo: list[Undo] = []

    def replace_function(
        self, module: str, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        """Replace a function in the module that defines it, and in every module that has imported it by name."""
        owner = self._module(module)
        original = None if owner is None else getattr(owner, name, None)
        if original is None:
            self._missing(f"this version of namel3ss has no {module}.{name}")
            return
        replacement = make(original)
        for holder in _imported_language_modules():
            if vars(holder).get(name) is original:
                self._undo.append(replace(holder, name, lambda _original: replacement))

    def replace_method(
        self, module: str, owner: str, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        """Replace a method of a class."""
        module_object = self._module(module)
        kind = None if module_object is None else getattr(module_object, owner, None)
        if kind is None or not hasattr(kind, name):
            self._missing(f"this version of namel3ss has no {module}.{owner}.{name}")
            return
        self._undo.append(replace(kind, name, make))

    def undo(self) -> None:
        """Restore everything."""
        while self._undo:
            self._undo.pop()()

    @staticmethod
    def _module(name: str) -> Any:
        try:
            return import_language_module(name)
        except ImportError:
            return None


def _imported_language_modules() -> list[Any]:
    """Return the modules of the language that are imported now."""
    modules = list(sys.modules.items())
    return [
        module for name, module in modules if name.startswith(f"{_LANGUAGE}.") and hasattr(module, "__dict__")
    ]
