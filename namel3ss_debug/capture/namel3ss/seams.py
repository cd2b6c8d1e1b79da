"""Functions of the language replaced while an app runs: wherever a module of it holds one by name, and put back after it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from namel3ss_debug.capture.patching import Undo, replace

_LANGUAGE = "namel3ss"


def language(name: str) -> Any:
    """A module of the language: `errors.base` for `namel3ss.errors.base`.

    Raises:
        ImportError: this version has none of this name.
    """
    return importlib.import_module(f"{_LANGUAGE}.{name}")


class Seams:
    """The replaced functions of one run.

    Args:
        missing: told in words what this version of the language does not have.
    """

    def __init__(self, missing: Callable[[str], None]) -> None:
        self._missing = missing
        self._undo: list[Undo] = []

    def function(
        self, module: str, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        """Replace a function in the module that defines it, and in all that have imported it by name."""
        owner = self._module(module)
        original = None if owner is None else getattr(owner, name, None)
        if original is None:
            self._missing(f"this version of namel3ss has no {module}.{name}")
            return
        ours = make(original)
        for holder in _modules():
            if vars(holder).get(name) is original:
                self._undo.append(replace(holder, name, lambda _original: ours))

    def method(
        self, module: str, owner: str, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        """Replace a method of a class."""
        found = self._module(module)
        kind = None if found is None else getattr(found, owner, None)
        if kind is None or not hasattr(kind, name):
            self._missing(f"this version of namel3ss has no {module}.{owner}.{name}")
            return
        self._undo.append(replace(kind, name, make))

    def undo(self) -> None:
        """Put everything back."""
        while self._undo:
            self._undo.pop()()

    @staticmethod
    def _module(name: str) -> Any:
        try:
            return language(name)
        except ImportError:
            return None


def _modules() -> list[Any]:
    """The modules of the language that are imported by now."""
    found = list(sys.modules.items())
    return [
        module for name, module in found if name.startswith(f"{_LANGUAGE}.") and hasattr(module, "__dict__")
    ]
