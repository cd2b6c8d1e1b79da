import json

import pytest

from namel3ss_debug.analysis.failures.explain import HISTORY, MOST_STEPS, explain
from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.traces.marks import Mark
from namel3ss_debug.traces.reader import open_trace

WORDS = "Where is order A-10293?"
READ = {"messages": [{"role": "user", "parts": [{"type": "text", "content": WORDS}]}]}


@pytest.fixture
def explained(recording, tmp_path):
    """What is explained of an event of the recording."""

    def explained(number):
        path = tmp_path / "trace.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in recording.events))
        document = explain(open_trace(path), number)
        json.dumps(document, allow_nan=False)
        return document

    return explained


@pytest.fixture
def shop(recording):
    """A user's words, a model, a tool that finds nothing, the model again, a tool that fails."""
    agent = recording.start("agent", "shop", 0)
    model = recording.start("llm", "gpt", 1, agent, inputs=READ)
    recording.end(
        model, 2, outputs={"tool_calls": [{"id": "c1", "name": "find", "arguments": {"id": "A-10293"}}]}
    )
    tool = recording.start("tool", "find", 3, agent, inputs={"arguments": {"id": "A-10293"}, "call_id": "c1"})
    recording.end(tool, 4, outputs={"result": []})
    said = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "[]"}]}
    model = recording.start("llm", "gpt", 5, agent, inputs={"messages": [*READ["messages"], said]})
    recording.end(
        model,
        6,
        outputs={"tool_calls": [{"id": "c2", "name": "track", "arguments": {"van": "V-1", "id": "A-10293"}}]},
    )
    tool = recording.start(
        "tool", "track", 7, agent, inputs={"arguments": {"van": "V-1", "id": "A-10293"}, "call_id": "c2"}
    )
    recording.end(
        tool, 8, status="failed", error="no van 'V-1'", error_type="ValueError", call_site="shop.py:9"
    )
    recording.end(agent, 9)
    return recording


@pytest.mark.parametrize("number", [8, 9])
def test_a_failure_is_followed_to_the_words_of_the_user(shop, explained, number):
    """By its start or its end: the model that made the value up, the empty result, who asked for that, the user."""
    found = explained(number)
    steps = [(step["number"], step["kind"]) for step in found["chain"]]
    assert steps == [(8, "itself"), (6, "wrote_argument"), (4, "empty_result"), (2, "asked_for")]
    assert (found["failed"], found["category"], found["span"]) == (True, "parameter", [8, 9])
    assert [cause["number"] for cause in found["origins"]] == [4, 6, 8]
    assert found["chain"][1]["evidence"]["value"] == "van='V-1'"
    assert found["chain"][1]["look"] == "namel3ss debug inspect --event 7"
    assert found["root"] == {"number": 2, "kind": "user", "words": WORDS}
    assert found["complete"]
    assert len(found["fingerprint"]) == 16


def test_the_origins_are_those_of_the_analysis(shop, explained, analysed):
    """Both ask the same questions of the same events."""
    (failure,) = analysed(shop.events, ["errors"])["errors"]["failures"]
    found = explained(9)
    assert found["origins"] == failure["origins"]
    assert found["fingerprint"] == failure["fingerprint"]


def test_a_model_call_comes_from_what_it_read(shop, explained):
    """The result that was new to it, then who asked for that."""
    found = explained(7)
    assert [(step["number"], step["kind"]) for step in found["chain"]][:3] == [
        (6, "itself"),
        (4, "read"),
        (2, "asked_for"),
    ]
    assert not found["failed"]
    assert found["category"] is None


def test_a_first_call_ends_at_the_words_of_the_user(recording, explained):
    """Nothing is around it."""
    model = recording.start("llm", "gpt", 1, inputs=READ)
    recording.end(model, 2, outputs={"text": "soon"})
    assert explained(1)["root"] == {"number": 1, "kind": "user", "words": WORDS}


def test_an_error_that_the_program_reported_leads_to_the_call_that_failed(shop, explained):
    """By its words."""
    shop.add("error_occurred", 10, error="no van 'V-1'", error_type="ValueError")
    found = explained(11)
    assert [step["number"] for step in found["chain"]][:2] == [11, 8] or found["origins"][0]["number"] == 4


def test_what_a_library_raised_for_a_failed_call_leads_to_that_call(recording, explained):
    """By its stack trace, where its own words say nothing of it; and what helps is what helps against that."""
    model = recording.start("llm", "gpt", 1, inputs=READ)
    recording.end(model, 2, status="failed", error="no route to host", error_type="http.ConnectError")
    trace = (
        "Traceback (most recent call last):\nhttp.ConnectError: no route to host\n\nThe above exception was the direct cause "
        "of the following exception:\n\nTraceback (most recent call last):\nsdk.APIConnectionError: Connection error."
    )
    recording.add(
        "error_occurred", 3, error="Connection error.", error_type="sdk.APIConnectionError", stack_trace=trace
    )
    found = explained(3)
    assert [(step["number"], step["kind"]) for step in found["chain"]] == [
        (3, "itself"),
        (1, "failed_inside"),
    ]
    assert found["resolution"].startswith("Try again with growing pauses")


def test_a_failure_is_not_lost_where_a_process_ends_inside_the_call(recording, explained):
    """The end of the process that a tool started is not the end of the tool."""
    tool = recording.start("tool", "fetch", 0)
    recording.add("trace_end", 1, parent_event_id=tool)
    recording.end(tool, 2, status="failed", error="gone", error_type="ValueError")
    found = explained(1)
    assert (found["failed"], found["span"]) == (True, [1, 3])


def test_an_attempt_leads_to_the_one_before(recording, explained):
    """And a value to the call that gave it."""
    give = recording.start("tool", "give", 0)
    recording.end(give, 1, outputs={"result": {"token": "T-55810"}})
    first = recording.start("http", "api", 2, inputs={"token": "T-55810"})
    recording.end(first, 3, status="failed", error="busy")
    again = recording.start(
        "http", "api", 4, inputs={"token": "T-55810"}, metadata={"retry_of": first}, retry_count=1
    )
    recording.end(again, 5)
    assert [(step["number"], step["kind"]) for step in explained(6)["chain"]] == [
        (5, "itself"),
        (3, "retry"),
        (1, "took"),
    ]


def test_a_chain_is_no_longer_than_can_be_read(recording, explained):
    """Spans inside spans inside spans."""
    parent = None
    for at in range(2 * MOST_STEPS):
        parent = recording.start("chain", "step", at, parent)
    found = explained(2 * MOST_STEPS)
    assert len(found["chain"]) == MOST_STEPS
    assert not found["complete"]


@pytest.mark.parametrize("number", range(1, 5))
def test_any_event_of_an_odd_trace_is_explained(recording, explained, number):
    """Ends without starts, events that are their own parents, and points."""
    recording.add("trace_start", 0)
    recording.add("tool_call_end", -5, component="tool", parent_event_id="lost", status="failed")
    recording.add("chain_step_start", 1, component="chain", parent_event_id="e3")
    recording.add("log_record", 2, component="log", metadata={"level": "error", "message": "odd"})
    assert explained(number)["chain"][0]["kind"] == "itself"


def test_a_call_is_told_by_what_the_model_wrote(recording, explained):
    """What a framework adds is named apart, and nothing where nothing was written."""
    model = recording.start("llm", "gpt", 1, inputs=READ)
    asked = [
        {"id": "c1", "name": "find", "arguments": {}},
        {"id": "c2", "name": "pay", "arguments": {"sum": 7}},
    ]
    recording.end(model, 2, outputs={"tool_calls": asked})
    context = {"ctx": {"$type": "agents.Context", "fields": {"user": "U-17"}}}
    for call in asked:
        given = {"arguments": context | call["arguments"], "call_id": call["id"]}
        recording.end(recording.start("tool", call["name"], 3, inputs=given), 4)
    added = "; the program added ctx.user='U-17'"
    assert explained(3)["chain"][1]["reason"] == f"asked for find(){added}"
    assert explained(5)["chain"][1]["reason"] == f"asked for pay(sum=7){added}"
    assert explained(5)["added"] == ["ctx.user='U-17'"]


def test_another_step_that_could_be_meant_is_told_once(recording, explained):
    """However many values it gave; and the words of a user in the state of a graph are a user's."""
    said = {"type": "human", "content": WORDS}
    human = {"$type": "langchain_core.messages.human.HumanMessage", "fields": said}
    state = {"messages": [human], "customer": "C-77120", "order": "A-10293"}
    for at in (0, 2):
        recording.end(recording.start("chain", f"graph {at}", at, inputs=state), at + 1, outputs=state)
    recording.start("chain", "payer", 5, inputs=state)
    found = explained(5)
    assert [(step["number"], len(step["others"])) for step in found["chain"]] == [(5, 0), (1, 0)]
    assert found["root"] == {"number": 1, "kind": "user", "words": WORDS}


def test_an_event_that_is_not_there_is_a_mistake(shop, explained):
    """The message says how many there are."""
    assert len(shop.events) < HISTORY
    with pytest.raises(UnreadableTraceError, match="11"):
        explained(11)


def test_the_type_of_an_exception_is_kept(shop, explained):
    """`KeyError: 'city'` says more than `'city'`; the step itself is named with it as well."""
    found = explained(9)
    assert (found["error_type"], found["error"]) == ("ValueError", "no van 'V-1'")
    assert found["chain"][0]["reason"] == "failed with ValueError"


def test_the_types_of_earlier_failures_are_kept(recording, explained):
    """A failure inside, and one before it, are named with their types."""
    agent = recording.start("agent", "shop", 0)
    recording.span("tool", "find", 1, 2, agent, status="failed", error="'city'", error_type="KeyError")
    recording.end(agent, 3, status="failed", error="no answer", error_type="RuntimeError")
    reasons = {row["reason"] for row in explained(1)["chain"]}
    assert "failed with KeyError inside it" in reasons


def test_an_event_that_is_marked_bad_is_explained_like_a_failure(shop, recording, tmp_path):
    """The call that only the user calls wrong leads to the model that made its argument up."""
    recording.events[-2] |= {"status": "completed", "outputs": {"result": "sent"}}
    for key in ("error", "error_type"):
        del recording.events[-2][key]
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in recording.events))
    trace = open_trace(path)
    found = explain(trace, 9, Mark("bad", "wrong van", 8))
    steps = [(step["number"], step["kind"]) for step in found["chain"]]
    assert steps[:2] == [(8, "itself"), (6, "wrote_argument")]
    assert found["chain"][0]["reason"] == "is marked bad: wrong van"
    assert (found["failed"], found["category"], found["fingerprint"]) == (False, None, None)
    for mark in (None, Mark("good", "", 8), Mark("bad", "", 3), Mark("bad")):
        assert explain(trace, 9, mark)["chain"][0]["reason"] == "is the event to explain"


def add_handled(recording, at, parent=None, **fields):
    """Add an exception that the program handled, and a warning that it logged meanwhile."""
    inside = {} if parent is None else {"parent_event_id": parent}
    metadata = {"level": "warning", "message": "no rate for today"}
    recording.add("log_record", at, component="log", call_site="rates.py:18", metadata=metadata, **inside)
    recording.add(
        "exception_handled",
        at,
        status="completed",
        error_type="ValueError",
        error="not a number: 'x'",
        call_site="rates.py:17",
        metadata={"function": "convert", "exit": "return", "until": 19},
        outputs={"result": 0},
        **inside,
        **fields,
    )


def test_handled_exceptions_and_warnings_on_the_way_are_shown(shop, explained):
    """Those in the steps of the chain and outside of all spans, not those beside it; with the step that they were in."""
    other = shop.start("tool", "other", 9.1)
    add_handled(shop, 9.2, other)
    shop.end(other, 9.3)
    tool = shop.start("tool", "convert", 9.4, inputs={"arguments": {"amount": "x"}})
    add_handled(shop, 9.5, tool)
    add_handled(shop, 9.6)
    shop.end(tool, 9.7, outputs={"result": 0})
    found = explained(20)
    assert [(sign["number"], sign["event_type"], sign["call_site"]) for sign in found["signs"]] == [
        (16, "log_record", "rates.py:18"),
        (17, "exception_handled", "rates.py:17"),
        (18, "log_record", "rates.py:18"),
        (19, "exception_handled", "rates.py:17"),
    ]
    assert found["signs"][0]["what"] == "logged warning: no rate for today"
    assert found["signs"][1]["what"] == "convert handled ValueError: not a number: 'x' and returned 0"
    assert found["chain"][0]["reason"] == "is the event to explain; ValueError had been handled in it at 17"


def test_a_handled_exception_is_explained_by_what_it_was_in(shop, explained):
    """It is no failure, and it is not among the signs beside it."""
    tool = shop.start("tool", "convert", 9.4, inputs={"arguments": {"amount": "x"}})
    add_handled(shop, 9.5, tool)
    shop.end(tool, 9.7, outputs={"result": 0})
    found = explained(13)
    assert not found["failed"]
    assert found["chain"][0]["reason"] == "convert handled ValueError: not a number: 'x' and returned 0"
    assert (found["chain"][1]["number"], found["chain"][1]["kind"]) == (11, "inside")
    assert [sign["number"] for sign in found["signs"]] == [12]


def test_a_context_overflow_is_explained_by_what_filled_it(recording, explained):
    """The largest messages with the calls that they come from, and the size of the first call of the conversation."""

    def ask(at, *messages, **end):
        call = recording.start("llm", "gpt", at, inputs={"messages": [*READ["messages"], *messages]})
        recording.end(call, at + 1, **end)

    def result(call_id, size):
        recording_at = len(recording.events)
        tool = recording.start("tool", "read_log", recording_at, inputs={"arguments": {}, "call_id": call_id})
        recording.end(tool, recording_at + 1, outputs={"result": "x" * size})
        response = {"type": "tool_call_response", "id": call_id, "response": "x" * size}
        return {"role": "tool", "parts": [response]}

    ask(0, outputs={"tool_calls": [{"id": "a", "name": "read_log", "arguments": {}}]})
    small = result("a", 50)
    ask(10, small, outputs={"tool_calls": [{"id": "b", "name": "read_log", "arguments": {}}]})
    large = result("b", 5000)
    ask(20, small, large, status="failed", error="maximum context length exceeded", error_type="BadRequest")
    found = explained(9)
    assert found["category"] == "context_overflow"
    context = found["context"]
    assert (context["messages"], context["characters"]) == (3, len(WORDS) + 5050)
    assert [(each["message"], each["number"], each["component_name"]) for each in context["largest"]] == [
        (3, 7, "read_log"),
        (2, 3, "read_log"),
        (1, None, None),
    ]
    assert context["largest"][0]["share"] == 0.986
    assert context["calls_before"] == 2
    assert context["first_call"] == {"number": 1, "characters": len(WORDS), "messages": 1}
    assert explained(5)["context"] is None
