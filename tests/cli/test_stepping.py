"""What the sessions of `replay --step` and `trace --step` share."""

from __future__ import annotations

import pytest

from namel3ss_debug.cli.options import settings
from namel3ss_debug.cli.stepping import WARNINGS, read_commands, session_breakpoints, set_matching
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import ExpressionError, PlaceError, SettingError, WrongUsageError
from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.traces.reader import open_trace


def test_breakpoints_of_options_and_settings():
    """Those given come first, then those of the settings, each once."""
    config = DebugConfiguration(
        auto_breakpoints=("tool:search", "llm"), break_on_errors=True, break_on_warnings=True
    )
    assert session_breakpoints(DebugConfiguration(), ["llm"]) == ["llm"]
    assert session_breakpoints(config, ["llm"]) == ["llm", "tool:search", "error", WARNINGS]


def test_a_setting_that_does_not_parse_is_named(workspace):
    """Who gave no breakpoint is told where the one with the mistake comes from, with the file."""
    file = workspace / ".namel3ss" / "debug.json"
    file.parent.mkdir()
    file.write_text('{"auto_breakpoints": ["llm", "tool if xx > 2"]}')
    found = rf"{file}: auto_breakpoints: 'tool if xx > 2': .*unknown name 'xx'"
    with pytest.raises(SettingError, match=found):
        session_breakpoints(settings().config)


@pytest.fixture
def debugger(trace):
    """A session on the small recording."""
    return Debugger(open_trace(trace))


def test_a_setting_about_another_recording_is_passed_over(debugger):
    """A place of the settings that this recording does not hold is left out."""
    set_matching(debugger, ["tool:search", "tool:lookup", "error"])
    assert [row.location for row in debugger.stepper.stops.rows()] == ["tool:lookup", "error"]


def test_a_setting_that_is_no_place_is_a_mistake(debugger):
    """What does not parse is told, whatever the recording holds."""
    with pytest.raises(ExpressionError):
        set_matching(debugger, ["llm if durtion_ms > 5"])
    with pytest.raises(PlaceError):
        set_matching(debugger, ["llm:"])


@pytest.mark.parametrize(
    ("event", "warns"),
    [
        ({"status": "partial"}, True),
        ({"status": "timeout"}, True),
        ({"status": "completed"}, False),
        ({"status": "failed"}, False),
        ({"metadata": {"level": "WARNING"}}, True),
        ({"metadata": {"level": "info"}}, False),
        ({"metadata": {"level": 30}}, False),
    ],
)
def test_what_a_warning_is(event, warns):
    """It is what ended, but not well, and a log record from warning on."""
    event = {"event_type": "log_record", "component": "log"} | event
    assert Breakpoint(WARNINGS).stops(1, event, {}, {}) is warns


def test_commands_of_files_come_first(tmp_path):
    """Comments, blank lines and the mark of an editor are no commands; a file that is none is a mistake."""
    (tmp_path / "one").write_text("# to the end\ngoto end\n\n  p n\n")
    assert read_commands(["w"], [tmp_path / "one"]) == ["goto end", "  p n", "w"]
    (tmp_path / "marked").write_text('\ufeffp n\r\nmock search:"a\u2028b"\n')
    assert read_commands([], [tmp_path / "marked"]) == ["p n", 'mock search:"a\u2028b"']
    (tmp_path / "two").write_bytes(b"\xff")
    with pytest.raises(WrongUsageError, match="it is not UTF-8"):
        read_commands([], [tmp_path / "two"])
