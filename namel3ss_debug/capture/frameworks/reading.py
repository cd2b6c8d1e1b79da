"""Reads the objects of a framework. What cannot be read is missing in the trace, and never disturbs the program."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from namel3ss_debug.capture import rewrite
from namel3ss_debug.capture.frameworks.structure import Structure

P = ParamSpec("P")
T = TypeVar("T")


def read_safely(structure: Structure, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Return the result of `make`, or `None` if it fails.

    A failure is reported as a problem of tracing.
    """
    try:
        return make(*args, **kwargs)
    except Exception as error:
        structure.tracer.problem(f"an object of {structure.framework} could not be read", error)
        return None


def find_existing_tools(kind: type) -> list[Any]:
    """Return the tools of a class and its subclasses that the program made before recording began, as in a test.

    None are searched for if no loaded function can become a seam.
    """
    if rewrite.LOADED is None:
        return []
    return [tool for tool in gc.get_referrers(*_subclasses_of(kind)) if kind in type(tool).__mro__]


def _subclasses_of(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for subclass in subclasses:
        yield from _subclasses_of(subclass)
