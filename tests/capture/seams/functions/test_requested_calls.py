"""The calls that models ask for, joined to the functions that answer them."""

from __future__ import annotations

import threading

import pytest

from namel3ss_debug.capture.seams.functions.requested_calls import ToolCalls


def asked_for(*calls):
    """The calls of one answer, each `(id, name, arguments)`."""
    return [{"id": call_id, "name": name, "arguments": arguments} for call_id, name, arguments in calls]


def results(*pairs):
    """A request that brings results back, each `(id, result)`."""
    parts = [{"type": "tool_call_response", "id": call_id, "response": result} for call_id, result in pairs]
    return [{"role": "tool", "parts": parts}]


@pytest.fixture
def unseen():
    """What came back unseen."""
    return []


@pytest.fixture
def calls(unseen):
    """An empty table."""
    return ToolCalls(lambda _names: None, lambda call, result: unseen.append((call.call_id, result)))


def test_equal_calls_are_taken_in_the_order_they_were_asked_for(calls):
    """Each of two equal calls is taken once, the first one first; then none is left."""
    calls.add_requested(asked_for(("a", "add", {"x": 1}), ("b", "add", {"x": 1})), "2", None)
    taken = [calls.take("add", {"x": 1}, None) for _ in range(3)]
    assert [call and call.call_id for call in taken] == ["a", "b", None]


def test_the_arguments_and_then_the_span_decide_between_calls(calls):
    """A function takes the call with its arguments, and of several such the one asked for in its own agent."""
    calls.add_requested(asked_for(("a", "add", {"x": 1}), ("b", "add", {"x": 2})), "2", "agent 1")
    calls.add_requested(asked_for(("c", "add", {"x": 2})), "3", "agent 2")
    assert calls.take("add", {"x": 2, "y": 0}, "agent 2").call_id == "c"
    assert calls.take("add", {"x": 2}, "agent 2").call_id == "b"
    assert calls.take("add", {"x": 9}, "agent 2", only_inside=True) is None
    assert calls.take("add", {"x": 9}, "agent 2").call_id == "a"


def test_the_id_that_a_framework_says_decides_before_all_else(calls, unseen):
    """The model may know the tool by another name; what is begun again is the same call, and takes no other one."""
    calls.add_requested(asked_for(("a", "m_add", {"x": 1}), ("b", "m_add", {"x": 2})), "2", None)
    assert calls.take("add", {"x": 2}, None, call_id="b").asked_in == "2"
    assert calls.take("add", {"x": 2}, None, call_id="b").call_id == "b"
    assert calls.take("add", {"x": 1}, None) is None
    calls.add_results(results(("b", 2), ("a", 1)), None)
    assert unseen == [("a", 1)]


def test_a_tool_of_a_server_may_be_asked_for_with_the_name_of_the_server(calls):
    """With the same arguments, after a call of the very name; a function of the program's has its own name."""
    for call_id, name in (("c1", "w_look"), ("c2", "look"), ("c3", "outlook")):
        calls.add_requested([{"id": call_id, "name": name, "arguments": {"city": "Oslo"}}], "1", None)
    taken = [
        calls.take("look", {"city": city}, None, served=True) for city in ("Oslo", "Rome", "Oslo", "Oslo")
    ]
    assert [call and call.call_id for call in taken] == ["c2", None, "c1", None]
    calls.add_requested([{"id": "c4", "name": "w_look", "arguments": {"city": "Oslo"}}], "1", None)
    assert calls.take("look", {"city": "Oslo"}, None) is None


def test_an_id_that_no_model_gave_decides_nothing(calls):
    """A framework makes one up where a server gives none; and one that is used again is another call."""
    calls.add_requested(asked_for((None, "add", {"x": 1})), "2", None)
    assert calls.take("add", {"x": 1}, None, call_id="made-up").asked_in == "2"
    calls.add_requested(asked_for(("a", "add", {"x": 1})), "4", None)
    assert calls.take("add", {"x": 1}, None, call_id="a").asked_in == "4"
    assert calls.take("add", {"x": 9}, None, call_id="a") is None


def test_a_server_that_repeats_its_ids_loses_no_call(calls, unseen):
    """Two conversations with the same id at the same time, then the id again, and a call without any."""
    calls.add_requested(asked_for(("c0", "add", {})), "2", "agent 1")
    calls.add_requested(asked_for(("c0", "add", {})), "3", "agent 2")
    assert [calls.take("add", {}, f"agent {n}").asked_in for n in (2, 1)] == ["3", "2"]
    calls.add_requested(asked_for(("c0", "add", {})), "8", None)
    calls.add_results(results(("c0", "the old one"), ("c0", "the new one")), None)
    assert unseen == [("c0", "the new one")]
    calls.add_requested(asked_for((None, "add", {})), "9", None)
    assert calls.take("add", {}, None).call_id == ""


@pytest.mark.parametrize("call_id", ["", "call_0"])
def test_calls_of_one_id_that_nobody_takes_do_not_pile_up(calls, call_id):
    """A model that answers by a tool which nobody runs, without an id of its own, is asked as often as one likes."""
    for number in range(3000):
        calls.add_requested(asked_for((call_id, "final_answer", {"x": number})), "2", None)
    assert calls.take("final_answer", {}, None).arguments == {"x": 3000 - 1024}


def test_a_result_is_unseen_only_where_no_function_took_the_call(calls, unseen):
    """A call that was taken does not come back as another span, however often its result is sent."""
    calls.add_requested(asked_for(("a", "add", {}), ("b", "look", {})), "2", None)
    calls.take("add", {}, None)
    for _ in range(2):
        calls.add_results(results(("a", 1), ("b", 2)), None)
    assert unseen == [("b", 2)]


def test_of_equal_calls_in_several_answers_the_one_whose_result_comes_back_was_answered(calls, unseen):
    """A program that asked twice and went on with the second answer ran the tool once; what comes back besides was not seen."""
    for asked_in, call_id in (("2", "a"), ("3", "b"), ("4", "c")):
        calls.add_requested(asked_for((call_id, "add", {"x": 1})), asked_in, None)
    assert calls.take("add", {"x": 1}, None).call_id == "a"
    calls.add_results(results(("b", 2)), None)
    assert unseen == []
    calls.add_results(results(("b", 2), ("c", 2)), None)
    calls.add_results(results(("b", 2), ("c", 2), ("a", 2)), None)
    assert unseen == [("c", 2), ("a", 2)]


def test_a_call_that_has_come_back_stands_for_no_other(calls, unseen):
    """The same is asked for once more, of something that is not seen."""
    calls.add_requested(asked_for(("a", "add", {"x": 1})), "2", None)
    calls.take("add", {"x": 1}, None)
    calls.add_results(results(("a", 2)), None)
    calls.add_requested(asked_for(("b", "add", {"x": 1})), "3", None)
    calls.add_results([*results(("a", 2)), {"role": "assistant", "parts": []}, *results(("b", 2))], None)
    assert unseen == [("b", 2)]


def test_a_held_call_is_taken_when_it_runs_and_its_refusal_is_no_result(calls, unseen):
    """Of two equal calls that wait for a person one runs, and what goes back for the other is that it was refused."""
    calls.add_requested(asked_for(("a", "wipe", {"x": 1}), ("b", "wipe", {"x": 1})), "2", None)
    for _ in range(2):
        calls.await_consent("wipe", {"x": 1}, None)
    assert calls.take("wipe", {"x": 1}, None).call_id == "a"
    calls.add_results(results(("a", "wiped"), ("b", "refused")), None)
    assert calls.take("wipe", {"x": 1}, None) is None
    calls.await_consent("wipe", {"x": 1}, None)
    assert unseen == []


def test_looking_for_a_call_runs_no_code_of_the_program(calls):
    """An argument whose comparison fails or hangs is never compared."""

    class Hostile:
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError

    calls.add_requested(asked_for(("a", "add", {"x": [1, {"y": None}]})), "2", None)
    assert calls.take("add", {"x": Hostile()}, None).call_id == "a"


def test_a_fork_while_another_thread_holds_the_lock_leaves_a_usable_table(calls):
    """After `renew`, which a forked child calls, nobody waits for a thread that is not there."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with calls._lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    calls.renew()
    assert calls.take("add", {}, None) is None
    done.set()
    thread.join()


def test_a_call_that_was_incomplete_is_replaced_when_more_of_the_answer_arrives(calls):
    """What a function took meanwhile is not added again."""
    first = calls.add_requested(asked_for(("a", "add", {"x": 1}), ("b", "add", "")), "2", None)
    assert calls.take("add", {"x": 1}, None).call_id == "a"
    whole = asked_for(("a", "add", {"x": 1}), ("b", "add", {"x": 2}), ("c", "add", {"x": 3}))
    calls.add_requested(whole, "2", None, first)
    taken = [calls.take("add", {"x": number}, None) for number in (2, 3, 1)]
    assert [call and call.call_id for call in taken] == ["b", "c", None]


@pytest.mark.parametrize(
    "passed",
    [
        {"city": "Oslo", "days": 2, "unit": "C"},
        {"arguments": {"city": "Oslo", "days": 2, "tool_call_id": "a"}},
        {"text": '{"city": "Oslo", "days": 2}'},
        {"place": "Oslo", "length": 2},
        {"args": ("Oslo", 2)},
    ],
)
def test_a_registered_function_takes_the_call_whose_arguments_it_got(calls, passed):
    """By name, as one dict or its JSON, under other names, or by position."""
    calls.add_requested(asked_for(("a", "weather", {"city": "Oslo", "days": 2})), "2", None)
    assert calls.take_fitting({"weather"}, {"place": "Rome", "length": 2}, None) is None
    assert calls.take_fitting({"other"}, passed, None) is None
    assert calls.take_fitting({"weather"}, passed, "inside", only_inside=True) is None
    assert calls.take_fitting({"weather"}, passed, None).call_id == "a"


def test_a_registered_function_that_is_retried_takes_the_same_call_until_its_result_is_sent(calls):
    """A program may retry a tool that failed."""
    calls.add_requested(asked_for(("a", "weather", {"city": "Oslo"})), "2", None)
    taken = [calls.take_fitting({"weather"}, {"city": "Oslo"}, None) for _ in range(2)]
    assert taken[0] is taken[1]
    calls.add_results(results(("a", "dry")), None)
    assert calls.take_fitting({"weather"}, {"city": "Oslo"}, None) is None
