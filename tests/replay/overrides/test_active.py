"""Answers and faults in force, which call gets which, and those of the settings."""

from __future__ import annotations

import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.config import load_configuration
from namel3ss_debug.errors import MockError, SettingError
from namel3ss_debug.replay.debugger.locations import count_contents, find_occurrence
from namel3ss_debug.replay.overrides.active import Overrides, load_overrides
from namel3ss_debug.replay.overrides.faults import parse_fault
from namel3ss_debug.replay.overrides.mocks import parse_mock


@pytest.fixture
def mocks(support):
    """No mocks yet, for the support agent's recording."""
    known = count_contents(support)
    return Overrides(lambda: known, lambda place: find_occurrence(place, support))


def shown(mocks, events, number):
    """An event of a recording as it is shown."""
    event = events[number - 1]
    starts = {each["event_id"]: (place, each) for place, each in enumerate(events, 1)}
    return mocks.apply(number, event, starts.get(event.get("parent_event_id")))


def mocked(mocks, events):
    """The numbers of the events that are shown with a mock's answer, and those answers."""
    numbers = range(1, len(events) + 1)
    found = {number: shown(mocks, events, number) for number in numbers}
    return {number: event["outputs"] for number, event in found.items() if event is not events[number - 1]}


# --- which call gets which answer


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("search:1", [7, 9]),
        ("SEARCH:1", [7, 9]),
        ("sea*:1", [7, 9]),
        ("search@2:1", [9]),
        ("tool:search@1:1", [7]),
        ("tool:1", [7, 9]),
        ("tool@2:1", [9]),
        ('llm:"yes"', [4, 12, 15]),
        ('llm:2:"yes"', [12]),
        ('gpt-4o@2:"yes"', [15]),
        ("agent:Support:1", [16]),
        ('"Support":1', [16]),
    ],
)
def test_a_mock_is_for_the_calls_of_its_name(mocks, support, text, numbers):
    """The same calls that a breakpoint of the same name stops at."""
    mocks.add(parse_mock(text))
    assert list(mocked(mocks, support)) == numbers
    starts = {event["event_id"]: number for number, event in enumerate(support, 1)}
    answering = [number for number, event in enumerate(support, 1) if mocks.mock_for(number, event)]
    assert answering == [starts[support[number - 1]["parent_event_id"]] for number in numbers]


def test_the_shown_end_is_marked_and_holds_what_was_recorded(mocks, support):
    """A failure is none any more; what the recording holds is not touched."""
    before = json.dumps(support)
    mocks.add(parse_mock('search@1:["14 days"]'))
    event = shown(mocks, support, 7)
    assert event["outputs"] == {"result": ["14 days"]}
    assert event["status"] == "completed"
    assert "error" not in event
    assert event["duration_ms"] == 900.0
    assert event["metadata"] == {"mocked": True, "recorded": {"status": "failed", "error": "Read timed out"}}
    assert json.dumps(support) == before


def test_one_call_goes_before_all_and_the_latest_before_the_earlier(mocks, support):
    """In whatever order they were given."""
    for text in ('gpt-4o@2:"second"', 'llm:"any"', 'llm:gpt-4o:"4o"'):
        mocks.add(parse_mock(text))
    answered = {number: outputs["text"] for number, outputs in mocked(mocks, support).items()}
    assert answered == {4: "4o", 12: "any", 15: "second"}


def test_a_mock_takes_the_place_of_one_for_the_same_calls(mocks, support):
    """Quotes and upper case make no other name of it."""
    for text in ("search:1", "search@2:2", '"Search":3'):
        mocks.add(parse_mock(text))
    assert [(row.name, row.nth, row.answer) for row in mocks.rows()] == [
        ("search", 2, 2),
        ('"Search"', None, 3),
    ]
    assert mocked(mocks, support) == {7: {"result": 3}, 9: {"result": 2}}


def test_mocks_are_taken_away_by_name(mocks):
    """A name takes away all of its mocks, `NAME@N` the one of that call, nothing takes all."""
    for text in ("search:1", "search@2:2", 'llm:"yes"', "tool:search:3"):
        mocks.add(parse_mock(text))
    assert [mocks.remove(name) for name in ("search@1", "search@2", "nothing", "search")] == [0, 1, 0, 1]
    assert [row.name for row in mocks.rows()] == ["llm", "tool:search"]
    assert mocks.remove() == 2
    assert len(mocks) == 0


def test_only_the_end_of_a_call_is_changed(mocks, support):
    """Not its start, not what happened inside, and no end whose start is not there."""
    mocks.add(parse_mock("search:1"))
    assert all(shown(mocks, support, number) is support[number - 1] for number in (5, 6, 8, 10))
    assert mocks.apply(7, support[6], None) is support[6]
    assert mocks.mock_for(7, support[6]) is None


def test_metadata_of_another_shape_is_no_trouble(mocks, support):
    """A foreign recording may hold anything there."""
    mocks.add(parse_mock("search:1"))
    odd = support[8] | {"metadata": ["odd"]}
    assert mocks.apply(9, odd, (8, support[7]))["metadata"]["mocked"] is True


@pytest.mark.parametrize(
    "text", ["serch:1", "search@3:1", 'llm:{"txt": "yes"}', "llm:7", "gpt-4o:[1]", "log:1"]
)
def test_a_refused_mock_leaves_the_others_in_force(mocks, support, text):
    """Nothing is half done."""
    mocks.add(parse_mock("search:1"))
    with pytest.raises(MockError):
        mocks.add(parse_mock(text))
    assert list(mocked(mocks, support)) == [7, 9]


# --- while the program runs


def test_a_running_program_may_make_any_call(support):
    """Nothing is known yet: a name is taken as it is, and the N-th call is found when it is there."""
    so_far = []
    mocks = Overrides(lambda: None, lambda place: find_occurrence(place, so_far))
    for text in ("search@2:2", 'never:"called"', 'llm@3:"three"'):
        mocks.add(parse_mock(text))
    answered = {}
    for number, event in enumerate(support, 1):
        so_far.append(event)
        found = mocks.mock_for(number, event)
        if found is not None:
            answered[number] = found.outputs(number, event)
    assert answered == {8: {"result": 2}, 14: {"text": "three", "tool_calls": []}}


def test_a_models_answer_is_looked_at_when_it_is_asked_for(support):
    """A bare name may be a tool's; only the call tells, and a walk then shows what was recorded, and why."""
    mocks = Overrides(lambda: None, lambda place: find_occurrence(place, support))
    mocks.add(parse_mock("gpt-4o:7"))
    with pytest.raises(MockError, match="gpt-4o: a model's answer is a text"):
        mocks.mock_for(3, support[2]).outputs(3, support[2])
    event = shown(mocks, support, 4)
    assert event["metadata"].pop("mock_problem").startswith("gpt-4o: a model's answer is a text")
    assert event == support[3] | {"metadata": {}}
    with pytest.raises(MockError, match="llm: a model's answer is a text"):
        mocks.add(parse_mock("llm:7"))


# --- faults beside answers


@pytest.mark.parametrize(
    ("texts", "shown_as"),
    [
        (["search:timeout"], {7: "timeout", 9: "timeout"}),
        (["search@2:timeout"], {9: "timeout"}),
        (["llm:truncate", "gpt-4o@2:status:429"], {4: "truncate", 12: "truncate", 15: "status:429"}),
        (["*:status:500"], {4: "status:500", 12: "status:500", 15: "status:500"}),
        (["search:latency:1s", "SEARCH:error:KeyError:x"], {7: "error:KeyError:x", 9: "error:KeyError:x"}),
    ],
)
def test_a_fault_is_for_the_calls_of_its_name(mocks, support, texts, shown_as):
    """One for a call goes before one for every call, and it is passed over where a call cannot go wrong so."""
    for text in texts:
        mocks.add(parse_fault(text))
    found = {n: shown(mocks, support, n)["metadata"]["fault"] for n in mocked_ends(mocks, support)}
    assert found == shown_as


def mocked_ends(mocks, events):
    """The numbers of the events that are shown otherwise than recorded."""
    return [n for n, event in enumerate(events, 1) if shown(mocks, events, n) is not event]


def test_a_fault_goes_before_an_answer_unless_that_is_for_the_call_alone(mocks, support):
    """Latency and truncation come to the answer."""
    mocks.add(parse_mock('search:"abcd"'))
    mocks.add(parse_mock('search@2:"wxyz"'))
    mocks.add(parse_fault("search:timeout"))
    assert [shown(mocks, support, n)["status"] for n in (7, 9)] == ["timeout", "completed"]
    mocks.add(parse_fault("search@2:error:KeyError:x"))
    assert shown(mocks, support, 9)["error_type"] == "KeyError"
    assert mocks.remove("search@2") == 2
    mocks.add(parse_fault("search:truncate"))
    event = shown(mocks, support, 9)
    assert event["outputs"] == {"result": "ab"}
    assert event["metadata"]["recorded"] == {"outputs": {"result": "30 days"}}
    mocks.add(parse_fault("search:latency:1s"))
    event = shown(mocks, support, 9)
    assert (event["outputs"], event["duration_ms"]) == ({"result": "abcd"}, 1040.0)
    assert event["metadata"]["recorded"] == {"outputs": {"result": "30 days"}, "duration_ms": 40.0}


def test_an_answer_for_the_call_alone_is_cut_by_a_fault_for_every_call(mocks, support):
    """Such a fault stands in place of no answer."""
    mocks.add(parse_mock('search@2:"wxyz"'))
    mocks.add(parse_fault("search:truncate"))
    assert shown(mocks, support, 9)["outputs"] == {"result": "wx"}


def test_faults_and_changes_are_listed_and_taken_away_with_the_answers(mocks):
    """By the name, and all of them."""
    for text in ("search:1", "search@2.result.a=1", "search@2.result.b=2"):
        mocks.add(parse_mock(text))
    mocks.add(parse_fault("search@2:timeout"))
    mocks.add(parse_fault("llm:status:429"))
    assert [tuple(row) for row in mocks.rows()] == [
        ("search", None, 1),
        ("search", 2, {"result.a": 1, "result.b": 2}),
        ("search", 2, {"fault": "timeout"}),
        ("llm", None, {"fault": "status:429"}),
    ]
    assert [fault.kind for fault in mocks.faults] == ["timeout", "status"]
    assert [mocks.remove("search@2"), len(mocks), mocks.remove(), len(mocks)] == [2, 2, 2, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("serch:timeout", "serch: the trace has no such call; did you mean 'search'?"),
        ("search@3:timeout", "search@3: the trace has only 2 calls of it"),
        ("search:status:429", "only a model's call or an HTTP exchange has a status"),
        ("gpt-4o:error:ValueError:x", "a model's call fails by an error of its API"),
    ],
)
def test_a_refused_fault_leaves_the_others_in_force(mocks, text, message):
    """Nothing is half done."""
    mocks.add(parse_fault("search:timeout"))
    with pytest.raises(MockError) as caught:
        mocks.add(parse_fault(text))
    assert message in str(caught.value)
    assert [fault.kind for fault in mocks.faults] == ["timeout"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search.text=no", "search: only a model's answer has this; for a tool write search.result=VALUE"),
        ("gpt-4o.result=no", "gpt-4o: a model's answer has no result; it is a text, or an object"),
    ],
)
def test_a_member_that_such_calls_do_not_have_is_refused(mocks, text, message):
    """As soon as it is known whose answer it is."""
    with pytest.raises(MockError) as caught:
        mocks.add(parse_mock(text))
    assert str(caught.value).startswith(message)


def test_an_answer_that_cannot_be_changed_so_is_shown_as_it_was_recorded(mocks, support):
    """And why: the first search failed and has no result, the second found a text."""
    mocks.add(parse_mock("search.result.temp_c=-30"))
    mocks.add(parse_fault("search@1:truncate"))
    why = {n: shown(mocks, support, n)["metadata"]["mock_problem"] for n in (7, 9)}
    assert why[7].startswith(
        "search.result.temp_c: there is no recorded answer to change; give the whole answer"
    )
    assert why[9] == "search.result.temp_c: the answer has no such member; result is a text"
    assert "mocked" not in shown(mocks, support, 9)["metadata"]


def test_in_a_running_program_a_fault_is_found_when_its_call_is_there(support):
    """As an answer is."""
    so_far = []
    mocks = Overrides(lambda: None, lambda place: find_occurrence(place, so_far))
    mocks.add(parse_fault("search@2:timeout"))
    mocks.add(parse_fault("gpt-4o:status:429"))
    found = {}
    for number, event in enumerate(support, 1):
        so_far.append(event)
        fault = mocks.fault_for(number, event)
        if fault is not None:
            found[number] = fault.kind
            assert mocks.mock_for(number, event) is None
            assert mocks.has_for(number, event)
    assert found == {3: "status", 8: "timeout", 14: "status"}


odd_names = st.sampled_from(
    [
        "text",
        "tool_calls",
        "result",
        "format",
        "params",
        "stream",
        "body",
        "exchange",
        "recorded",
        "$type",
        "fields",
    ]
)
odd_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(odd_names | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=10,
)
odd_events = st.dictionaries(
    st.sampled_from(
        ["status", "outputs", "inputs", "metadata", "duration_ms", "component", "component_name"]
    ),
    odd_values,
)


@given(
    st.sampled_from(["llm", "tool", "http", "agent"]),
    odd_events,
    odd_events,
    st.sampled_from(["x.result.text=1", "x.finish_reason=length", 'x:"a"', "x.text=hi", "x.tool_calls[0].name=f", "x:timeout",
                     "x:truncate", "x:latency:1s", "x:status:429", "x:error:KeyError:k", "x:error:server_error"]),
)  # fmt: skip
def test_whatever_a_recording_holds_is_shown(component, start, end, text):
    """A law: an answer or a fault is given, or why not is said; nothing is raised, and the recording is not touched."""
    start = {"component_name": "x", "component": component, **start, "event_type": "x_start", "event_id": "1"}
    end = {
        "component_name": "x",
        "component": component,
        **end,
        "event_type": "x_end",
        "parent_event_id": "1",
    }
    mocks = Overrides(lambda: None, lambda _place: None)
    is_fault = text.startswith("x:") and text[2] != '"'
    mocks.add(parse_fault(text) if is_fault else parse_mock(text))
    before = copy.deepcopy((start, end))
    event = mocks.apply(2, end, (1, start))
    assert repr((start, end)) == repr(before)
    if event is not end:
        assert ("mock_problem" in event["metadata"]) or ("mocked" in event["metadata"])
    for what in (mocks.mock_for(1, start), mocks.fault_for(1, start)):
        with contextlib.suppress(MockError):
            assert what is None or isinstance(what.outputs(1, start), dict)


# --- of the settings


def test_the_settings_come_before_what_is_given(tmp_path, support):
    """What is given goes before them; what a recording has no call for is passed over, in the settings alone."""
    (tmp_path / ".namel3ss").mkdir()
    (tmp_path / "answer.json").write_text('"of the file"')
    settings = {"mocks": ["search:@answer.json", "never:1", "llm.text=a, b"], "faults": ["never:timeout"]}
    (tmp_path / ".namel3ss" / "debug.json").write_text(json.dumps(settings))
    deep = tmp_path / "deep"
    deep.mkdir()
    configured = load_overrides(load_configuration(deep, {}), ["search@2:2"], ["gpt-4o:latency:1s"])
    known = count_contents(support)
    mocks = Overrides(lambda: known, lambda place: find_occurrence(place, support))
    assert [mocks.add(each) for each in configured] == [True, False, True, False, True, True]
    assert [tuple(row) for row in mocks.rows()] == [
        ("search", None, "of the file"),
        ("llm", None, {"text": "a, b"}),
        ("search", 2, 2),
        ("gpt-4o", None, {"fault": "latency:1s"}),
    ]
    with pytest.raises(MockError, match="never: the trace has no such call"):
        mocks.add(parse_fault("never:timeout"))


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("mocks", "search:not json", "mocks: search:not json: not JSON at column 8"),
        ("faults", "search:timout", "faults: search:timout: unknown fault 'timout'; did you mean 'timeout'?; allowed is a list of NAME:FAULT"),
    ],
)  # fmt: skip
def test_a_setting_that_does_not_parse_is_named_with_its_place(tmp_path, key, text, message):
    """The message tells the file or the variable, the key, what was found and what is allowed."""
    (tmp_path / ".namel3ss").mkdir()
    file = tmp_path / ".namel3ss" / "debug.json"
    file.write_text(json.dumps({key: [text]}))
    variable = f"NAMEL3SS_DEBUG_{key.upper()}"
    for where, environ in ((str(file), {}), (variable, {variable: text})):
        with pytest.raises(SettingError) as caught:
            load_overrides(load_configuration(tmp_path, environ))
        assert str(caught.value).startswith(f"{where}: {message}")
        assert "\n" not in str(caught.value)


def test_in_the_environment_stands_one_answer_or_a_list(tmp_path):
    """A list as JSON, because an answer may hold commas."""
    for value, names in (('search:{"a": 1, "b": 2}', ["search"]), ('["a:1", "b.text=x"]', ["a", "b"])):
        loaded = load_configuration(tmp_path, {"NAMEL3SS_DEBUG_MOCKS": value})
        assert [each.name for each in load_overrides(loaded)] == names
