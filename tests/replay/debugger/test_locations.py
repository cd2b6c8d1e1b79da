"""Places and breakpoints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.errors import DebugError, ExpressionError, PlaceError
from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.debugger.locations import (
    count_contents,
    find_occurrence,
    parse_location,
)


def stops_at(text, events, known=None):
    """The numbers of the events at which a breakpoint at this place stops."""
    stop = Breakpoint(parse_location(text, known))
    nth = find_occurrence(stop.parsed, events)
    return [number for number, event in enumerate(events, 1) if stop.stops(number, event, {}, {}, nth)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llm_call_start", [3, 11, 14]),
        ("llm_call_end", [4, 12, 15]),
        ("llm_call_start:2", [11]),
        ("tool_call_end:2", [9]),
        ("trace_start", [1]),
        ("llm", [3, 11, 14]),
        ("llm:3", [14]),
        ("  llm:3  ", [14]),
        ("llm : 3", [14]),
        ("tool : search if status == 'failed'", [7]),
        ("tool:2", [8]),
        ("tool@2", [8]),
        ("llm_call_start@2", [11]),
        ("log", [6]),
        ("log:1", [6]),
        ("agent", [2]),
        ("llm:gpt-4o", [3, 14]),
        ("llm:GPT-4o", [3, 14]),
        ("llm:gpt*", [3, 11, 14]),
        ("llm:gpt-4o@2", [14]),
        ('llm:"gpt-4o"', [3, 14]),
        ('llm:"gpt-4o"@2', [14]),
        ("tool:search", [5, 8]),
        ("search", [5, 8]),
        ("'search'", [5, 8]),
        ("search@2", [8]),
        ("agent:Support", [2]),
        ("app.search", [6]),
        ("error", [7]),
        ("app.py:42", [3]),
        ("agents/app.py:42", [3]),
        ("/home/me/agents/app.py:42", [3]),
        ("/time.?d out/", [7]),
        ("/refund/", [5, 10, 12]),
        ("/(?i)re.*fund$/", [5, 10, 12]),
        (r"/30\s days|a\/b|30 days/", [9]),
        ("if duration_ms > 500", [7, 15]),
        ("llm if duration_ms > 500", [15]),
        ("llm, duration_ms > 500", [15]),
        ("llm_call_end if tokens_used == 50 or tokens_used == 100", [4, 12]),
        ("search if duration_ms < 100", [9]),
        ("search@1 if duration_ms > 0", [7]),
        ("search@2 if duration_ms > 0", [9]),
        ("llm:2 if tokens_used", [12]),
        ("llm_call_start:2 if n == 11", [11]),
        ("error if 'timed' in error", [7]),
        ("/refund/ if kind == 'agent'", [10]),
        ("/refund/, kind == 'agent'", [10]),
        ("app.py:42 if n == 3", [3]),
        ("tool if name == 'if, or' or retry_count", [8]),
        ("13", [13]),
        ("12 if tokens_used == 50", [12]),
        ("12, tokens_used == 51", []),
    ],
)
def test_a_place_stops_where_it_says(support, text, expected):
    """Every form of a place finds its events, with what the recording holds known and unknown."""
    assert stops_at(text, support) == expected
    assert stops_at(text, support, count_contents(support)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a location is needed"),
        ("llm:", "llm:: a name or a number is needed after the colon"),
        (
            "llm_call_start:x",
            "an event type is followed by the number of the occurrence, as in llm_call_start:3",
        ),
        (":llm", ":llm: a name is needed before the colon"),
        ("llm:0", "llm:0: occurrences are counted from 1"),
        ("search:2", "only event types and components take :N; write search@2 for a name"),
        ("llm if ", "a condition is needed after 'if'"),
        ("0", "0: events are numbered from 1"),
        ("9" * 5000, ": event numbers are not that large"),
        ("/(a+)+/", "/(a+)+/: the pattern has a quantifier"),
        ("/(/", "/(/: the pattern is not a regular expression"),
    ],
)
def test_a_place_that_does_not_parse_says_why(text, message):
    """The mistake is named in one line."""
    with pytest.raises(PlaceError) as caught:
        parse_location(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tool:serch", "tool:serch: the trace has no such name; did you mean 'search'?"),
        ("serch", "serch: the trace has no such name; did you mean 'search'?"),
        ("llm_call_strat", "the trace has no such name; did you mean 'llm_call_start'?"),
        ("lln", "lln: the trace has no such name; did you mean 'llm'?"),
        ("memory", "memory: the trace has no memory"),
        ("prompt_execution_start", "prompt_execution_start: the trace has no prompt_execution_start"),
        ("llm:4", "llm, number 4: the trace has only 3 entries"),
        ("llm_call_start:9", "llm_call_start, number 9: the trace has only 3 events"),
        ("search@3", "search, number 3: the trace has only 2 entries"),
        ("log:2", "log, number 2: the trace has only 1 entry"),
        (
            "app.py:43",
            "app.py:43: no event of the trace came from there; did you mean 'app.py:42'?",
        ),
        (
            "agents/app.py:1",
            "agents/app.py:1: no event of the trace came from there; did you mean 'agents/app.py:10'?",
        ),
        ("tool:gpt-4o", "tool:gpt-4o: the trace has no such name; there are search"),
        ("memory:x", "memory:x: the trace has no memory"),
        ("llm@4", "llm, number 4: the trace has only 3 entries"),
        ("17", "there is no event 17; the trace has 16 events, numbered from 1"),
        ("17 if n", "there is no event 17; the trace has 16 events, numbered from 1"),
    ],
)
def test_a_place_that_cannot_match_is_refused(support, text, message):
    """Where the recording is known, a place without events is a mistake, and the nearest name is suggested."""
    parse_location(text)
    with pytest.raises(PlaceError) as caught:
        parse_location(text, count_contents(support))
    assert message in str(caught.value)


def test_a_bad_condition_names_its_column():
    """The condition of a place is an expression, with the errors of expressions."""
    with pytest.raises(ExpressionError, match="column 1: unknown name 'duration'"):
        parse_location("llm if duration > 5")


def test_a_quoted_name_may_hold_anything():
    """Quotes keep colons, `if` and numbers from being read."""
    event = {"event_type": "tool_call_start", "component": "tool", "component_name": "a: if b@2, c"}
    assert parse_location('tool:"a: if b@2, c"').enters(event)
    assert parse_location("'a: if b@2, c' if n > 0").covers(event)
    assert parse_location('tool:"3"').enters(event | {"component_name": "3"})


def test_a_number_is_an_event_and_a_name_only_in_quotes():
    """`3` is the third event; a tool or a model that is called so is written with quotes."""
    event = {"event_type": "tool_call_start", "component": "tool", "component_name": "3"}
    known = count_contents([event])
    assert parse_location('"3"', known).enters(event)
    assert parse_location('tool:"3"', known).number is None
    assert parse_location("1", known).number == 1
    assert Breakpoint("3", condition="n").parsed.number == 3
    assert [number for number in range(5) if Breakpoint("3").stops(number, event, {}, {})] == [3]


def test_a_place_is_not_refused_where_not_all_names_are_known(monkeypatch):
    """In a recording with more names than are counted, a name or a call site that is not among them may be there."""
    monkeypatch.setattr("namel3ss_debug.replay.debugger.kinds.MOST_KINDS", 2)
    known = count_contents(
        {"event_type": "decision", "component": "app", "component_name": f"n{n}", "call_site": f"a.py:{n}"}
        for n in range(5)
    )
    assert not known.complete
    for place in ("app:n4", "n4@7", "a.py:4", "20"):
        parse_location(place, known)
    with pytest.raises(PlaceError, match="has no llm"):
        parse_location("llm", known)
    with pytest.raises(PlaceError, match="only 5 events"):
        parse_location("decision:6", known)


def test_a_line_of_a_cell_is_a_place():
    """As a call site names it, with the nearest line that events came from where none came from this one."""
    known = count_contents([{"event_type": "decision", "component": "app", "call_site": "In[5]:3"}])
    stopping = parse_location("In[5]:3", known)
    assert stopping.covers({"event_type": "decision", "call_site": "In[5]:3"})
    assert not stopping.covers({"event_type": "decision", "call_site": "In[15]:3"})
    with pytest.raises(PlaceError, match=r"did you mean 'In\[5\]:3'"):
        parse_location("In[5]:4", known)


def test_a_line_of_an_app_stops_where_it_begins():
    """Once for each time it runs: at its statement, else at what came first from it, and not at what happens inside of it."""

    def came(event_type, line, name, file="tour.ai"):
        component = event_type.partition("_")[0]
        return {
            "event_type": event_type,
            "component": component,
            "component_name": name,
            "call_site": f"{file}:{line}",
        }

    turn = [
        came("state_change", 5, "city"),
        came("chain_step_start", 5, "ask"),
        came("llm_call_start", 5, "m"),
        came("chain_step_start", 5, "inner"),
        came("tool_call_end", 7, "weather"),
        came("tool_call_start", 7, "weather"),
        came("decision", 7, "enough"),
    ]
    events = [*turn, *turn, came("decision", 9, "x", "tour.py"), came("tool_call_start", 9, "y", "tour.py")]
    known = count_contents(events)

    def stops(place):
        stop = Breakpoint(place)
        return [
            number
            for number, event in enumerate(events, 1)
            if stop.stops(number, event, {}, {}, contents=lambda: known)
        ]

    assert (stops("tour.ai:5"), stops("tour.ai:7")) == ([2, 9], [6, 13])
    assert stops("tour.py:9") == [15, 16]
    assert stops("chain_step_start") == [2, 4, 9, 11]


def test_the_nearest_line_is_one_of_the_same_file():
    """A line of another file that is nearer is not what was meant."""
    sites = ("agents/plan.py:10", "agents/plan.py:90", "tools.py:43", "somewhere")
    known = count_contents(
        [{"event_type": "decision", "component": "app", "call_site": site} for site in sites]
    )
    with pytest.raises(PlaceError, match=r"did you mean 'plan\.py:10'"):
        parse_location("plan.py:42", known)


def test_a_library_breakpoint_takes_its_condition_apart():
    """`ReplayBreakpoint("llm", condition=...)` is the same as the place with `if`."""
    assert Breakpoint("llm", condition="n > 2").parsed == parse_location("llm if n > 2")
    with pytest.raises(PlaceError):
        Breakpoint("llm:")


def test_the_users_own_components_and_types_are_places_once_known():
    """What only this recording has is found by `know`."""
    events = [
        {
            "event_type": "retrieval_start",
            "event_id": "1",
            "component": "retrieval",
            "component_name": "docs",
        },
        {"event_type": "cache_hit", "event_id": "2", "component": "cache"},
    ]
    known = count_contents(events)
    assert (stops_at("retrieval:1", events, known), stops_at("cache_hit", events, known)) == ([1], [2])
    assert stops_at("cache", events, known) == [2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("retrieval", [1, 4]), ("retrieval@2", [4]), ("retrieval if status", [3]), ("cache_hit", [2, 5])),
        *(("retrieval:docs", [1]), ("retrieval:d*", [1]), ("retrieval:shelf", []), ("docs", [1])),
        *(('"retrieval"', []), ("retriev*", [])),
    ],
)
def test_the_users_own_components_and_types_are_places_before_they_are_known(text, expected):
    """A program that runs, and a library that has not read the recording, stop there all the same."""
    own = {"component": "retrieval", "component_name": "docs"}
    events = [
        {"event_type": "retrieval_start", "event_id": "1", **own},
        {"event_type": "cache_hit", "event_id": "2", "component": "tool"},
        {
            "event_type": "retrieval_end",
            "event_id": "3",
            "parent_event_id": "1",
            "status": "completed",
            **own,
        },
        {"event_type": "retrieval_start", "event_id": "4", "component": "retrieval"},
        {"event_type": "cache_hit", "event_id": "5", "component": "cache"},
    ]
    assert stops_at(text, events) == expected


def test_a_pattern_meets_numbers_of_inputs_and_outputs():
    """They are compared as JSON writes them; when and where an event happened is none of what it holds."""
    event = {
        "event_type": "tool_call_end",
        "seq": 4711,
        "duration_ms": 39.9,
        "outputs": {"result": [{"price": 39.9, "paid": True}, -30]},
        "metadata": {"bytes": 815},
    }
    found = {
        word: parse_location(f"/^{word}$/").enters(event) for word in (r"39\.9", "-30", "4711", "815", "True")
    }
    assert found == {r"39\.9": True, "-30": True, "4711": False, "815": False, "True": False}


def test_a_hostile_event_is_searched_in_part():
    """A pattern looks at a bounded number of values, however many an event has and however deep they are."""
    deep = []
    for _ in range(50_000):
        deep = [deep]
    event = {
        "event_type": "x",
        "outputs": {"a": [0] * 200_000, "b": deep, "c": {str(n): n for n in range(100_000)}},
    }
    assert parse_location("/needle/").enters(event) is False


@given(
    st.text(max_size=30)
    | st.from_regex(r"(llm|tool|error|\"a\"|/a/|x\.py)(:|@)?(\d|a)?( if | ?, ?)?(n|1 >)?", fullmatch=True)
)
def test_any_text_is_a_place_or_an_error(text):
    """Nothing but the errors a user can mend comes out of parsing."""
    try:
        place = parse_location(text)
    except DebugError:
        return
    assert place.enters({"event_type": "llm_call_start"}) in (True, False)
