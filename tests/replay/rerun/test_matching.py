"""Tests of which recorded answer a question gets, on one program and the edits that a user makes to it."""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.replay.overrides.faults import Fault, parse_fault
from namel3ss_debug.replay.overrides.mocks import Mock, parse_mock
from namel3ss_debug.replay.rerun.matching import MatchedAnswer, Matcher, Unmatched
from namel3ss_debug.replay.rerun.recorded_calls import read_recorded, tool_answer
from namel3ss_debug.replay.rerun.requests import read_request

CITIES = ("Paris", "Rome", "Oslo")


def program(plan="Plan a trip.", system="Be brief.", describe="Describe {}.", cities=CITIES, edit=""):
    """The requests of a small program: name, functions it came through, system prompt, and what is said.

    Two of the eight ask the same, from different functions.
    """

    def answer(name, chain, said):
        return (
            name,
            ("app.py:main", *(f"app.py:{function}" for function in chain), "app.py:ask"),
            system,
            said,
        )

    def budget():
        return answer("budget", ["budget"], "What does it cost?")

    if edit == "swap":
        yield budget()
    yield answer("plan", ["plan"], plan)
    if edit not in ("swap", "remove"):
        yield budget()
    if edit == "insert":
        yield answer("visa", ["visa"], "Is a visa needed?")
    for city in cities:
        yield answer(city, ["cities", "describe"], describe.format(city))
    yield answer("first check", ["check"], "Is all of it right?")
    yield answer("second check", ["check_again"], "Is all of it right?")
    yield answer("summary", ["summary"], "Sum it up.")


def record(listed, made, requests):
    """A recording of these requests, and the name of each by the number of its boundary."""
    names = {}
    for name, chain, system, said in requests:
        start = made.ask(said, chain=chain, system=system)
        names[len(made.events)] = name
        made.say(start, f"answer to {name}")
    return read_recorded(listed(made.events)), names


def requests(made, requests):
    """The requests as questions of a program that runs again, each with its name."""
    for name, chain, system, said in requests:
        made.ask(said, chain=chain, system=system)
        yield name, read_request(len(made.events), made.events[-1])


def rerun(recorded, answer):
    """The results of a run."""
    matcher = Matcher(recorded)
    return matcher, [(name, matcher.answer(request)) for name, request in answer]


EDITS = {
    "none": ({}, (8, 0), {}, []),
    "one prompt": ({"plan": "Plan a long trip."}, (8, 0), {"changed": 1}, []),
    "system prompt": ({"system": "Be thorough."}, (8, 0), {"changed": 8}, []),
    "loop prompt": ({"describe": "Praise {}."}, (8, 0), {"changed": 3}, []),
    "swap two calls": ({"edit": "swap"}, (8, 0), {"order": 1}, []),
    "reverse a loop": ({"cities": CITIES[::-1]}, (8, 0), {"order": 1}, []),
    "insert a call": ({"edit": "insert"}, (8, 1), {"new": 1}, []),
    "insert in the middle of a loop": (
        {"cities": ("Paris", "Bern", "Rome", "Oslo")},
        (9, 0),
        {"ambiguous": 1},
        ["Bern"],
    ),
    "insert in front of a loop": ({"cities": ("Bern", *CITIES)}, (9, 0), {"ambiguous": 1}, ["Bern"]),
    "remove a call": ({"edit": "remove"}, (7, 0), {"missing": 1}, []),
    "remove an item of a loop": ({"cities": CITIES[1:]}, (7, 0), {"missing": 1}, []),
    "insert at the end of a loop": ({"cities": (*CITIES, "Bern")}, (8, 1), {"new": 1}, []),
    "replace an item of a loop": ({"cities": ("Paris", "Bern", "Oslo")}, (8, 0), {"changed": 1}, []),
    "insert many in front of a loop": (
        {"cities": ("Bern", "Bonn", "Brno", "Baku", *CITIES)},
        (11, 1),
        {"ambiguous": 3, "new": 1},
        ["Bern", "Bonn", "Brno"],
    ),
}
"""What was edited, how many questions are answered and how many are new, the divergences by kind, and the calls whose answer
was recorded for another call, which then requests it as well: these are marked as ambiguous."""


class Conversation(dict):
    """An event of which can be told whether it is still there."""


def test_what_a_question_says_is_not_kept(listed, boundary_events):
    """A run of many turns that asks what was recorded does not pile up its conversations."""
    recorded, _ = record(listed, boundary_events(), program())
    matcher, kept = Matcher(recorded), []
    for _, request in requests(boundary_events(), program()):
        event = Conversation(request.event)
        assert matcher.answer(replace(request, event=event)).how == "exact"
        kept.append(weakref.ref(event))
    del event, request
    assert [event() for event in kept] == [None] * 8
    assert matcher.divergences() == ()


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_gets_the_right_answers(listed, boundary_events, edit):
    """Each question gets the answer of the recorded call it is or was, or none; a wrong one is marked."""
    changes, expected, kinds, ambiguous = EDITS[edit]
    recorded, names = record(listed, boundary_events(), program())
    answer = list(requests(boundary_events(), program(**changes)))
    matcher, results = rerun(recorded, answer)
    answered = [(name, result) for name, result in results if isinstance(result, MatchedAnswer)]
    for name, result in answered:
        right = {"Bern": "Rome"}.get(name, name) if edit == "replace an item of a loop" else name
        assert names[result.recorded.number] == right or name in ambiguous
    assert (len(answered), sum(isinstance(result, Unmatched) for _, result in results)) == expected
    divergences = matcher.divergences()
    assert Counter(found.kind for found in divergences) == kinds
    by_number = {request.number: name for name, request in answer}
    assert [by_number[found.number] for found in divergences if found.kind == "ambiguous"] == ambiguous


def last_request(made):
    """The event that was added last, as a question."""
    return read_request(len(made.events), made.events[-1])


def test_a_divergence_tells_both_sides(listed, boundary_events):
    """A changed request: the two questions, their lines of code, the message that differs, and the event numbers."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("Plan a trip.", call_site="app.py:10"), "Rome")
    recorded = read_recorded(listed(made.events))
    again.add("log_record", "log")
    again.ask("Plan a long trip.", call_site="app.py:12")
    answer = Matcher(recorded).answer(last_request(again))
    found = answer.divergence
    assert (found.kind, found.number, found.recorded.number) == ("changed", 2, 1)
    assert (found.call_site_then, found.call_site_now) == ("app.py:10", "app.py:12")
    (change,) = found.difference.messages
    assert (change.kind, change.before, change.old["parts"][0]["content"]) == ("changed", 1, "Plan a trip.")
    assert found.difference.paths == ()


def test_another_model_is_told_as_a_path(listed, boundary_events):
    """What is not in the messages of a request is told by its place."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("Plan."), "Rome")
    again.ask("Plan.")
    again.events[-1]["inputs"]["model"] = "larger"
    again.events[-1]["metadata"]["exchange"]["hash"] = "other"
    (found,) = (Matcher(read_recorded(listed(made.events))).answer(last_request(again)).divergence,)
    assert [change[:2] for change in found.difference.paths] == [("$.model", "changed")]


def test_a_new_question_is_told_beside_what_the_recording_holds_there(listed, boundary_events):
    """The next recorded question that was not asked yet is what the code should have asked."""
    recorded, names = record(listed, boundary_events(), program())
    answer = dict(requests(boundary_events(), program(edit="insert")))
    matcher = Matcher(recorded)
    results = {name: matcher.answer(request) for name, request in answer.items()}
    new = results["visa"]
    assert isinstance(new, Unmatched)
    assert (new.divergence.kind, new.divergence.number) == ("new", answer["visa"].number)
    assert names[new.divergence.recorded.number] == "Paris"
    assert [change.kind for change in new.divergence.difference.messages] == ["changed"]


def test_what_a_question_stands_for_is_known_before_it_is_answered(listed, boundary_events):
    """The same question, also where a guess has taken its answer; else one that it may have become; else none."""
    made, again = boundary_events(), boundary_events()
    for function in "fg":
        made.say(made.ask(function, chain=("app.py:main", f"app.py:{function}")), function)
    matcher = Matcher(read_recorded(listed(made.events)))

    def likely(said, function):
        again.ask(said, chain=("app.py:main", f"app.py:{function}"))
        found, same = matcher.likely(last_request(again))
        return found and found.number, same

    assert likely("g", "f") == (3, True)
    assert likely("other", "g") == (3, False)
    matcher.answer(last_request(again))
    assert likely("g", "g") == (3, True)
    assert likely("other", "g") == (None, False)


def test_a_wrong_guess_gives_its_answer_back_once(listed, boundary_events):
    """Asked a second time in the recorded words, the question is new."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("Plan."), "Rome")
    matcher = Matcher(read_recorded(listed(made.events)))
    results = []
    for said in ("Plan!", "Plan.", "Plan."):
        again.ask(said)
        results.append(type(matcher.answer(last_request(again))))
    assert results == [MatchedAnswer, MatchedAnswer, Unmatched]


def test_with_strict_the_first_question_out_of_turn_is_known(listed, boundary_events):
    """A question names the recorded one that should have come first, and none where it comes in its turn."""
    recorded, names = record(listed, boundary_events(), program())
    matcher = Matcher(recorded)
    answer = list(requests(boundary_events(), program(edit="remove")))
    answers = [matcher.answer(request) for _, request in answer]
    assert answers[0].overtook is None
    assert names[answers[1].overtook.number] == "budget"
    assert [(match.number, names[match.recorded]) for match in matcher.matches] == [
        (request.number, name) for name, request in answer
    ]


def test_with_strict_a_question_that_another_strand_had_asked_is_in_its_turn(listed, boundary_events):
    """It is out of turn on neither."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("a", task="Task-1"), "a")
    made.say(made.ask("b", task="Task-2"), "b")
    again.ask("b", task="Task-1")
    answer = Matcher(read_recorded(listed(made.events))).answer(last_request(again))
    assert (answer.recorded.number, answer.overtook) == (3, None)


def test_what_is_missing_stands_before_the_question_that_came_instead(listed, boundary_events):
    """A removed call is missing where the next one was asked; one at the end where nothing was asked any more."""
    recorded, _ = record(listed, boundary_events(), program())
    matcher = Matcher(recorded)
    answer = list(requests(boundary_events(), program(edit="remove")))
    for _, request in answer[:-1]:
        matcher.answer(request)
    assert [(found.kind, found.number) for found in matcher.divergences()] == [
        ("missing", answer[1][1].number),
        ("missing", 0),
    ]
    assert matcher.divergences(ended=False) == ()


def test_calls_that_were_swapped_are_told_where_the_first_came_too_early(listed, boundary_events):
    """The divergence is at the question that came too early, and names the one it came before."""
    recorded, names = record(listed, boundary_events(), program())
    matcher = Matcher(recorded)
    answer = dict(requests(boundary_events(), program(edit="swap")))
    for request in answer.values():
        matcher.answer(request)
    (found,) = matcher.divergences()
    assert (found.kind, found.request) == ("order", answer["budget"])
    assert names[found.recorded.number] == "plan"


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ("acbdfe", [("c", "b"), ("f", "e")]),
        ("acdb", [("c", "b")]),
        ("adecbf", [("d", "b")]),
    ],
    ids=["two pairs", "one later", "two later"],
)
def test_each_call_that_came_too_early_names_what_it_came_before(listed, boundary_events, now, told):
    """It is the first that came before what the recording holds first; pairs far from each other are two divergences."""
    made, again = boundary_events(), boundary_events()
    for said in "abcdef"[: len(now)]:
        made.say(made.ask(said), said)
    recorded = read_recorded(listed(made.events))
    matcher = Matcher(recorded)
    for said in now:
        again.ask(said)
        matcher.answer(last_request(again))

    def answer(event):
        return event["inputs"]["messages"][-1]["parts"][0]["content"]

    assert {found.kind for found in matcher.divergences()} == {"order"}
    assert [
        (answer(found.request.event), answer(recorded.start(found.recorded.number)))
        for found in matcher.divergences()
    ] == told


def test_a_changed_call_that_came_too_early_is_told_as_it_is_asked_now(listed, boundary_events):
    """Not in the words of the recording."""
    made, again = boundary_events(), boundary_events()
    for function in "fg":
        made.say(made.ask(function, chain=("app.py:main", f"app.py:{function}")), function)
    matcher = Matcher(read_recorded(listed(made.events)))
    again.ask("g, but otherwise", chain=("app.py:main", "app.py:g"))
    changed = last_request(again)
    matcher.answer(changed)
    again.ask("f", chain=("app.py:main", "app.py:f"))
    matcher.answer(last_request(again))
    (found,) = (one for one in matcher.divergences() if one.kind == "order")
    assert found.request.event is changed.event


def test_what_is_missing_stands_before_the_first_question_that_is_recorded_later(listed, boundary_events):
    """Whatever the order in which these are asked, and not before what is inside of a tool that was answered."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("a"), "a")
    made.say(made.ask("b"), "b")
    tool = made.call("search", {"q": "c"})
    made.say(made.ask("inside", parent=tool, chain=("app.py:search",)), "inside")
    made.give(tool, "search", "c")
    made.say(made.ask("d"), "d")
    matcher = Matcher(read_recorded(listed(made.events)))
    again.add("log_record", "log")
    again.ask("d")
    matcher.answer(last_request(again))
    again.ask("a")
    matcher.answer(last_request(again))
    again.call("search", {"q": "c"})
    matcher.answer(last_request(again))
    assert [
        (found.number, found.recorded.number) for found in matcher.divergences() if found.kind == "missing"
    ] == [(2, 3)]


def test_what_is_missing_names_the_answers_of_the_user_before_it(listed, boundary_events):
    """It cannot follow from those that came later, or at its place."""
    made, again = boundary_events(), boundary_events()
    for name in ("key", "left out", "search", "last"):
        made.give(made.call(name, {}), name, name)
    given_for = CallReply(key=(mock("k"), None), search=(mock("s"), None))
    matcher = Matcher(read_recorded(listed(made.events)), given_for)
    for name in ("key", "search"):
        again.call(name, {})
        matcher.answer(last_request(again))
    assert [(found.number, found.mocked) for found in matcher.divergences()] == [(2, (1,)), (0, (1, 2))]


def test_what_is_recorded_next_is_the_next_of_the_same_strand_else_of_the_same_kind(listed, boundary_events):
    """Behind the last that was asked there; of a strand that has asked nothing yet, the first of its kind that is left."""
    made, again = boundary_events(), boundary_events()
    for said, task in (("a", "Task-1"), ("b", "Task-1"), ("c", "Task-2")):
        made.say(made.ask(said, task=task), said)
    made.give(made.call("search", {}, task="Task-2"), "search", 1)
    made.say(made.ask("d", task="Task-2"), "d")
    matcher = Matcher(read_recorded(listed(made.events)))

    def next_for(task, *, tool=False):
        _ = again.call("new", {}, task=task) if tool else again.ask("new", task=task)
        found = matcher.expected_next(last_request(again))
        return None if found is None else found.number

    def answer(said, task):
        again.ask(said, task=task)
        assert matcher.answer(last_request(again)).how == "exact"

    assert next_for("Task-2") == 5
    answer("a", "Task-1")
    answer("d", "Task-2")
    assert (next_for("Task-1"), next_for("Task-2"), next_for("Task-3")) == (3, None, 3)
    assert next_for("Task-3", tool=True) == 7
    answer("c", "Task-1")
    assert next_for("Task-1") is None
    assert next_for("Task-1", tool=True) == 7


def test_a_new_question_of_another_kind_than_what_the_recording_holds_there_is_not_compared(
    listed, boundary_events
):
    """A call of a tool beside a request to a model."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("Plan."), "Rome")
    matcher = Matcher(read_recorded(listed(made.events)), CallReply(key=(mock("k"), None)))
    again.call("key", {})
    matcher.answer(last_request(again))
    again.call("search", {})
    found = matcher.answer(last_request(again)).divergence
    assert (found.recorded.number, found.difference, found.mocked) == (1, None, (1,))


# --- the same question several times


def test_the_same_question_gets_its_answers_in_their_order(listed, boundary_events):
    """A program that polls gets what it got, in turn, and no answer more than there were."""
    made, again = boundary_events(), boundary_events()
    numbers = []
    for _ in range(3):
        made.say(made.ask("Ready?"), "no")
        numbers.append(len(made.events) - 1)
    matcher = Matcher(read_recorded(listed(made.events)))
    results = []
    for _ in range(4):
        again.ask("Ready?")
        results.append(matcher.answer(last_request(again)))
    assert [result.recorded.number for result in results[:3]] == numbers
    assert isinstance(results[3], Unmatched)


def test_the_same_question_of_several_tasks_gets_the_answer_of_its_own(listed, boundary_events):
    """A retry belongs to the task that met the failure, whichever asks first."""
    made, again = boundary_events(), boundary_events()
    for task in ("Task-2", "Task-3"):
        made.say(made.ask("Ready?", task=task), f"answer in {task}")
    matcher = Matcher(read_recorded(listed(made.events)))
    for task in ("Task-3", "Task-2"):
        again.ask("Ready?", task=task)
        assert matcher.answer(last_request(again)).recorded.request.task_key.task == task
    assert matcher.divergences() == ()


def test_a_retry_gets_the_answer_of_the_retry(listed, boundary_events):
    """The recorded failure comes first, then the recorded success."""
    made, again = boundary_events(), boundary_events()
    first = made.ask("Plan.")
    made.say(first, "", status="failed", error="slow down", error_type="rate_limit_error")
    second = made.ask("Plan.")
    made.events[-1]["metadata"]["retry_of"] = first
    made.say(second, "Rome")
    recorded = read_recorded(listed(made.events))
    matcher = Matcher(recorded)
    found = []
    for _ in range(2):
        again.ask("Plan.")
        found.append(matcher.answer(last_request(again)).recorded)
    assert [one.number for one in found] == [1, 3]


def test_without_call_chains_nothing_is_guessed(listed, boundary_events):
    """A recording that does not tell through which functions a request came answers only the same requests."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("Plan."), "Rome")
    del made.events[0]["metadata"]["chain"]
    recorded = read_recorded(listed(made.events))
    again.ask("Plan!")
    again.ask("Plan.")
    matcher = Matcher(recorded)
    assert isinstance(matcher.answer(read_request(1, again.events[0])), Unmatched)
    assert matcher.answer(read_request(2, again.events[1])).how == "exact"


# --- tools


def tools(listed, made, *calls):
    """A recording of calls of tools, each `(name, arguments, call id, result)`."""
    for name, arguments, call_id, result in calls:
        made.give(made.call(name, arguments, call_id), name, result)
    return read_recorded(listed(made.events))


def test_a_tool_gets_the_result_of_its_own_call(listed, boundary_events):
    """The id under which a model asked goes before equal arguments, and these before the order."""
    recorded = tools(
        listed,
        boundary_events(),
        ("search", {"q": "a"}, "call_1", 1),
        ("search", {"q": "a"}, "call_2", 2),
        ("search", {"q": "b"}, None, 3),
    )
    matcher, again = Matcher(recorded), boundary_events()
    results = []
    for arguments, call_id in [({"q": "b"}, None), ({"q": "a"}, "call_2"), ({"q": "a"}, "call_9")]:
        again.call("search", arguments, call_id)
        results.append(matcher.answer(last_request(again)))
    assert [tool_answer(recorded.end(result.recorded.number)).value for result in results] == [3, 2, 1]
    assert {result.how for result in results} == {"exact"}


def test_changed_arguments_are_told_and_get_the_next_result(listed, boundary_events):
    """The call that a model asked for by the same id first, else the next call through the same functions."""
    recorded = tools(
        listed,
        boundary_events(),
        ("search", {"q": "a", "n": 1}, "call_1", 1),
        ("search", {"q": "b"}, "call_2", 2),
    )
    matcher, again = Matcher(recorded), boundary_events()
    again.call("search", {"q": "c"}, "call_2")
    by_id = matcher.answer(last_request(again))
    again.call("search", {"q": "a", "n": 2}, "call_7")
    by_chain = matcher.answer(last_request(again))
    assert [tool_answer(recorded.end(one.recorded.number)).value for one in (by_id, by_chain)] == [2, 1]
    assert [one.divergence.difference.paths[0][:2] for one in (by_id, by_chain)] == [
        ("$.arguments.q", "changed"),
        ("$.arguments.n", "changed"),
    ]


def test_another_tool_never_gets_the_result(listed, boundary_events):
    """The name of a tool is part of every question."""
    recorded = tools(listed, boundary_events(), ("search", {"q": "a"}, "call_1", 1))
    again = boundary_events()
    again.call("find", {"q": "a"}, "call_1")
    assert isinstance(Matcher(recorded).answer(last_request(again)), Unmatched)


def nested(listed, made):
    """A tool that asks a model, between two requests of the program."""
    made.say(made.ask("Plan."), "search it")
    tool = made.call("search", {"q": "a"}, "call_1")
    inner = made.call("rank", {}, parent=tool)
    made.say(made.ask("Rank.", chain=("app.py:main", "app.py:search"), parent=inner), "first")
    made.give(inner, "rank", 1)
    made.give(tool, "search", "found")
    made.say(made.ask("Sum up."), "done")
    return read_recorded(listed(made.events))


def test_what_is_inside_an_answered_tool_is_not_missing(listed, boundary_events):
    """A tool that is answered asks nothing; its requests are over with it, those of tools inside it too."""
    recorded, again = nested(listed, boundary_events()), boundary_events()
    matcher = Matcher(recorded)
    for ask in (
        lambda: again.ask("Plan."),
        lambda: again.call("search", {"q": "a"}, "call_1"),
        lambda: again.ask("Sum up."),
    ):
        ask()
        assert matcher.answer(last_request(again)).how == "exact"
    assert matcher.divergences() == ()


def test_a_tool_that_is_run_asks_what_it_asked(listed, boundary_events):
    """Its inner requests are answered; where it is new, it is told and run all the same."""
    recorded, again = nested(listed, boundary_events()), boundary_events()
    matcher = Matcher(recorded, runs=lambda request: request.name == "search")
    again.ask("Plan.")
    matcher.answer(last_request(again))
    again.call("search", {"q": "a"}, "call_1")
    answer = matcher.answer(last_request(again))
    assert (answer.runs, answer.how) == (True, "exact")
    again.ask("Rank.", chain=("app.py:main", "app.py:search"))
    assert matcher.answer(last_request(again)).how == "exact"
    again.call("search", {"q": "b"}, chain=())
    answer = matcher.answer(last_request(again))
    assert (answer.runs, answer.how, answer.divergence.kind) == (True, "new", "new")


# --- answers of the user


class CallReply:
    """Answers and faults by name: what is given, and the numbers of the questions that get it; None: all."""

    def __init__(self, **overridden):
        self.overridden = overridden

    def mock_for(self, number, start):
        """The answer of a name."""
        return self._find(Mock, number, start)

    def fault_for(self, number, start):
        """The fault of a name."""
        return self._find(Fault, number, start)

    def _find(self, kind, number, start):
        given_for, only = self.overridden.get(start.get("component_name"), (None, None))
        return given_for if isinstance(given_for, kind) and (only is None or number in only) else None


def mock(answer):
    """An answer of the user's."""
    return Mock("any", None, answer)


def weather(made, result="21 degrees and dry", request="How is Rome?", ask=True):
    """A model asks for a tool, and gets its result."""
    call = {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Rome"}}
    if ask:
        start = made.ask(request)
        made.say(start, "", outputs={"tool_calls": [{key: call[key] for key in ("id", "name", "arguments")}]})
        made.give(made.call("weather", {"city": "Rome"}, "call_1"), "weather", "21 degrees and dry")
    back = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": result}]}
    return made.ask(request, {"role": "assistant", "parts": [call]}, back)


def test_a_request_that_changed_after_a_mock_is_no_divergence(listed, boundary_events):
    """It gets the recorded answer, and the summary can name it."""
    made, again = boundary_events(), boundary_events()
    made.say(weather(made), "Take a hat.")
    matcher = Matcher(read_recorded(listed(made.events)), CallReply(weather=(mock("-30 degrees"), None)))
    again.ask("How is Rome?")
    assert matcher.answer(last_request(again)).how == "exact"
    again.call("weather", {"city": "Rome"}, "call_1")
    mocked = matcher.answer(last_request(again))
    assert (mocked.how, mocked.mock.answer, mocked.recorded.number) == ("exact", "-30 degrees", 3)
    weather(again, "-30 degrees", ask=False)
    answer = matcher.answer(last_request(again))
    assert (answer.how, answer.divergence, answer.recorded.number) == ("after_override", None, 5)
    assert matcher.divergences() == ()
    assert [match.how for match in matcher.matches] == ["exact", "exact", "after_override"]


def test_only_requests_after_an_override_may_change_because_of_it(listed, boundary_events):
    """An edited request before it is changed, and one after it names no cause."""
    made, again = boundary_events(), boundary_events()
    for said in ("a", "b"):
        made.say(made.ask(said, chain=("app.py:main", f"app.py:{said}")), said)
    matcher = Matcher(read_recorded(listed(made.events)), CallReply(key=(mock("k"), None)))
    again.ask("a, edited", chain=("app.py:main", "app.py:a"))
    assert matcher.answer(last_request(again)).how == "changed"
    again.call("key", {})
    matcher.answer(last_request(again))
    again.ask("b, edited", chain=("app.py:main", "app.py:b"))
    assert matcher.answer(last_request(again)).how == "after_override"
    assert [(found.kind, found.number) for found in matcher.divergences()] == [("changed", 1)]


def test_an_error_of_the_users_leaves_the_answer_for_the_next_attempt(listed, boundary_events):
    """A fault stands before the recorded answer: a retry gets it, and without one it is not missing."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("Plan."), "Rome")
    recorded = read_recorded(listed(made.events))
    matcher = Matcher(recorded, CallReply(m=(parse_fault("m:timeout"), [1])))
    again.ask("Plan.")
    assert matcher.answer(last_request(again)).fails
    assert matcher.divergences() == ()
    again.ask("Plan.")
    answer = matcher.answer(last_request(again))
    assert (answer.how, answer.fault, answer.recorded.number) == ("exact", None, 1)
    assert matcher.divergences() == ()


def test_an_error_of_the_users_excuses_one_answer_alone(listed, boundary_events):
    """Of two that were recorded, and of which the program asks for one and gives up, the other is missing."""
    made, again = boundary_events(), boundary_events()
    for _ in range(2):
        made.say(made.ask("Plan."), "Rome")
    matcher = Matcher(read_recorded(listed(made.events)), CallReply(m=(parse_fault("m:timeout"), [1])))
    again.ask("Plan.")
    assert matcher.answer(last_request(again)).fails
    assert [found.kind for found in matcher.divergences()] == ["missing"]


def test_what_is_inside_a_tool_that_the_user_lets_fail_is_not_missing(listed, boundary_events):
    """A tool that fails asks nothing of what it asked when it was recorded."""
    recorded, again = nested(listed, boundary_events()), boundary_events()
    matcher = Matcher(recorded, CallReply(search=(parse_fault("search:timeout"), None)))
    for ask in (
        lambda: again.ask("Plan."),
        lambda: again.call("search", {"q": "a"}, "call_1"),
        lambda: again.ask("Sum up."),
    ):
        ask()
        matcher.answer(last_request(again))
    assert matcher.divergences() == ()


def test_a_request_that_changed_after_a_fault_is_no_divergence(listed, boundary_events):
    """The program makes a text of the error."""
    made, again = boundary_events(), boundary_events()
    made.say(weather(made), "Take a hat.")
    matcher = Matcher(
        read_recorded(listed(made.events)), CallReply(weather=(parse_fault("weather:timeout"), None))
    )
    again.ask("How is Rome?")
    matcher.answer(last_request(again))
    again.call("weather", {"city": "Rome"}, "call_1")
    assert matcher.answer(last_request(again)).fails
    weather(again, "The weather service does not answer, try later.", ask=False)
    assert matcher.answer(last_request(again)).how == "after_override"
    assert matcher.divergences() == ()


def test_a_member_of_the_recorded_answer_is_changed(listed, boundary_events):
    """The rest of the answer is the recorded one, and the change alone is expected later."""
    made, again = boundary_events(), boundary_events()
    made.give(made.call("weather", {}), "weather", {"temp_c": 21, "sky": "dry"})
    made.say(made.ask("21 degrees, dry"), "Take a hat.")
    matcher = Matcher(
        read_recorded(listed(made.events)), CallReply(weather=(parse_mock("weather.result.temp_c=-30"), None))
    )
    again.call("weather", {})
    matcher.answer(last_request(again))
    again.ask("-30 degrees, dry")
    assert matcher.answer(last_request(again)).how == "after_override"


def test_a_late_answer_is_the_recorded_one(listed, boundary_events):
    """Latency uses the answer up, and explains no difference."""
    made, again = boundary_events(), boundary_events()
    made.give(made.call("weather", {}), "weather", "dry")
    made.say(made.ask("It is dry."), "Take a hat.")
    matcher = Matcher(
        read_recorded(listed(made.events)), CallReply(weather=(parse_fault("weather:latency:2s"), None))
    )
    again.call("weather", {})
    answer = matcher.answer(last_request(again))
    assert (answer.how, answer.fails, answer.overridden) == ("exact", False, True)
    again.ask("It is wet.")
    assert matcher.answer(last_request(again)).how == "changed"


@pytest.mark.parametrize("alarm", [mock(True), parse_fault("alarm:timeout")], ids=["mock", "fault"])
def test_a_mock_for_a_call_that_is_not_recorded_is_no_divergence(listed, boundary_events, alarm):
    """The user gave the answer that the recording does not hold, or the error in its place."""
    recorded = tools(listed, boundary_events(), ("search", {"q": "a"}, "call_1", 1))
    matcher, again = Matcher(recorded, CallReply(alarm=(alarm, None))), boundary_events()
    again.call("search", {"q": "a"}, "call_1")
    matcher.answer(last_request(again))
    again.call("alarm", {})
    answer = matcher.answer(last_request(again))
    assert (answer.how, answer.recorded, answer.divergence) == ("new", None, None)
    assert matcher.divergences() == ()
    assert [match.recorded for match in matcher.matches] == [1, 0]


def test_a_mock_keeps_no_answer_from_its_own_question(listed, boundary_events):
    """A mocked call stands for a recorded one by a guess; when that one is asked for, nothing has to start over."""
    recorded, names = record(listed, boundary_events(), program())
    answer = dict(requests(boundary_events(), program(cities=("Bern", *CITIES))))
    matcher = Matcher(recorded, CallReply(m=(mock("a mocked answer"), [answer["Bern"].number])))
    results = {name: matcher.answer(request) for name, request in answer.items()}
    assert {name: names[result.recorded.number] for name, result in results.items() if name != "Bern"} == {
        name: name for name in names.values()
    }
    assert matcher.divergences() == ()
    (mocked,) = (match for match in matcher.matches if match.number == answer["Bern"].number)
    assert (mocked.recorded, mocked.how, mocked.overridden) == (0, "new", True)
    assert [match.how for match in matcher.matches].count("exact") == len(names)


def test_a_call_that_the_user_answers_still_has_its_place_in_the_order(listed, boundary_events):
    """It is the recorded one, asked too early."""
    made, again = boundary_events(), boundary_events()
    made.say(made.ask("Plan."), "Rome")
    made.give(made.call("search", {}), "search", 1)
    matcher = Matcher(read_recorded(listed(made.events)), CallReply(search=(mock(2), None)))
    again.call("search", {})
    matcher.answer(last_request(again))
    again.ask("Plan.")
    matcher.answer(last_request(again))
    assert [(found.kind, found.number) for found in matcher.divergences()] == [("order", 1)]


def test_an_expected_question_that_was_asked_for_later_was_a_wrong_guess(listed, boundary_events):
    """It got its answer because of a mock, and the recorded question comes after all."""
    made, again = boundary_events(), boundary_events()
    made.say(weather(made), "Take a hat.")
    matcher = Matcher(read_recorded(listed(made.events)), CallReply(weather=(mock("-30 degrees"), None)))
    again.ask("How is Rome?")
    matcher.answer(last_request(again))
    again.call("weather", {"city": "Rome"}, "call_1")
    matcher.answer(last_request(again))
    weather(again, "-30 degrees", ask=False)
    assert matcher.answer(last_request(again)).how == "after_override"
    weather(again, ask=False)
    assert matcher.answer(last_request(again)).how == "exact"


def test_a_request_after_a_tool_that_returned_something_else_is_no_divergence(listed, boundary_events):
    """What a tool returns that is run for real is no recorded answer either."""
    made, again = boundary_events(), boundary_events()
    made.give(made.call("search", {}), "search", 1)
    made.say(made.ask("Plan."), "Rome")
    for noted, how in ((False, "changed"), (True, "after_override")):
        matcher = Matcher(read_recorded(listed(made.events)), runs=lambda request: True)
        again.call("search", {})
        answer = matcher.answer(last_request(again))
        if noted:
            matcher.note_replaced(answer.request.number)
        again.ask("Plan!")
        assert matcher.answer(last_request(again)).how == how


def test_calls_of_a_task_that_overlap_have_no_order(listed, boundary_events):
    """Tasks of Trio share a key, and begin in any order."""
    made, again = boundary_events(), boundary_events()
    one, two = made.ask("a"), made.ask("b")
    made.say(two, "b")
    made.say(one, "a")
    matcher = Matcher(read_recorded(listed(made.events)))
    for said in "ba":
        again.ask(said)
        assert matcher.answer(last_request(again)).overtook is None
    assert matcher.divergences() == ()


def test_a_wrong_guess_is_ahead_of_no_recorded_call(listed, boundary_events):
    """It is a call that was added, so the calls that it seemed to overtake are in their order."""
    made, again = boundary_events(), boundary_events()
    for function in "fg":
        made.say(made.ask(function, chain=("app.py:main", f"app.py:{function}")), function)
    matcher = Matcher(read_recorded(listed(made.events)))
    for said, function in (("added", "g"), ("f", "f"), ("g", "g")):
        again.ask(said, chain=("app.py:main", f"app.py:{function}"))
        matcher.answer(last_request(again))
    assert [(found.kind, found.number) for found in matcher.divergences()] == [("ambiguous", 1)]


# --- laws

REQUESTS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("fgh"), st.sampled_from(["", "Task-1", "Task-2"])),
    max_size=12,
)


def make(made, requests):
    """The events of requests, each `(what is said, function, task)`."""
    for said, function, task in requests:
        start = made.ask(said, chain=("app.py:main", function), **({"task": task} if task else {}))
        made.say(start, f"{said} {function} {task}")


def ask(made, requests):
    """The questions of requests."""
    for said, function, task in requests:
        made.ask(said, chain=("app.py:main", function), **({"task": task} if task else {}))
        yield last_request(made)


@given(st.data(), REQUESTS)
def test_an_unchanged_run_is_answered_exactly_in_any_order(listed, boundary_events, data, requests):
    """Each question gets an answer to the same question from the same function and task, and nothing is left."""
    made = boundary_events()
    make(made, requests)
    matcher = Matcher(read_recorded(listed(made.events)))
    for request in ask(boundary_events(), data.draw(st.permutations(requests))):
        answer = matcher.answer(request)
        then = answer.recorded.request
        assert (answer.how, then.keys, then.chain, then.task_key) == (
            "exact",
            request.keys,
            request.chain,
            request.task_key,
        )
    assert all(found.kind == "order" for found in matcher.divergences())


@given(REQUESTS, REQUESTS)
def test_every_same_question_gets_its_answer_and_what_is_given_twice_is_marked(
    listed, boundary_events, before, now
):
    """As many questions as can be have their own answers; an answer that is given twice was once a guess, which is marked."""
    made = boundary_events()
    make(made, before)
    matcher = Matcher(read_recorded(listed(made.events)))
    results = [matcher.answer(request) for request in ask(boundary_events(), now)]
    answered = [result for result in results if isinstance(result, MatchedAnswer)]
    said = Counter(one for one, _, _ in before) & Counter(one for one, _, _ in now)
    assert sum(result.how == "exact" for result in answered) == said.total()
    times = Counter(result.recorded.number for result in answered)
    assert max(times.values(), default=0) <= 2
    ambiguous = sum(found.kind == "ambiguous" for found in matcher.divergences())
    assert ambiguous == sum(count == 2 for count in times.values())
