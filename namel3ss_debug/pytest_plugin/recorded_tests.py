"""Run a pytest test with recorded agents: record its trace, or answer its calls from an earlier one.

`door` loads this with the first test that needs it. Recording and answering are done by `replay.rerun.inprocess`; the
messages come from `views.testing`.
"""

from __future__ import annotations

import os
import re
import shlex
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.seams.functions.loaded import LoadedFunctions
from namel3ss_debug.config import DebugConfiguration, load_configuration
from namel3ss_debug.config.unverified import STALE_TOOLS, UNKNOWN_CODE
from namel3ss_debug.errors import DebugError, SettingError, UnreadableTraceError
from namel3ss_debug.replay.rerun.inprocess import InProcess, Recordable
from namel3ss_debug.replay.rerun.programs import ProgramRunner
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCalls
from namel3ss_debug.replay.rerun.unanswered import UnansweredCall
from namel3ss_debug.traces.inputs import Recorded as Inputs
from namel3ss_debug.views import testing
from namel3ss_debug.views.assertions import AgentTrace

FOLDER = ".agent_traces"
"""The folder, beside the test file, of traces for which the mark has no path."""

_MODES = ("once", "none", "rewrite")
_LONGEST_NAME = 120
_UNSAFE = re.compile(r"[^\w.\-]+")


class _Shared(NamedTuple):
    """What all tests of one run of pytest share."""

    config: DebugConfiguration
    functions: LoadedFunctions


_SHARED = pytest.StashKey[_Shared]()


class _Mark(NamedTuple):
    """The arguments of a test's mark: the trace, None without a mark; the mode; the tools that are run for real."""

    recording: Path | None
    mode: str = "once"
    run_tools: frozenset[str] = frozenset()


class RecordedTest:
    """One test, from the beginning of its trace to the end.

    Attributes:
        trace: the value of the fixture.

    Args:
        node: the test.
        wanted: the arguments of its mark.
        trace: the file of the new trace.
        shared: what all tests share.

    Raises:
        DebugError: it cannot begin.
    """

    def __init__(self, node: pytest.Item, wanted: _Mark, trace: Path, shared: _Shared) -> None:
        self._node, self._wanted = node, wanted
        self._stopped: BaseException | None = None
        self._failed_within = False
        self._sections: list[tuple[str, str]] = []
        recording = wanted.recording
        self._answers = recording is not None and wanted.mode != "rewrite" and recording.exists()
        self.trace = AgentTrace(
            trace, lambda: switch.get_global_tracer().flush(), ProgramRunner(self._program)
        )
        what = Recordable(
            trace, node.nodeid, node.config.rootpath, shared.config, shared.functions, trace.parents[3]
        )
        self._run = InProcess(what, recording if self._answers else None, wanted.run_tools, self._stop)

    def _stop(self, stop: UnansweredCall | str, recorded: RecordedCalls) -> BaseException:
        assert self._wanted.recording is not None
        error = self._parts(testing.describe_stop(stop, recorded, self._wanted.recording, _again(self._node)))
        self._stopped = self._stopped or error
        return error

    def _program(self, root: str) -> AbstractContextManager[Inputs | None]:
        return self._run.program(root)

    def begin(self) -> None:
        """Begin the function of the test."""
        self._run.begin()

    def end(self) -> None:
        """Stop recording."""
        self._run.end()

    def failed(self, error: BaseException) -> None:
        """Take the exception that ended the test.

        Raises:
            Failed: a call could not be answered before, which explains more.
        """
        self._run.end()
        if self._stopped is not None and error is not self._stopped:
            raise self._stopped from None  # `error` is its consequence, often a group of tasks that contains it
        self._leave_unwritten()

    def failed_within(self) -> None:
        """Note that a part of the test has failed; the test itself may go on."""
        self._failed_within = True

    def passed(self) -> None:
        """End a test that passed, and keep its trace.

        Raises:
            Failed: a call was not answered, the test diverged from its trace, or the trace cannot be kept.
        """
        self._run.end()
        if self._stopped is not None:
            raise self._stopped
        recording = self._wanted.recording
        if recording is None:
            return
        if not self._answers:
            if self._failed_within:
                self._leave_unwritten()
                return
            try:
                self._run.keep(recording)
            except (DebugError, OSError) as error:
                raise _failure(f"{recording.name} was not written: {error}") from None
            return
        for name in self._run.without_call(self._wanted.run_tools):
            text = f"run_tools={name!r}: {recording.name} holds no call of such a tool"
            self._node.warn(pytest.PytestWarning(text))
        found, closed, stale = self._run.find_divergences(), self._run.refused(), self._run.stale_tools()
        again, run = _again(self._node), self.trace.path
        if (found or closed) and self._run.recorded is not None:
            raise self._parts(
                testing.describe_divergences(found, closed, self._run.recorded, recording, again, run)
            )
        if self._run.not_compared:
            text = f"{recording.name}: not compared: {', '.join(self._run.not_compared)}"
            self._node.warn(pytest.PytestWarning(text))
        accepted = self._run.what.config.accept
        unknown = () if UNKNOWN_CODE in accepted else self._run.unknown_tools()
        stale = () if STALE_TOOLS in accepted else stale
        if stale or unknown:
            raise _failure(testing.describe_stale(stale, unknown, again))

    def _parts(self, text: str) -> BaseException:
        """Return the failure of a test that diverges; it names the test that made the trace, if that may be the reason."""
        assert self._wanted.recording is not None
        return _failure("\n".join([text, *testing.owner_rows(self._wanted.recording, self._node.nodeid)]))

    def _leave_unwritten(self) -> None:
        """Report, for a failing test that was to be recorded, that there is no trace."""
        recording = self._wanted.recording
        if recording is not None and not self._answers:
            self._sections.append((testing.SECTION, f"the test failed, so {recording.name} was not written"))

    def sections(self) -> list[tuple[str, str]]:
        """Return the sections for the report of a failure."""
        return [(testing.SECTION, testing.run_section(self.trace.path)), *self._sections]


def begin(request: pytest.FixtureRequest, mark: pytest.Mark | None) -> RecordedTest:
    """Begin to record a test, and to answer its calls if it has a trace.

    Args:
        request: the request for the fixture.
        mark: the mark of the test; None for none.

    Raises:
        Failed: its trace is missing or cannot answer, or its mark or a setting is wrong.
    """
    node, config = request.node, request.config
    shared = config.stash.get(_SHARED, None)
    if shared is None:
        try:
            settings = load_configuration().config
        except SettingError as error:
            raise _failure(f"{error}") from None
        shared = config.stash[_SHARED] = _Shared(settings, LoadedFunctions(str(config.rootpath)))
    wanted = _wanted(node, mark)
    missing = wanted.recording is not None and not wanted.recording.exists()
    if missing and wanted.mode == "none":
        raise _failure(
            f"there is no trace {_shown(wanted.recording, config)}, and none is made (mode none); to record it: "
            f"pytest {shlex.quote(node.nodeid)} --agent-record=once"
        )
    base: Path = request.getfixturevalue("tmp_path_factory").getbasetemp()
    folder = Path(os.path.relpath(node.path, config.rootpath)).with_suffix("")
    trace = base / "agent_traces" / _safe("-".join(folder.parts)) / _name(node) / "run.jsonl"
    try:
        return RecordedTest(node, wanted, trace, shared)
    except UnreadableTraceError as error:
        raise _failure(f"{error}\n{testing.again_row(_again(node))}") from None
    except DebugError as error:
        raise _failure(f"{error}") from None


def _wanted(node: pytest.Item, mark: pytest.Mark | None) -> _Mark:
    """Return the trace of a test and how it is used, by the mark, the options and the settings."""
    # Only unittest knows which of its tests it skips; it has marked them itself.
    if mark is None or getattr(getattr(node, "obj", None), "__unittest_skip__", False):
        return _Mark(None)
    path, mode, run_tools = _read(mark)
    if path is None:
        recording = node.path.parent / FOLDER / _safe(node.path.stem) / f"{_name(node)}.jsonl"
    elif mark not in node.own_markers:
        raise _failure(f"{mark.name} of a class or module takes no path: each test has a trace of its own")
    else:
        recording = node.path.parent / path
        case = getattr(node, "callspec", None)
        if case is not None and case.id:
            recording = recording.with_name(f"{recording.stem}-{_safe(case.id)}{recording.suffix}")
    if recording.suffix != ".jsonl":
        raise _failure(f"{mark.name} {path!s}: the name of a trace ends with .jsonl")
    chosen = node.config.getoption("agent_record") or mode or node.config.getini("agent_record")
    if chosen not in _MODES:
        raise _failure(f"{mark.name} has no mode {chosen!r}: it is one of {', '.join(_MODES)}")
    return _Mark(recording, chosen, run_tools)


def _read(mark: pytest.Mark) -> tuple[Path | None, Any, frozenset[str]]:
    """Return the path, the mode and the tools in a mark.

    Raises:
        Failed: the mark has other arguments.
    """
    try:
        return _arguments(*mark.args, **mark.kwargs)
    except TypeError:
        words = [*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())]
        raise _failure(
            f"{mark.name}({', '.join(words)}): it takes a path, mode= and run_tools=, a name or several"
        ) from None


def _arguments(
    path: Any = None, *, mode: Any = None, run_tools: Any = ()
) -> tuple[Path | None, Any, frozenset[str]]:
    names = frozenset((run_tools,) if isinstance(run_tools, str) else run_tools)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a tool has a name")
    return None if path is None else Path(path), mode, names


def _name(node: pytest.Item) -> str:
    """Return the name of a test below its file, with its class."""
    return _safe(node.nodeid.partition("::")[2].replace("::", "."))


def _again(node: pytest.Item) -> str:
    """Return the command that records a test again."""
    return f"pytest {shlex.quote(node.nodeid)} --agent-record=rewrite"


def _shown(path: Path | None, config: pytest.Config) -> str:
    return os.path.relpath(path or "", config.rootpath)


def _safe(name: str) -> str:
    """Return a name that is safe for files; if more than brackets were replaced, a suffix keeps it distinct."""
    plain = name.replace("[", "-").replace("]", "")
    safe = _UNSAFE.sub("-", plain).strip("-.")[:_LONGEST_NAME]
    return safe if safe == plain else f"{safe}-{sha256(name.encode()).hexdigest()[:6]}"


def _failure(text: str) -> BaseException:
    """Return an exception that fails a test with a message and no traceback, and that programs do not catch."""
    return pytest.fail.Exception(text, pytrace=False)
