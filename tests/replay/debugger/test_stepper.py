"""A position in a recording and the moves from it; in a live program, moves that let it go on."""

from __future__ import annotations

import json
from itertools import islice
from types import SimpleNamespace

import pytest

from namel3ss_debug.replay.debugger.breakpoints import Breakpoint
from namel3ss_debug.replay.debugger.interpreter import Debugger
from namel3ss_debug.replay.debugger.stepper import MOST_FRAMES, Stepper
from namel3ss_debug.replay.overrides.mocks import parse_mock


def shaped(*shapes):
    """Events of the shapes (type, id, parent)."""
    rows = ((kind, ident, parent) for kind, ident, parent in (shape.split() for shape in shapes))
    return [
        {"event_type": kind, "event_id": ident} | ({} if parent == "-" else {"parent_event_id": parent})
        for kind, ident, parent in rows
    ]


PARALLEL = (
    "agent_execution_start a -",
    "tool_call_start x a",
    "tool_call_start y a",
    "log_record 4 x",
    "tool_call_end 5 y",
    "stream_chunk 6 x",
    "tool_call_end 7 x",
    "agent_execution_end 8 a",
)
CUT_OFF = (
    "agent_execution_start a -",
    "tool_call_start x a",
    "log_record 3 x",
    "agent_execution_start b -",
    "log_record 5 b",
    "log_record 6 x",
)


def moved(walk, begin, *moves):
    """Where each move leads, and why it ended, from one event."""
    found = []
    for name, *arguments in moves:
        walk.go(begin)
        stopped = getattr(walk, name)(*arguments)
        found.append((stopped.number, stopped.reason))
    return found


@pytest.mark.parametrize(
    ("begin", "over", "beside", "out", "back", "start"),
    [
        (0, (1, "step"), (1, "until"), (8, "end"), (0, "start"), (0, "start")),
        (1, (8, "step"), (8, "until"), (8, "return"), (0, "start"), (0, "start")),
        (2, (7, "step"), (3, "until"), (7, "return"), (1, "step"), (1, "return")),
        (3, (5, "step"), (5, "until"), (5, "return"), (2, "step"), (1, "return")),
        (4, (7, "step"), (7, "until"), (7, "return"), (2, "step"), (2, "return")),
        (5, (7, "step"), (7, "until"), (8, "return"), (3, "step"), (3, "return")),
        (6, (7, "step"), (7, "until"), (7, "return"), (4, "step"), (2, "return")),
        (7, (8, "step"), (8, "until"), (8, "return"), (2, "step"), (2, "return")),
        (8, (8, "end"), (8, "end"), (8, "end"), (1, "step"), (1, "return")),
    ],
)
def test_moves_over_parallel_spans(listed, begin, over, beside, out, back, start):
    """`next` goes from a start to its own end, `until` to the sibling that began meanwhile, `return` to the end of the span."""
    walk = Stepper(listed(shaped(*PARALLEL)))
    moves = (("next", 1), ("until",), ("finish",), ("next", -1), ("finish_back",))
    assert moved(walk, begin, *moves) == [over, beside, out, back, start]


def test_moves_where_spans_never_ended(listed):
    """What is passed over ends with the next event outside; `return` goes to the end of the trace."""
    walk = Stepper(listed(shaped(*CUT_OFF)))
    assert moved(walk, 2, ("next", 1), ("until",), ("finish",)) == [(4, "step"), (4, "until"), (6, "end")]
    assert moved(walk, 3, ("next", 1), ("next", -1)) == [(6, "step"), (2, "step")]
    assert moved(walk, 6, ("next", 1), ("finish",), ("finish_back",)) == [
        (6, "end"),
        (6, "end"),
        (2, "return"),
    ]
    assert moved(walk, 5, ("next", 1), ("next", 9)) == [(6, "end"), (6, "end")]


def test_moves_of_no_event_stay(listed):
    """An empty recording has an edge on both sides."""
    walk = Stepper(listed([]))
    moves = (
        ("step", 1),
        ("next", 1),
        ("until",),
        ("finish",),
        ("run",),
        ("step", -1),
        ("next", -1),
        ("run_back",),
    )
    assert {number for number, _ in moved(walk, 0, *moves)} == {0}


def test_a_very_deep_stack_is_cut(listed):
    """The innermost spans are given, and how many there are further out."""
    events = shaped(*(f"tool_call_start {place} {place - 1}" for place in range(1, MOST_FRAMES + 201)))
    walk = Stepper(listed(events))
    walk.go(len(events))
    frames, more = walk.stack()
    assert (len(frames), more, frames[-1].number) == (MOST_FRAMES, 200, len(events))


def test_a_move_reads_no_more_than_it_shows(listed, support):
    """Once the outline is there, moves over spans, the stack and totals read no event but the one they end at."""
    recording = listed(support * 200)
    walk = Stepper(recording)
    walk.go(walk.total)
    assert walk.outline.count == walk.total
    read = SimpleNamespace(events=0)
    event, events = recording.event, recording.events

    def counted(number):
        read.events += 1
        return event(number)

    def streamed(start=1):
        for found in events(start):
            read.events += 1
            yield found

    recording.event, recording.events = counted, streamed
    for move in (
        lambda: walk.next(-50),
        lambda: walk.step(20),
        walk.finish,
        walk.finish_back,
        walk.until,
        walk.run,
    ):
        read.events = 0
        move()
        _ = walk.state.totals, walk.stack()
        assert read.events <= 2


def test_steps_and_searches_pass_over_records_for_the_re_run(listed, support):
    """`inputs_read` and the SDK's own `uname` are reached by their number only."""
    uname = {"component": "command", "component_name": "uname", "timestamp": 101.0, "parent_event_id": "2"}
    quiet = [
        {"event_type": "inputs_read", "event_id": "q1", "timestamp": 101.0, "parent_event_id": "2"},
        uname | {"event_type": "command_start", "event_id": "q2", "metadata": {"background": True}},
        uname | {"event_type": "command_end", "event_id": "q3", "parent_event_id": "q2"},
    ]
    walk = Stepper(listed([*support[:2], *quiet, *support[2:]]))
    assert moved(walk, 1, ("step", 1), ("step", 2)) == [(2, "step"), (6, "step")]
    assert moved(walk, 6, ("step", -1), ("next", -1)) == [(2, "step"), (2, "step")]
    assert moved(walk, 3, ("next", 1)) == [(6, "step")]
    walk.go(0)
    assert walk.find(lambda event: event.get("component_name") == "uname") == 0
    assert walk.go(3).number == 3


def test_a_mocked_answer_stands_in_place_of_the_recorded_one(listed, support):
    """The event, listings, breakpoints, watches and searches see the mock; without it the recording stands again."""
    walk = Stepper(listed(support))
    walk.overrides.add(parse_mock('search@1:"none"'))
    walk.go(7)
    assert walk.event["outputs"] == {"result": "none"}
    assert walk.event["metadata"]["recorded"]["error"] == "Read timed out"
    assert dict(walk.around(6, 8))[7] == walk.event
    walk.add(Breakpoint("error"))
    walk.add(Breakpoint('if outputs.result == "none"'))
    walk.go(0)
    assert (walk.run().number, walk.run().reason) == (7, "end")
    assert walk.find(lambda event: event.get("outputs") == {"result": "none"}, back=True) == 7
    walk.overrides.remove("search")
    walk.go(0)
    assert (walk.run().breakpoint, walk.event) == (1, support[6])


class Played:
    """A program whose events come one batch after the other, and that is interrupted where a batch is None."""

    def __init__(self, batches):
        self.listed, self.batches = [], list(batches)

    def go_on(self):
        """The next batch comes."""
        batch = self.batches.pop(0) if self.batches else []
        if batch is None:
            raise KeyboardInterrupt
        self.listed.extend({"component": "app"} | event for event in batch)
        return bool(batch)

    def events(self, start=1):
        """The events so far from a number on."""
        return islice(iter(self.listed), start - 1, None)

    def event(self, number):
        """The event with a number."""
        return self.listed[number - 1]

    def count(self):
        """How many there are."""
        return len(self.listed)


def one_by_one(events):
    """A program that pauses after each of its events."""
    return Played([event] for event in events)


APP = (
    ("chain_step_start", "chain", "ask ai helper", "app.ai:24"),
    ("llm_call_start", "llm", "m", "app.ai:24"),
    ("llm_call_end", "llm", "m", None),
    ("tool_call_start", "tool", "t", "app.ai:24"),
    ("tool_call_end", "tool", "t", None),
    ("memory_operation", "memory", "helper", "app.ai:24"),
    ("chain_step_end", "chain", "ask ai helper", None),
    ("chain_step_start", "chain", "ask ai helper", "app.ai:24"),
    ("agent_execution_start", "agent", "drafter", "app.ai:47"),
    ("llm_call_start", "llm", "m", "app.ai:47"),
    ("state_change", "chain", "main", "app.ai:24"),
)
"""Events of an app: type, component, name and call site."""


@pytest.mark.parametrize("live", [False, True])
def test_a_line_of_an_app_stops_at_the_start_of_its_statement(live):
    """Not at the calls that the statement makes; where no statement begins, at the first event there; with a condition too."""
    events = [
        {"event_type": kind, "event_id": f"{number}", "component": component, "component_name": name}
        | ({"call_site": site} if site else {})
        for number, (kind, component, name, site) in enumerate(APP, 1)
    ]
    program = one_by_one(events) if live else Played([])
    program.listed.extend([] if live else events)
    walk = Stepper(program, program if live else None)
    walk.add(Breakpoint("app.ai:24"))
    walk.add(Breakpoint("app.ai:24 if n > 1"))
    walk.add(Breakpoint("app.ai:47"))
    assert [walk.run().number for _ in range(4)] == [1, 8, 9, 11]
    assert [walk.run_back().number for _ in range(4)] == [9, 8, 1, 0]
    assert [row.hits for row in walk.stops.rows()] == [4, 2, 2]


def test_a_live_program_goes_on_by_what_is_asked(support):
    """Each move past the last event lets the program go on as far as it has to, and no further."""
    program = one_by_one(support)
    walk = Stepper(program, program)
    assert (walk.step(1).number, walk.step(2).number, program.count()) == (1, 3, 3)
    assert (walk.finish().number, program.count()) == (4, 4)
    assert (walk.step(1).number, walk.next(1).number, program.count()) == (5, 7, 7)
    assert (walk.until().number, walk.until(10).number, program.count()) == (8, 10, 10)
    walk.add(Breakpoint("llm:gpt-4o"))
    stopped = walk.run()
    assert (stopped.number, stopped.reason, program.count()) == (14, "breakpoint", 14)
    assert (walk.finish().number, walk.run().reason, walk.position) == (15, "end", 16)
    assert not walk.live


def test_a_live_recording_is_walked_backwards_too(support):
    """What has happened stays there to be looked at, and the way forwards goes through it first."""
    program = one_by_one(support)
    walk = Stepper(program, program)
    walk.step(9)
    assert (walk.next(-1).number, walk.step(-1).number, walk.run_back().number, program.count()) == (
        8,
        7,
        0,
        9,
    )
    assert (walk.step(9).number, program.count()) == (9, 9)
    assert (walk.step(1).number, program.count()) == (10, 10)


def test_only_the_last_call_is_waited_before(support):
    """A stop says that the program waits where it is the last event and a call begins, until the program has ended."""
    program = one_by_one(support)
    walk = Stepper(program, program)
    waited = [number for number in range(1, 17) if walk.step(1).waiting]
    assert waited == [3, 5, 8, 11, 14]
    assert not walk.go(14).waiting
    dying = one_by_one(support[:3])
    walk = Stepper(dying, dying)
    assert (walk.step(3).waiting, walk.waiting) == (True, True)
    assert (walk.step(1).reason, walk.waiting) == ("end", False)


@pytest.mark.parametrize("kind", ["http_exchange_start", "mcp_start"])
def test_other_calls_are_waited_before_as_well(support, kind):
    """A request over HTTP and one to an MCP server have not been sent yet when they are the last event."""
    begun = one_by_one([*support[:2], {**support[2], "event_type": kind}])
    walk = Stepper(begun, begun)
    assert walk.step(3).waiting


def test_a_batch_of_events_is_passed_one_by_one(support):
    """A program that comes up with several events at once is stopped at the first that is asked for."""
    program = Played([support[:9], support[9:]])
    walk = Stepper(program, program)
    walk.add(Breakpoint("error"))
    assert (walk.run().number, program.count()) == (7, 9)
    assert (walk.step(4).number, walk.run().reason) == (11, "end")


def test_an_nth_entry_may_be_to_come(support):
    """A breakpoint at the N-th call stops there when the program gets to it."""
    program = one_by_one(support)
    walk = Stepper(program, program)
    walk.add(Breakpoint("llm:2"))
    walk.add(Breakpoint("12"))
    assert [walk.run().number, walk.run().number, walk.run().reason] == [11, 12, "end"]
    assert [walk.run_back().number, walk.run_back().number] == [12, 11]


def test_next_in_a_live_program_waits_for_the_end_of_the_span():
    """A span that is passed over has ended where `next` stops, whatever else happens meanwhile."""
    program = one_by_one(shaped(*PARALLEL))
    walk = Stepper(program, program)
    walk.step(2)
    assert (walk.next(1).number, program.count()) == (7, 7)
    dying = one_by_one(shaped(*CUT_OFF))
    walk = Stepper(dying, dying)
    walk.step(2)
    assert (walk.next(1).number, walk.live) == (6, False)


def test_moves_in_a_live_program_wait_for_what_happens_at_their_level():
    """What happens further out meanwhile is passed, for the span around the event may still go on."""
    for move in ("next", "until"):
        program = one_by_one(shaped(*CUT_OFF))
        walk = Stepper(program, program)
        walk.step(3)
        stopped = walk.next(1) if move == "next" else walk.until()
        assert (stopped.number, stopped.reason, walk.live) == (6, "step" if move == "next" else move, True)


def test_the_events_with_which_a_program_ends_are_passed_one_by_one(support):
    """It may end before it has told all of them."""

    class Ending(Played):
        def go_on(self):
            return super().go_on() and bool(self.batches)

    program = Ending([support[:2], support[2:]])
    walk = Stepper(program, program)
    walk.add(Breakpoint("error"))
    assert (walk.run().number, walk.live) == (7, False)
    assert (walk.run().number, walk.position) == (16, 16)


@pytest.mark.parametrize("move", ["step 9", "next", "return", "until 9", "continue"])
def test_an_interrupted_program_leaves_the_walk_at_its_latest_event(support, move):
    """Ctrl-C while the program runs loses nothing: the walk stands at the last event, counts hold, and goes on."""
    program = Played([support[:2], support[2:5], None, support[5:]])
    session = Debugger(program, program=program)
    session.execute("step 2")
    session.execute("break llm ;; ignore 1 5 ;; watch state.turns ;; ignore 2 9")
    with pytest.raises(KeyboardInterrupt):
        session.execute(move if move != "next" else "goto 2 ;; next")
    walk = session.stepper
    assert (walk.position, program.count(), [row.hits for row in walk.stops.rows()]) == (5, 5, [1, 0])
    assert walk.live
    session.execute("continue")
    assert (walk.position, [row.hits for row in walk.stops.rows()]) == (16, [3, 2])


def test_events_to_come_can_be_run_to_but_not_jumped_to(support):
    """`until N` lets the program go on to event N; `jump` and `goto` say that."""
    program = one_by_one(support)
    session = Debugger(program, program=program)
    session.execute("step 3")
    for command in ("jump", "goto"):
        (refused,) = session.execute(f"{command} 9")
        assert (
            refused.text
            == "event 9 has not happened yet; the latest event is 3, and until 9 lets the program go on"
        )
    assert session.execute("until 9")[0].number == 9
    assert session.execute("until 99")[0].reason == "end"
    assert session.execute("goto 99")[0].text.startswith("there is no event 99; the trace has 16 events")


def test_places_of_a_live_program_are_not_refused(support):
    """What the program will come to is not known, so any place is taken, and mocks are left to the program."""
    program = one_by_one(support)
    session = Debugger(program, program=program)
    session.execute("step 2")
    assert session.execute("break tool:nowhere")[0].text == "breakpoint 1 at tool:nowhere"
    session.execute('mock search:"none"')
    assert session.execute("until 9")[0].event == support[8]
    assert session.stepper.contents is None
    assert session.stepper.contents_read.names["tool"] == {"search": 2}


def test_it_walks_through_a_file(written, support):
    """The same on a trace, through its index."""
    walk = Stepper(written(json.loads(json.dumps(support))))
    walk.add(Breakpoint("error"))
    assert [walk.run().number, walk.step(-1).number, walk.finish_back().number] == [7, 6, 5]
    walk.go(walk.total)
    assert walk.run_back().number == 7
