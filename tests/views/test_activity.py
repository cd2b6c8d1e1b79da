from namel3ss_debug.inspection.activity import Activity, ActivityStep
from namel3ss_debug.views.activity import describe_action, describe_activity, describe_outcome, to_json
from namel3ss_debug.views.renderers.markdown import markdown
from namel3ss_debug.views.renderers.screen import lines


def event(kind, component, name, **fields):
    """An event of a span."""
    return {"event_type": kind, "component": component, "component_name": name, "timestamp": 5.5} | fields


def step(component, name, *, given=None, end=None, **fields):
    """A span that has ended, as a step."""
    begun = event(f"{component}_call_start", component, name, inputs={"arguments": given} if given else {})
    return ActivityStep(
        2, begun, fields.pop("depth", 1), fields.pop("own", False), end=end, end_number=3, **fields
    )


def test_sentences_say_what_was_done_and_what_came_of_it():
    """Models are asked, tools are called; what failed, and what never ended, says so."""
    answer = {"status": "completed", "outputs": {"text": "Later."}}
    failure = {"status": "failed", "error": "no route", "error_type": "ConnectError"}
    asked, called = step("llm", "gpt-4o", end=answer), step("tool", "search", end=failure)
    assert (describe_action(asked), describe_outcome(asked)) == ("asks gpt-4o", "answers: Later.")
    assert (describe_action(called), describe_outcome(called)) == (
        "calls search",
        "fails: ConnectError: no route",
    )
    late = step("tool", "search", end={"status": "timeout"}, own=True, caller="Desk")
    assert (describe_action(late), describe_outcome(late)) == ("search is called by Desk", "timeout")
    assert describe_outcome(step("tool", "search")) == "never ended"
    assert describe_outcome(step("tool", "search", end={"status": "completed"})) == "done"
    told = event("agent_message", "agent", "Bus", inputs={"from": "A", "to": "B", "text": "Hello"})
    assert describe_action(ActivityStep(1, told, 0, own=True)) == "message from A to B"
    bare = event("agent_message", "agent", "Desk", inputs={"to": "B", "text": "Hello"})
    assert describe_action(ActivityStep(1, bare, 0, own=True)) == "message from Desk to B"
    assert (
        describe_action(ActivityStep(1, event("state_change", "agent", "Desk"), 0, own=True))
        == "Desk: state change"
    )


def an_activity():
    """An agent that calls a tool, which fails."""
    begun = event("agent_execution_start", "agent", "Desk", inputs={"question": "Where?"})
    end = {"status": "failed", "error": "gave up", "duration_ms": 40.0, "timestamp": 6.0}
    ended = event("agent_execution_end", "agent", "Desk", **end)
    steps = [
        ActivityStep(1, begun, 0, own=True, opening=True, end=ended, end_number=4),
        step(
            "tool",
            "look\x1b[31m",
            given={"order": 7},
            end={"status": "failed", "error": "[red]no", "duration_ms": 30.0},
        ),
        ActivityStep(4, ended, 0, own=True, closing=True, end=ended, end_number=4),
    ]
    calls = {("tool", "look"): [1, 1]}
    return Activity(["Desk"], ["agent"], steps, total=9, spans=1, failures=2, calls=calls, began_at=5.0)


def test_the_report_within_80_columns():
    """A row for what was done, and one for what came of it; what is left out is counted."""
    assert [line.plain for line in lines(describe_activity(an_activity()), 80)] == [
        "Activity of Desk  agent; 1 span, 9 steps, 2 failures",
        "  calls  look 1 (1 failed)",
        "",
        "  n   at s     took  activity",
        '  1  0.500           Desk begins: {"question": "Where?"}',
        '  2  0.500             calls look^[[31m: {"order": 7}',
        "            30.0 ms      fails: [red]no",
        "  4  1.000  40.0 ms  Desk fails: gave up",
        "  … 6 more; --limit 0 shows all",
    ]
    assert "\\[red\\]no" in "\n".join(markdown(describe_activity(an_activity())))


def test_the_document_has_each_step_with_its_events():
    """Numbers, times from the beginning, what was given and what came of it."""
    made = to_json(an_activity())
    assert (made["steps_total"], made["steps_left_out"], made["failures"]) == (9, 6, 2)
    assert made["calls"] == [{"component": "tool", "component_name": "look", "count": 1, "failed": 1}]
    first, second, last = made["steps"]
    assert (first["at_ms"], first["end_number"], first["outcome"], first["failed"]) == (500.0, 4, None, False)
    assert (second["inputs"], second["outcome"]) == ('{"order": 7}', "fails: [red]no")
    assert (last["did"], last["outcome"], last["failed"]) == ("Desk ends", "fails: gave up", True)
