"""Pairs of runs that differ by one known change each: the comparison names its kind and its event."""

import copy

import pytest

from namel3ss_debug.analysis.diff.comparison import RunReconvergence


def told(found):
    """The differences in short: kind, and the two events."""
    return [(each.kind, each.number_a, each.number_b) for each in found.differences]


def other_arguments(events):
    """Another argument of refund_policy."""
    events[7]["inputs"]["arguments"]["reason"] = "late"


def other_result(events):
    """Another result of refund_policy."""
    events[8]["outputs"]["result"] = "No refunds."


def other_answer(events):
    """The last answer of the model."""
    events[14]["outputs"]["text"] = "You do not."


def another_tool(events):
    """Another tool in the place of refund_policy."""
    for number in (8, 9):
        events[number - 1]["component_name"] = "escalate"


def another_model(events):
    """Another model for the third question."""
    for number in (10, 11):
        events[number - 1]["component_name"] = "gpt-4o-mini"
    events[9]["inputs"]["model"] = "gpt-4o-mini"


def other_parameters(events):
    """Another temperature for the third question."""
    events[9]["inputs"]["params"]["temperature"] = 1


def another_prompt(events):
    """Another instruction for the third question."""
    events[9]["inputs"]["messages"][0]["parts"][0]["content"] = "You help customers. Be thorough."


def another_context(events):
    """The third question with the first result cut."""
    events[9]["inputs"]["messages"][3]["parts"][0]["response"] = "nothing found"


def failed(events):
    """send_refund failed, and the run went on."""
    end = events[12]
    del end["outputs"]
    end |= {"status": "failed", "error": "no such order", "error_type": "LookupError"}


def retried(events):
    """The third question was asked once in vain before."""
    start, end = copy.deepcopy(events[9]), copy.deepcopy(events[10])
    start["event_id"], end["event_id"], end["parent_event_id"] = "first", "in vain", "first"
    del end["outputs"]
    end |= {"status": "failed", "error": "rate limit", "error_type": "RateLimitError"}
    events[9] |= {"retry_count": 1, "metadata": {"retry_of": "first"}}
    events[9:9] = [start, end]


def retried_silently(events):
    """refund_policy failed and was called again, without a word that this is a retry."""
    start, end = copy.deepcopy(events[7]), copy.deepcopy(events[8])
    start["event_id"], end["event_id"], end["parent_event_id"] = "first", "in vain", "first"
    del end["outputs"]
    end |= {"status": "failed", "error": "timed out"}
    events[7:7] = [start, end]


def one_more_call(events):
    """An audit that only the second run makes."""
    start = copy.deepcopy(events[7]) | {"event_id": "more", "component_name": "audit"}
    end = copy.deepcopy(events[8]) | {
        "event_id": "mored",
        "parent_event_id": "more",
        "component_name": "audit",
    }
    events[9:9] = [start, end]


def one_call_less(events):
    """Without refund_policy."""
    del events[7:9]


def another_order(events):
    """refund_policy before find_order, and the first two questions after them."""
    events[3:9] = [*events[7:9], *events[5:7], *events[3:5]]


CHANGES = (
    (other_arguments, [("arguments", 8, 8)]),
    (other_result, [("result", 9, 9)]),
    (other_answer, [("result", 15, 15)]),
    (another_tool, [("path", 8, 8)]),
    (another_model, [("model", 10, 10)]),
    (other_parameters, [("model", 10, 10)]),
    (another_prompt, [("prompt", 10, 10)]),
    (another_context, [("context", 10, 10)]),
    (failed, [("status", 13, 13)]),
    (retried, [("retry", 10, 10)]),
    (retried_silently, [("retry", 8, 8)]),
    (one_more_call, [("added", None, 10)]),
    (one_call_less, [("missing", 8, None)]),
)


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_one_change_is_one_difference_of_its_kind_at_its_event(support_run, compared, change, expected):
    """Nothing else is reported, and what is reported is first."""
    after = copy.deepcopy(support_run)
    change(after)
    found = compared(support_run, after)
    assert told(found) == expected
    assert found.kinds == {expected[0][0]: 1}
    assert found.first == found.differences[0]


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_other_way_round_it_is_the_same_difference(support_run, compared, change, expected):
    """With the runs exchanged the events are, and what was added is missing."""
    opposite = {"added": "missing", "missing": "added"}
    before = copy.deepcopy(support_run)
    change(before)
    assert told(compared(before, support_run)) == [
        (opposite.get(kind, kind), b, a) for kind, a, b in expected
    ]


def test_a_change_of_order_is_a_change_of_order(support_run, compared):
    """Calls that came one after the other and changed places are moved, not added and missing."""
    after = copy.deepcopy(support_run)
    another_order(after)
    found = compared(support_run, after)
    assert set(found.kinds) == {"order"}
    assert found.reordered == 0
    assert found.first.kind == "order"


def test_a_run_is_the_same_as_itself(support_run, written, compared):
    """No difference, first or met again; the figures of both sides are there."""
    found = compared(support_run, support_run)
    assert found.same
    assert (found.differences, found.first, found.reconvergence, found.read) == ((), None, None, None)
    assert (found.a.tokens, found.a.cost, found.a.memory_mb, found.a.duration_ms) == (
        400,
        0.004,
        50.0,
        15000.0,
    )
    assert (found.a.model_calls, found.a.tool_calls, found.a.errors) == (4, 3, 0)


def test_ids_and_times_are_no_difference(support_run, compared):
    """Another run of the same program has other event ids, call ids, times and durations."""
    after = copy.deepcopy(support_run)
    for event in after:
        event["event_id"] = f"x{event['event_id']}"
        event["execution_id"] = "another"
        if "parent_event_id" in event:
            event["parent_event_id"] = f"x{event['parent_event_id']}"
        if "duration_ms" in event:
            event["duration_ms"] *= 2
        for message in event.get("inputs", {}).get("messages", ()):
            for part in message["parts"]:
                if "id" in part:
                    part["id"] += "_again"
        for call in event.get("outputs", {}).get("tool_calls", ()):
            call["id"] += "_again"
    assert compared(support_run, after, began=1_800_000_000.5).same


def test_a_passing_difference_is_not_the_first_lasting_one(support_run, compared):
    """A retry that recovered comes first in the list; what the runs did not get over comes first of all."""
    after = copy.deepcopy(support_run)
    other_answer(after)
    after[8]["outputs"]["result"] = "No refunds."
    after[9]["inputs"]["messages"][5]["parts"][0]["response"] = "No refunds."
    retried_silently(after)
    found = compared(support_run, after)
    assert told(found) == [("retry", 8, 8), ("result", 9, 11), ("context", 10, 12), ("result", 15, 17)]
    assert [each.lasting for each in found.differences] == [False, True, True, True]
    assert found.first == found.differences[1]
    assert found.differences[0].recovered
    assert found.differences[0].attempts == (1, 2)


def test_a_difference_passes_where_the_next_question_is_the_same(support_run, compared):
    """The model reads what came before; another difference behind that question does not make it last."""
    after = copy.deepcopy(support_run)
    other_arguments(after)
    after[11]["inputs"]["arguments"]["amount"] = 20
    found = compared(support_run, after)
    assert told(found) == [("arguments", 8, 8), ("arguments", 12, 12)]
    assert [each.lasting for each in found.differences] == [False, False]


def test_other_arguments_with_another_result_last(support_run, compared):
    """The call came to something else, though the next question was the same."""
    after = copy.deepcopy(support_run)
    other_arguments(after)
    other_result(after)
    found = compared(support_run, after).differences
    assert [(each.kind, each.lasting) for each in found] == [("arguments", True), ("result", False)]


@pytest.fixture
def two_tasks(agent):
    """The events of two tasks that take turns, six calls each; arguments and calls to leave out by task and place."""

    def make(changed=(), without=()):
        agent.events = []
        for place in range(6):
            for task in ("one", "two"):
                if (task, place) not in without:
                    arguments = {"page": f"other{task}{place}" if (task, place) in changed else "same"}
                    agent.tool(f"{task}_{place}", arguments, "done", None, task=task)
        return agent.events

    return make


@pytest.mark.parametrize(("later", "lasting"), [("Refunded 399 EUR.", True), ("You lost your money.", False)])
def test_a_difference_lasts_whose_value_a_later_one_has_again(support_run, compared, later, lasting):
    """The next questions are the same, and the answer at the end holds the other amount; or it differs by itself."""
    after = copy.deepcopy(support_run)
    support_run[4]["outputs"]["result"]["price"] = 39.9
    after[4]["outputs"]["result"]["price"] = 399.0
    after[14]["outputs"]["text"] = later
    found = compared(support_run, after)
    assert told(found) == [("result", 5, 5), ("result", 15, 15)]
    assert found.differences[0].lasting is lasting
    assert (found.first.number_b == 5) is lasting


def test_whether_a_difference_lasts_is_asked_of_its_own_line_of_work(two_tasks, compared):
    """What another task does next says nothing about it."""
    found = compared(two_tasks(), two_tasks(changed=[("one", 0), ("two", 0), ("two", 5)]))
    assert [(each.name, each.lasting) for each in found.differences] == [
        ("one_0", False),
        ("two_0", False),
        ("two_5", True),
    ]
    gone = compared(two_tasks(), two_tasks(changed=[("two", 2)], without=[("one", 1)]))
    assert [(each.kind, each.lasting) for each in gone.differences] == [
        ("missing", False),
        ("arguments", False),
    ]


def test_a_result_of_an_agent_lasts_where_what_comes_behind_it_differs(agent, compared):
    """What happened inside the agent was the same."""

    def run(answer, page):
        agent.events = []
        inner = agent.add("agent_execution_start", "agent", "Planner")
        for place in range(3):
            agent.tool(f"look_{place}", {}, "done", inner)
        agent.add(
            "agent_execution_end", "agent", "Planner", inner, outputs={"plan": answer}, status="completed"
        )
        agent.tool("fetch", {"page": page}, "done", None)
        return agent.events

    found = compared(run("A", "a"), run("B", "b")).differences
    assert [(each.kind, each.name, each.lasting) for each in found] == [
        ("result", "Planner", True),
        ("arguments", "fetch", True),
    ]
    assert compared(run("A", "a"), run("B", "b")).reconvergence is None


def test_differences_stand_where_they_show(support_run, compared):
    """What was asked where a call began, what came of it where it ended, what is missing behind what came before it."""
    after = copy.deepcopy(support_run)
    after[0]["inputs"]["question"] = "Where is my lamp?"
    after[15]["outputs"]["answer"] = "nothing"
    after[3]["inputs"]["arguments"]["customer"] = "Bob"
    after[11]["inputs"]["arguments"]["amount"] = 20
    one_call_less(after)
    assert told(compared(support_run, after)) == [
        ("arguments", 1, 1),
        ("arguments", 4, 4),
        ("missing", 8, None),
        ("arguments", 12, 10),
        ("result", 16, 14),
    ]


def test_attempts_that_failed_in_both_runs_are_no_recovery(support_run, compared):
    """Another number of them is a difference that lasts where the runs went on otherwise."""
    before, after = copy.deepcopy(support_run), copy.deepcopy(support_run)
    retried_silently(after)
    for end in (before[8], after[10]):
        del end["outputs"]
        end |= {"status": "failed", "error": "timed out"}
    after[11]["inputs"]["messages"][0]["parts"][0]["content"] = "Apologise."
    found = compared(before, after).differences
    assert [(each.kind, each.recovered, each.lasting) for each in found] == [
        ("retry", False, True),
        ("prompt", None, False),
    ]


def test_the_last_of_very_many_differences_is_told_with_what_differs(agent, compared):
    """Where it is the first that lasts, behind more than are read again one by one."""

    def run(page, end):
        agent.events = []
        for place in range(105):
            agent.tool("fetch", {"place": place, "page": page}, "done", None)
            agent.model([{"role": "user", "parts": [{"type": "text", "content": f"{place}?"}]}], "fine", None)
        agent.tool("store", {"page": end}, "done", None)
        return agent.events

    found = compared(run("a", "a"), run("b", "b"))
    assert (found.first.name, len(found.differences)) == ("store", 106)
    assert [tuple(change) for change in found.first.detail.paths] == [
        ("$.arguments.page", "changed", "a", "b")
    ]


def test_where_the_runs_meet_again(support_run, compared):
    """After a result that only one question read, the rest is the same: two steps, to the end."""
    after = copy.deepcopy(support_run)
    other_result(after)
    after[9]["inputs"]["messages"][5]["parts"][0]["response"] = "No refunds."
    found = compared(support_run, after)
    assert found.first.kind == "result"
    assert found.reconvergence == RunReconvergence(12, 12, 2, to_the_end=True)


@pytest.mark.parametrize(
    ("changed", "met"),
    [
        ([1, 5], RunReconvergence(5, 5, 3, to_the_end=False)),
        ([1, 4], RunReconvergence(11, 11, 3, to_the_end=True)),
        ([1, 4, 6], RunReconvergence(15, 15, 1, to_the_end=True)),
        ([1, 4, 7], None),
    ],
)
def test_runs_meet_again_where_three_steps_are_the_same_or_all_that_are_left(agent, compared, changed, met):
    """Fewer before another difference are no meeting."""

    def run(places):
        agent.events = []
        for place in range(8):
            agent.tool(f"step_{place}", {"page": "other" if place in places else "same"}, "done", None)
        return agent.events

    assert compared(run([]), run(changed)).reconvergence == met


def test_what_the_model_read_is_that_of_the_same_line_of_work(agent, compared):
    """Another task asked in between."""

    def run(page):
        agent.events = []
        for task in ("one", "two"):
            agent.model(
                [{"role": "user", "parts": [{"type": "text", "content": task}]}], "go", None, task=task
            )
        agent.tool("fetch", {"page": page}, "done", None, task="one")
        for task in ("two", "one"):
            agent.model(
                [{"role": "user", "parts": [{"type": "text", "content": task}]}], "end", None, task=task
            )
        return agent.events

    found = compared(run("a"), run("b"))
    assert (found.first.name, found.read.number_a, found.read_next.number_a) == ("fetch", 1, 9)


def test_the_cost_of_a_run_is_not_told_where_no_call_has_a_price(support_run, compared):
    """Where some have one it is theirs, with how many have none."""
    after = copy.deepcopy(support_run)
    del after[2]["cost_estimate"]
    side = compared(support_run, after).b
    assert (side.cost, side.unpriced) == (0.003, 1)
    for event in after:
        event.pop("cost_estimate", None)
    side = compared(support_run, after).b
    assert (side.cost, side.unpriced) == (None, 4)


def test_what_the_model_had_read_where_the_runs_part(support_run, compared):
    """At a question it is what it reads there; at a tool it is the question before, which may be the same."""
    after = copy.deepcopy(support_run)
    another_context(after)
    read = compared(support_run, after).read
    assert (read.number_a, read.number_b, read.same) == (10, 10, False)
    assert [change.kind for change in read.messages if change.kind != "same"] == ["changed"]
    after = copy.deepcopy(support_run)
    other_arguments(after)
    read = compared(support_run, after).read
    assert (read.number_a, read.number_b, read.same) == (6, 6, True)


def test_what_differs_stands_at_its_path(support_run, compared):
    """The paths lead to the values of both sides."""
    after = copy.deepcopy(support_run)
    other_arguments(after)
    (found,) = compared(support_run, after).differences
    assert [tuple(change) for change in found.detail.paths] == [
        ("$.arguments.reason", "changed", "damaged", "late")
    ]
    assert found.where == ("Support",)
    assert compared(support_run, after).to_json()["differences"][0]["paths"][0]["new"] == "late"


def added_instruction(messages, inputs):
    """One more instruction of the system."""
    messages.insert(1, {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]})


def other_question(messages, inputs):
    """The user asks for something else."""
    messages[1]["parts"][0]["content"] = "Never mind."


def other_tool(messages, inputs):
    """A tool with another name."""
    inputs["tools"] = [{"name": "escalate"}]


def answer_in_front(messages, inputs):
    """An answer before the question, with which the question came of the run."""
    messages.insert(1, {"role": "assistant", "parts": [{"type": "text", "content": "Hello."}]})


def other_field(messages, inputs):
    """What is no part of its own."""
    inputs["conversation"] = "c-2"


def other_temperature(messages, inputs):
    """A parameter, where nothing else is."""
    inputs["params"] = {**inputs["params"], "temperature": 1}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([added_instruction], [("prompt", ["instructions"])]),
        ([other_question, other_tool], [("prompt", ["question", "tools"])]),
        ([added_instruction, other_field], [("prompt", ["instructions"]), ("context", ["other"])]),
        ([other_temperature, other_tool], [("model", ["parameters"]), ("prompt", ["tools"])]),
        ([answer_in_front], [("context", ["history"])]),
    ],
)
def test_a_request_that_changed_names_the_parts_that_did(support_run, compared, changes, expected):
    """Each change stands in one part of one difference, and the number of differences is that of those told."""
    after = copy.deepcopy(support_run)
    inputs = after[9]["inputs"]
    for change in changes:
        change(inputs["messages"], inputs)
    found = compared(support_run, after)
    assert [(each.kind, each.to_json()["changed"]) for each in found.differences] == expected
    assert found.kinds == dict.fromkeys([kind for kind, _ in expected], 1)
    assert found.to_json()["not_listed"] == 0
    assert found.first in found.differences


@pytest.mark.parametrize(
    ("place", "change"), [(1, other_answer), (9, other_result)], ids=["before", "behind"]
)
def test_a_change_told_once_leaves_the_first_lasting_difference(support_run, compared, place, change):
    """Whether a question whose change is not told twice comes before the first lasting difference or behind it."""
    after = copy.deepcopy(support_run)
    inputs = after[place]["inputs"]
    answer_in_front(inputs["messages"], inputs)
    change(after)
    found = compared(support_run, after)
    assert len(found.differences) == 2
    assert found.first.kind == "result"
    assert found.first.lasting


def test_the_document_tells_where_the_runs_part_and_what_the_model_read(support_run, compared):
    """The last question that both had read, the next one with only what differs in it, and where they meet again."""
    after = copy.deepcopy(support_run)
    other_result(after)
    after[9]["inputs"]["messages"][5]["parts"][0]["response"] = "No refunds."
    document = compared(support_run, after).to_json()
    assert document["read"] == {"a": 6, "b": 6, "same": True, "messages": []}
    then = document["read_next"]
    assert (then["a"], then["b"], then["same"]) == (10, 10, False)
    assert [change["kind"] for change in then["messages"]] == ["changed"]
    assert document["reconvergence"] == {"number_a": 12, "number_b": 12, "in_a_row": 2, "to_the_end": True}
    same = compared(support_run, support_run).to_json()
    assert [same[name] for name in ("first", "read", "read_next", "reconvergence")] == [None] * 4


def later_question(messages, inputs):
    """The user asks for something else in a later turn."""
    messages.append({"role": "user", "parts": [{"type": "text", "content": f"And {len(inputs)}?"}]})


def results_of_the_user(messages, inputs):
    """A result of a tool that is told as a message of the user."""
    messages.append({"role": "user", "parts": [{"type": "tool_call_response", "id": "c", "response": "0"}]})


@pytest.mark.parametrize("change", [later_question, results_of_the_user])
def test_what_came_of_the_run_is_context(support_run, compared, change):
    """What a user says after an answer is no other prompt; nor is a result of a tool that is told in the user's place."""
    before, after = copy.deepcopy(support_run[:3]), copy.deepcopy(support_run[:3])
    for events in (before, after):
        if change is later_question:
            answer_in_front(events[1]["inputs"]["messages"][1:], {})
            events[1]["inputs"]["messages"].append(
                {"role": "assistant", "parts": [{"type": "text", "content": "Hello."}]}
            )
    change(after[1]["inputs"]["messages"], after[1]["inputs"])
    (found,) = compared(before, after).differences
    assert (found.kind, found.to_json()["changed"]) == ("context", ["history"])


def test_a_model_that_only_its_name_tells(support_run, compared):
    """Where the requests are the same, or are not there, the name of the model is compared."""
    after = copy.deepcopy(support_run)
    for number in (10, 11):
        after[number - 1]["component_name"] = "gpt-4o-mini"
    (found,) = compared(support_run, after).differences
    assert found.kind == "model"
    assert found.to_json()["changed"] == ["model"]
    assert found.to_json()["paths"] == [
        {"path": "$.model", "kind": "changed", "old": "gpt-4o", "new": "gpt-4o-mini"}
    ]
    for event in after:
        event.pop("inputs", None)
        event.pop("outputs", None)
    assert told(compared(support_run, after)) == [("model", 10, 10)]


def test_another_error_of_the_same_failure_is_another_result(support_run, compared):
    """The paths name its text."""
    before, after = copy.deepcopy(support_run), copy.deepcopy(support_run)
    for events, words in ((before, "no such order"), (after, "out of stock")):
        failed(events)
        events[12]["error"] = words
    (found,) = compared(before, after).differences
    assert (found.kind, found.number_a) == ("result", 13)
    assert [tuple(change) for change in found.detail.paths] == [
        ("$.error", "changed", "no such order", "out of stock")
    ]


def test_an_event_without_an_end_is_compared_by_what_it_tells(support_run, compared):
    """What was decided, or noted, came to something else."""
    runs = [copy.deepcopy(support_run) for _ in range(2)]
    for run, chosen in zip(runs, ("refund", "repair"), strict=True):
        point = {"event_type": "decision", "event_id": "d", "component": "agent", "component_name": "route"}
        run.insert(15, point | {"parent_event_id": "e1", "metadata": {"chosen": chosen}})
    (found,) = compared(*runs).differences
    assert (found.kind, found.number_a, found.number_b) == ("result", 16, 16)
    assert [(change.old, change.new) for change in found.detail.paths] == [("refund", "repair")]


def log_record(words, **more):
    """What a program wrote into its log."""
    record = {"event_type": "log_record", "event_id": "log", "component": "log", "component_name": "app"}
    return record | {"parent_event_id": "e1", "metadata": {"level": "INFO", "message": words} | more}


def test_a_log_record_is_compared_by_its_words(support_run, compared):
    """Times that were measured, and where the record was written, are none of them."""
    runs = [copy.deepcopy(support_run) for _ in range(3)]
    for run, record in zip(
        runs,
        (
            log_record("took 3.2 ms", line=7),
            log_record("took 41 ms", line=8),
            log_record("gave up after 3.2 ms"),
        ),
        strict=True,
    ):
        run.insert(15, record)
    assert compared(runs[0], runs[1]).same
    assert told(compared(runs[0], runs[2])) == [("result", 16, 16)]


def test_an_attempt_that_says_so_is_one_though_it_asks_otherwise(support_run, compared):
    """Three attempts of one call, each of which names the first, are one call."""
    after = copy.deepcopy(support_run)
    retried(after)
    second, vain = copy.deepcopy(after[9]), copy.deepcopy(after[10])
    second |= {"event_id": "second", "metadata": {"retry_of": "first"}}
    vain |= {"event_id": "in vain again", "parent_event_id": "second"}
    after[11:11] = [second, vain]
    for start in (after[9], after[11]):
        start["inputs"]["params"]["temperature"] = 2
    (found,) = compared(support_run, after).differences
    assert (found.kind, found.attempts, found.recovered) == ("retry", (1, 3), True)


def test_an_end_without_a_status_completed_unless_it_tells_an_error(support_run, compared):
    """As recordings of other writers have it."""
    without = copy.deepcopy(support_run)
    for event in without:
        event.pop("status", None)
    assert compared(support_run, without).same
    without[12]["error"] = "no such order"
    (found,) = compared(support_run, without).differences
    assert (found.kind, found.number_b) == ("status", 13)


def test_the_exit_status_is_that_of_the_first_process(support_run, compared):
    """How a process that it started ended is no status of the program."""
    runs = [copy.deepcopy(support_run) for _ in range(2)]
    for status, run in enumerate(runs):
        end = {"event_type": "trace_end", "component": "app"}
        run.append(end | {"event_id": "x", "metadata": {"exit_status": 0}})
        run.append(end | {"event_id": "y", "metadata": {"exit_status": status, "process": 1}})
    found = compared(*runs)
    assert found.same
    assert found.b.exit_status == 0


def test_the_memory_of_a_run_is_the_most_that_it_had(support_run, compared):
    """Of all readings, whenever they were taken."""
    after = copy.deepcopy(support_run)
    for number, memory in ((3, 60.5), (7, 90.25), (11, 70.0), (15, None)):
        after[number - 1]["memory_usage_mb"] = memory
    assert compared(support_run, after).b.memory_mb == 90.25


def test_a_difference_in_the_document_names_both_events(support_run, compared):
    """Null on the side that has none; of a retry how many attempts there were."""
    after = copy.deepcopy(support_run)
    retried_silently(after)
    (retry,) = compared(support_run, after).to_json()["differences"]
    assert (retry["attempts"], retry["recovered"], retry["lasting"]) == ([1, 2], True, False)
    assert retry["a"] == retry["b"] == {"number": 8, "component_name": "refund_policy"}
    after = copy.deepcopy(support_run)
    one_more_call(after)
    (added,) = compared(support_run, after).to_json()["differences"]
    (missing,) = compared(after, support_run).to_json()["differences"]
    assert added["b"] == missing["a"] == {"number": 10, "component_name": "audit"}
    assert (added["a"], missing["b"], missing["component_name"]) == (None, None, "audit")
    assert added["where"] == missing["where"] == ["Support"]
    assert (added["attempts"], added["recovered"]) == (None, None)


def test_what_is_new_in_one_part_was_not_told_before(support_run, compared):
    """A later request says since when only where all that differs in it was there before; tools count as well."""
    after = copy.deepcopy(support_run)
    for number in (6, 10, 14):
        after[number - 1]["inputs"]["tools"] = [{"name": "escalate"}]
    after[13]["inputs"]["messages"][0]["parts"][0]["content"] = "Be brief."
    found = compared(support_run, after).differences
    assert [(each.number_b, each.carried_from) for each in found] == [(6, None), (10, 6), (14, None)]


def test_a_prompt_that_is_told_again_says_since_when(support_run, compared):
    """The same other instruction at every call is new at the first of them."""
    after = copy.deepcopy(support_run)
    for number in (10, 14):
        after[number - 1]["inputs"]["messages"][0]["parts"][0]["content"] = "Be brief."
    found = compared(support_run, after).differences
    assert [(each.kind, each.number_b, each.carried_from) for each in found] == [
        ("prompt", 10, None),
        ("prompt", 14, 10),
    ]


def test_what_the_settings_name_is_not_compared(support_run, compared):
    """A key anywhere, or a path from the event on."""
    after = copy.deepcopy(support_run)
    other_arguments(after)
    for pattern in ("reason", "inputs.arguments.reason", "inputs.*.reason", "**.reason"):
        assert compared(support_run, after, ignore=[pattern]).same
    assert not compared(support_run, after, ignore=["outputs.arguments.reason", "*.reason"]).same


def test_runs_without_payloads_are_compared_by_what_they_did(support_run, compared):
    """Names, order and status still are compared; that is said."""
    bare = copy.deepcopy(support_run)
    for event in bare:
        event.pop("inputs", None)
        event.pop("outputs", None)
    found = compared(support_run, bare)
    assert found.same
    assert not found.payloads
    another_tool(bare)
    assert told(compared(support_run, bare)) == [("path", 8, 8)]


def test_a_run_that_died_differs_where_it_died(support_run, compared):
    """The call that was under way is open, and what would have followed is missing."""
    found = compared(support_run, support_run[:12])
    assert told(found) == [("status", 13, 12), ("missing", 14, None), ("status", 16, 1)]


def test_the_exit_status_is_compared(compared):
    """The last difference is how the programs ended, where both tell."""

    def ends(status):
        return [
            {
                "event_type": "trace_end",
                "event_id": "1",
                "component": "app",
                "metadata": {"exit_status": status},
            }
        ]

    assert compared(ends(0), ends(0)).same
    assert compared(ends(None), ends(3)).same
    assert compared(ends(3), ends(None)).same
    found = compared(ends(0), ends(3))
    assert told(found) == [("status", 1, 1)]
    assert found.first.lasting


def test_the_exit_status_is_one_more_difference(support_run, compared):
    """It counts beside the others of its kind, and is told last."""
    runs = [copy.deepcopy(support_run) for _ in range(2)]
    failed(runs[1])
    for status, run in enumerate(runs):
        run.append(
            {
                "event_type": "trace_end",
                "event_id": "end",
                "component": "app",
                "metadata": {"exit_status": status},
            }
        )
    found = compared(*runs)
    assert told(found) == [("status", 13, 13), ("status", 17, 17)]
    assert found.kinds == {"status": 2}
    assert found.first == found.differences[0]
    assert found.to_json()["not_listed"] == 0


def test_runs_that_have_nothing_in_common_part_at_once(support_run, agent, compared):
    """Everything of the one is missing, everything of the other added."""
    agent.tool("unlike", {"x": 1}, 2, None)
    assert compared(support_run, agent.events).kinds == {"added": 1, "missing": 1}
