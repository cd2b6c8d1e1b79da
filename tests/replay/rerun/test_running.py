"""Tests of what is seen to before a recorded program runs again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from namel3ss_debug.config import load_configuration
from namel3ss_debug.errors import MockError, RerunError, TargetError
from namel3ss_debug.replay.overrides.faults import parse_fault
from namel3ss_debug.replay.overrides.mocks import parse_mock
from namel3ss_debug.replay.rerun.preparation import RerunOptions, prepare

EARLIER = 1_000_000_000.0


@pytest.fixture
def recording(written, boundary_events, tmp_path):
    """Writes the recording of a program that asks a model and calls a tool, and opens it."""

    def record(**metadata):
        made = boundary_events()
        (tmp_path / "app.py").write_text("print()\n")
        os.utime(tmp_path / "app.py", (EARLIER - 10, EARLIER - 10))
        start = {
            "format": 2,
            "process": 0,
            "target": "app.py",
            "argv": ["app.py", "--fast", "x y"],
            "cwd": str(tmp_path),
            "settings": {"redact": False, "max_payload_size": 0, "buffer_size": 50},
        }
        made.add("trace_start", "app", metadata=start | metadata, timestamp=EARLIER, execution_id="ab12")
        made.say(made.ask("first"), "one")
        made.give(made.call("search", {"q": "x"}), "search", 7)
        made.add("trace_end", "app", metadata={"exit_status": 3})
        return written(made.events)

    return record


@pytest.fixture
def prepared(recording, tmp_path):
    """Prepares the re-run of a recording."""

    def made(*mocks, trace=None, **wanted):
        config = load_configuration(tmp_path, {}).config
        return prepare(
            trace or recording(),
            RerunOptions(tuple(mocks), **{"consent": "user", **wanted}),
            config,
            tmp_path,
        )

    return made


def test_the_program_is_the_recorded_one(prepared, tmp_path):
    """Its arguments, its working directory, and the form of the recording; the rest is as it is now."""
    found = prepared()
    assert (found.target.value, found.target.argv, found.cwd) == ("app.py", ("--fast", "x y"), tmp_path)
    settings = found.session.settings
    assert (settings["redact"], settings["max_payload_size"], settings["buffer_size"]) == (False, 0, 1)
    assert found.session.offline
    assert found.session.rerun == {
        "verdict": "pending",
        "of": "ab12",
        "recording": str(tmp_path / "trace.jsonl"),
    }
    assert Path(found.session.trace).parent == tmp_path
    assert found.last == {"exit_status": 3}


def test_the_changes_stand_in_the_session(prepared):
    """As they would be written."""
    given = (parse_mock("search@1:5"), parse_fault("llm:timeout"))
    found = prepared(*given, run_tools=("all",), live_from=2)
    changes = {key: found.session.rerun[key] for key in ("mocks", "faults", "run_tools", "live_from")}
    assert changes == {
        "mocks": ["search@1:5"],
        "faults": ["llm:timeout"],
        "run_tools": ["all"],
        "live_from": 2,
    }


@pytest.mark.parametrize(
    ("metadata", "problem", "words"),
    [
        ({"cwd": "/nowhere"}, TargetError, "was recorded in /nowhere, which is not there"),
        ({"target": "gone.py"}, TargetError, "there is no gone.py"),
        ({"target": 7}, RerunError, "names no program"),
        ({"target": ""}, RerunError, "names no program"),
        ({"target": "/home/me/agent.ipynb"}, RerunError, "names no program"),
        ({"cwd": None}, RerunError, "names no program"),
        ({"settings": {"level": "basic"}}, RerunError, "level basic"),
    ],
)
def test_a_recording_that_cannot_be_run_again_is_refused(prepared, recording, metadata, problem, words):
    """One line says why, and what can still be done."""
    with pytest.raises(problem, match=words) as found:
        prepared(trace=recording(**metadata))
    assert "--step steps through the trace" in str(found.value)


def test_events_without_a_beginning_are_refused(prepared, written, support):
    """Nobody knows names no program they are of."""
    with pytest.raises(RerunError, match="names no program"):
        prepared(trace=written(support[1:], "other.jsonl"))


def test_settings_of_a_recording_that_are_no_settings_are_passed_over(prepared, recording):
    """A recording is foreign data."""
    found = prepared(trace=recording(settings={"redact": "yes", "max_payload_size": None, "level": ["x"]}))
    assert (found.session.settings["redact"], found.session.settings["level"]) == (True, "detailed")


def test_another_interpreter_is_named_and_not_started(prepared, recording):
    """The one of this process runs the program."""
    found = prepared(trace=recording(executable="/opt/other/python"))
    assert found.python == sys.executable
    assert any("recorded with /opt/other/python" in note for note in found.notes)


def test_code_that_is_newer_is_named(prepared, recording, tmp_path):
    """By the files that calls came from, and the program itself."""
    trace = recording()
    assert prepared(trace=trace).newer == ()
    os.utime(tmp_path / "app.py", (EARLIER + 10, EARLIER + 10))
    found = prepared(trace=trace)
    assert found.newer == ("app.py",)
    assert "newer than the trace: app.py" in found.notes


def test_a_recording_without_its_inputs_is_told(prepared):
    """Clock and random numbers are those of now."""
    assert any("record_randomness" in note for note in prepared().notes)


def test_inputs_of_another_version_are_told(prepared, recording):
    """Its lines of work have other names, so nothing would be found again."""
    (note,) = prepared(trace=recording(randomness={"seed": "00" * 16, "lineage": 1})).notes
    assert note == "clock and random numbers were recorded by another version: the current ones are used"


def test_inputs_that_were_cut_are_told(prepared, recording):
    """A tool that is missing in them is not recognised, so one line says so."""
    trace = recording(settings={"max_payload_size": 200})
    assert not any("were cut" in note for note in prepared(trace=trace).notes)
    trace.path.write_text(trace.path.read_text().replace('{"q": "x"}', '{"q": "x", "$truncated": 3}'))
    (told,) = [note for note in prepared(trace=trace).notes if "were cut" in note]
    assert "calls whose inputs were cut (max_payload_size): 1;" in told
    assert told.endswith("record it again with max_payload_size 0")


def test_a_filtered_recording_is_told(prepared, recording):
    """With the components that are left out."""
    found = prepared(trace=recording(settings={"default_components": ["llm"]}))
    assert any(note.startswith("the trace leaves out http, tool") for note in found.notes)
    assert found.session.settings["default_components"] == []


def test_an_answer_of_the_wrong_shape_and_an_unknown_name_are_refused(prepared):
    """A mistyped name is told before the program runs; a tool that only new code calls is named as one."""
    with pytest.raises(MockError):
        prepared(parse_mock("llm:[1]"))
    with pytest.raises(MockError, match="did you mean 'search'"):
        prepared(parse_mock("serch:1"))
    assert prepared(parse_mock("tool:serch:1")).notes
    with pytest.raises(RerunError, match="--run-tools lookup: the trace holds no such tool"):
        prepared(run_tools=("lookup",))
