"""Pickle functions by value as they were written, as cloudpickle and dill do with those of `__main__`.

Such a pickle holds the code of a function. It may be run in a process that does not record, on another machine or
years later, where the names that an edited body uses do not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, when_imported
from namel3ss_debug.capture.seams.functions import rewrite
from namel3ss_debug.capture.seams.functions.code_replacement import find_original


def install(missing: Callable[[str], None]) -> Undo:
    """Put unedited code into pickles from now on. The result restores everything.

    Args:
        missing: called with a message if a version of a pickler lacks the place to patch.
    """
    return when_imported(_PLACES, missing)


def find_unedited_code(code: CodeType) -> CodeType:
    """Return the code of a function as compiled from its source, or `code` itself if nothing in it was edited."""
    code = find_original(code) or code
    modules = rewrite.PLAIN.get(code.co_filename)
    if modules is None or not any(map(rewrite.uses_our_names, _codes(code))):
        return code
    same = code.co_qualname, code.co_firstlineno
    return next((one for one in _codes(*modules) if (one.co_qualname, one.co_firstlineno) == same), code)


def _codes(*codes: CodeType) -> Iterator[CodeType]:
    """Yield code objects and all code objects inside them."""
    pending = list(codes)
    while pending:
        yield (found := pending.pop())
        pending.extend(constant for constant in found.co_consts if isinstance(constant, CodeType))


def _patch_cloudpickle(module: Any) -> list[Undo]:
    """Replace the reducer of code in the table of the pickler."""
    return _in_table(
        vars(module.Pickler)["_dispatch_table"], lambda reduce: lambda code: reduce(find_unedited_code(code))
    )


def _patch_dill(module: Any) -> list[Undo]:
    """Replace the function that saves code in the table of the pickler."""
    return _in_table(
        module.Pickler.dispatch, lambda save: lambda pickler, code: save(pickler, find_unedited_code(code))
    )


def _in_table(table: dict[type, Any], make: Callable[[Any], Any]) -> list[Undo]:
    before = table[CodeType]
    table[CodeType] = ours = make(before)

    def restore() -> None:
        if table.get(CodeType) is ours:
            table[CodeType] = before

    return [restore]


_PLACES = {
    "cloudpickle.cloudpickle": _patch_cloudpickle,
    "joblib.externals.cloudpickle.cloudpickle": _patch_cloudpickle,
    "pyspark.cloudpickle.cloudpickle": _patch_cloudpickle,
    "ray.cloudpickle.cloudpickle": _patch_cloudpickle,
    "dill._dill": _patch_dill,
}
