"""Record a part of this process, with its calls answered from an earlier trace, as in a test.

The calls are answered as in a re-run, but without a socket. An edited request is not guessed: it raises an exception of the caller's choice, which programs do not catch. The network is closed. Clock and
random numbers are the recorded ones, for the program alone: the test runner reads its own clock.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

from orjson import loads

from namel3ss_debug.capture.core import context, switch
from namel3ss_debug.capture.core.answers import CallReply
from namel3ss_debug.capture.launch.ports import OwnPorts
from namel3ss_debug.capture.launch.session import Session, new_session
from namel3ss_debug.capture.launch.start import activate, shutdown_tracing
from namel3ss_debug.capture.seams.functions.loaded import LoadedFunctions
from namel3ss_debug.capture.seams.inputs import installing
from namel3ss_debug.capture.seams.inputs.installing import InProcessTest
from namel3ss_debug.capture.seams.inputs.write_guard import WRITTEN, WriteGuard, recorded_paths
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import RerunError, UnreadableTraceError
from namel3ss_debug.importers.opening import open_nonempty_trace, open_trace
from namel3ss_debug.replay.rerun.attempts import Attempt
from namel3ss_debug.replay.rerun.divergences import MISSING, ORDER, RESULT, Divergence
from namel3ss_debug.replay.rerun.effects import OF_TRACE, Effects, compare_effects
from namel3ss_debug.replay.rerun.file_changes import find_file_key
from namel3ss_debug.replay.rerun.plan import ALL, Plan
from namel3ss_debug.replay.rerun.preparation import check_trace, trace_code, with_recorded_settings
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls, read_recorded
from namel3ss_debug.replay.rerun.requests import TOOL, TaskKey, read_request
from namel3ss_debug.replay.rerun.source_files import MAIN, RecordedFile
from namel3ss_debug.replay.rerun.starting import randomness_of
from namel3ss_debug.replay.rerun.tool_code import UNKNOWN, StaleTool, TraceCode
from namel3ss_debug.replay.rerun.unanswered import CannotGoOnError, UnansweredCall
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.folders import copy_private
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.traces.media import MARK_BYTES
from namel3ss_debug.wire import lenient

OnStop = Callable[[UnansweredCall | str, RecordedCalls], BaseException]
"""Makes the exception that ends the program, from the reason and the recorded calls."""

_OUR_SETTINGS: Final[Mapping[str, Any]] = {
    "enabled": True,
    "level": "detailed",
    "default_components": (),
    "sample_rate": 1.0,
    "buffer_size": 1,
    "max_payload_size": 0,
    "record_randomness": True,
    "rotate_max_bytes": 0,
    "capture_memory": False,
    "capture_performance": False,
}
"""The settings that a trace needs to answer calls later; other settings of the user hold, such as those for secrets."""


@dataclass(frozen=True)
class Recordable:
    """What is recorded.

    Attributes:
        trace: the file of the new trace.
        target: its name in the trace.
        root: the folder of the user's own code.
        config: the settings in force.
        functions: the functions that may be tools.
        scratch: a folder that the test may write to.
    """

    trace: Path
    target: str
    root: Path
    config: DebugConfiguration
    functions: LoadedFunctions
    scratch: Path


class InProcess:
    """One recorded run, from its creation to `end`.

    Args:
        what: what is recorded.
        recording: the trace with the answers; None to make every call for real.
        run_tools: the names of the tools that are run for real all the same; `all` for every one.
        on_stop: makes the exception for a call without an answer.

    Attributes:
        stop: the first call without an answer; None for none.
        not_compared: what `find_divergences` could not compare.

    Raises:
        RerunError: tracing is on already, or the trace holds no answers.
        TraceNotFoundError: there is no such trace.
        UnreadableTraceError: nothing in it can be read.
    """

    def __init__(
        self, what: Recordable, recording: Path | None, run_tools: frozenset[str], on_stop: OnStop
    ) -> None:
        if switch.ACTIVE is not None:
            raise RerunError(
                "this process is recorded already, by debug trace or by initialize_tracing: one trace at a time"
            )
        self.what = what
        self.stop: UnansweredCall | str | None = None
        self._attempt: Attempt | None = None
        self.not_compared: tuple[str, ...] = ()
        self._gate: _Gate | None = None
        self._before = context.CURRENT.get()
        self._inputs: Inputs | None = None
        self._of_program = False
        self._kept: LoadedTrace | None = None
        self._recorded_effects: Effects | None = None
        self._file_key: bytes | None = None
        self._effects = WriteGuard(what.root, what.scratch, None, RuntimeError)
        rerun: dict[str, Any] = {}
        kept: LoadedTrace | None = None
        if recording is not None:
            kept = LoadedTrace(recording)
            recorded = read_recorded(kept)
            list(check_trace(recording, recorded))
            self._of_program = "::" not in str(kept.target)
            plan = Plan(recorded, run_tools, exact_only=True)
            if self._of_program:  # the code is compared in the folder of the program, see `program`
                self._kept = kept
            else:
                plan = replace(plan, code=self._code(kept, recorded))
            self._attempt = Attempt(plan, None)
            self._attempt.listens = OwnPorts(os.getpid())
            self._gate = _Gate(self._attempt, self._stopped(on_stop, recorded))
            rerun = {"of": kept.execution_id, "recording": str(recording)}
            self._inputs = Inputs.of(kept.events())
            refuse, paths = self._stopped(on_stop, recorded), recorded_paths(kept.events(), what.root)
            self._effects = WriteGuard(what.root, what.scratch, paths, refuse)
            if self._of_program:
                self._recorded_effects = Effects.of(kept.events())
                self._file_key = find_file_key(lenient.mapping(kept.event(1).get("metadata")))
        session = _session(what, rerun, self._inputs, kept)
        # Before the frameworks are instrumented, which look for the functions of tools.
        self._put_back: Callable[[], None] | None = what.functions.install()
        try:
            self._tracer = activate(
                session,
                first_process=True,
                fresh=self._of_program,
                channel=self._gate,
                test=InProcessTest(self._inputs),
            )
        except BaseException:
            self._put_back()
            raise

    def _code(self, kept: LoadedTrace, recorded: RecordedCalls) -> TraceCode:
        """Return the code that the trace holds; packages are not compared, because tests run with other ones on purpose."""
        events = list(kept.events())
        start = lenient.mapping(events[0].get("metadata")) if events else {}
        cwd = Path(os.getcwd())
        moved = _find_moved(recorded.codes.files, cwd)
        return replace(trace_code(recorded, kept, events, start, cwd, moved), packages={})

    def _stopped(
        self, on_stop: OnStop, recorded: RecordedCalls
    ) -> Callable[[UnansweredCall | str], BaseException]:
        def stopped(stop: UnansweredCall | str) -> BaseException:
            self.stop = self.stop or stop
            return on_stop(stop, recorded)

        return stopped

    @property
    def recorded(self) -> RecordedCalls | None:
        """The recorded calls, if a trace answers."""
        return None if self._attempt is None else self._attempt.plan.recorded

    def begin(self) -> None:
        """Begin the function of the test, after all fixtures and plugins have been set up."""
        if not self._of_program:
            installing.begin_test()
        self._effects.begin()

    @contextmanager
    def program(self, root: str) -> Iterator[Inputs | None]:
        """Run a block as the program whose own code is below a folder, and yield its recorded inputs.

        The trace of a whole program names files, tasks and random draws as in a process of its own, so they are named
        the same way from here on. Frames that are already on the stack belong to the test.
        """
        if not self._of_program or self._tracer is None:
            yield None
            return
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  (the documented way to a frame)
        tests = set()
        while frame is not None:
            tests.add(frame.f_code.co_filename)
            frame = frame.f_back
        self._tracer.sites.rebase(root, os.getcwd(), tests)
        if self._attempt is not None and self._kept is not None:
            plan = self._attempt.plan
            self._attempt.plan = replace(plan, code=self._code(self._kept, plan.recorded))
        installing.restart()
        end = installing.watch_program(self._file_key)
        try:
            yield self._inputs
        except BaseException as error:
            self._tracer.record_uncaught(error)
            raise
        finally:
            end()
            if self._attempt is not None and self._recorded_effects is not None:
                now = self._attempt.seen.effects
                now.cwd, now.screens = os.getcwd(), {"stdout": 0, "stderr": 0}
                now.file_key = None if self._file_key is None else self._recorded_effects.file_key

    def without_call(self, tools: Iterable[str]) -> list[str]:
        """Return those of the names that no recorded tool call has."""
        calls = () if self.recorded is None else self.recorded.calls.values()
        return sorted({*tools} - {ALL} - {each.request.name for each in calls if each.request.kind == TOOL})

    def end(self) -> None:
        """Stop recording, and restore the process; further calls do nothing."""
        if self._put_back is None:
            return
        written = self._effects.end()
        if self._tracer is not None and written:
            self._tracer.end_metadata[WRITTEN] = written
        self._put_back()
        self._put_back = None
        if switch.ACTIVE is self._tracer:
            shutdown_tracing()
        context.CURRENT.set(self._before)

    def find_divergences(self) -> tuple[Divergence, ...]:
        """Return the calls that a program left out, or made in another order, although it came to its end.

        A result counts too if the program has no class for it. Threads of pools and tasks of Trio run in any order, so
        only the order of the main thread is compared, and only if its calls did not overlap.
        """
        if self._attempt is None or self.recorded is None:
            return ()
        found, real = self._attempt.divergences(ended=True), self._attempt.seen.real
        concurrent_tasks = self.recorded.concurrent_tasks
        now = self._attempt.seen.effects
        effects: tuple[Divergence, ...] = ()
        if self._recorded_effects is not None and now.screens is not None:
            ignored = self.what.config.rerun_ignore
            compared = compare_effects(self._recorded_effects, now, ignored=ignored, in_test=True)
            effects = compared.divergences
            self.not_compared = tuple(each for each in compared.not_compared if each != OF_TRACE)
        return effects + tuple(
            each
            for each in found
            if each.kind == MISSING
            or (each.kind == ORDER and _has_order(each, concurrent_tasks))
            # A hand-written test allows other results by run_tools; a test of a whole program must repeat them.
            or (each.kind == RESULT and (self._of_program or each.number not in real))
        )

    def stale_tools(self) -> tuple[StaleTool, ...]:
        """Return the tools that were answered although their code has changed since they were recorded."""
        return () if self._attempt is None else self._attempt.stale_tools()

    def unknown_tools(self) -> tuple[StaleTool, ...]:
        """Return the answered tools of a whole program whose code may have changed."""
        if self._attempt is None or not self._of_program:
            return ()
        return self._attempt.stale_tools(UNKNOWN)

    def refused(self) -> tuple[Event, ...]:
        """Return the events of refused network connections."""
        return () if self._attempt is None else tuple(self._attempt.seen.refused)

    def keep(self, recording: Path) -> None:
        """Replace the trace that answers by the new one, in one step; `end` was called.

        Raises:
            RerunError: it holds calls of other processes, which cannot be answered.
            OSError: it cannot be written.
        """
        trace = open_trace(self.what.trace)
        for number, event in enumerate(trace.events(), 1):
            request = read_request(number, event, keep_event=False) if len(trace.files) > 1 else None
            if request is not None and request.task_key.process:
                raise RerunError(
                    f"{request.call_site or request.name} makes a call in a process of its own, which a trace cannot answer in a test: "
                    "record such a program with debug trace"
                )
        recording.parent.mkdir(parents=True, exist_ok=True)
        part = recording.with_name(f".{recording.name}.{os.getpid()}.part")
        try:
            copy_private(self.what.trace, part)
            part.replace(recording)
        finally:
            part.unlink(missing_ok=True)


_DAMAGED: Final = frozenset({"not JSON", "not an event"})
"""How damaged lines are reported that somebody else wrote into a trace, such as the conflict markers of git."""


class LoadedTrace:
    """A trace in memory, as a `Recording`; that of a test is small.

    Attributes:
        path: the file.
        lost: how many events are missing.
        rotated_away: how many of these were before the first remaining file.
        execution_id: of the run.
        target: the program or test that was recorded.

    Raises:
        TraceNotFoundError: there is no such file.
        UnreadableTraceError: it, or a line of it, cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = self.rotated_away = 0
        whole = _whole(path)
        if whole is None:
            trace = open_nonempty_trace(path)
            whole = list(trace.events())
            damaged = next((each for each in trace.problems.first if each.what in _DAMAGED), None)
            if damaged is not None:
                raise UnreadableTraceError(
                    f"{path}: line {damaged.line}: {damaged.what}; keep one side where a merge has left both"
                )
            self.lost, self.rotated_away = trace.lost, trace.rotated_away
        self._events = whole
        self.execution_id = whole[0].get("execution_id") if whole else None
        self.target = lenient.mapping(whole[0].get("metadata")).get("target") if whole else None

    def events(self, start: int = 1) -> Iterator[Event]:
        """Return all events from the number `start` on."""
        return iter(self._events[start - 1 :])

    def event(self, number: int) -> Event:
        """Return the event with this number."""
        return self._events[number - 1]

    def count(self) -> int:
        """Return the number of events."""
        return len(self._events)


def _whole(path: Path) -> list[Event] | None:
    """Return the events of a file that is one complete trace of ours; None for any other, which is read with more care."""
    try:
        data = path.read_bytes()
        if MARK_BYTES in data:
            return None
        events = [loads(line) for line in data.removesuffix(b"\n").split(b"\n")]
        whole = all(event["seq"] == number and event["event_id"] for number, event in enumerate(events))
        return events if whole and events[-1]["event_type"] == "trace_end" else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


class _Gate:
    """Answer each call as it starts, in the thread that makes it; one at a time."""

    def __init__(self, attempt: Attempt, stopped: Callable[[UnansweredCall | str], BaseException]) -> None:
        self._attempt, self._stopped = attempt, stopped
        self._number = 0
        self._forked = False

    def send_event(self, event: Event, line: bytes) -> CallReply | None:
        self._number += 1
        starts = event["event_type"][-6:] == "_start"
        if self._forked:
            if starts and read_request(self._number, loads(line)) is not None:
                raise self._stopped(
                    "a process that the test has forked makes a call, and only its own are answered"
                )
            return None
        try:
            plain: Event = loads(line)
            self._attempt.observe(self._number, plain)
            return CallReply.from_json(self._attempt.reply(self._number, plain)) if starts else None
        except CannotGoOnError as error:
            raise self._stopped(error.stop) from None
        except Exception as error:
            raise self._stopped(f"the call could not be answered: {type(error).__name__}: {error}") from error

    def may_end(self, event_id: str, waited: float) -> bool:
        with suppress(Exception):
            return self._attempt.may_end(event_id, waited)
        return True

    def report_listening(self, port: int, site: str | None) -> None:
        """Do nothing: the test runner handles a test that waits."""

    def check_connection(self) -> None:
        """Do nothing: the answers come from this process."""

    def renew(self) -> None:
        self._forked = True  # answers given here would not be seen by the parent

    def close(self) -> None:
        """Do nothing: nothing is open."""


def _find_moved(files: Mapping[str, RecordedFile], cwd: Path) -> dict[str, str]:
    """Return the files that are imported from another place than recorded: tox and nox install the project."""
    found = {}
    for path, each in files.items():
        module = None if each.module == MAIN else sys.modules.get(each.module)
        now = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(now, str) and os.path.abspath(now) != os.path.abspath(cwd / path):
            found[path] = now
    return found


def _session(
    what: Recordable, rerun: dict[str, Any], inputs: Inputs | None, recording: LoadedTrace | None
) -> Session:
    config = what.config
    if recording is not None:
        start = lenient.mapping(next(recording.events(), {}).get("metadata"))
        config = with_recorded_settings(config, lenient.mapping(start.get("settings")), trusted=False)
    config = replace(config, trace_output_dir=str(what.trace.parent), **_OUR_SETTINGS)
    session = new_session(config, target=what.target, root=what.root, output=what.trace, running=True)
    randomness = session.randomness if inputs is None else randomness_of(inputs)
    return replace(
        session, offline=recording is not None, rerun=rerun, link_latest=False, randomness=randomness
    )


def _has_order(found: Divergence, concurrent_tasks: frozenset[TaskKey]) -> bool:
    """Return whether all requests in a change of order were made in the main thread, without overlap."""
    recorded = () if found.recorded is None else (found.recorded.request,)
    asked = (*recorded, *filter(None, (found.request,)))
    return all(each.task_key.is_of_main_thread and each.task_key not in concurrent_tasks for each in asked)
