"""Changing functions of the standard library in their bodies.

A wrapper would be a foreign frame in the traceback of each call that fails; a changed body keeps its name, its file and
its line numbers.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

_OPTIMIZED = 0x1
"""inspect.CO_OPTIMIZED, which a function's code has and a class's has not."""


def edit_body(
    function: FunctionType, names: Mapping[str, Callable[..., Any]], *changes: ast.NodeTransformer
) -> Callable[[], None] | None:
    """Give a function of the standard library a body compiled from its own source with `changes` made.

    Args:
        function: the function, which is changed in place.
        names: what the new body calls; put into the globals of the function's module.
        changes: what is changed.

    Returns:
        A function that puts the body back; `None` where the source cannot be found or gives another function. Then all
        is as it was.
    """
    old = function.__code__
    try:
        tree = _source_tree(old)
        for change in changes:
            tree = change.visit(tree)
        module = compile(ast.fix_missing_locations(tree), old.co_filename, "exec", dont_inherit=True)
        new = _function_in(module)
    except (OSError, SyntaxError, StopIteration, IndexError):
        return None
    same = new.co_varnames == old.co_varnames and new.co_freevars == old.co_freevars
    if not same or new.co_firstlineno != old.co_firstlineno or not set(old.co_names) <= set(new.co_names):
        return None
    function.__globals__.update(names)
    function.__code__ = new = new.replace(co_qualname=old.co_qualname)

    def put_back() -> None:
        if function.__code__ is new:
            function.__code__ = old

    return put_back


def call_of(name: str, argument: ast.expr) -> ast.expr:
    """The expression `name(argument)`, at the place of the argument."""
    function = ast.copy_location(ast.Name(name, ast.Load()), argument)
    return ast.copy_location(ast.Call(function, [argument], []), argument)


def _source_tree(code: CodeType) -> ast.Module:
    """The source of a function, parsed so that lines are those of the file."""
    lines = _source_lines(code.co_filename, code.co_firstlineno)
    shift = code.co_firstlineno - 1
    if _indent(lines[0]):  # a method: a block around it keeps lines and columns as they are in the file
        block_of = "class _" if "__class__" in code.co_freevars else "if 1"  # what `super()` needs
        tree = ast.parse(f"{block_of}:\n" + "".join(lines))
        shift -= 1
    else:
        tree = ast.parse("".join(lines))
    ast.increment_lineno(tree, shift)
    return tree


@lru_cache(maxsize=64)  # a test runner starts and stops tracing many times
def _source_lines(path: str, first: int) -> list[str]:
    """The lines of a function."""
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()[first - 1 :]
    indent = _indent(lines[0])
    end = (n for n, line in enumerate(lines[1:], 1) if line.strip() and _indent(line) <= indent)
    return lines[: next(end, len(lines))]


def _function_in(code: CodeType) -> CodeType:
    """The first function that is defined in a module, or in a class in it."""
    inner = next(inner for inner in code.co_consts if isinstance(inner, CodeType))
    return inner if inner.co_flags & _OPTIMIZED else _function_in(inner)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
