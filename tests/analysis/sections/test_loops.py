from itertools import count

import pytest


@pytest.fixture
def at():
    """The times of a run in which everything follows at once: seconds from the beginning."""
    ticks = count()
    return lambda: next(ticks) * 0.01


@pytest.fixture
def tool(recording, at):
    """Add the call of a tool and return its number."""

    def tool(name, arguments, result="found", parent=None, **fields):
        start = recording.start("tool", name, at(), parent, inputs={"arguments": arguments})
        recording.end(start, at(), **({"outputs": {"result": result}} | fields))
        return int(start[1:])

    return tool


@pytest.fixture
def llm(recording, at):
    """Add the call of a model with so many messages and return its number."""

    def llm(text, messages, parent=None, **fields):
        said = [{"role": "user", "parts": [{"type": "text", "content": str(n)}]} for n in range(messages)]
        start = recording.start("llm", "m", at(), parent, inputs={"model": "m", "messages": said})
        recording.end(start, at(), outputs={"text": text}, **fields)
        return int(start[1:])

    return llm


@pytest.fixture
def found(recording, analysed):
    """What is found in the recording, by kind."""

    def found(kind):
        patterns = analysed(recording.events, ["patterns"])["patterns"]["found"]
        return [each for each in patterns if each["kind"] == kind]

    return found


def test_the_same_call_with_the_same_result_is_a_loop(tool, llm, found):
    """Its proof are all its calls; it cost what came after the first, with the model calls that asked for it."""
    numbers = []
    for turn in range(5):
        llm(f"thought {turn}", 2 * turn + 1, tokens_used=100, cost_estimate=0.01)
        numbers.append(tool("search", {"q": "x"}))
    (loop,) = found("loop")
    assert loop["form"] == "same call"
    assert (loop["component_name"], loop["arguments"]) == ("search", {"q": "x"})
    assert (loop["rounds"], loop["numbers"]) == (5, numbers)
    assert loop["cost"] == {"ms": pytest.approx(80, abs=0.01), "tokens": 400, "usd": 0.04}
    assert loop["confidence"] == pytest.approx(0.938)


def test_a_loop_goes_through_turns_and_steps_of_an_agent(recording, tool, found, at):
    """Turns do not part what an agent does; another agent does."""
    agent = recording.start("agent", "A", at())
    for _ in range(3):
        turn = recording.start("agent", "A", at(), agent, kind="agent_turn")
        step = recording.start("chain", "act", at(), turn, kind="chain_step")
        tool("search", {"q": "x"}, parent=step)
        recording.end(step, at())
        recording.end(turn, at())
    recording.end(agent, at())
    assert [loop["rounds"] for loop in found("loop")] == [3]


def test_agents_that_do_the_same_are_in_no_loop(recording, tool, found, at):
    """What three agents did once each, none of them did again."""
    for _ in range(3):
        agent = recording.start("agent", "A", at(), inputs={"question": str(at())})
        tool("search", {"q": "x"}, parent=agent)
        recording.end(agent, at())
    assert found("loop") == []


def test_what_is_not_known_is_not_the_same(tool, found):
    """Calls whose results or arguments the trace does not tell are in no loop."""
    for _ in range(4):
        tool("search", {"q": "x"}, outputs=None)
    assert found("loop") == []


def test_other_results_are_no_loop(tool, found):
    """The same question with a new answer each time makes progress, or is no question."""
    for turn in range(5):
        tool("next_line", {}, turn)
    assert found("loop") == found("polling") == []


def test_calls_at_the_same_time_are_no_loop(recording, found):
    """A round begins after the one before has ended."""
    starts = [recording.start("tool", "search", 0, inputs={"arguments": {"q": "x"}}) for _ in range(4)]
    for start in starts:
        recording.end(start, 1, outputs={"result": "found"})
    assert found("loop") == []


def test_a_loop_that_the_recording_ends_in(recording, tool, found, at):
    """The call that was open belongs to it."""
    for _ in range(3):
        tool("search", {"q": "x"})
    recording.start("tool", "search", at(), inputs={"arguments": {"q": "x"}})
    assert [loop["rounds"] for loop in found("loop")] == [4]


def test_a_loop_with_something_in_between_is_less_sure(tool, found):
    """What else was done may have been progress; a call without arguments may be made for its effect."""
    for turn in range(3):
        tool("search", {"q": "x"})
        tool("add", {"to": turn}, turn)
    for _ in range(3):
        tool("save", {}, None)
    confidences = {loop["component_name"]: loop["confidence"] for loop in found("loop")}
    assert confidences == {"search": pytest.approx(0.6), "save": pytest.approx(0.525)}


def test_two_calls_in_turn_oscillate(tool, llm, found):
    """Opening and closing the same is one loop, and not two of one call each."""
    numbers = []
    for turn in range(4):
        llm(f"thought {turn}", turn)
        numbers.append(tool("open", {"path": "a"}, "text"))
        llm(f"other thought {turn}", turn)
        numbers.append(tool("close", {"path": "a"}, "ok"))
    (loop,) = found("loop")
    assert (loop["form"], loop["rounds"], loop["numbers"]) == ("oscillation", 4, numbers)
    assert [turn["component_name"] for turn in loop["between"]] == ["open", "close"]


def test_three_calls_in_turn_are_a_cycle(tool, found):
    """A longer round is found as well, once, and not as its double."""
    for _ in range(6):
        for name in "abc":
            tool(name, {"n": 1})
    (loop,) = found("loop")
    assert (loop["form"], loop["rounds"], loop["count"]) == ("cycle", 6, 18)


def test_more_context_and_the_same_answer_is_growth(llm, found):
    """A model that is told more each time and says the same makes no progress."""
    numbers = [llm("I need more.", size, tokens_used=100 * size) for size in (1, 3, 5, 7)]
    (loop,) = found("loop")
    assert (loop["form"], loop["numbers"], loop["messages"]) == ("growth", numbers, [1, 7])
    assert loop["tokens"] == [100, 700]


def test_growth_that_is_a_loop_of_calls_is_told_once(tool, llm, found):
    """Where the model asks for the same call again and again, the calls are the loop."""
    for turn in range(4):
        llm("", 2 * turn + 1)
        tool("search", {"q": "x"})
    assert [loop["form"] for loop in found("loop")] == ["same call"]


def test_pages_by_number_are_no_loop(tool, found):
    """An argument that counts up turns pages, also where every page is empty."""
    numbers = [tool("orders", {"page": page, "of": "me"}, []) for page in range(4)]
    (paging,) = found("paging")
    assert (paging["by"], paging["numbers"]) == ("number", numbers)
    assert found("loop") == []


def test_pages_by_cursor_are_no_loop(tool, found):
    """A cursor that came from the result before turns pages."""
    cursors = ["", "x9", "k2", "p7"]
    for before, after in zip(cursors, [*cursors[1:], ""], strict=True):
        tool("users", {"cursor": before}, {"items": [], "next_cursor": after})
    (paging,) = found("paging")
    assert (paging["by"], paging["count"]) == ("cursor", 4)


def test_pages_that_begin_again_and_again_are_a_cycle(tool, found):
    """Three pages, read four times over with the same results, are a loop."""
    for _ in range(4):
        for page in range(3):
            tool("orders", {"page": page}, [page])
    assert [loop["form"] for loop in found("loop")] == ["cycle"]
    assert found("paging") == []


def test_numbers_that_merely_differ_are_no_pages(tool, found):
    """A number that jumps about is an argument like others."""
    for number in (1, 7, 30, 31):
        tool("square", {"n": number}, number**2)
    assert found("paging") == []


def test_asking_until_the_answer_changes_is_polling(tool, found):
    """The result is another one at last."""
    for result in ("empty", "empty", "empty", "full"):
        tool("look", {"box": 1}, result)
    (polling,) = found("polling")
    assert (polling["changed"], polling["count"]) == (True, 4)
    assert found("loop") == []


def test_an_answer_that_says_to_wait_is_polling(tool, found):
    """As long as a status says that it runs, asking again is no loop, whether it ends or not."""
    for _ in range(4):
        tool("job", {"id": 3}, {"status": "In progress"})
    (polling,) = found("polling")
    assert (polling["changed"], polling["confidence"]) == (False, 0.95)
    assert found("loop") == []


def test_attempts_up_to_the_one_that_worked(tool, found):
    """The same call after a failure is a retry; what it cost are the failed attempts and the time between."""
    failed = {"status": "failed", "error": "reset", "outputs": None}
    numbers = [tool("get", {"u": 1}, **failed), tool("get", {"u": 1}, **failed), tool("get", {"u": 1})]
    (retries,) = found("retries")
    assert (retries["outcome"], retries["numbers"], retries["confidence"]) == ("completed", numbers, 0.8)
    assert retries["cost"]["ms"] == pytest.approx(40, abs=0.01)


def test_attempts_that_all_failed_are_retries_and_no_loop(tool, found):
    """The same failure again and again is told as what it is, surely where the trace says so."""
    for attempt in range(4):
        tool("get", {"u": 1}, status="failed", error="reset", outputs=None, retry_count=attempt)
    (retries,) = found("retries")
    assert (retries["outcome"], retries["count"], retries["confidence"]) == ("failed", 4, 1.0)
    assert found("loop") == []
