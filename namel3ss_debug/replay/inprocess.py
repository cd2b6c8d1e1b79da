"""A part of this process recorded, with its calls answered from an earlier recording, as in a test.

The answers come from the same pass as those of a re-run, without a socket: the process asks itself. Nothing can be
started over, so a question that is not the recorded one is no reason for a guess but the end: it raises what the caller
has made of it, an exception that programs do not catch. The network is closed meanwhile. Clock and random numbers are
those of the recording, for the program alone: the test runner reads its own clock.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal

from orjson import loads

from namel3ss_debug.capture import context, start, switch
from namel3ss_debug.capture.answers import Given, Step
from namel3ss_debug.capture.determinism import installing
from namel3ss_debug.capture.determinism.installing import InTest
from namel3ss_debug.capture.determinism.lineage import FIRST
from namel3ss_debug.capture.listening import OwnPorts
from namel3ss_debug.capture.loaded import LoadedFunctions
from namel3ss_debug.capture.session import Session, new_session
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import RerunError, UnreadableTraceError
from namel3ss_debug.replay.rerunning.boundaries import TOOL, Strand, question_of
from namel3ss_debug.replay.rerunning.codes import CodeOfTrace, StaleTool
from namel3ss_debug.replay.rerunning.divergences import CHANGED, MISSING, ORDER, RESULT, Divergence
from namel3ss_debug.replay.rerunning.fitness import checked
from namel3ss_debug.replay.rerunning.impasses import CannotGoOnError, Stop
from namel3ss_debug.replay.rerunning.passes import Pass
from namel3ss_debug.replay.rerunning.plans import ALL, Plan
from namel3ss_debug.replay.rerunning.recorded import Recorded, read_recorded
from namel3ss_debug.replay.starting import randomness_of
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.traces.opening import open_recording
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.wire import lenient

OnStop = Callable[[Stop | str, Recorded], BaseException]
"""Makes the exception that ends the program: why it cannot go on, and what the recording holds."""

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
"""What a recording needs that shall answer later; what else the user has set, such as secrets, holds."""


@dataclass(frozen=True)
class Recordable:
    """What is recorded.

    Attributes:
        trace: the file of the recording that is made now.
        target: its name in the recording.
        root: the folder of the user's own code.
        config: the settings in force.
        functions: the functions that may be tools.
    """

    trace: Path
    target: str
    root: Path
    config: DebugConfiguration
    functions: LoadedFunctions


class InProcess:
    """One run, from its making to `end`.

    Args:
        what: what is recorded.
        recording: where the answers come from; None: everything is asked for real.
        run_tools: the names of the tools that are run for real all the same; `all` for every one.
        on_stop: makes what is raised where there is no answer.

    Attributes:
        stop: why it could not go on, for the first time; None where it could.

    Raises:
        RerunError: tracing is on already, or the recording cannot answer.
        TraceNotFoundError: there is no such recording.
        UnreadableTraceError: nothing in it can be read.
    """

    def __init__(
        self, what: Recordable, recording: Path | None, run_tools: frozenset[str], on_stop: OnStop
    ) -> None:
        if switch.ACTIVE is not None:
            raise RerunError(
                "this process is recorded already, by debug trace or by initialize_tracing: one recording at a time"
            )
        self.what = what
        self.stop: Stop | str | None = None
        self._answering: Pass | None = None
        self._gate: _Gate | None = None
        self._before = context.CURRENT.get()
        self._inputs: Inputs | None = None
        self._of_program = False
        rerun: dict[str, Any] = {}
        if recording is not None:
            kept = Kept(recording)
            recorded = read_recorded(kept)
            list(checked(recording, recorded))
            # A checkout gives every file a new time, so without digests nothing says that code has changed.
            plan = Plan(recorded, run_tools, code=CodeOfTrace(recorded.codes, since=math.inf))
            self._answering = Pass(plan, None, on_guess=lambda: _refuse_guess(self._answering))
            self._answering.listens = OwnPorts(os.getpid())
            self._gate = _Gate(self._answering, self._stopped(on_stop, recorded))
            rerun = {"of": kept.execution_id, "recording": str(recording)}
            self._inputs = Inputs.of(kept.events())
            self._of_program = "::" not in str(kept.target)
        session = _session(what, rerun, self._inputs, offline=recording is not None)
        # before the frameworks are followed
        self._put_back: Callable[[], None] | None = what.functions.install()
        try:
            self._tracer = start.activate(
                session,
                first_process=True,
                fresh=self._of_program,
                gate=self._gate,
                test=InTest(self._inputs),
            )
        except BaseException:
            self._put_back()
            raise

    def _stopped(self, on_stop: OnStop, recorded: Recorded) -> Callable[[Stop | str], BaseException]:
        def stopped(stop: Stop | str) -> BaseException:
            self.stop = self.stop or stop
            return on_stop(stop, recorded)

        return stopped

    @property
    def recorded(self) -> Recorded | None:
        """What answers, where a recording does."""
        return None if self._answering is None else self._answering.plan.recorded

    def begins(self) -> None:
        """The function of the test begins: all fixtures and plugins are done with their preparations."""
        if not self._of_program:
            installing.begin_test()

    @contextmanager
    def program(self, root: str) -> Iterator[Inputs | None]:
        """Run a block as the program whose own code is below a folder, and give what its recording holds.

        The recording of a whole program names files, tasks and draws as in a process of its own, so they are named
        the same way from here on. What stands on the stack already is the test's, and no part of the program.
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
        installing.restart()
        yield self._inputs

    def without_call(self, tools: Iterable[str]) -> list[str]:
        """Those of the names of which what answers holds no call of a tool."""
        held = () if self.recorded is None else self.recorded.boundaries.values()
        return sorted({*tools} - {ALL} - {each.question.name for each in held if each.question.kind == TOOL})

    def end(self) -> None:
        """Stop recording, and leave the process as it was; further calls do nothing."""
        if self._put_back is None:
            return
        self._put_back()
        self._put_back = None
        if switch.ACTIVE is self._tracer:
            start.shutdown_tracing()
        context.CURRENT.set(self._before)

    def parted(self) -> tuple[Divergence, ...]:
        """What the program left out, or did in another order than recorded, although it came to its end.

        So is an answer that could not be given as it was, because the program has no class for it. Threads of pools
        share their work as they come, and tasks of Trio go on by lot, so order is only told of the main thread, and
        where its calls came one after the other.
        """
        if self._answering is None or self.recorded is None:
            return ()
        found, real = self._answering.divergences(ended=True), self._answering.seen.real
        crowded = self.recorded.crowded
        return tuple(
            each
            for each in found
            if each.kind == MISSING
            or (each.kind == ORDER and _has_order(each, crowded))
            # A test of its own says by run_tools that results may differ; that of a program has to give them again.
            or (each.kind == RESULT and (self._of_program or each.number not in real))
        )

    def stale_tools(self) -> tuple[StaleTool, ...]:
        """Return the tools that were answered although their code has changed since they were recorded."""
        return () if self._answering is None else self._answering.stale_tools()

    def unverified_tools(self) -> dict[str, tuple[str, ...]]:
        """Return the tools that were answered from the trace of a program without any sign whether their code has changed."""
        if self._answering is None or not self._of_program:
            return {}
        return self._answering.not_verified(wholly=True)

    def refused(self) -> tuple[Event, ...]:
        """The events of refused attempts to reach the network."""
        return () if self._answering is None else tuple(self._answering.seen.refused)

    def keep(self, recording: Path) -> None:
        """Make what was recorded the recording to answer from, in one step; `end` was called.

        Raises:
            RerunError: it holds calls of other processes, which nobody could answer.
            OSError: it cannot be written.
        """
        trace = open_trace(self.what.trace)
        for number, event in enumerate(trace.events(), 1):
            question = question_of(number, event, keep_event=False) if len(trace.files) > 1 else None
            if question is not None and question.strand.process:
                raise RerunError(
                    f"{question.call_site or question.name} asks in a process of its own, which a recording cannot answer in a test: "
                    "record such a program with debug trace"
                )
        recording.parent.mkdir(parents=True, exist_ok=True)
        part = recording.with_name(f".{recording.name}.{os.getpid()}.part")
        try:
            shutil.copyfile(self.what.trace, part)
            part.replace(recording)
        finally:
            part.unlink(missing_ok=True)


_DAMAGED: Final = frozenset({"not JSON", "not an event"})
"""What a line is that somebody else has written into a recording, as git does it with the two sides of a merge."""


class Kept:
    """A recording in memory, as a `Recording`; that of a test is small.

    Attributes:
        path: the file it was opened by.
        lost: how many events are missing.
        rotated_away: how many of these stood before the first file that is left.
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
            trace = open_recording(path)
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
        """All events from the number `start` on."""
        return iter(self._events[start - 1 :])

    def event(self, number: int) -> Event:
        """The event with this number."""
        return self._events[number - 1]

    def count(self) -> int:
        """How many events there are."""
        return len(self._events)


def _whole(path: Path) -> list[Event] | None:
    """The events of a file that is one whole recording of ours; None for any other, which is read with more care."""
    try:
        events = [loads(line) for line in path.read_bytes().removesuffix(b"\n").split(b"\n")]
        whole = all(event["seq"] == number and event["event_id"] for number, event in enumerate(events))
        return events if whole and events[-1]["event_type"] == "trace_end" else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


class _Gate:
    """Answers each call as it begins, in the thread that makes it; one at a time."""

    def __init__(self, answering: Pass, stopped: Callable[[Stop | str], BaseException]) -> None:
        self._answering, self._stopped = answering, stopped
        self._number = 0
        self._forked = False

    def passed(self, event: Event, line: bytes) -> Given | None:
        self._number += 1
        starts = event["event_type"][-6:] == "_start"
        if self._forked:
            if starts and question_of(self._number, loads(line)) is not None:
                raise self._stopped(
                    "a process that the test has forked makes a call, and only its own are answered"
                )
            return None
        try:
            plain: Event = loads(line)
            self._answering.heard(self._number, plain)
            return Given.from_json(self._answering.word(self._number, plain)) if starts else None
        except CannotGoOnError as impasse:
            raise self._stopped(impasse.stop) from None
        except Exception as error:
            raise self._stopped(f"the call could not be answered: {type(error).__name__}: {error}") from error

    def may(self, event_id: str, step: Step, index: int, waited: float) -> bool:
        with suppress(Exception):
            return self._answering.may({"at": event_id, "step": step, "index": index, "waited": waited})
        return True

    def listens(self, port: int, site: str | None) -> None:
        """Do nothing: whoever runs the tests looks after a test that waits."""

    def look(self) -> None:
        """Do nothing: the answers come from this process."""

    def renew(self) -> None:
        self._forked = True

    def close(self) -> None:
        """Nothing is open."""


def _refuse_guess(answering: Pass | None) -> None:
    """Another question than the recorded one is about to get the recorded answer.

    Raises:
        CannotGoOnError: always, where the two differ.
    """
    assert answering is not None
    changed = [each for each in answering.matcher.divergences(ended=False) if each.kind == CHANGED]
    last = max(changed, key=lambda each: each.number, default=None)
    if last is not None and last.question is not None:
        kind: Literal["strict"] = "strict"
        raise CannotGoOnError(Stop(kind, last.question, last.recorded, last))


def _session(what: Recordable, rerun: dict[str, Any], inputs: Inputs | None, *, offline: bool) -> Session:
    config = replace(what.config, trace_output_dir=str(what.trace.parent), **_OUR_SETTINGS)
    session = new_session(config, target=what.target, root=what.root, output=what.trace, running=True)
    randomness = session.randomness if inputs is None else randomness_of(inputs)
    return replace(session, offline=offline, rerun=rerun, link_latest=False, randomness=randomness)


def _has_order(found: Divergence, crowded: frozenset[Strand]) -> bool:
    """Whether all that a change of order is about was asked in the main thread, one after the other."""
    recorded = () if found.recorded is None else (found.recorded.question,)
    asked = (*recorded, *filter(None, (found.question,)))
    return all(_is_of_main_thread(each.strand) and each.strand not in crowded for each in asked)


def _is_of_main_thread(strand: Strand) -> bool:
    """Return whether this is the main thread or one of its tasks; with recorded inputs it has a name."""
    return strand.thread in ("", FIRST) or strand.thread.startswith(f"{FIRST}~")
