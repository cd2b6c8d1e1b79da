"""Cells of IPython, in a notebook or a shell: their functions are tools like any other, and what ends a cell is recorded.

IPython compiles each statement of a cell by itself, under a name of its own. While a recording runs, the functions in
it get the bodies that `rewrite` gives those of modules. An exception that leaves a cell is shown by IPython, which goes
on with the next one: nobody has caught it. Where the cell is told of, it has the name that IPython shows
(`callsite.cell_name`).
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from types import CodeType
from typing import Any

from namel3ss_debug.capture import byvalue, rewrite
from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.failures import tell_uncaught
from namel3ss_debug.capture.patching import Undo, replace, when_imported
from namel3ss_debug.capture.tracer import ExecutionTracer

_for_good: list[Undo] = []
"""What is not put back: functions of cells live on after a recording, and are pickled by value as any of `__main__`."""


def install(tracer: ExecutionTracer) -> Undo:
    """Follow the cells that are run from now on; the result lets go of them."""
    cells = _Cells(tracer)
    return when_imported({"IPython.core.interactiveshell": cells.follow}, tracer.problem)


class _Cells:
    """The cells of this process.

    Args:
        tracer: writes the events.
    """

    def __init__(self, tracer: ExecutionTracer) -> None:
        self._tracer = tracer
        self._numbers = itertools.count(1)
        self._running: list[lineage.Moved | None] = []

    def follow(self, module: Any) -> list[Undo]:
        """Edit the functions of cells as they are compiled, and hear of the beginning and the end of each cell."""
        return [
            replace(module.CachingCompiler, "__call__", self._editing),
            replace(module.EventManager, "trigger", self._hearing),
        ]

    def _editing(self, compile_plain: Callable[..., CodeType]) -> Callable[..., CodeType]:
        def compile_cell(compiler: Any, source: Any, filename: str, *rest: Any, **named: Any) -> CodeType:
            code = compile_plain(compiler, source, filename, *rest, **named)
            try:
                if not isinstance(source, ast.Module | ast.Interactive):
                    return code
                if compiler.format_code_name(filename) is None:  # no cell
                    return code
                self._tracer.sites.renamed(filename)

                def compiled(tree: ast.AST) -> CodeType:
                    return compile_plain(compiler, tree, filename, *rest, **named)

                edited = rewrite.compile_statements(source, code, filename, compiled)
                if edited is not code and not _for_good:
                    _for_good.append(byvalue.install(self._tracer.problem))
                return edited
            except Exception as error:
                self._tracer.problem("the functions of a cell are not seen", error)
                return code

        return compile_cell

    def _hearing(self, trigger: Callable[..., Any]) -> Callable[..., Any]:
        def tell(manager: Any, event: str, *words: Any, **named: Any) -> Any:
            if event == "pre_run_cell":
                self._running.append(lineage.begin_cell(next(self._numbers)))
            try:
                return trigger(manager, event, *words, **named)
            finally:
                if event == "post_run_cell":
                    self._ended(*words)

        return tell

    def _ended(self, result: Any) -> None:
        try:
            moved = self._running.pop() if self._running else None
            if moved is not None:
                lineage.end_cell(moved)
            error = result.error_in_exec or result.error_before_exec
            if isinstance(error, BaseException) and not isinstance(error, SystemExit):
                tell_uncaught(self._tracer, error)
        except Exception as error:
            self._tracer.problem("the end of a cell is not recorded", error)
