"""Reading the objects of a framework: what cannot be read is missing in the recording, and never disturbs the run."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from namel3ss_debug.capture import rewrite
from namel3ss_debug.capture.frameworks.structure import Structure

P = ParamSpec("P")
T = TypeVar("T")


def read(structure: Structure, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """The result of `make` with these arguments; `None` where it fails, which is reported as a problem of tracing."""
    try:
        return make(*args, **kwargs)
    except Exception as error:
        structure.tracer.problem(f"something that {structure.framework} holds could not be read", error)
        return None


def made_before(kind: type) -> list[Any]:
    """The tools of a class, and of those derived from it, that a program has made before it is recorded, as a test has.

    None are looked for where no function that is loaded already can become a seam.
    """
    if rewrite.LOADED is None:
        return []
    return [each for each in gc.get_referrers(*_derived(kind)) if kind in type(each).__mro__]


def _derived(kind: type) -> Iterator[type]:
    yield kind
    derived: list[type] = type.__subclasses__(kind)
    for each in derived:
        yield from _derived(each)
