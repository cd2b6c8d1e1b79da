import os

import pytest

from namel3ss_debug.analysis.aggregate.windows import agent_of, day_of, find_began, parse_seconds, version_of
from namel3ss_debug.errors import WrongUsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600), ("1.5H", 5400)]
)
def test_a_time_is_a_number_with_a_unit(text, seconds):
    """Minutes, hours, days and weeks."""
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["7", "d", "0d", "-1d", "7 days", "1e9d", "inf"])
def test_what_is_no_time_is_a_mistake_of_the_user(text):
    """The message says what one looks like."""
    with pytest.raises(WrongUsageError, match="such as 12h or 7d"):
        parse_seconds(text)


def test_what_a_recording_is_grouped_by():
    """The day in UTC, the agent's version before the commit, the agent that ran longest."""
    overview = {"started_at": 1_763_726_400.0, "git_commit": "0123456789abcdef"}
    rows = [
        {"component": "agent", "component_name": "Inner", "total_ms": 5},
        {"component": "agent", "component_name": "Outer", "total_ms": 9},
        {"component": "llm", "component_name": "m", "total_ms": 99},
    ]
    document = {"execution_overview": overview, "performance": {"operations": rows}}
    assert (day_of(document), version_of(document), agent_of(document)) == (
        "2025-11-21",
        "0123456789ab",
        "Outer",
    )
    overview["agent_version"] = "2.1"
    assert version_of(document) == "2.1"


def test_a_recording_that_does_not_tell_has_no_group():
    """Nor has one whose clock nobody can have."""
    nothing = {"execution_overview": {}, "performance": {"operations": []}}
    assert (day_of(nothing), version_of(nothing), agent_of(nothing)) == (None, None, None)
    assert day_of({"execution_overview": {"started_at": 1e300}}) is None


def test_a_recording_without_times_began_when_its_file_was_changed(tmp_path):
    """The first event says when, where it does."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"event_type": "decision", "timestamp": 12.5}\n')
    assert find_began(path) == 12.5
    path.write_text('{"event_type": "decision"}\n')
    os.utime(path, (7, 7))
    assert find_began(path) == 7
