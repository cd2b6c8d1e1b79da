"""The laws of a walk, tried on generated recordings: spans nested, parallel, open, chunks, ends without a start."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.expressions import compile_expression, event_scope
from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.replay.debugger.locations import find_occurrence
from namel3ss_debug.replay.debugger.results import Mistake, Stopped
from namel3ss_debug.traces.span_table import read_spans
from namel3ss_debug.traces.totals import RunningTotals, Totals

NO_LEVEL = {"stream_chunk", "resource_sample"}
KINDS = [("llm", "llm_call"), ("tool", "tool_call"), ("agent", "agent_execution"), ("mine", "mine")]

ACTION = st.tuples(
    st.sampled_from(["start", "start", "end", "end", "point", "state", "chunk", "fail", "orphan", "late"]),
    st.integers(0, 7),
    st.fixed_dictionaries(
        {"component_name": st.sampled_from(["x", "y"])},
        optional={
            "tokens_used": st.integers(0, 9),
            "cost_estimate": st.sampled_from([0.25, 0.5, 0.0]),
            "timestamp": st.integers(0, 100).map(float),
            "outputs": st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), max_size=2),
        },
    ),
)


def grown(actions):
    """A recording as programs write them, by what is chosen at each event."""
    events, opened, ended = [], [], []
    for place, (what, choice, more) in enumerate(actions):
        parent = opened[choice % len(opened)] if opened and choice else None
        component, prefix = KINDS[choice % len(KINDS)]
        event = {"event_type": "decision", "event_id": f"e{place}", "component": component}
        if what == "start" or (what == "late" and not ended):
            event |= {"event_type": f"{prefix}_start", "parent_event_id": parent}
            opened.append(event["event_id"])
        elif what == "late":
            event |= {"event_type": f"{prefix}_start", "parent_event_id": ended[choice % len(ended)]}
            opened.append(event["event_id"])
        elif what in ("end", "fail") and opened:
            begun = opened.pop(choice % len(opened))
            ended.append(begun)
            first = next(each for each in events if each["event_id"] == begun)
            event |= {key: first[key] for key in ("component",)}
            event |= {"event_type": first["event_type"].replace("_start", "_end"), "parent_event_id": begun}
            event |= {"status": "failed", "error": "no"} if what == "fail" else {}
        elif what == "orphan":
            event |= {"event_type": f"{prefix}_end", "parent_event_id": "gone"}
        else:
            kind = {"state": "state_change", "chunk": "stream_chunk"}.get(what, "decision")
            event |= {"event_type": kind, "parent_event_id": parent}
        event |= more
        events.append({key: value for key, value in event.items() if value is not None})
    return events


RECORDINGS = st.lists(ACTION, max_size=30).map(grown)
LOCATIONS = st.sampled_from(
    [
        "llm",
        "tool:x",
        "error",
        "y",
        "llm:2",
        "x@3",
        "llm_call_end",
        "llm if tokens_used > 3",
        "if totals.tokens > 12",
        "if state.x == 1",
        "/y/",
        "tool_call_start:2",
        "if n % 3 == 0",
        "x@2 if tokens_used > 1",
        "if totals.errors == 2",
        "7",
        "5 if component_name == 'x'",
    ]
)
WATCHES = st.sampled_from(
    ["state.x", "totals.cost", "state.x == 1 or totals.tokens > 5", "outputs.x", "llm", "n % 2"]
)


class Tree(NamedTuple):
    """Where each event of a recording stands, found the slow way; indexes are numbers, 0 the recording as a whole.

    Attributes:
        level: the start in whose level the event is.
        own: of an end its start, else 0.
        end: of a start its end, else 0.
        skipped: whether it is of no level.
        start: whether it is a start.
    """

    level: list[int]
    own: list[int]
    end: list[int]
    skipped: list[bool]
    start: list[bool]


def tree_of(events):
    """The tree by the words of the format: an end closes its start, a child of an ended span belongs further out."""
    size = len(events) + 1
    tree = Tree([0] * size, [0] * size, [0] * size, [True] * size, [False] * size)
    starts = {}

    def still_open(start):
        while start and tree.end[start]:
            start = tree.level[start]
        return start

    for number, event in enumerate(events, 1):
        kind, parent = event["event_type"], event.get("parent_event_id")
        tree.skipped[number] = kind in NO_LEVEL
        begun = starts.get(parent, 0)
        if kind.endswith("_end") and begun and not tree.end[begun]:
            tree.own[number], tree.end[begun] = begun, number
            tree.level[number] = still_open(tree.level[begun])
            continue
        tree.level[number] = still_open(begun)
        if kind.endswith("_start"):
            tree.start[number] = True
            starts[event["event_id"]] = number
    return tree


def around(tree, number):
    """The starts around an event that are open at it, the innermost first, its own left out."""
    found, start = [], tree.level[number]
    while start:
        if not tree.end[start] or tree.end[start] > number:
            found.append(start)
        start = tree.level[start]
    return found


def following(tree, number):
    """The next event at the level of an event, or the end of the span around; then the next one further out; 0 for none."""
    later = range(number + 1, len(tree.level))
    level = tree.level[number]
    for other in later:
        if (tree.level[other] == level and not tree.skipped[other]) or (level and tree.own[other] == level):
            return other
    levels = {0, *around(tree, number)}
    return next((other for other in later if tree.level[other] in levels and not tree.skipped[other]), 0)


def preceding(tree, number):
    """The event before at the level of an event, or the start around it; 0 for none."""
    level = tree.level[number]
    earlier = (other for other in range(number - 1, level, -1) if not tree.skipped[other])
    return next((other for other in earlier if tree.level[other] == level), level)


def lands(events, command, number):
    """Where a move over spans leads from an event by the tree alone; past the end is the last event."""
    tree, last = tree_of(events), len(events)
    if command in ("next", "until"):
        if not number:
            return min(1, last)
        over = tree.end[number] if command == "next" else 0
        return over or following(tree, number) or last
    if command == "return":
        span = number if tree.start[number] else tree.level[number]
        return (tree.end[span] if span else 0) or last
    if command == "reverse-finish":
        return tree.own[number] or tree.level[number]
    return (tree.own[number] or preceding(tree, number)) if number else 0


def position(session):
    """All there is to say about where a session stands."""
    walk = session.stepper
    return walk.position, walk.state.totals, walk.state.changed, walk.state.frames(), walk.stack()


@given(RECORDINGS, st.integers(0, 30), st.integers(1, 40))
def test_stepping_back_undoes_stepping(listed, events, begin, count):
    """`step` n times then `reverse-step` n times is the identity on position, state and stack."""
    session = Debugger(listed(events))
    session.stepper.go(begin)
    before = position(session)
    taken = min(count, len(events) - session.stepper.position)
    for _ in range(taken):
        session.execute("step")
    for _ in range(taken):
        session.execute("reverse-step")
    assert position(session) == before
    if taken:
        session.execute(f"step {taken} ;; reverse-step {taken}")
    assert position(session) == before


@given(RECORDINGS, st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_goto_is_as_many_steps_from_the_start(listed, events, targets):
    """Wherever the walk was before, an event has the state and the stack that steps from the start lead to."""
    stepping = Debugger(listed(events))
    stood = [position(stepping)]
    for _ in events:
        stepping.execute("step")
        stood.append(position(stepping))
    session = Debugger(listed(events))
    for target in targets:
        number = min(target, len(events))
        session.execute(f"goto {number}")
        assert position(session) == stood[number]


def totals_of(events):
    """The totals after each event, by one plain fold."""
    spans, running = read_spans(events), RunningTotals()
    costs = {spans.end[row]: spans.cost_of(row) for row in range(len(spans)) if spans.end[row]}
    for number, event in enumerate(events, 1):
        running.add(event, costs.get(number))
        yield running.totals()


def values_of(events, text):
    """The value of an expression before the first event and after each, by one plain fold."""
    expression, state = compile_expression(text), {}
    found = [expression.evaluate(event_scope(0, {}, Totals().scope(), state))]
    for number, (event, totals) in enumerate(zip(events, totals_of(events), strict=True), 1):
        state = state | event.get("outputs", {}) if event["event_type"] == "state_change" else state
        found.append(expression.evaluate(event_scope(number, event, totals.scope(), state)))
    return found


LACKS = {
    "outputs.x": lambda event: "x" not in event.get("outputs", {}),
    "llm": lambda event: event["component"] != "llm",
}
"""Expression -> whether an event has no such field; any other has a value at each event."""


def changes(events, text):
    """The number of each event that changes the value of a watch -> the value before and after it."""
    first, *values = values_of(events, text)
    found, before = {}, first
    for number, (event, value) in enumerate(zip(events, values, strict=True), 1):
        if text not in LACKS or not LACKS[text](event):
            if before != value:
                found[number] = before, value
            before = value
    return found


def met(events, kind, text):
    """The numbers of the events that a breakpoint or a watch selects among all."""
    if kind == "watch":
        return [*changes(events, text)]
    stop, state = Breakpoint(text), {}
    nth, found = find_occurrence(stop.parsed, events), []
    for number, (event, totals) in enumerate(zip(events, totals_of(events), strict=True), 1):
        state = state | event.get("outputs", {}) if event["event_type"] == "state_change" else state
        if stop.stops(number, event, totals.scope(), state, nth):
            found.append(number)
    return found


def runs(session, command):
    """Where a command stops until it comes to the edge."""
    found = []
    while (stopped := session.execute(command)[0]).reason in ("breakpoint", "watch"):
        assert isinstance(stopped, Stopped)
        found.append(stopped.number)
    return found


STOPS = st.lists(
    st.one_of(st.tuples(st.just("break"), LOCATIONS), st.tuples(st.just("watch"), WATCHES)),
    min_size=1,
    max_size=3,
)


@given(RECORDINGS, STOPS, st.integers(0, 30))
def test_runs_stop_at_what_a_filter_selects(listed, events, stops, begin):
    """`continue` and `reverse-continue` stop at exactly the events a filter over all events selects."""
    session = Debugger(listed(events))
    for kind, text in stops:
        if kind == "break":
            session.stepper.add(Breakpoint(text))
        else:
            session.execute(f"watch {text}")
    session.stepper.go(begin)
    begin = session.stepper.position
    selected = sorted({number for kind, text in stops for number in met(events, kind, text)})
    assert runs(session, "continue") == [number for number in selected if number > begin]
    last = session.stepper.position
    assert last == len(events)
    assert runs(session, "reverse-continue") == [number for number in reversed(selected) if number < last]
    assert session.stepper.position == 0


@given(RECORDINGS, STOPS, st.sampled_from(["n % 2 == 0", "totals.tokens > 4", "component_name == 'x'"]))
def test_a_condition_given_later_is_asked_as_well(listed, events, stops, condition):
    """`condition` leaves of what a breakpoint covers, or of what a watch meets, the events where it is true."""
    session = Debugger(listed(events))
    selected = set()
    for number, (kind, text) in enumerate(stops, 1):
        if kind == "break":
            session.stepper.add(Breakpoint(text))
        else:
            session.execute(f"watch {text}")
        (result,) = session.execute(f"condition {number} {condition}")
        assert not isinstance(result, Mistake)
        holds = values_of(events, condition)
        if kind == "watch":
            selected |= {place for place in met(events, kind, text) if holds[place]}
        else:
            where = text.partition(" if ")[0].removeprefix("if ") if not text.startswith("if") else ""
            selected |= set(met(events, kind, f"{where} if {condition}".strip()))
    assert runs(session, "continue") == sorted(selected)


@given(RECORDINGS, STOPS, st.integers(0, 5))
def test_ignored_hits_pass_in_both_directions(listed, events, stops, ignored):
    """The first so many hits of a breakpoint pass by, whichever way the walk goes, and are counted."""
    kind, text = stops[0]
    hits = met(events, kind, text)
    for command in ("continue", "reverse-continue"):
        expected = hits if command == "continue" else [each for each in reversed(hits) if each < len(events)]
        session = Debugger(listed(events))
        if kind == "break":
            session.stepper.add(Breakpoint(text))
        else:
            session.execute(f"watch {text}")
        session.execute(f"ignore 1 {ignored}")
        if command == "reverse-continue":
            session.stepper.go(len(events))
        assert runs(session, command) == expected[ignored:]
        row = session.stepper.stops.rows()[0]
        assert (row.hits, row.ignore) == (len(expected), max(ignored - len(expected), 0))


@given(RECORDINGS, st.sampled_from(["next", "until", "return", "reverse-next", "reverse-finish"]))
def test_moves_over_spans_land_where_the_tree_says(listed, events, command):
    """From every event of a recording, each move leads where a naive walk of the tree leads."""
    session = Debugger(listed(events))
    for number in range(len(events) + 1):
        session.stepper.go(number)
        session.execute(command)
        assert session.stepper.position == lands(events, command, number), f"from {number}"


@given(RECORDINGS, st.sampled_from(["next", "reverse-next"]), st.integers(0, 30), st.integers(1, 9))
def test_a_count_is_that_many_moves(listed, events, command, begin, count):
    """`next N` is `next` N times, both ways."""
    once, often = Debugger(listed(events)), Debugger(listed(events))
    once.stepper.go(begin)
    often.stepper.go(begin)
    once.execute(f"{command} {count}")
    for _ in range(count):
        often.execute(command)
    assert once.stepper.position == often.stepper.position


@given(RECORDINGS, st.sampled_from(["next", "until", "return", "step 5"]), LOCATIONS, st.integers(0, 30))
def test_a_move_forwards_stops_at_what_it_passes(listed, events, command, place, begin):
    """A move ends at the first event strictly before its target that a breakpoint selects."""
    session = Debugger(listed(events))
    session.stepper.go(begin)
    begin = session.stepper.position
    (free,) = session.execute(command)
    target = free.number + (free.reason == "end")  # a move to nowhere passes the last event too
    session.stepper.go(begin)
    session.stepper.add(Breakpoint(place))
    between = [number for number in met(events, "break", place) if begin < number < target]
    (stopped,) = session.execute(command)
    if between:
        assert (stopped.number, stopped.reason) == (between[0], "breakpoint")
    else:
        assert (stopped.number, stopped.breakpoint) == (min(target, len(events)), None)


@given(
    RECORDINGS,
    st.sampled_from(["reverse-next", "reverse-finish", "reverse-step 5"]),
    LOCATIONS,
    st.integers(0, 30),
)
def test_a_move_backwards_stops_at_what_it_passes(listed, events, command, place, begin):
    """A move back ends at the latest event strictly after its target that a breakpoint selects."""
    session = Debugger(listed(events))
    session.stepper.go(begin)
    begin = session.stepper.position
    target = max(begin - 5, 0) if command == "reverse-step 5" else lands(events, command, begin)
    session.stepper.add(Breakpoint(place))
    between = [number for number in met(events, "break", place) if target < number < begin]
    (stopped,) = session.execute(command)
    assert stopped.number == (between[-1] if between else target)


@given(RECORDINGS, WATCHES)
def test_a_watch_tells_the_old_and_the_new_value(listed, events, text):
    """At every stop of a watch, both ways, its values are those at the event and at the latest before that has the field."""
    session = Debugger(listed(events))
    session.execute(f"watch {text}")
    values = changes(events, text)
    for command in ("continue", "reverse-continue"):
        while (stopped := session.execute(command)[0]).reason == "watch":
            assert tuple(stopped.changed) == values[stopped.number]


@given(RECORDINGS, st.sampled_from(["n", "totals.tokens", "state.x", "[llm, tool]", "outputs.x"]))
def test_print_agrees_with_a_fold(listed, events, text):
    """The value at any event is that of the expression over what a fold from the beginning gives."""
    session = Debugger(listed(events))
    values = values_of(events, text)
    for number in (*range(len(events), -1, -1), *range(len(events) + 1)):
        session.execute(f"goto {number}")
        assert session.execute(f"p {text}")[0].value == values[number]


@given(RECORDINGS, st.lists(st.sampled_from(["s", "n", "r", "unt", "rs", "rn", "rf", "c", "rc", "u", "d", "l", "ll", "a",
       "rv", "w", "info spans", "info tools", "info errors", "messages", "messages --diff", "source", "breakpoint",
       "search x", "rsearch y", "watch state.x", "display n", "inspect x", "step 3", "next 2", "info totals"]), max_size=12))  # fmt: skip
def test_no_command_raises(listed, events, commands):
    """Whatever a recording holds and whatever is asked in whatever order, results come and the session goes on."""
    session = Debugger(listed(events))
    for command in commands:
        assert session.execute(command)
        assert 0 <= session.stepper.position <= len(events)
        assert not session.ended
