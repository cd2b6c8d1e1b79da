"""Run a recorded program again on its recorded answers, once.

The program runs in a child process as it was recorded, with its working directory, arguments, standard input and the
environment variables that it read. It is recorded as a whole new trace, whose `trace_start` names the original in
`metadata.rerun`. Clock, random numbers and hash seed are the recorded ones; the network is closed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from namel3ss_debug.capture.launch.foreground import Foreground
from namel3ss_debug.capture.launch.parent import Streams, started
from namel3ss_debug.errors import DebugError
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.replay.debugger.live import LiveProgram
from namel3ss_debug.replay.debugger.replies import CallAnswerer
from namel3ss_debug.replay.debugger.step_channel import StepServer
from namel3ss_debug.replay.rerun.file_changes import (
    Descriptions,
    find_file_changes,
    find_file_key,
    read_digests,
)
from namel3ss_debug.replay.rerun.preparation import (
    Prepared,
    make_workspace,
    options_of,
)
from namel3ss_debug.replay.rerun.starting import randomness_of
from namel3ss_debug.traces.late_ends import write_late_end, write_verdict
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:  # imported only if there are overrides
    from namel3ss_debug.replay.rerun.attempts import Attempt
    from namel3ss_debug.replay.rerun.outcomes import RerunOutcome
    from namel3ss_debug.replay.rerun.unanswered import UnansweredCall


class OutputEnds(NamedTuple):
    """The descriptors that a program gets for stdout and stderr; None for those of this process."""

    stdout: int | None = None
    stderr: int | None = None


def rerun(
    prepared: Prepared,
    ends: OutputEnds,
    notice: Callable[[str], None] = lambda _text: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> RerunOutcome:
    """Run a program again, to its end or to a call that cannot be answered.

    Args:
        prepared: the program and its answers.
        ends: where its output goes.
        notice: called with notes for the user while it runs.
        meanwhile: called when the program has been started and does not wait yet.

    Raises:
        TargetError: the interpreter cannot be started.
    """
    run = _Run(prepared, ends, notice)
    run.through(meanwhile)
    return _with_verdict(_with_files(run.outcome(), prepared, run.answering.seen.files))


def _with_files(outcome: RerunOutcome, prepared: Prepared, opened: Descriptions) -> RerunOutcome:
    """Return the outcome with the files that differ from the recorded run, if it diverges or is incomplete.

    Args:
        outcome: the outcome of the re-run.
        prepared: the program.
        opened: the files that the re-run opened, as they were then.
    """
    if not (outcome.diverged or outcome.not_done):
        return outcome
    key = find_file_key(prepared.start)
    if key is None:
        return outcome
    recorded = read_digests(prepared.trace.events())
    return replace(outcome, file_changes=find_file_changes(recorded, opened, key))


def _with_verdict(outcome: RerunOutcome) -> RerunOutcome:
    """Write the verdict into the re-run's own trace, and return the outcome."""
    reasons = [each.to_json() | {"accepted": each.kind in outcome.accepted} for each in outcome.unverified]
    verdict = {"verdict": outcome.verdict, "of": str(outcome.of), "reasons": reasons}
    write_verdict(outcome.trace, verdict | {"divergences": outcome.summary.kinds})
    return outcome


class _Run:
    """One run of the program."""

    def __init__(self, prepared: Prepared, ends: OutputEnds, notice: Callable[[str], None]) -> None:
        self._prepared, self._ends, self._notice = prepared, ends, notice
        self.answering: Attempt
        self.stop: UnansweredCall | None = None
        self.problem = ""
        self.status = 0
        self.interrupted = False
        self._numbers: dict[int, int] = {}

    def through(self, meanwhile: Callable[[], None]) -> None:
        """Run the program to its end, or to a call that cannot be answered."""
        waits = self._prepared.plan.answers_calls_only
        with StepServer() as step_server:
            opening = running(
                self._prepared, step_server, None, self._ends, waits_at_calls=waits, notice=self._notice
            )
            with opening as program:
                program.keeps_events = False
                # These imports take place while the program starts, which waits before its first line.
                from namel3ss_debug.replay.rerun.unanswered import CannotGoOnError

                program.answering = self.answering = self._answering()
                program.overrides = self.answering.overrides
                meanwhile()
                try:
                    program.run_out()
                except CannotGoOnError as error:
                    self.stop = error.stop
                except DebugError as problem:
                    self.problem = str(problem)
            self.status = program.end()
            self.interrupted = program.interrupted
        trace = Path(self._prepared.session.trace)
        write_late_end(trace, self.status, "the re-run" if program.stopped else "")
        if trace.exists():
            written = open_trace(trace)
            if len(written.processes) > 1:
                from namel3ss_debug.replay.rerun.outcomes import other_numbers  # see `through`

                self._numbers = other_numbers(program.events(), written.events())

    def _answering(self) -> Attempt:
        plan, overrides = self._prepared.plan, self._prepared.wanted.overrides
        if overrides:
            from namel3ss_debug.replay.rerun.overriding import make_attempt  # only here is it needed

            return make_attempt(overrides, plan)
        from namel3ss_debug.replay.rerun.attempts import Attempt  # as `through` says

        return Attempt(plan, None)

    def _unused(self) -> list[str]:
        """Return a line for each override that reached no call of the program."""
        from namel3ss_debug.replay.rerun.overriding import unreached  # only here is it needed

        try:
            # Those of the settings are for any program, and may reach nothing in this one.
            overrides = [each for each in self._prepared.wanted.overrides if not each.optional]
            return list(unreached(overrides, open_trace(self._prepared.session.trace)))
        except DebugError:
            return []  # the program has removed its trace

    def outcome(self) -> RerunOutcome:
        """Return the outcome."""
        from namel3ss_debug.replay.rerun.outcomes import changes_since, make_outcome  # see `through`

        prepared, seen = self._prepared, self.answering.seen
        changes, wanted = changes_since(prepared.start, seen.first), prepared.wanted
        notes = [*prepared.notes, *changes]
        ended = self.stop is None and not self.problem and not self.interrupted
        return make_outcome(
            self.answering,
            **_of_prepared(prepared),
            status=self.status,
            stop=self.stop,
            problem=self.problem,
            ended=ended,
            unused=self._unused() if ended and wanted.overrides else (),
            numbers=self._numbers,
            notes=tuple(notes),
            interrupted=self.interrupted,
            same_code=not (
                prepared.newer
                or changes
                or wanted.overrides
                or wanted.run_tools
                or wanted.run_commands
                or wanted.live_from
            ),
        )


def stepped_outcome(
    prepared: Prepared, run: Attempt, program: LiveProgram, stop: UnansweredCall | None, mistakes: int
) -> RerunOutcome:
    """Return the outcome of a re-run that was stepped through.

    Args:
        prepared: the program.
        run: the attempt.
        program: the program, which has ended.
        stop: the call that was not answered.
        mistakes: how many of the debugger commands failed.
    """
    from namel3ss_debug.replay.rerun.outcomes import changes_since, make_outcome  # see `_Run.through`

    notes = [*prepared.notes, *changes_since(prepared.start, run.seen.first)]
    status = program.end()
    write_late_end(Path(prepared.session.trace), status, "the debugger" if program.stopped else "")
    outcome = make_outcome(
        run,
        **_of_prepared(prepared),
        status=status,
        stop=stop,
        ended=not program.stopped,
        left=program.stopped and stop is None,
        mistakes=mistakes,
        notes=tuple(notes),
    )
    return _with_verdict(_with_files(outcome, prepared, run.seen.files))


def _of_prepared(prepared: Prepared) -> dict[str, Any]:
    """Return the fields of an outcome that are known before the program runs."""
    return {
        "of": prepared.trace.path,
        "trace": Path(prepared.session.trace),
        "recorded_status": lenient.count(prepared.last.get("exit_status")),
        "accepted": frozenset((*prepared.wanted.accept, *prepared.accepted)),
        "options": options_of(prepared.wanted),
        "effects": prepared.effects,
        "ignored": prepared.ignored,
    }


@contextlib.contextmanager
def running(
    prepared: Prepared,
    step_server: StepServer,
    answering: CallAnswerer | None,
    ends: OutputEnds,
    *,
    foreground: Foreground | None = None,
    waits_at_calls: bool = False,
    notice: Callable[[str], None] = lambda _text: None,
) -> Iterator[LiveProgram]:
    """Start the program, and end it with the block.

    Args:
        prepared: the program.
        step_server: the step channel, to which its processes connect.
        answering: what answers its calls; if left out, it must be set before the program goes on.
        ends: its stdout and stderr.
        foreground: the terminal, if somebody steps it.
        waits_at_calls: whether it waits at its calls only, and not at every event.
        notice: as for `LiveProgram`.

    Raises:
        TargetError: the interpreter cannot be started.
    """
    session = _session(prepared, step_server, waits_at_calls=waits_at_calls)
    with _started(prepared, session, ends) as child:
        program = LiveProgram(child, step_server, foreground, notice, answering, apart=True)
        try:
            yield program
        finally:
            program.end()


@contextlib.contextmanager
def _started(
    prepared: Prepared, session: dict[str, Any], ends: OutputEnds
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process of the program, and yield it."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(prepared.inputs.stdin_bytes)
        stdin.seek(0)
        with started(
            prepared.target,
            session=session,
            python=prepared.python,
            own_group=True,
            environ=prepared.environment,
            cwd=prepared.cwd,
            streams=Streams(stdin.fileno(), ends.stdout, ends.stderr),
        ) as child:
            yield child


def _session(prepared: Prepared, step_server: StepServer, *, waits_at_calls: bool) -> dict[str, Any]:
    """Return the session for the child, and write the recorded inputs to a file that only the child reads."""
    inputs = prepared.inputs
    session = asdict(prepared.session) | {
        "step_socket": step_server.address,
        "waits_at_calls": waits_at_calls,
    }
    if prepared.plan.supplied is not None:
        session["refused_hosts"] = sorted(prepared.plan.supplied.of_inputs)
    if prepared.target.kind == "app":
        session["workspace"] = make_workspace(step_server.folder, prepared.memory)
    if not inputs.usable:
        return session
    file = step_server.folder / "inputs.json"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        key = find_file_key(prepared.start)
        stream.write(replace(inputs, file_key="" if key is None else key.hex()).to_text())
    randomness = randomness_of(inputs) | {"recorded": str(file)}
    if prepared.wanted.watch:
        randomness["watch"] = True
    return session | {"randomness": randomness}
