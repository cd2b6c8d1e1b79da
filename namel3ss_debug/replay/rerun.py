"""A recorded program run again on the answers of its recording: prepared, started, and started over where a guess was wrong.

The program runs in a child, as it was recorded, with its working directory, arguments, standard input and the
environment that it read. It is recorded as a whole new trace, whose `trace_start` says in `metadata.rerun` what it is a
re-run of. Clock, random numbers and hash seed are those of the recording; the network is closed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from namel3ss_debug.capture.foreground import Foreground
from namel3ss_debug.capture.foretold import asked
from namel3ss_debug.capture.launch import Command, Streams, Target, started
from namel3ss_debug.capture.session import Session, new_session, replace_recording
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import DebugError
from namel3ss_debug.replay.live import LiveProgram
from namel3ss_debug.replay.meeting import Meeting
from namel3ss_debug.replay.rerunning.apps import memory_of, workspace
from namel3ss_debug.replay.rerunning.codes import CodeOfTrace
from namel3ss_debug.replay.rerunning.fitness import (
    checked,
    ends_of,
    keeping,
    newer_code,
    of_code,
    of_inputs,
)
from namel3ss_debug.replay.rerunning.forms import with_form
from namel3ss_debug.replay.rerunning.outputs import Ends, Outputs
from namel3ss_debug.replay.rerunning.plans import MOST_PASSES, Plan
from namel3ss_debug.replay.rerunning.recorded import read_recorded
from namel3ss_debug.replay.starting import (
    Early,
    command_of,
    interpreter_of,
    named_target,
    randomness_of,
    target_of,
)
from namel3ss_debug.replay.words import Answering
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.traces.late_ends import write_late_end, write_verdict
from namel3ss_debug.traces.reader import Trace, open_trace
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:  # imported where somebody gives answers
    from namel3ss_debug.replay.given.faults import Fault
    from namel3ss_debug.replay.given.mocks import Mock
    from namel3ss_debug.replay.rerunning.impasses import Stop
    from namel3ss_debug.replay.rerunning.outcomes import Outcome
    from namel3ss_debug.replay.rerunning.passes import Pass


@dataclass(frozen=True)
class Wanted:
    """What the user wants of a re-run.

    Attributes:
        mocks: answers and faults.
        run_tools: the names of tools that are run for real; `all` for every one.
        strict: whether the first divergence ends it.
        live_from: the number of the event from which on models and servers are asked for real; 0 for never.
        offline: whether not even then.
        realtime: whether answers take the time that they took.
        python: the interpreter; that of this process if left out.
        watch: whether the re-run's recording lists where random numbers are drawn.
        run_changed_tools: whether tools are run whose code has changed since the trace was recorded.
        accept: what counts as verified although it may differ now: `stale-tools`, `stale-models`.
        program: the program and its arguments that run in place of the recorded one; () for the recorded one.
    """

    mocks: tuple[Mock | Fault, ...] = ()
    run_tools: tuple[str, ...] = ()
    strict: bool = False
    live_from: int = 0
    offline: bool = False
    realtime: bool = False
    python: str | None = None
    watch: bool = False
    run_changed_tools: bool = False
    accept: tuple[str, ...] = ()
    program: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A re-run that can begin.

    Attributes:
        trace: the recording.
        start: the metadata of its `trace_start`.
        last: those of its `trace_end`; {} where there is none.
        plan: by what the calls are answered.
        wanted: what the user wants.
        inputs: what the program read.
        target: the program.
        python: the interpreter.
        cwd: the working directory.
        session: where the re-run is recorded.
        notes: what the user should know, a line each.
        newer: the user's files of code that are newer than the recording.
        memory: of a namel3ss app, what its memory held at the start; None for nothing.
    """

    trace: Trace
    start: dict[str, Any]
    last: dict[str, Any]
    plan: Plan
    wanted: Wanted
    inputs: Inputs
    target: Target
    python: str
    cwd: Path
    session: Session
    notes: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    memory: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the program: what it read is as it was."""
        return self.inputs.variables(os.environ)

    @property
    def command(self) -> Command:
        """What the process of the program is started with."""
        return command_of(self.target, self.python, self.cwd, self.inputs)


def prepare(trace: Trace, wanted: Wanted, config: DebugConfiguration, folder: Path) -> Prepared:
    """See that a recorded program can run again.

    Args:
        trace: the recording.
        wanted: what the user wants.
        config: the settings in force, for what the recording does not decide.
        folder: where the re-run is recorded.

    Raises:
        RerunError: the recording does not hold what is needed.
        TargetError: the program, or its interpreter, is not there any more.
        MockError: an answer is not one that the calls it is for can have.
    """
    kept: list[Event] = []
    recorded = read_recorded(trace, keeping(kept, trace.indexed_events()), asked)
    first, last = ends_of(trace, kept)
    start = lenient.mapping(first.get("metadata"))
    notes = list(checked(trace.path, recorded))
    inputs = Inputs.of(kept)
    notes += of_inputs(inputs)
    notes += _of_names(wanted, trace)
    target, cwd = named_target(wanted.program) if wanted.program else target_of(trace.path, start)
    python, noted = interpreter_of(wanted.python, start, target)
    notes += noted
    session = _new_session(trace, first, target, wanted, config, folder)
    since = float(first.get("timestamp") or 0.0)
    plan = Plan(
        recorded,
        frozenset(wanted.run_tools),
        wanted.strict,
        wanted.live_from,
        wanted.offline,
        wanted.realtime,
        wanted.run_changed_tools,
        config.tools,
        # Call sites and parts of code are named relative to the working directory.
        CodeOfTrace(recorded.codes, cwd, since),
    )
    script = cwd / target.value if target.kind in {"script", "app"} else None
    newer = newer_code(recorded, Path(session.root), script, since)
    notes += of_code(newer)
    told, memory = tuple(notes), memory_of(kept)
    return Prepared(
        trace, start, last, plan, wanted, inputs, target, python, cwd, session, told, newer, memory
    )


def _new_session(
    trace: Trace, first: Event, target: Target, wanted: Wanted, config: DebugConfiguration, folder: Path
) -> Session:
    """Where the re-run is recorded, and in which form."""
    base = replace(
        with_form(config, lenient.mapping(lenient.mapping(first.get("metadata")).get("settings"))),
        enabled=True,
        trace_output_dir=str(folder),
        default_components=(),
        sample_rate=1.0,
        buffer_size=1,
        record_randomness=True,
        join="",
    )
    session = new_session(
        base,
        target=target.text,
        root=target.root,
        session_id=first.get("session_id"),
        arguments=target.arguments,
        flow=target.flow,
    )
    rerun: dict[str, Any] = {
        "of": first.get("execution_id"),
        "recording": str(trace.files[0].resolve()),
    } | _changes(wanted)
    return replace(session, link_latest=False, offline=True, rerun=rerun)


def rerun(
    prepared: Prepared,
    outputs: Outputs,
    notice: Callable[[str], None] = lambda _text: None,
    meanwhile: Callable[[], None] = lambda: None,
    early: Early | None = None,
) -> Outcome:
    """Run a program again, and over where a guess turned out to be wrong.

    Args:
        prepared: the program and its answers.
        outputs: where its output goes.
        notice: told in words what the user should know while it runs.
        meanwhile: called when the program has been started and is not waiting yet, each time it is.
        early: the program, where it was started ahead, with these outputs. One that is not quite this program is ended.

    Raises:
        TargetError: the interpreter cannot be started.
    """
    if early is not None and early.command != prepared.command:
        early.end()
        early = None
    reserved: frozenset[int] = frozenset()
    foretells = True
    for passes in range(1, MOST_PASSES + 1):
        if passes > 1:
            replace_recording(Path(prepared.session.trace))
        run = _Run(prepared, outputs, reserved, notice, foretells=foretells)
        run.through(meanwhile, early if passes == 1 else None)
        failed = run.answering.restart is not None or run.answering.misled
        doomed = failed and not run.interrupted and passes < MOST_PASSES
        outputs.settle(shown=not doomed)
        if not doomed:
            break
        reserved = run.answering.matcher.reserved_next
        foretells = foretells and not run.answering.misled
    return _with_verdict(run.outcome(passes))


def _with_verdict(outcome: Outcome) -> Outcome:
    """Write the verdict into the re-run's own trace; return the outcome."""
    reasons = [each.to_json() | {"accepted": each.kind in outcome.accepted} for each in outcome.unverified]
    verdict = {"verdict": outcome.verdict, "of": str(outcome.of), "reasons": reasons}
    write_verdict(outcome.trace, verdict | {"divergences": outcome.summary.kinds})
    return outcome


def reserved_for(prepared: Prepared) -> frozenset[int]:
    """Run a program through, unseen, until it is known which recorded answers its guesses have to leave alone.

    Args:
        prepared: the program; the recordings of these runs are thrown away.
    """
    reserved: frozenset[int] = frozenset()
    foretells = True
    with Path(os.devnull).open("wb") as nowhere:
        for _ in range(MOST_PASSES - 1):
            outputs = Outputs(nowhere.fileno(), nowhere.fileno())
            run = _Run(prepared, outputs, reserved, lambda _text: None, foretells=foretells)
            run.through()
            replace_recording(Path(prepared.session.trace))
            failed = run.answering.restart is not None or run.answering.misled
            foretells = foretells and not run.answering.misled
            if not failed or run.interrupted:
                break
            reserved = run.answering.matcher.reserved_next
    return reserved


class _Run:
    """One run of the program."""

    def __init__(
        self,
        prepared: Prepared,
        outputs: Outputs,
        reserved: frozenset[int],
        notice: Callable[[str], None],
        *,
        foretells: bool,
    ) -> None:
        self._prepared, self._outputs, self._notice = prepared, outputs, notice
        self._reserved, self._foretells = reserved, foretells
        self.answering: Pass
        self.stop: Stop | None = None
        self.problem = ""
        self.status = 0
        self.interrupted = False
        self._numbers: dict[int, int] = {}

    def through(self, meanwhile: Callable[[], None] = lambda: None, early: Early | None = None) -> None:
        """Let the program run to its end, or to where it cannot go on."""
        with self._outputs.run() as ends, Meeting() as meeting:
            waits = self._prepared.plan.answers_calls_only
            opening = running(
                self._prepared, meeting, None, ends, waits_at_calls=waits, notice=self._notice, early=early
            )
            with opening as program:
                self._outputs.started()
                program.keeps_events = False
                # What answers is imported and made while the program starts, which waits before its first line.
                from namel3ss_debug.replay.rerunning.impasses import CannotGoOnError  # noqa: PLC0415

                program.answering = self.answering = self._answering()
                program.mocks = self.answering.mocks
                meanwhile()
                try:
                    program.run_out()
                except CannotGoOnError as impasse:
                    self.stop = impasse.stop
                except DebugError as problem:
                    self.problem = str(problem)
            self.status = program.end()
            self.interrupted = program.interrupted
        trace = Path(self._prepared.session.trace)
        write_late_end(trace, self.status)
        if trace.exists():
            written = open_trace(trace)
            if len(written.processes) > 1:
                from namel3ss_debug.replay.rerunning.outcomes import other_numbers  # noqa: PLC0415  (see `through`)

                self._numbers = other_numbers(program.events(), written.events())

    def _answering(self) -> Pass:
        plan, mocks, on_guess = self._prepared.plan, self._prepared.wanted.mocks, self._outputs.hold
        if mocks:
            from namel3ss_debug.replay.rerunning.changes import pass_with  # noqa: PLC0415  (only here is it needed)

            return pass_with(mocks, plan, self._reserved, on_guess)
        from namel3ss_debug.replay.rerunning.passes import Pass  # noqa: PLC0415  (as `through` says)

        answering = Pass(plan, None, self._reserved, on_guess)
        answering.foretells &= self._foretells
        return answering

    def outcome(self, passes: int) -> Outcome:
        """What came of it."""
        from namel3ss_debug.replay.rerunning.outcomes import changes_since, outcome_of  # noqa: PLC0415  (see `through`)

        prepared, seen = self._prepared, self.answering.seen
        changes, wanted = changes_since(prepared.start, seen.first), prepared.wanted
        notes = [*prepared.notes, *changes]
        if self._outputs.differs:
            notes.append(
                "the program printed something else when it was started over; what came first is shown"
            )
        return outcome_of(
            self.answering,
            of=prepared.trace.path,
            trace=Path(prepared.session.trace),
            status=self.status,
            recorded_status=lenient.count(prepared.last.get("exit_status")),
            stop=self.stop,
            problem=self.problem,
            ended=self.stop is None and not self.problem and not self.interrupted,
            numbers=self._numbers,
            passes=passes,
            notes=tuple(notes),
            interrupted=self.interrupted,
            accepted=frozenset(wanted.accept),
            options=options_of(wanted),
            same_code=not (prepared.newer or changes or wanted.mocks or wanted.run_tools or wanted.live_from),
        )


def stepped_outcome(
    prepared: Prepared, run: Pass, program: LiveProgram, stop: Stop | None, mistakes: int
) -> Outcome:
    """What came of a re-run that somebody has walked through.

    Args:
        prepared: the program.
        run: what has answered its calls.
        program: the program, which has ended.
        stop: why it could not go on.
        mistakes: how many of the commands that were given could not be done.
    """
    from namel3ss_debug.replay.rerunning.outcomes import changes_since, outcome_of  # noqa: PLC0415  (see `_Run.through`)

    notes = [*prepared.notes, *changes_since(prepared.start, run.seen.first)]
    if run.restart is not None:
        notes.append("a guess was wrong: without --step the program is started over, with the right answers")
    outcome = outcome_of(
        run,
        of=prepared.trace.path,
        trace=Path(prepared.session.trace),
        status=program.end(),
        recorded_status=lenient.count(prepared.last.get("exit_status")),
        stop=stop,
        ended=not program.stopped,
        left=program.stopped and stop is None,
        mistakes=mistakes,
        notes=tuple(notes),
        accepted=frozenset(prepared.wanted.accept),
        options=options_of(prepared.wanted),
    )
    return _with_verdict(outcome)


@contextlib.contextmanager
def running(
    prepared: Prepared,
    meeting: Meeting,
    answering: Answering | None,
    ends: Ends,
    *,
    foreground: Foreground | None = None,
    waits_at_calls: bool = False,
    notice: Callable[[str], None] = lambda _text: None,
    early: Early | None = None,
) -> Iterator[LiveProgram]:
    """Start the program; it has ended when the block ends.

    Args:
        prepared: the program.
        meeting: where its processes connect.
        answering: what answers its calls; to be put in place before the program goes on, where it is left out.
        ends: what it gets for stdout and stderr.
        foreground: the terminal, where somebody steps it.
        waits_at_calls: whether it waits at its calls alone, and not at every event.
        notice: as for `LiveProgram`.
        early: the program, where it was started ahead and waits.

    Raises:
        TargetError: the interpreter cannot be started.
    """
    session = _session(prepared, meeting, waits_at_calls=waits_at_calls)
    with _begun(prepared, session, ends, early) as child:
        program = LiveProgram(child, meeting, foreground, notice, answering, apart=True)
        try:
            yield program
        finally:
            program.end()


@contextlib.contextmanager
def _begun(
    prepared: Prepared, session: dict[str, Any], ends: Ends, early: Early | None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process of the program: the one that was started ahead, or one that is started now."""
    if early is not None:
        yield early.go(session, prepared.inputs.stdin_bytes)
        return
    with tempfile.TemporaryFile() as stdin:
        stdin.write(prepared.inputs.stdin_bytes)
        stdin.seek(0)
        with started(
            prepared.target,
            session=session,
            python=prepared.python,
            apart=True,
            environ=prepared.environment,
            cwd=prepared.cwd,
            streams=Streams(stdin.fileno(), ends.stdout, ends.stderr),
        ) as child:
            yield child


def _session(prepared: Prepared, meeting: Meeting, *, waits_at_calls: bool) -> dict[str, Any]:
    """What the child is told: where it is recorded, who answers, and the inputs of the recording in a file for it alone."""
    inputs = prepared.inputs
    session = asdict(prepared.session) | {"gate": meeting.address, "waits_at_calls": waits_at_calls}
    if prepared.target.kind == "app":
        session["workspace"] = workspace(meeting.folder, prepared.memory)
    if not inputs.usable:
        return session
    file = meeting.folder / "inputs.json"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(inputs.to_text())
    randomness = randomness_of(inputs) | {"recorded": str(file)}
    if prepared.wanted.watch:
        randomness["watch"] = True
    return session | {"randomness": randomness}


def _of_names(wanted: Wanted, trace: Trace) -> Iterable[str]:
    """See that what the user gives can be for calls of the recording; what the user should know of it."""
    if not (wanted.mocks or wanted.run_tools):
        return ()
    from namel3ss_debug.replay.rerunning.changes import checked_names  # noqa: PLC0415  (only here is it needed)

    return checked_names(wanted.mocks, wanted.run_tools, trace)


def options_of(wanted: Wanted) -> tuple[str, ...]:
    """Return the options of a command line that asks for this, each with its value."""
    options: list[str] = []
    if wanted.mocks:
        from namel3ss_debug.replay.rerunning.changes import written  # noqa: PLC0415  (only here is it needed)

        changes = written(wanted.mocks)
        options += [f"--mock {shlex.quote(each)}" for each in changes["mocks"]]
        options += [f"--fault {shlex.quote(each)}" for each in changes["faults"]]
    options += [f"--run-tools {shlex.quote(each)}" for each in wanted.run_tools]
    options += ["--run-changed-tools"] if wanted.run_changed_tools else []
    options += [f"--from {wanted.live_from}"] if wanted.live_from else []
    options += ["--offline"] if wanted.live_from and wanted.offline else []
    options += [f"--python {shlex.quote(wanted.python)}"] if wanted.python else []
    options += [f"-- {shlex.join(wanted.program)}"] if wanted.program else []
    return tuple(options)


def _changes(wanted: Wanted) -> dict[str, Any]:
    """What the user has changed, as the new recording says it."""
    changes: dict[str, Any] = {}
    if wanted.mocks:
        from namel3ss_debug.replay.rerunning.changes import written  # noqa: PLC0415  (only here is it needed)

        changes |= written(wanted.mocks)
    changes |= {
        "run_tools": list(wanted.run_tools),
        "run_changed_tools": True if wanted.run_changed_tools else None,
        "accept": list(wanted.accept),
        "program": list(wanted.program),
        "from": wanted.live_from or None,
        "offline": True if wanted.live_from and wanted.offline else None,
    }
    return {name: value for name, value in changes.items() if value not in (None, [])}
