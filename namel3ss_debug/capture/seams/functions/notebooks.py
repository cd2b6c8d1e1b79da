"""Record cells of IPython, in a notebook or a shell: each is a span, and their functions are tools.

IPython compiles each statement of a cell by itself, under a name of its own. While recording, the functions in it are
edited like those of modules (`rewrite`). IPython shows an exception that leaves a cell and goes on with the next cell,
so the exception counts as uncaught. Call sites name a cell as IPython shows it (`callsite.cell_name`).
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from types import CodeType
from typing import Any

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.core.context import CURRENT
from namel3ss_debug.capture.core.patching import Undo, replace, when_imported
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan
from namel3ss_debug.capture.seams.functions import pickling, rewrite

_for_good: list[Undo] = []
"""Patches that stay: functions of cells outlive a recording, and are pickled by value like all of `__main__`."""


def install(tracer: ExecutionTracer) -> Undo:
    """Follow the cells that run from now on. The result stops following them."""
    cells = _Cells(tracer)
    tracer.at_end.append(cells.close)
    return when_imported({"IPython.core.interactiveshell": cells.follow}, tracer.problem)


class _Cells:
    """The cells of this process.

    Args:
        tracer: writes the events.
    """

    def __init__(self, tracer: ExecutionTracer) -> None:
        self._tracer = tracer
        self._numbers = itertools.count(1)
        self._counts_first = False
        self._running: list[tuple[task_paths.Moved | None, OpenSpan | None]] = []

    def follow(self, module: Any) -> list[Undo]:
        """Edit the functions of cells when they are compiled, and note the beginning and the end of each cell."""
        run_cell = module.InteractiveShell.run_cell_async.__code__
        # Since release 9.10 at the latest, a shell counts a cell before it reports its start, and keeps the number in a variable.
        self._counts_first = "execution_count" in run_cell.co_varnames + run_cell.co_cellvars
        return [
            replace(module.CachingCompiler, "__call__", self._wrap_compiler),
            replace(module.EventManager, "trigger", self._wrap_trigger),
        ]

    def _wrap_compiler(self, compile_plain: Callable[..., CodeType]) -> Callable[..., CodeType]:
        def compile_cell(compiler: Any, source: Any, filename: str, *rest: Any, **named: Any) -> CodeType:
            code = compile_plain(compiler, source, filename, *rest, **named)
            try:
                if not isinstance(source, ast.Module | ast.Interactive):
                    return code
                if compiler.format_code_name(filename) is None:  # not a cell
                    return code
                self._tracer.sites.renamed(filename)

                def compiled(tree: ast.AST) -> CodeType:
                    return compile_plain(compiler, tree, filename, *rest, **named)

                edited = rewrite.compile_statements(source, code, filename, compiled)
                if edited is not code and not _for_good:
                    _for_good.append(pickling.install(self._tracer.problem))
                return edited
            except Exception as error:
                self._tracer.problem("the functions of a cell are not recorded as tools", error)
                return code

        return compile_cell

    def _wrap_trigger(self, trigger: Callable[..., Any]) -> Callable[..., Any]:
        def trigger_noting_cells(manager: Any, event: str, *args: Any, **named: Any) -> Any:
            if event == "pre_run_cell":
                self._note_start(manager, *args)
            try:
                return trigger(manager, event, *args, **named)
            finally:
                if event == "post_run_cell":
                    self._note_end(*args)

        return trigger_noting_cells

    def _note_start(self, manager: Any, info: Any) -> None:
        moved, span = task_paths.begin_cell(next(self._numbers)), None
        try:
            number = manager.shell.execution_count - (self._counts_first and info.store_history)
            name, inputs = f"In[{number}]", {"source": info.raw_cell}
            span = self._tracer.span("cell", name, inputs, call_site=f"{name}:1").open()
        except Exception as error:
            self._tracer.problem("the start of a cell is not recorded", error)
        self._running.append((moved, span))

    def close(self) -> None:
        """End the spans of the cells that run: the recording ends inside them."""
        for _, span in reversed(self._running):
            if span is not None:
                span.close()

    def _note_end(self, result: Any) -> None:
        """Note the end of the latest cell; the one in which recording began has no beginning."""
        try:
            moved, span = self._running.pop() if self._running else (None, None)
            if moved is not None:
                task_paths.end_cell(moved)
            error = result.error_in_exec or result.error_before_exec
            failure = (
                error if isinstance(error, BaseException) and not isinstance(error, SystemExit) else None
            )
            if span is not None and CURRENT.get() is not span:
                span.enter()  # the cell ran in a task with a context of its own, which has ended
            if failure is not None:
                self._tracer.record_uncaught(failure)
            if span is not None:
                span.close(failure)
        except Exception as error:
            self._tracer.problem("the end of a cell is not recorded", error)
