import pytest

from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.inspection.activity import read_activity


def told(story):
    """Number, depth and what kind of step each is."""
    kinds = (
        (step.number, step.depth, "end" if step.closing else step.event["event_type"]) for step in story.steps
    )
    return list(kinds)


def test_what_an_agent_did_is_in_the_order_of_the_events(run):
    """Its span begins and ends; what ran inside is one step each, with what came of it."""
    story = read_activity(run, "researcher")
    assert told(story) == [
        (2, 0, "agent_execution_start"),
        (4, 1, "llm_call_start"),
        (5, 1, "tool_call_start"),
        (6, 2, "log_record"),
        (9, 1, "end"),
        (11, 1, "error_occurred"),
        (12, 0, "end"),
    ]
    assert (story.names, story.components, story.spans, story.total) == (["Researcher"], ["agent"], 1, 7)
    assert [step.end_number for step in story.steps] == [12, 7, 9, None, 9, None, 12]
    assert [step.number for step in story.steps if step.failed] == [9, 11]
    assert story.calls == {("llm", "gpt-4o"): [1, 0], ("tool", "search"): [1, 1]}


def test_a_name_is_found_in_upper_and_lower_case_and_by_a_pattern(run):
    """Both tools are meant, and each says who called it."""
    for name in ("SEARCH", "sea*"):
        story = read_activity(run, name)
        assert [(step.number, step.caller) for step in story.steps if not step.closing and step.is_span] == [
            (5, "Researcher"),
            (8, "Writer"),
        ]
        assert story.names == ["Search", "search"]


def test_a_component_is_meant_where_nothing_has_the_name(run):
    """All models, the open one as well."""
    story = read_activity(run, "llm")
    assert [(step.number, step.end_number) for step in story.steps] == [(4, 7), (13, None)]
    assert story.names == ["gpt-4o", "gpt-4o-mini"]


@pytest.mark.parametrize(
    ("name", "hint"), [("resercher", "did you mean Researcher?"), ("zzz", "there are gpt-4o, Researcher")]
)
def test_a_name_that_is_not_there_is_a_mistake_of_the_user(run, name, hint):
    """The nearest is suggested, or those there are."""
    with pytest.raises(WrongUsageError, match="nothing in this trace is called") as raised:
        read_activity(run, name)
    assert hint.split()[-1] in str(raised.value)


def test_a_long_story_is_bounded(run):
    """The first steps are kept with their ends, the others are counted."""
    story = read_activity(run, "Researcher", limit=2)
    assert told(story) == [(2, 0, "agent_execution_start"), (4, 1, "llm_call_start")]
    assert (story.total, story.steps[0].end_number, story.failures) == (7, 12, 1)


def test_a_child_process_belongs_to_the_span_that_started_it(recording, written_events):
    """What runs there is inside, at the depth of that span."""
    agent = recording.start("agent", "Boss")
    process = recording.event("trace_start", agent, component="app", metadata={"process": 1})
    tool = recording.start("tool", "remote", process)
    recording.end(tool)
    recording.end(agent)
    assert told(read_activity(written_events(recording), "boss")) == [
        (1, 0, "agent_execution_start"),
        (3, 1, "tool_call_start"),
        (5, 0, "end"),
    ]


def test_messages_from_and_to_an_agent_are_part_of_its_story(recording, written_events):
    """Whoever wrote them down, and wherever they happened."""
    recording.event("agent_message", component="agent", component_name="Bus", inputs={"from": "A", "to": "B"})
    recording.event("agent_message", component="agent", component_name="Bus", metadata={"sender": "B"})
    recording.event(
        "agent_message", component="agent", component_name="Bus", outputs={"from": 7, "to": ["B"]}
    )
    trace = written_events(recording)
    assert [step.number for step in read_activity(trace, "a").steps] == [1]
    assert [step.number for step in read_activity(trace, "b").steps] == [1, 2]


def test_an_end_whose_start_is_lost_is_told(recording, written_events):
    """It is all that is left of the span."""
    recording.event(
        "tool_call_end", "gone", component="tool", component_name="search", status="failed", error="late"
    )
    story = read_activity(written_events(recording), "search")
    assert [(step.number, step.end_number, step.failed) for step in story.steps] == [(1, 1, True)]


def test_a_span_inside_a_span_of_the_same_name(recording, written_events):
    """An agent that runs itself is two spans, one inside the other."""
    outer = recording.start("agent", "Boss")
    inner = recording.start("agent", "Boss", outer)
    recording.end(inner)
    recording.end(outer)
    story = read_activity(written_events(recording), "boss")
    assert told(story) == [
        (1, 0, "agent_execution_start"),
        (2, 1, "agent_execution_start"),
        (4, 0, "end"),
    ]
    assert story.spans == 2


def test_a_command_of_a_library_is_no_step(recording, written_events):
    """It is left out of a pattern and of its component, and shown to a user who gives its very name."""
    recording.end(recording.start("command", "uname", metadata={"background": True}))
    recording.end(recording.start("command", "git"))
    trace = written_events(recording)
    for name in ("*", "command"):
        assert read_activity(trace, name).names == ["git"]
    assert read_activity(trace, "UNAME").names == ["uname"]
    with pytest.raises(WrongUsageError, match=r"there are git$"):
        read_activity(trace, "zzz")
