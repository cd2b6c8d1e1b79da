"""The lines of the logs of a recording."""

from __future__ import annotations

import pytest

from namel3ss_debug.inspection.logs import select_log_lines


@pytest.fixture
def events(recording):
    """Two agents, one inside the other, with records, a decision, a message, a figure and a failure."""
    made = recording
    made.event("trace_start", component="app", metadata={"format": 2})  # 1
    outer = made.start("agent", "Researcher")  # 2
    made.event(
        "log_record",
        outer,
        component="log",
        component_name="app.search",
        metadata={"level": "debug", "message": "quiet"},
    )  # 3
    inner = made.start("agent", "Writer", outer)  # 4
    tool = made.start("tool", "spell", inner)  # 5
    made.event(
        "log_record",
        tool,
        component="log",
        component_name="app.spell",
        metadata={"level": "WARNING", "message": "odd", "category": "learning"},
    )  # 6
    made.end(tool)  # 7
    made.event(
        "decision", inner, component="agent", component_name="Writer", outputs={"decision": "stop"}
    )  # 8
    made.end(inner)  # 9
    made.event(
        "agent_message", outer, component="agent", component_name="Writer", inputs={"content": "done"}
    )  # 10
    made.event("performance_marker", component="app", component_name="rss", metadata={"value": 3})  # 11
    made.event("error_occurred", component="app", error="gave up", error_type="RuntimeError")  # 12
    made.end(outer)  # 13
    return list(enumerate(made.events, 1))


def test_every_line_says_its_log_its_level_and_its_agent(events):
    """What an event says of itself wins; else its type decides. The agent is the innermost one around it."""
    found = [
        (line.number, line.category, line.level, line.agent, line.message)
        for line in select_log_lines(events)
    ]
    assert found == [
        (3, "system", "debug", "Researcher", "quiet"),
        (6, "learning", "warning", "Writer", "odd"),
        (8, "agents", "info", "Writer", "stop"),
        (10, "interactions", "info", "Researcher", "done"),
        (11, "performance", "info", "", ""),
        (12, "errors", "error", "", "gave up"),
    ]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({"least": "warning"}, [6, 12]),
        ({"category": "agents"}, [8]),
        ({"category": "events"}, [7, 9, 13]),
        ({"agent": "writer"}, [6, 8, 10]),
        ({"agent": "app.*"}, [3, 6]),
        ({"agent": "Researcher", "least": "info"}, [10]),
        ({"agent": "nobody"}, []),
    ],
)
def test_lines_are_chosen(events, wanted, numbers):
    """By level, by log, by agent or logger; all conditions must hold."""
    assert [line.number for line in select_log_lines(events, **wanted)] == numbers


def test_what_is_damaged_is_read_as_far_as_it_goes():
    """Records of other shapes are lines too."""
    odd = [
        {"event_type": "log_record", "component": "log", "metadata": {"level": 7, "message": ["x"]}},
        {"event_type": "log_record", "metadata": "text", "component_name": 3},
    ]
    lines = list(select_log_lines(enumerate(odd, 1)))
    assert [(line.level, line.source, line.message) for line in lines] == [
        ("info", "log", ""),
        ("info", "", ""),
    ]
