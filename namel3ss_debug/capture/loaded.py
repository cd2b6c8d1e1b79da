"""Makes functions that are loaded already callable seams, as `rewrite` does with those that are yet to be imported.

A program that is recorded from inside has begun already, a test runner has imported the program before a test begins to
record, and the main module of a child process is read by Python itself, or by `multiprocessing`. So when a model is
offered tools, the functions of these names are looked for among the modules of the user, within their other functions
and among the variables of the running ones, and get the code that `rewrite` would have compiled them to; the functions
stay the same objects. The code comes from the file, and only where the file still holds what is loaded. What an
installer has copied of the user's project, as tox and nox do it, is the user's as well. A function that the test runner
has compiled in its own way, as pytest does where there is an `assert`, stays as it is, but the functions in it are
edited. Everything is put back at the end.
"""

from __future__ import annotations

import filecmp
import gc
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

from namel3ss_debug.capture import hooks, rewrite
from namel3ss_debug.capture.callsite import innermost

_Place = tuple[str, int]
_INSTALLED = f"{os.sep}site-packages{os.sep}"
_MOST_WRAPPED = 20
_MOST_HELD = 1000

_SHAPE = ("co_freevars", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags")


class LoadedFunctions:
    """The functions of the user that were loaded before anything was recorded; kept from one recording to the next.

    Args:
        root: the folder of the user's own code.
    """

    def __init__(self, root: str) -> None:
        self._finder = rewrite.Finder(root)
        self._sources = (root, os.path.join(root, "src"))
        self._own: dict[str, bool] = {}
        self._seen: dict[str, Callable[[], Any]] = {}
        self._functions: dict[str, list[weakref.ref[FunctionType]]] = {}
        self._codes: dict[str, tuple[dict[_Place, CodeType], dict[_Place, CodeType]]] = {}
        self._edited: list[tuple[FunctionType, CodeType]] = []

    def install(self) -> Callable[[], None]:
        """Edit from now on, also what is imported from now on; the result puts everything back."""
        rewrite.LOADED = self.edit
        finder = self._finder
        behind = (place + 1 for place, each in enumerate(sys.meta_path) if _is_of_pytest(each))
        sys.meta_path.insert(next(behind, 0), finder)  # pytest goes on compiling the tests themselves
        return self._put_back

    def edit(self, names: Iterable[str]) -> None:
        """Edit the functions of these names, and those that define such functions anew each time they run."""
        wanted = set(names)
        self._look_at_modules()
        for name in wanted:
            for reference in self._functions.get(name, ()):
                function = reference()
                if function is not None:
                    self._edit(function)
        for function in _in_frames(wanted, self._is_own):
            self._edit(function)

    def _put_back(self) -> None:
        rewrite.LOADED = None
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        while self._edited:
            function, code = self._edited.pop()
            function.__code__ = code

    def _look_at_modules(self) -> None:
        """Gather the functions by name, where modules of the user have come since; safe in several threads at once."""
        loaded = {name: _reference(module) for name, module in list(sys.modules.items())}
        new = (name for name, module in loaded.items() if self._seen.get(name, _nothing)() is not module())
        if any(self._is_own_module(name) for name in new):
            functions: dict[str, list[weakref.ref[FunctionType]]] = {}
            for each in gc.get_objects():
                if type(each) is FunctionType and self._is_own(each.__code__.co_filename):
                    for name in {code.co_name for _, code in _functions_in(each.__code__)}:
                        functions.setdefault(name, []).append(weakref.ref(each))
            self._functions = functions
        self._seen = loaded

    def _is_own_module(self, name: str) -> bool:
        file = getattr(sys.modules.get(name), "__dict__", {}).get("__file__")
        return isinstance(file, str) and self._is_own(file)

    def _is_own(self, path: str) -> bool:
        """Whether a file is the user's: in the user's tree, or installed from there as it is."""
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

    def _edit(self, function: FunctionType) -> None:
        """Give a function the code that the import hook would have given it."""
        code = function.__code__
        if code in hooks.HOOKED or "__n3_hot__" in code.co_names:
            return
        try:
            edited = self._replaced(code)
        except (OSError, SyntaxError, ValueError):  # the file is not there any more, or something else by now
            return
        if edited is not code:
            self._edited.append((function, code))
            function.__code__ = edited

    def _replaced(self, code: CodeType) -> CodeType:
        """The edited code of a function, or with edited functions in it."""
        plain, edited = self._compiled(code.co_filename)
        place = code.co_qualname, code.co_firstlineno
        same, ours = plain.get(place), edited.get(place)
        if same == code and ours is not None and _fits(ours, code):
            return ours
        inner = tuple(self._replaced(each) if isinstance(each, CodeType) else each for each in code.co_consts)
        changed = any(new is not old for new, old in zip(inner, code.co_consts, strict=True))
        return code.replace(co_consts=inner) if changed else code

    def _compiled(self, path: str) -> tuple[dict[_Place, CodeType], dict[_Place, CodeType]]:
        """The functions of a file by their place, as Python compiles them and edited."""
        if path not in self._codes:
            with open(path, "rb") as file:
                source = file.read()
            plain = compile(source, path, "exec", dont_inherit=True)
            edited = rewrite.compile_source(source, path, silent=True)
            self._codes[path] = dict(_functions_in(plain)), dict(_functions_in(edited))
        return self._codes[path]


def _reference(module: Any) -> Callable[[], Any]:
    """What gives a module while it is there: one that runs as `__main__` makes way for the next of that name."""
    try:
        return weakref.ref(module)
    except TypeError:  # what a program has put there is no module
        return lambda: module


def _nothing() -> None:
    """What is given for a module that was not there."""


def _is_of_pytest(finder: Any) -> bool:
    return type(finder).__module__.startswith("_pytest.")


def _fits(new: CodeType, old: CodeType) -> bool:
    return all(getattr(new, name) == getattr(old, name) for name in _SHAPE)


def _functions_in(code: CodeType) -> Iterator[tuple[_Place, CodeType]]:
    pending = [code]
    while pending:
        code = pending.pop()
        yield (code.co_qualname, code.co_firstlineno), code
        pending += [each for each in code.co_consts if isinstance(each, CodeType)]


def _in_frames(names: set[str], is_own: Callable[[str], bool]) -> Iterator[FunctionType]:
    """The functions of these names that the program holds in `__main__`, which changes, or in variables of running functions.

    They stand there by themselves, or in a list, a dict or a class.
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
            for held in _held(value):
                yield from (each for each in _unwrapped(held) if each.__code__.co_name in names)


def _held(value: Any) -> Iterable[Any]:
    if type(value) is dict or isinstance(value, type):
        return list(value.values() if type(value) is dict else vars(value).values())[:_MOST_HELD]
    return value[:_MOST_HELD] if type(value) in (list, tuple) else (value,)


def _unwrapped(value: Any) -> Iterator[FunctionType]:
    for _ in range(_MOST_WRAPPED):
        value = getattr(value, "__func__", value) if type(value).__name__ == "method" else value
        if type(value) is not FunctionType:
            return
        yield value
        value = value.__dict__.get("__wrapped__")
