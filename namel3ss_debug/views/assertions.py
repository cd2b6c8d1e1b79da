"""Give a test its recorded run: calls as values, and assertions whose messages show what happened instead."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.inspection.calls import ModelCall, RecordedRun, RecordedToolCall, RunFailure, read_run
from namel3ss_debug.views.gists import gist
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.terminal import clean

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.findings import CheckReport
    from namel3ss_debug.replay.rerun.programs import ProgramRunner

_MOST_NAMED = 20
_LONGEST = 300


class AgentTrace:
    """What the test has done so far, read from its trace.

    Args:
        path: the trace.
        flush: called before the trace is read.
        programs: runs the programs of the test; None outside of one.

    Attributes:
        path: the trace of this run of the test, never the one that answers.
    """

    def __init__(
        self, path: Path, flush: Callable[[], None] = lambda: None, programs: ProgramRunner | None = None
    ) -> None:
        self.path = path
        self._flush = flush
        self._programs = programs
        self._read: tuple[int, RecordedRun] = (-1, RecordedRun())

    def __repr__(self) -> str:
        return f"AgentTrace({str(self.path)!r})"

    # --- running a program

    def run_script(
        self, path: str | os.PathLike[str], argv: Sequence[str] = (), *, stdin: str | None = None
    ) -> int:
        """Run a script in this process as `python PATH ARGV` does, and return its exit status.

        Args:
            path: relative to the working directory, where it is not absolute.
            argv: the words behind it.
            stdin: what it reads from the standard input; what was recorded if left out.
        """
        return self._running.run_script(os.fspath(path), argv, stdin)

    def run_module(self, name: str, argv: Sequence[str] = (), *, stdin: str | None = None) -> int:
        """Run a module in this process as `python -m NAME ARGV` does, and return its exit status.

        Args:
            name: a module, or a package with `__main__`.
            argv: the words behind it.
            stdin: as for `run_script`.
        """
        return self._running.run_module(name, argv, stdin)

    def run_command(self, name: str, argv: Sequence[str] = (), *, stdin: str | None = None) -> int:
        """Run a console script of an installed package in this process, and return its exit status.

        Args:
            name: what is typed to run it.
            argv: the words behind it.
            stdin: as for `run_script`.

        Raises:
            LookupError: no package that is installed has a console script of this name.
        """
        return self._running.run_command(name, argv, stdin)

    def run_function(self, name: str, /, **arguments: Any) -> Any:
        """Call a function of the program, and return its result; a coroutine is run to its end.

        Args:
            name: the function as `module:function`; the module is imported from the working directory.
            **arguments: what it is called with.
        """
        return self._running.run_function(name, arguments)

    @property
    def _running(self) -> ProgramRunner:
        if self._programs is None:
            raise RuntimeError("programs are run in a test with the fixture agent_trace")
        return self._programs

    # --- values

    def tool_calls(self, name: str | None = None) -> list[RecordedToolCall]:
        """Return the calls of tools in the order in which they began.

        Args:
            name: only those of this tool; `*` and `?` stand for anything.
        """
        return [call for call in self._run().tool_calls if _is_named(call.name, name)]

    def llm_calls(self, model: str | None = None) -> list[ModelCall]:
        """Return the requests to models in the order in which they began, each attempt separately.

        Args:
            model: only those to this model; `*` and `?` stand for anything.
        """
        return [call for call in self._run().llm_calls if _is_named(call.model, model)]

    def messages(self, number: int) -> list[dict[str, Any]]:
        """Return the messages of one request to a model.

        Args:
            number: which request, from 1; from the end if it is negative.

        Raises:
            AssertionError: there are not so many.
        """
        __tracebackhide__ = True
        calls = self.llm_calls()
        place = number - 1 if number > 0 else len(calls) + number
        if not number or not 0 <= place < len(calls):
            raise AssertionError(
                f"there is no LLM call {number}: there are {count(len(calls), 'LLM call') if calls else 'none'}"
            )
        return calls[place].messages

    @property
    def answers(self) -> list[str]:
        """The answers of models that requested no tool, in order; the last is the final answer."""
        return [call.text for call in self._run().llm_calls if call.answers and call.text is not None]

    @property
    def output(self) -> str:
        """What the program printed to its stdout, apart from its tools, so far."""
        return self._run().output

    @property
    def failures(self) -> list[RunFailure]:
        """The failures that no further attempt recovered."""
        return self._run().failures

    @property
    def tokens(self) -> int:
        """The tokens of all model calls, as recorded."""
        return self._run().totals.tokens

    @property
    def cost(self) -> float | None:
        """The cost of the run in US dollars; None if the price of a call is not known."""
        totals = self._run().totals
        return None if totals.unpriced else totals.cost

    @property
    def duration_ms(self) -> float:
        """Milliseconds from the first event to the last."""
        return self._run().totals.ms

    # --- assertions

    def assert_called(
        self, name: str, *, times: int | None = None, with_arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Assert that a tool was called.

        Args:
            name: the tool; `*` and `?` stand for anything.
            times: exactly so often; at least once if left out.
            with_arguments: only calls with these arguments count, whatever other arguments they have.

        Raises:
            AssertionError: it was not.
        """
        __tracebackhide__ = True
        calls = self.tool_calls(name)
        wanted = with_arguments or {}
        matching = [
            call
            for call in calls
            if all(name in call.arguments and call.arguments[name] == value for name, value in wanted.items())
        ]
        if (len(matching) == times) if times is not None else matching:
            return
        how = f" with {gist(dict(wanted))}" if wanted else ""
        expected = "" if times is None else f" {count(times, 'time')}"
        was = "it was not called" if not matching else f"it was called {count(len(matching), 'time')}"
        there = _calls(calls if wanted and calls else self.tool_calls())
        raise AssertionError(clean(f"tool {name} was to be called{expected}{how}: {was}", _LONGEST) + there)

    def assert_order(self, *names: str) -> None:
        """Assert that agents, models and tools of these names began in this order, with anything in between.

        Raises:
            AssertionError: they did not.
        """
        __tracebackhide__ = True
        seen = self._run().names
        rest = iter(seen)
        for name in names:
            if not any(_is_named(each, name) for each in rest):
                order = " -> ".join(names)
                raise AssertionError(
                    clean(f"the order {order} breaks at {name}: there was {_listed(seen)}", 2 * _LONGEST)
                )

    def assert_no_failures(self) -> None:
        """Assert that no failure was left unrecovered.

        Raises:
            AssertionError: one was.
        """
        __tracebackhide__ = True
        failures = self.failures
        if failures:
            rows = [_failure(each) for each in failures[:_MOST_NAMED]]
            raise AssertionError("\n  ".join([f"{count(len(failures), 'failure')} in the run:", *rows]))

    def check(self, *rules: str | Mapping[str, Any]) -> CheckReport:
        """Check the run against rules, as `debug check` does; warn about a rule that nothing in the run concerns.

        Args:
            *rules: expressions that must be true of the run, or rules as objects.

        Raises:
            AssertionError: one of them is broken.
            RuleError: one of them is not valid.
        """
        __tracebackhide__ = True
        from namel3ss_debug.analysis.checks.evaluation import check_trace  # only here is it needed

        self._flush()
        report = check_trace(self.path, list(rules))
        if report.findings:
            rows = [
                clean(f"{found.id}: {found.evidence}{_events(found.events)}", _LONGEST)
                for found in report.findings
            ]
            raise AssertionError("\n  ".join([f"{count(len(rows), 'broken rule')}:", *rows[:_MOST_NAMED]]))
        for rule in report.rules:
            if rule.skipped:
                text = clean(f"{rule.rule} was not checked: {rule.skipped}", _LONGEST)
                warnings.warn(text, stacklevel=2)
        return report

    def _run(self) -> RecordedRun:
        self._flush()
        size = self.path.stat().st_size if self.path.exists() else 0
        if size != self._read[0]:
            self._read = size, read_run(open_trace(self.path).events()) if size else RecordedRun()
        return self._read[1]


def _is_named(name: str, wanted: str | None) -> bool:
    return wanted is None or name == wanted or fnmatchcase(name.lower(), wanted.lower())


def _calls(calls: Sequence[RecordedToolCall]) -> str:
    """Return the calls of tools, a line each."""
    if not calls:
        return "\n  no tool was called"
    rows = [
        clean(f"{call.name}({_format_arguments(call.arguments)})", _LONGEST) for call in calls[:_MOST_NAMED]
    ]
    more = len(calls) - len(rows)
    return "".join(f"\n  {row}" for row in ["called:", *rows, *([f"and {more} more"] if more else [])])


def _format_arguments(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={gist(value)}" for name, value in arguments.items())


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    return " -> ".join(listed[: 2 * _MOST_NAMED]) or "nothing"


def _failure(failure: RunFailure) -> str:
    site = f" at {failure.call_site}" if failure.call_site else ""
    why = ": ".join(filter(None, (failure.error_type, failure.error)))
    return clean(f"{failure.what}{site}, event {failure.number}: {why}", _LONGEST)


def _events(numbers: Sequence[int]) -> str:
    return f" (event {numbers[0]})" if numbers else ""
