"""One event on one line."""

from namel3ss_debug.views.events import RunningLines, event_line, recorded_lines


def styles_of(text, part):
    """The styles that lie on a part of a text, the base style included."""
    start = text.plain.index(part)
    covering = [str(span.style) for span in text.spans if span.start <= start < span.end]
    return {style for style in [str(text.style), *covering] if style}


def test_each_part_of_a_line_has_a_style_of_its_own():
    """The number is dim, the type has the colour of its component, the error is red; nothing is all three."""
    event = {
        "event_type": "tool_call_end",
        "component": "tool",
        "component_name": "search",
        "status": "failed",
        "error": "down",
        "duration_ms": 5.0,
    }
    shown = event_line(7, event, width=80)
    assert shown.plain == "    7          tool_call_end search  failed  5.00 ms  down"
    assert styles_of(shown, "7") == {"dim"}
    assert styles_of(shown, "tool_call_end") == {"green"}
    assert styles_of(shown, "search") == {"bold"}
    assert styles_of(shown, "5.00 ms") == set()
    assert styles_of(shown, "down") == {"red"}


def test_one_token_is_one_token():
    """As a model is given that embeds a word."""
    event = {"event_type": "llm_call_end", "component": "llm", "component_name": "e", "status": "completed"}
    assert event_line(1, event | {"tokens_used": 1}, width=80).plain.endswith("1 token")
    assert event_line(1, event | {"tokens_used": 2}, width=80).plain.endswith("2 tokens")


def test_a_long_number_and_a_late_time_stand_apart():
    """However wide they are, there is a space between them."""
    event = {"event_type": "decision", "timestamp": 351.5}
    assert event_line(123456, event, width=80, started_at=1.0).plain == "123456 +350.500  decision"
    assert event_line(5, event, width=80, started_at=350.0).plain == "    5  +1.500  decision"


def test_what_was_recorded_is_told_beside_a_fault():
    """A call that is made to fail was recorded with its result, and that is what the second line shows."""
    event = {
        "event_type": "tool_call_end",
        "component": "tool",
        "status": "timeout",
        "error": "timed out",
        "error_type": "TimeoutError",
        "metadata": {"mocked": True, "recorded": {"status": "completed", "outputs": {"result": 5}}},
    }
    (row,) = recorded_lines(event, 80)
    assert row.plain == "               recorded  5"
    assert list(recorded_lines(event | {"metadata": {}}, 80)) == []


def test_a_mock_that_a_call_could_not_be_given_says_why():
    """In lines of their own, within the screen."""
    problem = "search.result.x: the answer has no such member; there are found, pages"
    event = {"event_type": "tool_call_end", "metadata": {"mock_problem": problem}}
    assert [row.plain for row in recorded_lines(event, 60)] == [
        "               not mocked  search.result.x: the answer has",
        "                           no such member; there are found,",
        "                           pages",
    ]


def test_lines_move_with_the_open_spans():
    """What happens inside a span stands further to the right; its end stands where it began."""
    running = RunningLines(80)
    events = [
        {"event_type": "agent_execution_start", "component": "agent", "event_id": "1", "timestamp": 5.0},
        {
            "event_type": "tool_call_start",
            "component": "tool",
            "event_id": "2",
            "parent_event_id": "1",
            "timestamp": 5.5,
        },
        {
            "event_type": "tool_call_end",
            "component": "tool",
            "event_id": "3",
            "parent_event_id": "2",
            "timestamp": 6.0,
        },
        {
            "event_type": "agent_execution_end",
            "component": "agent",
            "event_id": "4",
            "parent_event_id": "1",
            "timestamp": 6.0,
        },
    ]
    assert [running.line(number, event).plain for number, event in enumerate(events, 1)] == [
        "    1  +0.000  agent_execution_start",
        "    2  +0.500    tool_call_start",
        "    3  +1.000    tool_call_end",
        "    4  +1.000  agent_execution_end",
    ]


def test_a_process_that_ends_inside_a_span_does_not_move_what_follows():
    """It stands inside the span, and the span's own end where that began."""
    running = RunningLines(80)
    events = [
        {"event_type": "tool_call_start", "component": "tool", "event_id": "1", "timestamp": 5.0},
        {"event_type": "trace_end", "event_id": "p1.2", "parent_event_id": "1", "timestamp": 5.5},
        {"event_type": "log_record", "event_id": "2", "parent_event_id": "1", "timestamp": 6.0},
        {
            "event_type": "tool_call_end",
            "component": "tool",
            "event_id": "3",
            "parent_event_id": "1",
            "timestamp": 6.0,
        },
    ]
    assert [running.line(number, event).plain for number, event in enumerate(events, 1)] == [
        "    1  +0.000  tool_call_start",
        "    2  +0.500    trace_end",
        "    3  +1.000    log_record",
        "    4  +1.000  tool_call_end",
    ]
