"""Record the exceptions that `except` clauses of the user's own code handle: those that nobody sees otherwise.

`rewrite` compiles each clause

    except ValueError as error:
        BODY

as if a call stood at every place where BODY ends without raising: before its `return`, before a `break` or `continue`
that leaves it, and at its end:

        BODY
        try:
            __n3_handled__(("/project/tools.py", 17, 19), "end")
        except __n3_overflow__:
            pass

A clause that raises, the same exception or another one, never gets there, so nothing has to be remembered while it
runs: the exception is the one that Python handles at that moment. `__n3_overflow__` is what the call itself may raise
where the stack or the memory is exhausted, which must not reach the program. These statements have a line that has run
just before, so that coverage stays what it is: that of the statement that ends the clause if it is a simple one, else
that of the clause, as Python itself goes back to the line of a `with`.

`sys.monitoring` could report the entry of each handler for 0.3 us, where this costs 0.8 us. But it reports neither how a
handler is left nor the value that it returns, and it reports every handler of every library (`benchmarks/handled_exceptions.py`).

The event has the type, the text, the line of the clause, and the value of `return`. The first `MOST_EVENTS` of each
type at each clause are events. Further ones, and exceptions that are an ordinary way to end something (`ONLY_COUNTED`),
are counted in `trace_end`. `contextlib.suppress` is no clause; its exceptions are not recorded. Nor are those of clauses
in functions that look at their own locals, because a kept return value would be one of them.
"""

from __future__ import annotations

import ast
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from sys import _getframe as frame_at
from sys import exception as handled_now
from threading import get_ident
from typing import Any, ClassVar, Final, NamedTuple

from namel3ss_debug.capture.core import context, interruptions
from namel3ss_debug.capture.core.failures import call_site_of, to_failure
from namel3ss_debug.capture.core.tracer import ExecutionTracer, OpenSpan

MOST_EVENTS: Final = 20
"""How many exceptions of one type at one clause are events."""

ONLY_COUNTED: Final = frozenset(
    {
        *("StopIteration", "StopAsyncIteration", "GeneratorExit", "KeyboardInterrupt"),
        *("ImportError", "ModuleNotFoundError", "Empty", "QueueEmpty"),
        *("CancelledError", "Cancelled"),
    }
)
"""Names of exceptions that are counted and never events: the end of an iterator or a queue, a missing module, cancellation."""

HANDLED: Final = "__n3_handled__"
"""The name that every edited clause reads."""

VALUE: Final = "__n3_value__"
"""The variable with the value that an edited function returns."""

_MOST_CLAUSES = 10_000
_MOST_COUNTS = 100
_MOST_CONTEXTS = 20

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)

Clause = tuple[str, int, int]
"""An `except` clause: its file, its first line and its last line."""


class _Nothing:
    """The type of `NOTHING`, which stands for no value."""


NOTHING: Final = _Nothing()


class _Recorder:
    """Records the handled exceptions of one trace.

    Args:
        tracer: writes the events.

    Attributes:
        active: the recorder of this process, if there is one.
        numbers: clause and name of a type -> counts its exceptions from 0. Counting is one call of C, because threads
            may handle exceptions at the same time.
    """

    active: ClassVar[_Recorder | None] = None

    def __init__(self, tracer: ExecutionTracer) -> None:
        self._tracer = tracer
        self.numbers: defaultdict[tuple[Clause, str], Iterator[int]] = defaultdict(itertools.count)
        self._busy: set[int] = set()

    def record(self, clause: Clause, leaves_by: str, value: Any, error: BaseException, function: str) -> None:
        """Record an event, unless the exception is handled while another one is recorded."""
        tracer, thread = self._tracer, get_ident()
        shown = tracer.sites.shown(clause[0])
        if shown is None or thread in self._busy:
            return
        self._busy.add(thread)
        try:
            span = context.current()
            inside = span if isinstance(span, OpenSpan) else None
            failure = to_failure(error, tracer.payloads, with_trace=False)
            raised_at, _, _ = call_site_of(error, tracer.sites)
            tracer.emit(
                "exception_handled",
                component="app" if inside is None else inside.component,
                component_name=None if inside is None else inside.name,
                outputs=None if value is NOTHING else {"result": value},
                metadata={
                    "function": function,
                    "exit": leaves_by,
                    "raised_at": raised_at,
                    "until": clause[2],
                },
                call_site=f"{shown}:{clause[1]}",
                status="completed",
                error=failure.error or "",
                error_type=failure.error_type or type(error).__name__,
            )
        finally:
            self._busy.discard(thread)

    def stop(self) -> None:
        """Record nothing any more."""
        if _Recorder.active is self:
            _Recorder.active = None

    def renew(self) -> None:
        """Count from 0 again, in a forked process."""
        self.numbers.clear()
        self._busy.clear()

    def finish(self) -> None:
        """End recording, because `trace_end` follows, and hand what was only counted to the tracer for it."""
        self.stop()
        rows: list[dict[str, Any]] = []
        for (clause, name), numbers in list(self.numbers.items()):
            times = next(numbers)
            shown = self._tracer.sites.shown(clause[0])
            if shown is not None and (times > MOST_EVENTS or name in ONLY_COUNTED):
                rows.append({"call_site": f"{shown}:{clause[1]}", "error_type": name, "times": times})
        rows.sort(key=lambda row: (-row["times"], row["call_site"], row["error_type"]))
        if rows:
            self._tracer.end_metadata["handled"] = rows[:_MOST_COUNTS]
        self.numbers.clear()


def install(tracer: ExecutionTracer) -> tuple[Callable[[], None], Callable[[], None]]:
    """Record the exceptions that edited clauses handle from now on, from the level `detailed` on.

    Returns:
        A function for forked processes, which counts from 0 again, and one that ends it.
    """
    if not tracer.keeps_payloads:
        return lambda: None, lambda: None
    _Recorder.active = recorder = _Recorder(tracer)
    tracer.at_end.append(recorder.finish)
    return recorder.renew, recorder.stop


def note_handled(clause: Clause, leaves_by: str, value: Any = NOTHING, outer: int = 0) -> None:
    """Note that a clause is left without raising. Edited code calls this as `__n3_handled__`.

    Args:
        clause: the clause.
        leaves_by: `return`, `break`, `continue` or `end`.
        value: the value that it returns, if it returns one.
        outer: 0 for the innermost of the clauses that are left, 1 for the one around it.
    """
    recorder = _Recorder.active
    if recorder is None:
        return
    try:
        error = handled_now()
        if outer:
            error = _find_outer(error, outer)
        if error is None:
            return
        name = type(error).__name__
        number = next(recorder.numbers[clause, name])
        if number < MOST_EVENTS and name not in ONLY_COUNTED:
            recorder.record(clause, leaves_by, value, error, frame_at(1).f_code.co_qualname)
    except Exception as problem:  # the program must not fail by recording; an error may be its own though
        if interruptions.is_from_signal_handler(problem):
            raise


def _find_outer(error: BaseException | None, outer: int) -> BaseException | None:
    """Return the exception of a clause around the innermost one of the function that called `note_handled`.

    It is the context of the inner exception, after those that functions called from here have handled meanwhile.
    """
    frame = frame_at(2)  # that of the edited function
    for _ in range(_MOST_CONTEXTS):
        error = None if error is None else error.__context__
        if error is None:
            return None
        if error.__traceback__ is not None and error.__traceback__.tb_frame is frame:
            outer -= 1
            if not outer:
                return error
    return None


class _Around(NamedTuple):
    """What is around a statement: the clauses that a `return` leaves, and those that a `break` leaves; innermost last."""

    returns: tuple[Clause, ...] = ()
    breaks: tuple[Clause, ...] = ()


def edit_clauses(
    block: list[ast.stmt],
    path: str,
    is_editable: Callable[[ast.FunctionDef | ast.AsyncFunctionDef], bool],
    *,
    inside: bool = True,
) -> None:
    """Let the `except` clauses among some statements, and within them, note what they have handled.

    Args:
        block: the statements of a module, which are changed in place.
        path: the file.
        is_editable: returns whether the clauses of a function may be edited.
        inside: whether the statements themselves are edited, and not only the functions and classes among them.
    """
    _edit_block(block, path, is_editable, _Around() if inside else None, is_loop=False)


def _edit_block(
    block: list[ast.stmt],
    path: str,
    is_editable: Callable[[ast.FunctionDef | ast.AsyncFunctionDef], bool],
    around: _Around | None,
    *,
    is_loop: bool,
) -> None:
    """Edit a list of statements, the last first, so that positions stay what they are.

    Args:
        block: the statements.
        path: the file.
        is_editable: as above.
        around: the clauses around them; None where the clauses in them are left alone.
        is_loop: whether the block is the body of a loop, so that its end is a `continue`.
    """

    def edit(inner: list[ast.stmt], inside: _Around | None = around, *, is_loop: bool = False) -> None:
        _edit_block(inner, path, is_editable, inside, is_loop=is_loop)

    for position in range(len(block) - 1, -1, -1):
        statement = block[position]
        ends_loop = is_loop and position == len(block) - 1
        if isinstance(statement, _SCOPES):
            own = isinstance(statement, ast.ClassDef) or is_editable(statement)
            edit(statement.body, _Around() if own else None)
        elif isinstance(statement, _LOOPS):
            edit(statement.body, around and around._replace(breaks=()), is_loop=True)
            edit(statement.orelse)
        elif isinstance(statement, ast.Try | ast.TryStar):
            edit(statement.body)
            edit(statement.orelse)
            edit(statement.finalbody)
            for handler in statement.handlers:
                if around is None:
                    edit(handler.body)
                    continue
                clause = path, handler.lineno, handler.body[-1].end_lineno or handler.lineno
                ends_by_itself = not isinstance(handler.body[-1], _LEAVES)
                edit(handler.body, _Around((*around.returns, clause), (*around.breaks, clause)))
                if ends_by_itself:
                    last = handler.body[-1]
                    line = handler.lineno if hasattr(last, "body") or hasattr(last, "cases") else last.lineno
                    handler.body += _make_notes([clause], "continue" if ends_loop else "end", line)
        elif around is not None and isinstance(statement, ast.Return) and around.returns:
            block[position : position + 1] = _edit_return(statement, around.returns)
        elif around is not None and isinstance(statement, ast.Break | ast.Continue) and around.breaks:
            leaves_by = "break" if isinstance(statement, ast.Break) else "continue"
            block[position:position] = _make_notes(around.breaks, leaves_by, statement.lineno)
        else:
            for part in (statement, *getattr(statement, "cases", ())):
                for name in ("body", "orelse"):
                    edit(getattr(part, name, []))


def _edit_return(statement: ast.Return, clauses: tuple[Clause, ...]) -> list[ast.stmt]:
    """Return the statements for a `return`, which note its value first."""
    if statement.value is None:  # a generator's cannot have a value
        return [*_make_notes(clauses, "return", statement.lineno, "None"), statement]
    keep = ast.Assign([ast.copy_location(ast.Name(VALUE, ast.Store()), statement)], statement.value)
    statement.value = ast.copy_location(ast.Name(VALUE, ast.Load()), statement)
    notes = _make_notes(clauses, "return", statement.lineno, VALUE)
    return [ast.copy_location(keep, statement), *notes, statement]


def _make_notes(clauses: Iterable[Clause], leaves_by: str, line: int, value: str = "") -> list[ast.stmt]:
    """Return the statements, all on one line, that note that some clauses are left, the innermost first."""
    calls = []
    for outer, clause in enumerate(reversed([*clauses])):
        arguments = f"{clause!r}, {leaves_by!r}" + (f", {value}" if value else "")
        named = f", outer={outer}" if outer else ""
        calls.append(f" {HANDLED}({arguments}{named})\n")
    notes = ast.parse(f"try:\n{''.join(calls)}except __n3_overflow__: pass\n").body
    for note in notes:
        for node in ast.walk(note):
            if isinstance(node, ast.expr | ast.stmt | ast.excepthandler):
                node.lineno = node.end_lineno = line
                node.col_offset = node.end_col_offset = 0
    return notes
