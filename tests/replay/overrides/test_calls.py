"""Which calls a name means."""

from __future__ import annotations

import pytest

from namel3ss_debug.errors import MockError
from namel3ss_debug.replay.debugger.locations import count_contents
from namel3ss_debug.replay.overrides.grammar import find_calls, name_key, parse_name


def entered(calls, events):
    """The numbers of the events with which the calls begin."""
    return [number for number, event in enumerate(events, 1) if calls.location.enters(event)]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("search", ("search", None)),
        (" search @2 ", ("search", 2)),
        ("llm:2", ("llm", 2)),
        ("llm:gpt-4o", ("llm:gpt-4o", None)),
        ("llm:gpt-4o@12", ("llm:gpt-4o", 12)),
        ('tool:"a@1"', ('tool:"a@1"', None)),
        ("me@home", ("me@home", None)),
    ],
)
def test_a_name_may_say_which_call(text, parsed):
    """`@N` counts from 1; a component may be counted behind a colon, as in a place."""
    assert parse_name(text) == parsed


@pytest.mark.parametrize(
    ("name", "numbers", "of_model"),
    [
        ("search", [5, 8], False),
        ("tool", [5, 8], False),
        ("tool:*", [5, 8], False),
        ("llm", [3, 11, 14], True),
        ("llm:gpt-4o", [3, 14], True),
        ("GPT-4o", [3, 14], True),
        ("*", [2, 3, 5, 8, 11, 14], True),
        ("agent:Support", [2], False),
    ],
)
def test_a_name_means_calls_of_the_recording(support, name, numbers, of_model):
    """And whether a model is among those who answer."""
    calls = find_calls(name, None, count_contents(support))
    assert [number for number in entered(calls, support) if number != 6] == numbers
    assert calls.of_model is of_model


@pytest.mark.parametrize(
    ("name", "nth", "message"),
    [
        ("serch", None, "serch: the trace has no such call; did you mean 'search'?"),
        ("tool:serch", None, "tool:serch: the trace has no such call; did you mean 'search'?"),
        ("tool:x", None, "tool:x: the trace has no such call; there are search"),
        ("tol", None, "tol: the trace has no such call; did you mean 'tool'?"),
        ("chain", None, "chain: the trace has no such call"),
        ("app.search", None, "app.search: the trace has no such call"),
        ("log", None, "log: the trace has no such call"),
        ("search", 3, "search@3: the trace has only 2 calls of it"),
        ("gpt-4o-mini", 2, "gpt-4o-mini@2: the trace has only 1 call of it"),
        ("a, b if c", None, "a, b if c: the trace has no such call"),
    ],
)
def test_calls_that_are_not_there_are_refused(support, name, nth, message):
    """In one line with the nearest name; a log record is no call."""
    with pytest.raises(MockError) as caught:
        find_calls(name, nth, count_contents(support))
    assert str(caught.value).startswith(message)


def test_a_component_of_the_users_own_has_calls(support):
    """Where it has spans; a name that is also a mark of places is quoted."""
    spans = [
        {
            "event_type": "retriever_start",
            "event_id": "a",
            "component": "retriever",
            "component_name": "error",
        },
        {"event_type": "retriever_end", "event_id": "b", "parent_event_id": "a", "component": "retriever"},
    ]
    events = [*support, *spans]
    known = count_contents(events)
    for name in ("retriever", "retriever:error", '"error"', 'retriever:"error"'):
        assert entered(find_calls(name, None, known), events) == [17]
    assert find_calls("retriever", 1, known).location.occurrence == 1


def test_every_name_is_taken_while_nothing_is_known():
    """A program that runs may still make the call."""
    calls = find_calls("not_yet", 3, None)
    assert calls.location.occurrence == 3
    assert not calls.of_model
    assert find_calls("llm:any", None, None).of_model


def test_names_of_the_same_calls_are_the_same():
    """Quotes, spaces and upper case do not count."""
    assert name_key("tool:search") == name_key('tool:"Search"') == name_key("tool : search")
    assert len({name_key(name) for name in ("llm", '"llm"', "tool:llm", "search")}) == 4
