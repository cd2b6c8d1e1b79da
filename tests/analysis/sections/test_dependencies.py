import json

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.sections import dependencies as module

TEXTS = [
    f"value number {place} of the test, {word}" for place, word in enumerate(("red", "green", "blue", "grey"))
]


@pytest.fixture
def section(analysed):
    """The section of some events."""
    return lambda events: analysed(events, ["dependencies"])["dependencies"]


@pytest.fixture
def call(recording):
    """Add a tool call that is given and gives texts; returns the id of its start."""

    def call(name, begin, end, parent, taken="nothing much", given=None, **fields):
        start = recording.start("tool", name, begin, parent, inputs={"arguments": {"text": taken}}, **fields)
        given = f"the answer of {name} at {begin}" if given is None else given
        recording.end(start, end, outputs={"result": given})
        return start

    return call


def row(section, number):
    """The row of the schedule with this number."""
    return next(row for row in section["schedule"] if row["number"] == number)


def pairs(section):
    """The edges that are listed, as (from, to, kind)."""
    return [(edge["from"], edge["to"], edge["kind"]) for edge in section["edges"]["listed"]]


def parts(section):
    """The critical path as (number, begin, length) in seconds."""
    steps = section["critical_path"]["listed"]
    return [(step["number"], step["begin_ms"] / 1000, step["ms"] / 1000) for step in steps]


def test_an_empty_trace_has_an_empty_graph(section):
    """No spans, no path, no shares, and nothing that can be said to be saved."""
    found = section([])
    assert (found["spans"], found["wall_ms"], found["parallelism"]) == (0, None, None)
    assert found["critical_path"] == {"steps": 0, "operations": [], "listed": []}
    assert found["parallel"]["reason"] == "there are no spans"


def test_the_path_of_a_run_with_two_branches(recording, section):
    """The longer branch is critical, the shorter has the rest as its slack, and the parent's own work is split around both."""
    root = recording.start("agent", "root", 0)
    long = recording.start("tool", "long", 1, root)
    short = recording.start("tool", "short", 2, root)
    recording.end(short, 4)
    recording.end(long, 7)
    recording.span("llm", "last", 8, 9, root)
    recording.end(root, 10)
    found = section(recording.events)
    assert parts(found) == [(1, 0, 1), (2, 1, 6), (1, 7, 1), (6, 8, 1), (1, 9, 1)]
    assert [row(found, number)["slack_ms"] for number in (1, 2, 3, 6)] == [0, 0, 3000, 0]
    assert [row(found, number)["critical_ms"] for number in (1, 2, 3, 6)] == [3000, 6000, 0, 1000]
    operations = found["critical_path"]["operations"]
    assert [(entry["component_name"], entry["share"]) for entry in operations] == [
        ("long", 0.6),
        ("root", 0.3),
        ("last", 0.1),
    ]
    assert (found["wall_ms"], found["work_ms"], found["parallelism"]) == (10_000, 13_000, 1.3)


def test_time_between_spans_belongs_to_nobody(recording, section):
    """What the program did outside of any span is on the path under no name."""
    recording.span("tool", "a", 0, 1)
    recording.span("tool", "b", 3, 4)
    found = section(recording.events)
    assert parts(found) == [(1, 0, 1), (None, 1, 2), (3, 3, 1)]
    assert found["critical_path"]["operations"][0] == {
        "component": None,
        "component_name": None,
        "spans": 0,
        "ms": 2000,
        "share": 0.5,
    }


def test_a_span_that_outlives_its_parent_is_waited_for_by_the_run(recording, section):
    """A background task that ends last is on the path behind the work that started it."""
    root = recording.start("agent", "root", 0)
    task = recording.start("tool", "task", 1, root)
    recording.end(root, 2)
    recording.end(task, 5)
    found = section(recording.events)
    assert parts(found) == [(1, 0, 1), (2, 1, 4)]
    assert row(found, 1)["slack_ms"] == 3000


def test_a_killed_run_ends_where_the_recording_ends(recording, section):
    """Open spans last until the latest timestamp, and are marked."""
    root = recording.start("agent", "root", 0)
    recording.start("tool", "t", 1, root)
    recording.add("log_record", 6)
    found = section(recording.events)
    assert parts(found) == [(1, 0, 1), (2, 1, 5)]
    assert row(found, 2)["open"]
    assert not row(found, 2)["slack_ms"]


@pytest.mark.parametrize("times", [(5, 5, 5, 5), (9, 4, 2, 1), (3, None, None, 4), (None, None, None, None)])
def test_odd_times_make_no_odd_figures(recording, section, times):
    """Spans of no length, a clock that goes back, and missing times give figures that are finite and not negative."""
    begin, inner, done, end = times
    root = recording.start("agent", "root", begin or 0)
    tool = recording.start("tool", "t", inner or 0, root)
    recording.end(tool, done or 0, duration_ms=None)
    recording.end(root, end or 0, duration_ms=None)
    for event, at in zip(recording.events, times, strict=True):
        if at is None:
            del event["timestamp"]
    found = section(recording.events)
    assert json.dumps(found, allow_nan=False)
    assert found["wall_ms"] >= 0
    assert all(row["slack_ms"] >= 0 and row["critical_ms"] >= 0 for row in found["schedule"])


def test_ten_thousand_parallel_spans(recording, section):
    """All have their slack, the one that ended last decides, and nothing takes long."""
    root = recording.start("agent", "root", 0)
    starts = [recording.start("tool", f"t{n}", 1, root) for n in range(10_000)]
    kinds = {"component": "tool", "event_type": "tool_call_end", "status": "completed"}
    for place, start in enumerate(starts):
        at = 1_700_000_002 + place / 10_000
        recording.events.append(kinds | {"parent_event_id": start, "timestamp": at, "event_id": f"{start}!"})
    recording.end(root, 4)
    found = section(recording.events)
    assert (found["spans"], found["spans_left_out"]) == (10_001, 0)
    assert len(found["schedule"]) == 100
    assert row(found, 10_001)["critical_ms"] == pytest.approx(1999.9)
    assert row(found, 10_000)["slack_ms"] == pytest.approx(0.1)


def test_recorded_needs_are_edges_and_late_ones_violations(recording, call, section):
    """Ids of starts and of ends both mean the span; one that is of no span is counted."""
    root = recording.start("agent", "root", 0)
    first = call("first", 1, 3, root)
    recording.start("tool", "second", 2, root, depends_on=[first])
    call("third", 4, 5, root, depends_on=["e3", root, "gone"])
    found = section(recording.events)
    assert pairs(found) == [(2, 4, "recorded"), (2, 5, "recorded")]
    assert found["edges"]["unresolved"] == 1
    assert found["violations"] == {"count": 0, "listed": []}
    recording.events[3], recording.events[2] = recording.events[2], recording.events[3]
    found = section(recording.events)
    assert found["violations"]["listed"] == [
        {
            "number": 3,
            "component": "tool",
            "component_name": "second",
            "needs": 2,
            "needed_ended": True,
            "early_ms": 1000.0,
        }
    ]


def test_a_value_belongs_to_the_span_that_gave_it_first(recording, call, section):
    """Not to the agent around that handed it on, and not to one that only repeats what it was given."""
    root = recording.start("agent", "root", 0)
    inner = recording.start("agent", "inner", 0, root)
    call("source", 1, 2, inner, given=TEXTS[0])
    recording.end(inner, 3, outputs={"text": TEXTS[0]})
    call("echo", 3, 4, root, taken=TEXTS[0], given=TEXTS[0])
    call("sink", 4, 5, root, taken=TEXTS[0])
    found = section(recording.events)
    assert pairs(found) == [(3, 6, "inferred"), (3, 8, "inferred")]


def test_a_value_that_came_from_outside_belongs_to_nobody(recording, call, section):
    """What was among the inputs before anyone gave it makes no edge."""
    root = recording.start("agent", "root", 0, inputs={"question": TEXTS[0]})
    call("a", 1, 2, root, given=TEXTS[0])
    call("b", 2, 3, root, taken=TEXTS[0])
    assert pairs(section(recording.events)) == []


def test_what_follows_from_other_edges_is_not_told(recording, call, section):
    """A conversation that carries all it has heard along has an edge from turn to turn, not from each to each."""
    heard = []
    for turn in range(6):
        call(f"turn{turn}", turn, turn + 0.5, None, taken="\n".join([*heard, "next"]))
        heard.append(f"the answer of turn{turn} at {turn}")
    found = section(recording.events)
    assert pairs(found) == [(n, n + 2, "inferred") for n in range(1, 11, 2)]


def test_what_could_have_run_at_the_same_time(recording, call, section):
    """Two calls that need nothing of each other: the run would have been shorter by the shorter one."""
    root = recording.start("agent", "root", 0)
    call("a", 1, 4, root)
    call("b", 4, 8, root)
    recording.end(root, 10)
    parallel = section(recording.events)["parallel"]
    assert (parallel["saves_ms"], parallel["share"], parallel["others_ms"]) == (3000, 0.3, 0)
    assert parallel["chances"] == [
        {
            "number": 1,
            "component": "agent",
            "component_name": "root",
            "saves_ms": 3000,
            "groups": [[2, 4]],
        }
    ]


@pytest.mark.parametrize("why", ["flow", "need", "inner flow", "trivial", "no inputs", "retry"])
def test_what_is_needed_is_waited_for(recording, call, section, why):
    """A flow, a recorded need, a flow between inner spans, an answer that says nothing, unknown inputs, another attempt."""
    root = recording.start("agent", "root", 0)
    first = call("a", 1, 4, root, given="ok" if why == "trivial" else TEXTS[1])
    fields = {"need": {"depends_on": [first]}, "retry": {"retry_count": 1}}.get(why, {})
    if why == "inner flow":
        step = recording.start("agent", "step", 4, root)
        call("b", 5, 7, step, taken=TEXTS[1])
        recording.end(step, 8, outputs={"text": TEXTS[2]})
    else:
        call("b", 4, 8, root, taken=TEXTS[1] if why == "flow" else TEXTS[3], **fields)
    if why == "no inputs":
        del recording.events[3]["inputs"]
    recording.end(root, 10)
    found = section(recording.events)
    assert found["parallel"]["saves_ms"] == 0
    assert (row(found, 2)["level"], row(found, 4)["level"]) == (0, 1)


@pytest.fixture
def conversation(recording):
    """Record a model that asks for a tool, reads what it returned, and asks again, once for each result; a second each."""

    def conversation(results, texts=(), tools=(), call_id="call_7f31c{}"):
        messages = [{"role": "user", "parts": [{"type": "text", "content": text}]} for text in texts]
        for place, result in enumerate(results):
            asked = {"id": call_id.format(place), "name": "job", "arguments": {"job": "J-48213"}}
            inputs = {"model": "gpt", "messages": list(messages), "tools": tools}
            model = recording.start("llm", "gpt", 3 * place, inputs=inputs)
            recording.end(model, 3 * place + 1, outputs={"text": None, "tool_calls": [asked]})
            inputs = {"arguments": asked["arguments"], "call_id": asked["id"]}
            tool = recording.start("tool", "job", 3 * place + 1, inputs=inputs)
            recording.end(tool, 3 * place + 3, outputs={"result": result})
            told = {"type": "tool_call_response", "id": asked["id"], "response": result}
            messages += [
                {"role": "assistant", "parts": [{"type": "tool_call", **asked}]},
                {"role": "tool", "parts": [told]},
            ]
        return recording.events

    return conversation


@pytest.mark.parametrize("call_id", ["call_7f31c{}", "call_0"])
def test_a_model_needs_the_call_whose_result_it_reads_whatever_that_says(conversation, section, call_id):
    """Also where an earlier call had returned the same already, and where every call has the same id."""
    found = section(conversation([TEXTS[0]] * 4, call_id=call_id))
    assert {(3, 5, "inferred"), (7, 9, "inferred"), (11, 13, "inferred")} <= set(pairs(found))
    assert found["parallel"]["saves_ms"] == 0


@pytest.mark.parametrize("long", ["history", "tools"])
def test_what_a_model_read_last_is_seen_however_much_it_read(conversation, section, long):
    """The end of a long conversation, and that of one with many tools."""
    many = [f"value number {place * 7919} of the history" for place in range(5 * module.MOST_INPUT_KEYS)]
    tools = [{"name": name, "parameters": {"a": 1, "b": 2}} for name in many]
    results = [f"{text} at {place * 48611}" for place, text in enumerate(TEXTS)]
    given = {"texts": many} if long == "history" else {"tools": tools}
    found = section(conversation(results, call_id="", **given))
    assert {(3, 5, "inferred"), (7, 9, "inferred"), (11, 13, "inferred")} <= set(pairs(found))


@pytest.mark.parametrize("at", ["top", "test"])
def test_what_runs_after_the_app_was_loaded_needs_its_loading(recording, call, section, at):
    """Nothing runs beside it, whatever it gave, also where a test loads the app; what follows it is compared as ever."""
    root = recording.start("chain", "test", 0) if at == "test" else None
    load = recording.start("app", "app.ai", 0, root)
    recording.span("tool", "parse", 1, 2, load, outputs={"result": TEXTS[1]})
    recording.end(load, 3, outputs={"flows": [TEXTS[0]]})
    call("a", 3, 5, root)
    call("b", 5, 9, root)
    if root is not None:
        recording.end(root, 9)
    found = section(recording.events)
    loaded = 1 if root is None else 2
    numbers = [loaded, loaded + 4, loaded + 6]
    assert [row(found, number)["level"] for number in numbers] == [0, 1, 1]
    assert [chance["groups"] for chance in found["parallel"]["chances"]] == [[numbers[1:]]]
    assert found["parallel"]["saves_ms"] == 2000


def test_own_work_is_not_moved_beside_anything(recording, call, section):
    """Of three calls the last needs the first: both run beside the second, the work between them stays by itself."""
    root = recording.start("agent", "root", 0)
    call("a", 0, 2, root, given=TEXTS[0])
    call("b", 2, 7, root)
    call("c", 8, 10, root, taken=TEXTS[0])
    recording.end(root, 10)
    found = section(recording.events)
    assert found["parallel"]["saves_ms"] == 10_000 - 5000 - 1000
    assert [row(found, number)["level"] for number in (2, 4, 6)] == [0, 0, 1]


def test_children_that_ran_at_the_same_time_save_nothing(recording, call, section):
    """What is parallel already cannot be made so."""
    root = recording.start("agent", "root", 0)
    one = recording.start("tool", "one", 1, root, inputs={"a": TEXTS[0]})
    call("two", 2, 6, root)
    recording.end(one, 5, outputs={"a": TEXTS[1]})
    recording.end(root, 7)
    assert section(recording.events)["parallel"]["saves_ms"] == 0


@pytest.mark.parametrize(("pause", "saves_ms"), [(0.5, 0), (0.01, 9000 - 1000)])
def test_the_jobs_of_a_queue_worker_are_no_lost_parallelism(recording, call, section, pause, saves_ms):
    """A job that arrives after a pause was not there before; without pauses, all of them were."""
    at = 0.0
    for _ in range(3):
        for step in ("load", "convert", "store"):
            call(step, at, at + 1, None)
            at += 1
        at += pause
    assert section(recording.events)["parallel"]["saves_ms"] == saves_ms


def test_no_saving_is_counted_twice(recording, call, section):
    """What is saved inside a branch that is not the longest saves nothing, and shares add up to the whole."""
    root = recording.start("agent", "root", 0)
    for name, begin, length in (("one", 0, 2), ("two", 4, 3)):
        inner = recording.start("agent", name, begin, root, inputs={"task": name})
        call(f"{name} a", begin, begin + length, inner)
        call(f"{name} b", begin + length, begin + 2 * length, inner)
        recording.end(inner, begin + 2 * length)
    recording.end(root, 11)
    parallel = section(recording.events)["parallel"]
    assert parallel["saves_ms"] == 11_000 - 3000 - 1000
    assert sum(chance["saves_ms"] for chance in parallel["chances"]) + parallel["others_ms"] == 7000


def test_without_payloads_nothing_is_said_to_be_independent(recording, section):
    """A recording of level basic has a critical path, but no chances."""
    recording.span("tool", "a", 0, 1)
    recording.span("tool", "b", 1, 2)
    parallel = section(recording.events)["parallel"]
    assert parallel["saves_ms"] is None
    assert parallel["reason"] == "the trace does not hold the inputs and outputs of the spans"


def test_answers_that_say_nothing_are_not_said_to_be_missing(call, section, recording):
    """They are recorded, and cannot be told from others."""
    call("a", 0, 1, None, given="ok")
    call("b", 1, 2, None, given="ok")
    parallel = section(recording.events)["parallel"]
    assert parallel["saves_ms"] is None
    assert (
        parallel["reason"] == "the outputs of the spans are too short to be recognised where they were used"
    )


def test_of_too_many_spans_the_longest_are_kept(recording, call, section, monkeypatch):
    """What was left out is counted."""
    monkeypatch.setattr(module, "MOST_SPANS", 8)
    root = recording.start("agent", "root", 0)
    for place in range(40):
        call(f"t{place}", 2 * place, 2 * place + 1 + place % 7 / 10, root)
    recording.end(root, 100)
    found = section(recording.events)
    assert (found["spans"], found["spans_left_out"], len(found["schedule"])) == (41, 33, 8)
    assert found["parallel"]["reason"] == "the trace holds more spans than are looked at"


@pytest.mark.parametrize("room", [0, 700, 10**9])
def test_payloads_that_wait_give_the_same_edges_however_few_may_wait(
    recording, call, section, monkeypatch, room
):
    """What a span gave and was given may be read when it ends or when all is known."""
    monkeypatch.setattr(module, "MOST_SPANS", 8)
    monkeypatch.setattr(module, "MOST_UNREAD", room)
    call("giver", 0, 90, None, given=TEXTS[0])
    call("taker", 100, 180, None, taken=TEXTS[0])
    for place in range(40):
        call(f"t{place}", 200 + 2 * place, 201 + 2 * place + place % 7 / 10, None)
    assert pairs(section(recording.events)) == [(1, 3, "inferred")]


def test_a_child_process_hangs_under_the_span_that_started_it(recording, section):
    """Its `trace_start` stands for the span it names."""
    root = recording.start("agent", "root", 0)
    process = recording.add("trace_start", 1, parent_event_id=root, metadata={"process": 1})
    recording.span("tool", "remote", 1, 3, process)
    recording.end(root, 4)
    assert row(section(recording.events), 3)["parent"] == 1


PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.sampled_from([{"a": text} for text in TEXTS] + [{"a": "ok"}, {}]),
        "outputs": st.sampled_from([{"a": text} for text in TEXTS] + [{"a": "\n".join(TEXTS)}, {"a": 1}]),
        "depends_on": st.lists(st.sampled_from(["s0", "s1", "s2", "u1", "u2", "u3", "nowhere"]), max_size=2),
    },
)


@st.composite
def runs(draw):
    """Events of spans that begin inside any earlier one and end in any order: (begins, span, parent, time)."""
    moments, parents, running, now = [], [], [], 0
    for _ in range(draw(st.integers(1, 24))):
        now += draw(st.integers(0, 3))
        if running and draw(st.booleans()):
            span = running.pop(draw(st.integers(0, len(running) - 1)))
            moments.append((False, span, parents[span], now))
        else:
            parent = draw(st.integers(-1, len(parents) - 1))
            moments.append((True, len(parents), parent, now))
            running.append(len(parents))
            parents.append(parent)
    while running:
        span = running.pop()
        moments.append((False, span, parents[span], now))
    return moments


def network_of(moments):
    """The model as a graph of networkx, pair by pair: who begins or ends waits for each span that had been joined."""
    graph = nx.DiGraph()
    first = moments[0][3]
    times = {-1: first}
    joined = {-1: []}
    over = set()

    def wait(at, waiting, for_):
        last = max((time for _, time in joined[for_]), default=times[for_])
        graph.add_edge(("begin", for_), waiting, weight=0 if joined[for_] else at - last)
        for done, _ in joined[for_]:
            graph.add_edge(done, waiting, weight=at - last)

    parent_of = {span: parent for begins, span, parent, _ in moments if begins}
    for begins, span, parent, at in moments:
        if begins:
            graph.add_node(("begin", span))
            if parent in over:
                graph.add_edge(("end", parent), ("begin", span), weight=at - times["end", parent])
            else:
                wait(at, ("begin", span), parent)
            times[span], joined[span] = at, []
            continue
        wait(at, ("end", span), span)
        over.add(span)
        times["end", span] = at
        waiting = parent
        while waiting in over:
            waiting = parent_of[waiting]
        joined[waiting].append((("end", span), at))
    wait(moments[-1][3], "over", -1)
    return graph


@given(runs())
def test_slack_and_path_agree_with_networkx(recording_of, analysed, moments):
    """Wall time is the longest path, and slack what the longest path through the end of a span lacks."""
    found = analysed(recording_of(moments), ["dependencies"])["dependencies"]
    graph = network_of(moments)
    length = nx.dag_longest_path_length(graph) if graph.size() else 0
    assert found["wall_ms"] == length
    assert sum(step["ms"] for step in found["critical_path"]["listed"]) == length
    into, out = longest_into(graph), longest_into(graph.reverse())
    numbers = [number for number, (begins, *_) in enumerate(moments, 1) if begins]
    for span, number in enumerate(numbers):
        end = ("end", span)
        assert row(found, number)["slack_ms"] == length - into[end] - out[end]


@pytest.fixture(scope="session")
def recording_of():
    """Events of spans at milliseconds."""

    def recording_of(moments):
        return [
            {
                "event_type": "tool_call_start" if begins else "tool_call_end",
                "event_id": f"s{span}" if begins else f"e{span}",
                "timestamp": 1_700_000_000 + at / 1000,
                "component": "tool",
                "component_name": "t",
            }
            | ({} if begins and parent < 0 else {"parent_event_id": f"s{parent if begins else span}"})
            for begins, span, parent, at in moments
        ]

    return recording_of


def longest_into(graph):
    """The length of the longest path into each node."""
    lengths = {}
    for node in nx.topological_sort(graph):
        into = (lengths[tail] + data["weight"] for tail, _, data in graph.in_edges(node, data=True))
        lengths[node] = max(into, default=0)
    return lengths


def test_commands_of_libraries_are_not_in_the_graph(recording, section, call):
    """A command that a library runs for its own purposes is no work of the program that could run at another time."""
    recording.end(recording.start("command", "uname", 0, metadata={"background": True}), 3)
    recording.start("command", "lsb_release", 3, metadata={"background": True})
    call("search", 4, 6, None)
    found = section(recording.events)
    assert (found["spans"], [row["component"] for row in found["schedule"]]) == (1, ["tool"])
    assert not found["parallel"]["saves_ms"]
