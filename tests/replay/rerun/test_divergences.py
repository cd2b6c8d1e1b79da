"""Tests of where a re-run and its recording part and meet again."""

from __future__ import annotations

from namel3ss_debug.replay.rerun.divergences import (
    Divergence,
    Match,
    RerunReconvergence,
    difference_of,
    in_order,
    request_inputs,
    summarize,
)
from namel3ss_debug.replay.rerun.recorded_calls import RecordedCall
from namel3ss_debug.replay.rerun.requests import Request


def recorded_call(number):
    """A recorded boundary."""
    return RecordedCall(number, Request("llm", "m", (), number=number, call_site=f"app.py:{number}"))


def changed(number, recorded):
    """A question that stands for another one."""
    return Divergence("changed", number, Request("llm", "m", (), number=number), recorded_call(recorded))


def test_a_run_without_divergence_has_nothing_to_tell():
    """All exact: no first, no kinds, nothing joined."""
    found = summarize((), [Match(1, 1, "exact"), Match(3, 3, "exact")])
    assert (found.first, found.kinds, found.exact, found.reconverged) == (None, {}, 2, None)


def test_where_a_run_met_its_recording_again():
    """The first exact question behind the first divergence, and how many followed it in a row."""
    matches = [Match(1, 1, "exact"), Match(3, 3, "changed"), Match(5, 5, "exact"), Match(7, 7, "exact")]
    assert summarize([changed(3, 3)], matches).reconverged == RerunReconvergence(5, 5, 2, to_the_end=True)
    matches += [Match(9, 9, "changed"), Match(11, 11, "exact")]
    assert summarize([changed(3, 3), changed(9, 9)], matches).reconverged == RerunReconvergence(
        5, 5, 2, to_the_end=False
    )


def test_a_run_that_never_met_its_recording_again():
    """Every later question was changed too."""
    matches = [Match(1, 1, "exact"), Match(3, 3, "changed"), Match(5, 5, "changed")]
    found = summarize([changed(5, 5), changed(3, 3)], matches)
    assert (found.first.number, found.kinds, found.reconverged) == (3, {"changed": 2}, None)


def test_a_missing_call_is_joined_at_the_question_that_came_instead():
    """The question behind it is the recorded one, so the run has met its recording at once."""
    matches = [Match(1, 1, "exact"), Match(3, 5, "exact"), Match(5, 7, "exact")]
    missing = Divergence("missing", 3, None, recorded_call(3))
    assert summarize([missing], matches).reconverged == RerunReconvergence(3, 5, 2, to_the_end=True)
    at_the_end = Divergence("missing", 0, None, recorded_call(9))
    assert summarize([at_the_end], matches).reconverged is None


def test_a_run_joins_at_a_question_in_the_recorded_words():
    """One that follows from the user's answers is none, though it keeps the run going on."""
    matches = [
        Match(1, 1, "changed"),
        Match(3, 3, "after_override"),
        Match(5, 5, "new", overridden=True),
        Match(7, 7, "after_override"),
        Match(9, 9, "exact"),
        Match(11, 11, "after_override"),
    ]
    assert summarize([changed(1, 1)], matches).reconverged == RerunReconvergence(9, 9, 2, to_the_end=True)
    assert summarize([changed(1, 1)], matches[:4]).reconverged is None


def test_a_run_has_not_joined_where_it_could_not_go_on():
    """Nobody answered there, and what was answered before it does not go to the end."""
    matches = [Match(1, 1, "changed"), Match(3, 3, "exact", unanswered=True)]
    assert summarize([changed(1, 1)], matches).reconverged is None
    matches = [Match(1, 1, "changed"), Match(3, 3, "exact"), Match(5, 0, "new", unanswered=True)]
    assert summarize([changed(1, 1)], matches).reconverged == RerunReconvergence(3, 3, 1, to_the_end=False)


def test_what_is_missing_ends_the_calls_in_a_row():
    """Between two of them, or at the end of the trace."""
    matches = [Match(1, 1, "changed"), Match(3, 3, "exact"), Match(5, 7, "exact"), Match(7, 9, "exact")]
    between = Divergence("missing", 5, None, recorded_call(5))
    assert summarize([changed(1, 1), between], matches).reconverged == RerunReconvergence(
        3, 3, 1, to_the_end=False
    )
    at_the_end = Divergence("missing", 0, None, recorded_call(11))
    assert summarize([changed(1, 1), at_the_end], matches).reconverged == RerunReconvergence(
        3, 3, 3, to_the_end=False
    )


def test_requests_after_an_override_are_listed_and_are_no_divergence():
    """They got an answer that did not know of the user's, which the report says."""
    matches = [
        Match(1, 1, "exact", overridden=True),
        Match(3, 3, "after_override"),
        Match(5, 5, "changed"),
        Match(7, 7, "exact"),
        Match(9, 9, "after_override"),
    ]
    found = summarize([changed(5, 5)], matches)
    assert (found.overridden, found.exact, found.changed) == (1, 1, 1)
    assert [match.number for match in found.after_override] == [3, 9]
    assert found.reconverged == RerunReconvergence(7, 7, 2, to_the_end=True)


def test_each_question_is_counted_once():
    """What the user gave, what was made for real and what could not be answered did not get its answer from the recording."""
    hows = ("exact", "after_override", "changed")
    matches = [Match(number, number, how, overridden=True) for number, how in enumerate(hows, 1)]
    matches += [Match(number, number, how, real=True) for number, how in enumerate(hows, 11)]
    matches += [Match(number, number, how, unanswered=True) for number, how in enumerate(hows, 21)]
    matches += [Match(31, 31, "exact", overridden=True, unanswered=True)]
    found = summarize((), matches)
    assert (found.exact, found.after_override, found.changed, found.overridden) == (0, (), 0, 3)


def test_divergences_stand_in_the_order_of_the_run():
    """What is missing stands before what was asked in its place, and what is missing at the end is last."""
    at_the_end, before = (
        Divergence("missing", 0, None, recorded_call(9)),
        Divergence("missing", 5, None, recorded_call(4)),
    )
    found = [at_the_end, changed(5, 5), before, changed(3, 3)]
    assert in_order(found) == (found[3], before, found[1], at_the_end)
    earlier = Divergence("missing", 0, None, recorded_call(7))
    assert in_order([at_the_end, earlier]) == (earlier, at_the_end)


def test_a_divergence_knows_the_lines_of_code():
    """Then and now; none where one side asked nothing."""
    found = Divergence("missing", 5, None, recorded_call(4))
    assert (found.call_site_then, found.call_site_now) == ("app.py:4", None)
    assert Divergence("new", 5, recorded_call(7).request, None).call_site_now == "app.py:7"


def test_the_id_of_a_call_is_no_difference_of_it():
    """A model gives every call an id of its own."""
    old, new = {"arguments": {"q": 1}, "call_id": "a"}, {"arguments": {"q": 1}, "call_id": "b"}
    assert difference_of("tool", old, new).paths == ()


def sent_to(url):
    """The start of a request to a model."""
    return {"event_type": "llm_call_start", "inputs": {"model": "m"}, "metadata": {"exchange": {"url": url}}}


def test_another_address_is_a_difference_of_a_request_to_a_model():
    """The request itself may be the same."""
    old, new = sent_to("http://a/v1"), sent_to("http://b/v1")
    (change,) = difference_of("llm", request_inputs(old), request_inputs(new)).paths
    assert (change.path, change.old, change.new) == ("$.url", "http://a/v1", "http://b/v1")


def test_another_port_of_a_test_server_is_none():
    """It has a new one each time, and counts for no question."""
    old, new = sent_to("http://127.0.0.1:4711/v1"), sent_to("http://localhost:8080/v1")
    assert difference_of("llm", request_inputs(old), request_inputs(new)).paths == ()
