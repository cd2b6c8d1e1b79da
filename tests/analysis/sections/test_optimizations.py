import json

import pytest

from namel3ss_debug.analysis.sections.savings import KINDS

LONG = "word " * 1200
"""Six thousand bytes."""


def message(role, words):
    """A message of one text."""
    return {"role": role, "parts": [{"type": "text", "content": words}]}


@pytest.fixture
def found(recording, analysed):
    """The section."""
    return lambda **options: analysed(recording.events, ["optimizations"], **options)["optimizations"]


@pytest.fixture
def ask(recording):
    """Record a model call of one second."""

    def ask(at, messages, parent=None, tokens=1500, cached=0, text="yes", **fields):
        start = recording.start("llm", "m", at, parent, inputs={"messages": messages})
        usage = {"input_tokens": tokens, "output_tokens": 10, "cache_read_tokens": cached}
        recording.end(start, at + 1, **({"usage": usage, "outputs": {"text": text}} | fields))
        return start

    return ask


@pytest.fixture
def use(recording):
    """Record a tool call."""

    def use(at, arguments, result, parent=None, lasts=1, **fields):
        start = recording.start(
            "tool", "search", at, parent, inputs={"arguments": arguments, "call_id": f"c{at}"}
        )
        recording.end(start, at + lasts, **({"outputs": {"result": result}} | fields))
        return start

    return use


def kinds(section):
    """(count, ms, tokens) of the kinds that were found."""
    return {
        row["kind"]: (row["count"], row["saves"]["ms"], row["saves"]["tokens"])
        for row in section["kinds"]
        if row["count"]
    }


def test_nothing_to_save_is_told_by_zeros(found):
    """All kinds are there, in the order in which calls are taken."""
    section = found()
    assert [row["kind"] for row in section["kinds"]] == list(KINDS)
    assert section["saves"] == {"ms": 0.0, "tokens": 0, "cost": None}
    assert section["kinds"][-1]["reason"] == "there are no spans"


def test_the_same_question_answered_the_same_again_is_saved(recording, use, found):
    """Only what was asked after the first answer, and only where nothing was hidden."""
    first = recording.start("tool", "search", 0, inputs={"arguments": {"q": 1}})
    beside = recording.start("tool", "search", 0.5, inputs={"arguments": {"q": 1}})
    recording.end(first, 1, outputs={"result": "a"})
    recording.end(beside, 1.5, outputs={"result": "a"})
    use(2, {"q": 1}, "a")
    use(6, {"q": 2}, "a")
    for at in (8, 10):
        use(at, {"key": "[REDACTED:api-key]"}, "a")
        use(at + 20, {"text": {"$truncated": 9}}, "a")
    section = found(slow_ms=5000)
    assert kinds(section) == {"repeated_calls": (1, 1000.0, 0)}
    [row] = section["listed"]
    assert (row["first_number"], row["numbers"], row["component_name"]) == (1, [5], "search")


def test_a_tool_whose_answer_changed_must_not_be_cached(use, found):
    """It was asked until it said something else, which a cache would not have; another question is another matter."""
    for at, result in enumerate(("waiting", "waiting", "done")):
        use(2 * at, {"job": 1}, result)
        use(20 + 2 * at, {"job": 2}, "waiting")
    assert kinds(found(slow_ms=5000)) == {"repeated_calls": (2, 2000.0, 0)}


def test_a_repeated_model_call_saves_time_tokens_and_money(ask, found):
    """The ids of the tool calls in two answers may differ."""
    for at in (0, 2, 4):
        calls = [{"id": f"call_{at}", "name": "search", "arguments": {"q": 1}}]
        ask(at, [message("user", "hi")], outputs={"tool_calls": calls}, cost_estimate=0.25)
    section = found()
    assert kinds(section) == {"repeated_calls": (2, 2000.0, 3020)}
    assert section["saves"]["cost"] == 0.5


def test_a_tool_with_calls_inside_is_no_cached_call(recording, use, ask, found):
    """What its calls would save is counted for themselves, so that nothing is counted twice."""
    for at in (0, 10):
        tool = recording.start("tool", "agent", at, inputs={"arguments": {}})
        ask(at + 1, [message("user", "hi")], tool)
        recording.end(tool, at + 3, outputs={"result": "yes"}, tokens_used=1510)
    section = found(slow_ms=60_000)
    assert kinds(section) == {"repeated_calls": (1, 1000.0, 1510)}


def test_failed_calls_cost_what_they_took(recording, ask, use, found):
    """A failed tool has its own time only: that of the call inside is counted there."""
    tool = recording.start("tool", "agent", 0, inputs={"arguments": {}})
    ask(1, [message("user", "hi")], tool, status="failed", error="busy")
    recording.end(tool, 4, status="failed", error="busy", tokens_used=1510)
    assert kinds(found()) == {"failed_calls": (2, 4000.0, 1510)}


def test_of_calls_of_one_tool_only_those_that_failed_are_lost(use, found):
    """What came through is not, before or behind."""
    use(0, {"q": 1}, "a")
    use(2, {"q": 2}, None, status="failed", error="busy", outputs={})
    use(4, {"q": 3}, "c")
    section = found(slow_ms=5000)
    assert kinds(section) == {"failed_calls": (1, 1000.0, 0)}
    assert [row["numbers"] for row in section["listed"]] == [[3]]


def test_a_model_that_once_said_something_else_may_be_cached(ask, found):
    """Only a tool that changed its answer does more than answer."""
    for at, text in ((0, "yes"), (2, "yes"), (4, "no")):
        ask(at, [message("user", "hi")], text=text)
    assert kinds(found()) == {"repeated_calls": (1, 1000.0, 1510)}


def test_work_after_the_failure_that_ended_a_run_is_lost(recording, ask, use, found):
    """What began after the failed call with the same words, inside the span that failed; not what came before or after."""
    agent = recording.start("agent", "a", 0)
    ask(1, [message("user", "one")], agent)
    use(3, {"q": 1}, None, agent, status="failed", error="no route", error_type="ConnectError", outputs={})
    ask(5, [message("user", "two")], agent)
    ask(7, [message("user", "three")], agent)
    recording.end(agent, 9, status="failed", error="no route", error_type="ConnectError")
    ask(10, [message("user", "four")])
    assert kinds(found()) == {"failed_calls": (1, 1000.0, 0), "work_after_failure": (2, 2000.0, 3020)}


def test_a_failure_that_was_made_good_loses_nothing(recording, ask, use, found):
    """The run did not end with it."""
    agent = recording.start("agent", "a", 0)
    use(1, {}, None, agent, status="failed", error="busy", outputs={})
    ask(3, [message("user", "two")], agent)
    recording.end(agent, 5, status="failed", error="something else")
    assert kinds(found()) == {"failed_calls": (1, 1000.0, 0)}


def test_what_ran_beside_a_failed_span_is_not_its_own(recording, ask, use, found):
    """Calls belong to the span around them, whatever ran at the same time."""
    agent = recording.start("agent", "a", 0)
    use(1, {}, None, agent, status="failed", error="busy", outputs={})
    ask(3, [message("user", "mine")], agent)
    ask(5, [message("user", "another's")])
    recording.end(agent, 8, status="failed", error="busy")
    assert kinds(found()) == {"failed_calls": (1, 1000.0, 0), "work_after_failure": (1, 1000.0, 1510)}


def test_context_sent_again_saves_what_no_cache_read(ask, found, own_prices):
    """Of 4000 tokens the share of the bytes that the call before began with, less the 1000 that were cached."""
    own_prices({"m": {"input": 2, "output": 1, "cache_read": 0.5}})
    history = [message("system", LONG), message("user", "q")]
    ask(0, history, tokens=2000)
    more = [*history, message("assistant", "a"), message("user", "r" * 5900)]
    ask(2, more, tokens=4000, cached=1000, text="no")
    section = found()
    [row] = section["listed"]
    before, whole = (
        sum(len(json.dumps(each, separators=(",", ":"))) for each in part) for part in (history, more)
    )
    assert (row["kind"], row["first_number"], row["numbers"]) == ("resent_context", 1, [3])
    assert row["saves"]["tokens"] == 4000 * before // whole - 1000
    assert row["saves"]["cost"] == pytest.approx(row["saves"]["tokens"] * 1.5e-6, abs=1e-11)
    assert row["saves"]["ms"] == 0


def test_no_cache_can_have_what_was_asked_at_the_same_time(recording, ask, found):
    """Of calls side by side only those that began after one of them had ended could have been read from a cache."""
    began = [
        recording.start(
            "llm", "m", at, inputs={"messages": [message("system", LONG), message("user", str(at))]}
        )
        for at in (0, 0.1, 0.2)
    ]
    usage = {"input_tokens": 1500, "output_tokens": 10}
    for at, start in enumerate(began, 1):
        recording.end(start, at, usage=usage, outputs={"text": "yes"})
    assert kinds(found()) == {}
    ask(5, [message("system", LONG), message("user", "later")])
    [row] = found()["listed"]
    assert (row["kind"], row["first_number"], row["numbers"]) == ("resent_context", 1, [7])


def test_short_or_cached_beginnings_save_nothing(ask, found):
    """A provider's cache reads from 1,024 tokens on."""
    history = [message("system", LONG)]
    ask(0, [*history, message("user", "a")], tokens=1000)
    ask(2, [*history, message("user", "b")], tokens=1000)
    ask(4, [*history, message("user", "c")], tokens=3000, cached=2999)
    assert kinds(found()) == {}


def test_a_beginning_that_the_cache_read_or_that_is_short_saves_nothing(ask, found):
    """Of a long prompt as well: what the cache had is not saved, nor is what no cache would keep."""
    ask(0, [message("system", LONG), message("user", "a")], tokens=3000)
    ask(2, [message("system", LONG), message("user", "b")], tokens=3000, cached=2999)
    ask(100, [message("system", "short " * 400), message("user", LONG)], tokens=3000)
    ask(102, [message("system", "short " * 400), message("user", LONG.upper())], tokens=3000)
    assert kinds(found()) == {}


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({"tools": [{"name": "search"}]}, {"text": "yes"}),
        ({"params": {"temperature": 1}}, {"text": "yes"}),
        ({}, {"text": "no"}),
        ({}, {"tool_calls": [{"id": "c", "name": "search", "arguments": {"q": 1}}]}),
    ],
)
def test_another_question_or_answer_of_a_model_is_no_repetition(recording, found, asked, answered):
    """Other tools, parameters, words or requests for a tool."""
    for at, more, outputs in ((0, {}, {"text": "yes"}), (2, asked, answered)):
        inputs = {"messages": [message("user", "hi")]} | more
        recording.end(recording.start("llm", "m", at, inputs=inputs), at + 1, outputs=outputs)
    assert kinds(found()) == {}


def test_answers_that_were_cut_are_not_the_same(use, found):
    """What is left of them may be; another attempt at a call that failed is no repetition either."""
    for at in (0, 2):
        use(at, {"q": 1}, {"text": {"$truncated": 9}})
    use(4, {"q": 2}, "a")
    use(6, {"q": 2}, "a", retry_count=1, metadata={"retry_of": "e1"})
    assert "repeated_calls" not in kinds(found(slow_ms=5000))


def test_what_a_tool_paid_for_is_its_own_cost(recording, use, ask, found):
    """Unless calls inside it are paid for themselves."""
    for at in (0, 2):
        use(at, {"q": 1}, "a", cost_estimate=0.25)
    tool = recording.start("tool", "agent", 4, inputs={"arguments": {}})
    ask(5, [message("user", "hi")], tool, status="failed", error="busy", cost_estimate=0.5)
    recording.end(tool, 7, status="failed", error="other", cost_estimate=0.5, tokens_used=1510)
    saves = {row["kind"]: row["saves"]["cost"] for row in found(slow_ms=5000)["kinds"]}
    assert (saves["repeated_calls"], saves["failed_calls"]) == (0.25, 0.5)


def test_a_repeated_call_does_not_count_its_context_as_well(ask, found):
    """Its tokens are saved once."""
    for at in (0, 2):
        ask(at, [message("system", LONG), message("user", "a")])
    assert kinds(found()) == {"repeated_calls": (1, 1000.0, 1510)}


def test_slow_tools_save_what_exceeds_the_setting(ask, use, found):
    """Three seconds with one allowed are two; a repeated one is not slow once more, and a model never is."""
    ask(8, [message("user", "hi")], duration_ms=9000.0)
    use(0, {"q": 1}, "a", lasts=3)
    use(4, {"q": 1}, "a", lasts=3)
    assert kinds(found()) == {"slow_tools": (1, 2000.0, 0), "repeated_calls": (1, 3000.0, 0)}


def test_parallel_saves_only_what_is_not_counted_already(recording, use, analysed):
    """Two independent calls of three and four seconds: of the three that could be saved, two are slow tools' already."""
    agent = recording.start("agent", "a", 0, inputs={"question": "compare the two warehouses"})
    use(0, {"q": "north-warehouse-117"}, "the northern one is empty today", agent, lasts=3)
    use(3, {"q": "south-warehouse-242"}, "the southern one holds 5000 lamps", agent, lasts=4)
    recording.end(agent, 7, outputs={"result": "north"})
    for slow_ms, rest in ((60_000, 3000.0), (2500, 1000.0), (500, 0.0)):
        document = analysed(recording.events, ["optimizations", "dependencies"], slow_ms=slow_ms)
        assert document["dependencies"]["parallel"]["saves_ms"] == 3000
        found = kinds(document["optimizations"])
        assert found.get("parallel", (0, 0.0))[1] == rest
        rows = [row for row in document["optimizations"]["listed"] if row["kind"] == "parallel"]
        assert [(row["component"], row["component_name"], row["numbers"], row["groups"]) for row in rows] == (
            [("agent", "a", [1], document["dependencies"]["parallel"]["chances"][0]["groups"])]
            if rest
            else []
        )
        counted = sum(ms for _, ms, _ in found.values())
        assert document["optimizations"]["saves"]["ms"] == counted


def test_what_is_counted_in_a_later_agent_leaves_the_savings_of_one(recording, use, analysed):
    """A slow tool of another agent takes nothing from what this one could save, though its number is higher."""
    agent = recording.start("agent", "a", 0, inputs={"question": "compare the two warehouses"})
    use(0, {"q": "north-warehouse-117"}, "the northern one is empty today", agent, lasts=3)
    use(3, {"q": "south-warehouse-242"}, "the southern one holds 5000 lamps", agent, lasts=4)
    recording.end(agent, 7, outputs={"result": "north"})
    other = recording.start("agent", "b", 7)
    recording.span("tool", "wait", 7, 16, other)
    recording.end(other, 16)
    found = kinds(analysed(recording.events, ["optimizations"], slow_ms=4500)["optimizations"])
    assert {kind: ms for kind, (_, ms, _) in found.items()} == {"slow_tools": 4500.0, "parallel": 3000.0}


def test_savings_add_up(recording, ask, use, found):
    """The total is the sum of the kinds, and these are the sums of the rows."""
    agent = recording.start("agent", "a", 0)
    for at in range(0, 12, 3):
        ask(
            at,
            [message("system", LONG), message("user", str(at // 6))],
            agent,
            tokens=5000,
            cost_estimate=0.1,
        )
        use(at + 1, {"q": at // 6}, "x", agent, lasts=1.5, cost_estimate=0.01)
    recording.end(agent, 13, status="failed", error="odd")
    section = found()
    for name in ("ms", "tokens", "cost"):
        total = section["saves"][name]
        for rows in (section["kinds"], section["listed"]):
            assert sum(row["saves"][name] or 0 for row in rows) == pytest.approx(total)
    numbers = [number for row in section["listed"] for number in row["numbers"]]
    assert len(numbers) == len(set(numbers))


def test_numbers_too_large_to_keep_break_nothing(ask, found):
    """A hostile recording."""
    for at in (0, 2):
        ask(at, [message("user", "hi")], tokens=10**18, cost_estimate=9e14, tokens_used=(1 << 64) - 1)
    assert found()["saves"]["tokens"] == 1 << 62


def test_what_a_cache_has_forgotten_is_not_sent_again(ask, found):
    """Providers keep a beginning for five minutes after it was last read."""
    for at in (0, 250, 500, 900):
        ask(at, [message("system", LONG), message("user", str(at))])
    [row] = found()["listed"]
    assert (row["count"], row["numbers"]) == (2, [3, 5])


def test_ten_thousand_spans_fail_side_by_side(recording, found):
    """Each call is looked at once, not once for each span that ran meanwhile."""
    agents = [recording.start("agent", "a", 0) for _ in range(10_000)]
    tools = [recording.start("tool", "t", 1, agent) for agent in agents]
    for started in (*tools, *agents):
        component = "tool_call" if int(started[1:]) > 10_000 else "agent_execution"
        recording.events.append(
            {
                "event_type": f"{component}_end",
                "event_id": f"{started}!",
                "component": "tool" if component == "tool_call" else "agent",
                "parent_event_id": started,
                "status": "failed",
                "error": "no",
                "duration_ms": 1000.0,
            }
        )
    section = found()
    assert kinds(section) == {"failed_calls": (10_000, 10_000_000.0, 0)}
