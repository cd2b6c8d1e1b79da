"""Edit functions of the standard library, and of a few libraries, in their bodies.

A wrapper would be a foreign frame in the traceback of each failing call. An edited body keeps its name, its file and its
line numbers.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice, takewhile
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
        names: the functions that the new body calls; they are added to the globals of its module.
        changes: the edits; nodes that they add need a location (`ast.copy_location`).

    Returns:
        A function that restores the body; `None` if there is no source, or the source is of another function. Then
        nothing is changed.
    """
    old = function.__code__
    try:
        tree = _source_tree(old)
        for change in changes:
            tree = change.visit(tree)
        module = compile(tree, old.co_filename, "exec", dont_inherit=True)
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
    """Return the expression `name(argument)`, at the position of the argument."""
    function = ast.copy_location(ast.Name(name, ast.Load()), argument)
    return ast.copy_location(ast.Call(function, [argument], []), argument)


def _source_tree(code: CodeType) -> ast.Module:
    """Parse the source of a function with the line numbers of its file."""
    source = _source_of(code.co_filename, code.co_firstlineno)
    before = code.co_firstlineno - 1  # parsing empty lines is faster than `ast.increment_lineno`
    if not _indent(source):
        return ast.parse("\n" * before + source)
    # A method: a block around it keeps lines and columns as they are in the file.
    block_of = "class _" if "__class__" in code.co_freevars else "if 1"  # what `super()` needs
    return ast.parse("\n" * (before - 1) + f"{block_of}:\n{source}")


@lru_cache(maxsize=64)  # a test runner starts and stops tracing many times
def _source_of(path: str, first: int) -> str:
    """Return the source of a function, which ends before the next line that is indented no further than its first.

    Only the end of a signature of several lines, `) -> None:`, is indented as its first.
    """
    with open(path, encoding="utf-8") as file:
        rest = islice(file, first - 1, None)
        head = next(rest)
        indent = _indent(head)

        def is_inside(line: str) -> bool:
            return not line.strip() or _indent(line) > indent or line.lstrip().startswith(")")

        return head + "".join(takewhile(is_inside, rest))


def _function_in(code: CodeType) -> CodeType:
    """Return the first function that is defined in a module, or in a class in it."""
    inner = next(inner for inner in code.co_consts if isinstance(inner, CodeType))
    return inner if inner.co_flags & _OPTIMIZED else _function_in(inner)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
