"""Changing functions of the standard library in their bodies.

A wrapper would be a foreign frame in the traceback of each call that fails; a changed body keeps its name, its file and
its line numbers.
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
        names: what the new body calls; put into the globals of the function's module.
        changes: what is changed; nodes that they add have a place (`ast.copy_location`).

    Returns:
        A function that puts the body back; `None` where the source cannot be found or gives another function. Then all
        is as it was.
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
    """The expression `name(argument)`, at the place of the argument."""
    function = ast.copy_location(ast.Name(name, ast.Load()), argument)
    return ast.copy_location(ast.Call(function, [argument], []), argument)


def _source_tree(code: CodeType) -> ast.Module:
    """The source of a function, parsed so that lines are those of the file."""
    source = _source_of(code.co_filename, code.co_firstlineno)
    before = code.co_firstlineno - 1  # as many empty lines cost less than to number all nodes anew
    if not _indent(source):
        return ast.parse("\n" * before + source)
    # A method: a block around it keeps lines and columns as they are in the file.
    block_of = "class _" if "__class__" in code.co_freevars else "if 1"  # what `super()` needs
    return ast.parse("\n" * (before - 1) + f"{block_of}:\n{source}")


@lru_cache(maxsize=64)  # a test runner starts and stops tracing many times
def _source_of(path: str, first: int) -> str:
    """The source of a function, which ends before the next line that is no further in than its first."""
    with open(path, encoding="utf-8") as file:
        rest = islice(file, first - 1, None)
        head = next(rest)
        indent = _indent(head)
        return head + "".join(takewhile(lambda line: not line.strip() or _indent(line) > indent, rest))


def _function_in(code: CodeType) -> CodeType:
    """The first function that is defined in a module, or in a class in it."""
    inner = next(inner for inner in code.co_consts if isinstance(inner, CodeType))
    return inner if inner.co_flags & _OPTIMIZED else _function_in(inner)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
