"""Staying out of the run: a surprise in what a framework holds costs what would have been told, and no traceback shows us."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from namel3ss_debug.capture.frameworks.structure import Structure

P = ParamSpec("P")
T = TypeVar("T")


def read(structure: Structure, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What `make` makes of these arguments; `None` where that fails, which is a problem of tracing."""
    try:
        return make(*args, **kwargs)
    except Exception as error:
        structure.tracer.problem(f"something that {structure.framework} holds could not be read", error)
        return None


def without_us(error: BaseException) -> None:
    """Take the calling frame out of the traceback of an exception that it caught; to be followed by a bare `raise`."""
    trace = error.__traceback__
    error.__traceback__ = None if trace is None else trace.tb_next
