"""Turn functions that are loaded already into seams, as `rewrite` does with functions of later imports.

A program that records itself has begun already, a test runner has imported the program before a test begins to record,
and the main module of a child process is read by Python itself or by `multiprocessing`. So when a model is offered
tools, the functions of these names are searched in the user's modules, inside other functions, and in the variables of
running functions. They get the code that `rewrite` would have compiled (`code_replacement`).

Copies of the user's project that an installer
made, as tox and nox do, are the user's as well. A function that pytest compiled with rewritten asserts stays as it is,
but functions inside it are edited. Everything is restored at the end.
"""

from __future__ import annotations

import filecmp
import gc
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any

from namel3ss_debug.capture.core.callsite import innermost
from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.functions.code_replacement import CodeReplacer, functions_in

_INSTALLED = f"{os.sep}site-packages{os.sep}"
_MOST_WRAPPED = 20
_MOST_ITEMS = 1000


class LoadedFunctions:
    """The user's functions that were loaded before recording began; kept from one recording to the next.

    Args:
        root: the folder of the user's own code.
    """

    def __init__(self, root: str) -> None:
        self._finder = rewrite.Finder(root)
        self._sources = (root, os.path.join(root, "src"))
        self._own: dict[str, bool] = {}
        self._seen: dict[str, Callable[[], Any]] = {}
        self._functions: dict[str, list[weakref.ref[FunctionType]]] = {}
        self._replacer = CodeReplacer()

    def install(self) -> Callable[[], None]:
        """Edit functions from now on, those of later imports too. The result restores everything."""
        rewrite.LOADED = self.edit
        finder = self._finder
        # Behind the finder of pytest, which has to compile the tests themselves.
        behind = (
            index + 1
            for index, each in enumerate(sys.meta_path)
            if type(each).__module__.startswith("_pytest.")
        )
        sys.meta_path.insert(next(behind, 0), finder)
        return self._restore

    def edit(self, names: Iterable[str]) -> None:
        """Edit the functions of these names, and those that define such functions anew each time they run."""
        wanted = set(names)
        self._update_index()
        for name in wanted:
            for reference in self._functions.get(name, ()):
                function = reference()
                if function is not None:
                    self._replacer.edit(function)
        for function in _find_in_variables(wanted, self._is_own):
            self._replacer.edit(function)

    def _restore(self) -> None:
        rewrite.LOADED = None
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        self._replacer.restore()

    def _update_index(self) -> None:
        """Index the functions by name again if the user's modules have changed. Safe in several threads at once."""
        loaded = {name: _refer_to(module) for name, module in list(sys.modules.items())}
        new = (
            name for name, module in loaded.items() if self._seen.get(name, lambda: None)() is not module()
        )
        if any(self._is_own_module(name) for name in new):
            functions: dict[str, list[weakref.ref[FunctionType]]] = {}
            for each in gc.get_objects():
                if type(each) is FunctionType and self._is_own(each.__code__.co_filename):
                    for name in {code.co_name for _, code in functions_in(each.__code__)}:
                        functions.setdefault(name, []).append(weakref.ref(each))
            self._functions = functions
        self._seen = loaded

    def _is_own_module(self, name: str) -> bool:
        file = getattr(sys.modules.get(name), "__dict__", {}).get("__file__")
        return isinstance(file, str) and self._is_own(file)

    def _is_own(self, path: str) -> bool:
        """Return whether a file is the user's: in the user's tree, or an installed copy of a file there."""
        if path not in self._own:
            self._own[path] = self._finder.is_own(path) or self._is_copied(path)
        return self._own[path]

    def _is_copied(self, path: str) -> bool:
        _, installed, module = path.rpartition(_INSTALLED)
        sources = (os.path.join(folder, module) for folder in self._sources)
        try:
            return bool(installed) and any(
                os.path.isfile(source) and filecmp.cmp(source, path, shallow=False) for source in sources
            )
        except OSError:
            return False


def _refer_to(module: Any) -> Callable[[], Any]:
    """Return a function that returns a module while it exists. One that runs as `__main__` may be replaced."""
    try:
        return weakref.ref(module)
    except TypeError:  # a program may put any object into `sys.modules`
        return lambda: module


def _find_in_variables(names: set[str], is_own: Callable[[str], bool]) -> Iterator[FunctionType]:
    """Yield the functions of these names in the variables of `__main__` and of running functions.

    They may be values of variables, or items of a list, a dict or a class.
    """
    namespaces: list[dict[str, Any]] = []
    main = getattr(sys.modules.get("__main__"), "__dict__", {})
    if is_own(str(main.get("__file__", sys.executable))):
        namespaces.append(main)
    frame = innermost(1)
    while frame is not None:
        if is_own(frame.f_code.co_filename):
            namespaces.append(frame.f_locals)
        frame = frame.f_back
    for namespace in namespaces:
        for value in list(namespace.values()):
            for item in _items(value):
                for each in _unwrap(item):
                    # A library's own function may have the name of a tool, as `_run` of LangChain's `BaseTool`.
                    if each.__code__.co_name in names and is_own(each.__code__.co_filename):
                        yield each


def _items(value: Any) -> Iterable[Any]:
    if type(value) is dict or isinstance(value, type):
        return list(value.values() if type(value) is dict else vars(value).values())[:_MOST_ITEMS]
    return value[:_MOST_ITEMS] if type(value) in (list, tuple) else (value,)


def _unwrap(value: Any) -> Iterator[FunctionType]:
    for _ in range(_MOST_WRAPPED):
        value = getattr(value, "__func__", value) if type(value).__name__ == "method" else value
        if type(value) is not FunctionType:
            return
        yield value
        value = value.__dict__.get("__wrapped__")
