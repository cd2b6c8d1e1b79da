"""Cells of IPython, in a notebook or a shell: their functions are tools like any other, and what ends a cell is recorded.

IPython compiles each statement of a cell by itself, under a name of its own. While a recording runs, the functions in it
get the bodies that `rewrite` gives those of modules. An exception that leaves a cell is shown by IPython, which goes on
with the next one: nobody has caught it. Where the cell is told of, it has the name that IPython shows (`callsite.cell_name`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import CodeType
from typing import Any

from namel3ss_debug.capture import byvalue, rewrite
from namel3ss_debug.capture.failures import tell_uncaught
from namel3ss_debug.capture.patching import Undo, replace, when_imported
from namel3ss_debug.capture.tracer import ExecutionTracer

_AFTER_A_CELL = "post_run_cell"

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
        self._shells: list[Any] = []

    def follow(self, module: Any) -> list[Undo]:
        """Edit the functions of cells as they are compiled, and hear of the end of each cell."""
        if not _for_good:
            _for_good.append(byvalue.install(self._tracer.problem))
        self._kind = module.InteractiveShell
        self._listen()
        return [replace(module.CachingCompiler, "__call__", self._editing), self._let_go]

    def _editing(self, compile_plain: Callable[..., CodeType]) -> Callable[..., CodeType]:
        def compile_cell(compiler: Any, source: Any, filename: str, *rest: Any, **named: Any) -> CodeType:
            code = compile_plain(compiler, source, filename, *rest, **named)
            try:
                if not isinstance(source, ast.Module | ast.Interactive) or not self._is_cell(
                    compiler, filename
                ):
                    return code
                return rewrite.compile_statements(
                    source,
                    code,
                    filename,
                    lambda tree: compile_plain(compiler, tree, filename, *rest, **named),
                )
            except Exception as error:
                self._tracer.problem("the functions of a cell are not seen", error)
                return code

        return compile_cell

    def _is_cell(self, compiler: Any, filename: str) -> bool:
        if compiler.format_code_name(filename) is None:
            return False
        self._listen()
        self._tracer.sites.renamed(filename)
        return True

    def _listen(self) -> None:
        """Hear of the end of each cell of a shell, from when there is one."""
        shell = self._kind.instance() if self._kind.initialized() else None
        if shell is not None and shell not in self._shells:
            self._shells.append(shell)
            shell.events.register(_AFTER_A_CELL, self._ended)

    def _ended(self, result: Any) -> None:
        error = result.error_in_exec or result.error_before_exec
        if isinstance(error, BaseException) and not isinstance(error, SystemExit):
            tell_uncaught(self._tracer, error)

    def _let_go(self) -> None:
        for shell in self._shells:
            if self._ended in shell.events.callbacks[_AFTER_A_CELL]:
                shell.events.unregister(_AFTER_A_CELL, self._ended)
