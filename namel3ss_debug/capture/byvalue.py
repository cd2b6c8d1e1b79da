"""Functions that are pickled by value, as cloudpickle and dill do with those of `__main__`: as they were written.

Such a pickle holds the code of a function. It may be run in a process that does not record, on another machine or
years later, where the names that an edited body uses do not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from namel3ss_debug.capture import rewrite
from namel3ss_debug.capture.patching import Undo, when_imported


def install(missing: Callable[[str], None]) -> Undo:
    """Let pickles hold the code that the program was written with from now on; the result puts everything back.

    Args:
        missing: told in words where a version of them has not the seam.
    """
    return when_imported(_PLACES, missing)


def as_written(code: CodeType) -> CodeType:
    """The code of a function as compiled from its source; `code` itself where nothing in it was edited."""
    modules = rewrite.PLAIN.get(code.co_filename)
    if modules is None or not any(map(rewrite.is_edited, _codes(code))):
        return code
    same = code.co_qualname, code.co_firstlineno
    return next((one for one in _codes(*modules) if (one.co_qualname, one.co_firstlineno) == same), code)


def _codes(*codes: CodeType) -> Iterator[CodeType]:
    """Code objects and all within them."""
    pending = list(codes)
    while pending:
        yield (found := pending.pop())
        pending.extend(constant for constant in found.co_consts if isinstance(constant, CodeType))


def _patch_cloudpickle(module: Any) -> list[Undo]:
    """The reducer of code, in the table of the pickler."""
    return _in_table(module.Pickler._dispatch_table, lambda reduce: lambda code: reduce(as_written(code)))  # noqa: SLF001  (there is no public place)


def _patch_dill(module: Any) -> list[Undo]:
    """The function that saves code, in the table of the pickler."""
    return _in_table(
        module.Pickler.dispatch, lambda save: lambda pickler, code: save(pickler, as_written(code))
    )


def _in_table(table: dict[type, Any], make: Callable[[Any], Any]) -> list[Undo]:
    before = table[CodeType]
    table[CodeType] = ours = make(before)

    def put_back() -> None:
        if table.get(CodeType) is ours:
            table[CodeType] = before

    return [put_back]


_PLACES = {
    "cloudpickle.cloudpickle": _patch_cloudpickle,
    "joblib.externals.cloudpickle.cloudpickle": _patch_cloudpickle,
    "pyspark.cloudpickle.cloudpickle": _patch_cloudpickle,
    "ray.cloudpickle.cloudpickle": _patch_cloudpickle,
    "dill._dill": _patch_dill,
}
