"""Give functions that are loaded already the code that records their calls. They stay the same objects.

The code comes from the file of the function, if the file still holds the loaded code: it is what `rewrite` would have
compiled. A lambda, a function made by `exec` and one whose file has changed get a code object of the same signature
that calls the original code. It adds a frame to the running stack, which no traceback shows.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    CO_ITERABLE_COROUTINE,
    CO_VARARGS,
    CO_VARKEYWORDS,
)
from types import CodeType, FunctionType

from namel3ss_debug.capture.seams.functions import hot_calls, rewrite

_Position = tuple[str, int]
_SHAPE = ("co_freevars", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags")

_RUNS_LATER = CO_GENERATOR | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE
_MARK = "namel3ss_debug: the original function"
"""Stands in the constants of a forwarding code until the function takes its place."""

_FILE = "<namel3ss_debug: forwarding>"

FORWARDING = "n3_forwarding"
"""The name that has to be hot for the calls of functions with a forwarding code."""


class CodeReplacer:
    """Replaces the code of functions, and restores it.

    Args:
        anywhere: whether functions outside of the user's modules are edited, and those without a source get a code
            that calls their original code.
    """

    def __init__(self, *, anywhere: bool = False) -> None:
        self._anywhere = anywhere
        self._codes: dict[str, tuple[dict[_Position, CodeType], dict[_Position, CodeType]]] = {}
        self._replaced: list[tuple[FunctionType, CodeType, CodeType]] = []

    def edit(self, function: FunctionType) -> bool:
        """Give a function the code that the import hook would have given it, and return whether it records calls now."""
        code = function.__code__
        if rewrite.is_edited(code):
            return True
        if code in hot_calls.HOOKED or "__n3_hot__" in code.co_names:
            return False
        try:
            edited = self._replace_code(code)
        except (OSError, SyntaxError, ValueError):  # the file was removed, or changed since
            edited = code
        if self._anywhere and not rewrite.is_edited(edited):
            edited = _make_forwarding(function) or code
        if edited is code:
            return False
        self._replaced.append((function, code, edited))
        function.__code__ = edited
        return rewrite.is_edited(edited)

    def restore(self) -> None:
        """Give all functions their code back, except those that the program has given another code since."""
        while self._replaced:
            function, code, edited = self._replaced.pop()
            if function.__code__ is edited:
                function.__code__ = code

    def _replace_code(self, code: CodeType) -> CodeType:
        """Return the edited code of a function, or its code with edited functions in it."""
        plain, edited = self._compile_both(code.co_filename)
        position = code.co_qualname, code.co_firstlineno
        same, ours = plain.get(position), edited.get(position)
        if same == code and ours is not None and _fits(ours, code):
            return ours
        inner = tuple(
            self._replace_code(each) if isinstance(each, CodeType) else each for each in code.co_consts
        )
        changed = any(new is not old for new, old in zip(inner, code.co_consts, strict=True))
        return code.replace(co_consts=inner) if changed else code

    def _compile_both(self, path: str) -> tuple[dict[_Position, CodeType], dict[_Position, CodeType]]:
        """Return the functions of a file by position, as Python compiles them and as edited."""
        if path not in self._codes:
            with open(path, "rb") as file:
                source = file.read()
            plain = compile(source, path, "exec", dont_inherit=True)
            names = set(rewrite.EDITED)
            edited = rewrite.compile_source(source, path, silent=True)
            if self._anywhere:  # the names in a package's module are no names of the user's functions
                rewrite.EDITED.intersection_update(names)
                for name in rewrite.DEFINITIONS.keys() - rewrite.EDITED:
                    del rewrite.DEFINITIONS[name]
            self._codes[path] = dict(functions_in(plain)), dict(functions_in(edited))
        return self._codes[path]


def functions_in(code: CodeType) -> Iterator[tuple[_Position, CodeType]]:
    """Yield the code of a module or function and of all functions in it, each with its name and first line."""
    pending = [code]
    while pending:
        code = pending.pop()
        yield (code.co_qualname, code.co_firstlineno), code
        pending += [each for each in code.co_consts if isinstance(each, CodeType)]


def _fits(new: CodeType, old: CodeType) -> bool:
    return all(getattr(new, name) == getattr(old, name) for name in _SHAPE)


def find_original(code: CodeType) -> CodeType | None:
    """Return the code that a forwarding code calls; None for other code."""
    if FORWARDING not in code.co_consts:
        return None
    return next((each.__code__ for each in code.co_consts if isinstance(each, FunctionType)), None)


def _make_forwarding(function: FunctionType) -> CodeType | None:
    """Return code that calls the function's own code in an edited body; None if the function cannot have one."""
    code = function.__code__
    names = (*code.co_varnames[: _count_parameters(code)], *code.co_freevars)
    if code.co_flags & _RUNS_LATER or not all(map(str.isidentifier, names)):
        return None
    space = getattr(function, "__builtins__", None)
    if space is not vars(builtins):  # the edited body would not find its names
        return None
    # Naming the variables of outer functions, even where it is never reached, keeps them free variables.
    outer = ", ".join(code.co_freevars)
    call = f"{hot_calls.ORIGINAL}({', '.join(_arguments(code))})"
    kind, wait = ("async def", "await ") if code.co_flags & CO_COROUTINE else ("def", "")
    tree = ast.parse(
        f"def outer({outer}):\n {kind} {FORWARDING}({', '.join(_parameters(code))}): "
        f"{hot_calls.ORIGINAL} = {_MARK!r}; return {wait}{call}; ({outer})\n"
    )
    ast.increment_lineno(tree, code.co_firstlineno - 2)
    edited = rewrite.compile_statements(
        tree, code, _FILE, lambda module: compile(module, _FILE, "exec", dont_inherit=True)
    )
    new = next((each for _, each in functions_in(edited) if each.co_name == FORWARDING), None)
    if new is None or new.co_freevars != code.co_freevars:
        return None
    original = FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)
    return new.replace(
        co_consts=tuple(original if each == _MARK else each for each in new.co_consts),
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
    )


def _count_parameters(code: CodeType) -> int:
    variable = bool(code.co_flags & CO_VARARGS) + bool(code.co_flags & CO_VARKEYWORDS)
    return code.co_argcount + code.co_kwonlyargcount + variable


def _parameters(code: CodeType) -> Iterator[str]:
    """Yield the parameters of a function as its `def` has them, without their defaults, which the function keeps."""
    names = iter(code.co_varnames)
    for position in range(code.co_argcount):
        yield next(names)
        if position + 1 == code.co_posonlyargcount:
            yield "/"
    keywords = [next(names) for _ in range(code.co_kwonlyargcount)]
    if code.co_flags & CO_VARARGS:
        yield f"*{next(names)}"
    elif keywords:
        yield "*"
    yield from keywords
    if code.co_flags & CO_VARKEYWORDS:
        yield f"**{next(names)}"


def _arguments(code: CodeType) -> Iterator[str]:
    """Yield the arguments of a call that passes all parameters on."""
    is_keyword = False
    for parameter in _parameters(code):
        if parameter == "/":
            continue
        if parameter.startswith("**") or not parameter.startswith("*"):
            yield f"{parameter}={parameter}" if is_keyword and not parameter.startswith("**") else parameter
            continue
        is_keyword = True
        if parameter != "*":
            yield parameter
