import pytest


@pytest.fixture
def found(recording, analysed):
    """What is found in the recording, by kind."""

    def found(kind):
        patterns = analysed(recording.events, ["patterns"])["patterns"]["found"]
        return [each for each in patterns if each["kind"] == kind]

    return found


def names(entry):
    """The names of the operations of an entry."""
    return [operation["component_name"] for operation in entry["operations"]]


def test_what_follows_each_other_again_and_again_is_a_sequence(recording, found):
    """The longest that occurs so often, and none of its pieces; its proof is where it begins."""
    begins = []
    for turn in range(4):
        agent = recording.start("agent", f"A{turn}", 10 * turn)
        begins.append(len(recording.events) + 1)
        for place, step in enumerate(("plan", "fetch", "write")):
            recording.span("tool", step, 10 * turn + place, 10 * turn + place + 0.5, agent)
        recording.end(agent, 10 * turn + 9)
    (sequence,) = found("sequence")
    assert (names(sequence), sequence["count"]) == (["plan", "fetch", "write"], 4)
    assert (sequence["numbers"], sequence["confidence"]) == (begins, 1.0)


def test_a_round_that_goes_on_is_one_sequence(recording, found):
    """Of a round that comes again and again, its turned pieces and its doubles say nothing more."""
    for turn in range(6):
        recording.span("llm", "m", 2 * turn, 2 * turn + 0.5)
        recording.span("tool", "t", 2 * turn + 1, 2 * turn + 1.5)
    (sequence,) = found("sequence")
    assert (names(sequence), sequence["count"]) == (["m", "t"], 6)


def test_a_sequence_does_not_go_from_one_agent_to_another(recording, found):
    """The last call of one agent and the first of the next are no sequence."""
    for turn in range(5):
        agent = recording.start("agent", "A", turn)
        recording.span("tool", "a" if turn % 2 else "b", turn + 0.1, turn + 0.2, agent)
        recording.end(agent, turn + 0.5)
    assert found("sequence") == []


def test_one_operation_alone_is_no_sequence(recording, found):
    """The same call ten times is a matter of loops."""
    for turn in range(10):
        recording.span("tool", "a", turn, turn + 0.5)
    assert found("sequence") == []


def test_calls_that_overlap_are_a_parallel_group(recording, found):
    """Groups of the same operations are one entry: the largest proves it, and all of them count."""
    for turn in range(2):
        starts = [recording.start("tool", "get", 10 * turn) for _ in range(3)]
        for start in starts:
            recording.end(start, 10 * turn + 2)
    (group,) = found("parallel")
    assert (group["groups"], group["count"], group["numbers"]) == (2, 3, [1, 2, 3])
    assert (group["at_once"], group["wall_ms"], group["saved_ms"]) == (3, 4000, 8000)


def test_of_a_parallel_group_it_is_told_how_many_ran_at_once(recording, found):
    """Four calls of two threads, each of which takes its next while the other one is at work."""
    calls = [recording.start("tool", "get", 0), recording.start("tool", "get", 0.1)]
    for at in (2, 2.1, 4, 4.1):
        recording.end(calls.pop(0), at)
        if at < 4:
            calls.append(recording.start("tool", "get", at))
    (group,) = found("parallel")
    assert (group["count"], group["at_once"]) == (4, 2)


@pytest.mark.parametrize("inner", ["chain", "agent"])
def test_a_step_and_what_runs_inside_it_are_neither_parallel_nor_a_sequence(recording, found, inner):
    """A node of a graph runs an agent or a step of its own, again and again, and nothing at once."""
    graph = recording.start("chain", "graph", 0)
    for turn in range(4):
        node = recording.start("chain", "node", 10 * turn, graph, kind="chain_step")
        kind = {"kind": "chain_step"} if inner == "chain" else {}
        inside = recording.start(inner, "inside", 10 * turn + 1, node, **kind)
        recording.span("tool", "search", 10 * turn + 2, 10 * turn + 3, inside)
        recording.end(inside, 10 * turn + 4)
        recording.end(node, 10 * turn + 5)
    recording.end(graph, 50)
    assert found("parallel") + found("sequence") == []


def test_steps_at_once_are_a_group_and_so_are_the_steps_inside_them(recording, found):
    """Two branches of a graph, each with a step of its own: two at once on each level, and not four."""
    graph = recording.start("chain", "graph", 0)
    branches = [recording.start("chain", f"b{n}", 0, graph, kind="chain_step") for n in range(2)]
    inner = [recording.start("chain", f"i{n}", 1, branches[n], kind="chain_step") for n in range(2)]
    for start in (*inner, *branches, graph):
        recording.end(start, 5)
    assert [(names(group), group["count"], group["saved_ms"]) for group in found("parallel")] == [
        (["b0", "b1"], 2, 5000),
        (["i0", "i1"], 2, 4000),
    ]


def test_calls_that_never_ended_are_in_no_group(recording, found):
    """How long they would have run at once is not known."""
    for _ in range(3):
        recording.start("tool", "get", 0)
    assert found("parallel") == []


def test_ten_thousand_at_once(recording, found):
    """All are counted, and a few are named."""
    starts = [recording.start("tool", "get", 0) for _ in range(10_000)]
    for start in starts:
        recording.add(
            "tool_call_end",
            1,
            component="tool",
            parent_event_id=start,
            status="completed",
            duration_ms=1000.0,
        )
    (group,) = found("parallel")
    assert (group["count"], len(group["numbers"])) == (10_000, 20)
