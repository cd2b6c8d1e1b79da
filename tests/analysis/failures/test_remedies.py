"""Remedies follow from the category of a failure, and only what a re-run showed counts as their outcome."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from namel3ss_debug.analysis.failures.categories import CATEGORIES
from namel3ss_debug.analysis.failures.remedies import (
    ANOTHER,
    NOT_TRIED,
    OUTCOMES,
    REMAINS,
    REMEDIES,
    WENT_AWAY,
    TrialRun,
    judge,
    propose,
    read_case,
)
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.replay.overrides.mocks import parse_mock


def failure(number=1, component="llm", name="m", category="rate_limit", attempts=(), fingerprint="f", **more):
    """A failure, as the section `errors` has it."""
    return {
        "number": number,
        "end_number": number + 1,
        "component": component,
        "component_name": name,
        "category": category,
        "attempts": list(attempts) or [number],
        "fingerprint": fingerprint,
        "error_type": "Error",
        "error": "no",
        "duration_ms": 500.0,
    } | more


def span(component, name, status="failed", **more):
    """The two events of a call, of which `inputs` and `outputs` are further members."""
    start = {"event_type": f"{component}_call_start", "component": component, "component_name": name}
    end = start | {
        "event_type": f"{component}_call_end",
        "status": status,
        "outputs": more.get("outputs", {}),
    }
    return [start | {"inputs": more.get("inputs", {})}, end]


def case(failures, events=(), found=(), **more):
    """What decides about the remedies for the first of the failures."""
    return read_case(list(events) or span("llm", "m"), failures, found, **more)


def propose_for(*args, **more):
    """The remedies by name."""
    return {remedy.name: remedy for remedy in propose(case(*args, **more))}


def test_only_categories_that_there_are_have_remedies():
    """A renamed category would leave its remedies behind."""
    assert set(REMEDIES) <= set(CATEGORIES)
    assert propose_for([failure(category="logic")]) == {}


@pytest.mark.parametrize("category", sorted(REMEDIES))
@pytest.mark.parametrize("component", ["llm", "tool", "http", "agent"])
def test_what_is_proposed_is_a_valid_setting_or_names_why_it_is_not_tried(category, component):
    """A remedy that is a change of the program always needs more than a re-run."""
    found = [{"kind": "loop", "form": "same call", "component": "tool", "component_name": "t", "count": 8}]
    rows = [failure(1, component, category=category), failure(3, component, category=category)]
    for remedy in propose_for(rows, 2 * span(component, "m"), found).values():
        config = DebugConfiguration.from_json(dict(remedy.settings))
        assert all(config.to_json()[key] == value for key, value in remedy.settings.items())
        assert remedy.settings or remedy.needs
        list(map(parse_mock, remedy.mocks))


def test_a_model_is_asked_again_and_the_further_attempt_gets_a_stand_in():
    """It is the next call of its component, of several failures moved on by one each."""
    retry = propose_for([failure()])["retry"]
    assert retry.settings == {"retries": {"model:m": {"attempts": 3}}}
    assert retry.mocks == ("llm@2.text=(stand-in answer)",)
    events = [*span("llm", "m"), *span("llm", "m", "completed"), *span("llm", "m"), *span("llm", "m")]
    retry = propose_for([failure(1), failure(5, attempts=(5, 7))], events)["retry"]
    assert retry.mocks == ("llm@2.text=(stand-in answer)", "llm@6.text=(stand-in answer)")


def test_a_name_with_the_signs_of_a_pattern_means_itself():
    """Claude Code names models so."""
    (pattern,) = propose_for([failure(name="opus[1m]")])["retry"].settings["retries"]
    assert fnmatchcase("opus[1m]", pattern.removeprefix("model:"))


def test_where_several_attempts_were_made_in_vain_the_pauses_are_longer():
    """There is one attempt more than the program made."""
    retry = propose_for([failure(attempts=(1, 3, 5))], 3 * span("llm", "m"))["retry"]
    assert retry.settings == {"retries": {"model:m": {"attempts": 4, "delay": 5}}}


def test_only_a_request_without_effect_is_made_again_unasked():
    """It gets the answer of an earlier request; without one, the user has to name it."""
    row = failure(3, "http", "h:1", "dependency")
    before = span("http", "h:1", "completed", outputs={"body": {"a": 1}})
    get, post = ([*before, *span("http", "h:1", inputs={"method": method})] for method in ("GET", "POST"))
    retry = propose_for([row], get)["retry"]
    assert (retry.needs, retry.mocks) == ("", ('http@3:{"a":1}',))
    assert retry.settings == {"retries": {"host:h:1": {"attempts": 3}}}
    assert "taken effect" in propose_for([row], post)["retry"].needs
    assert (
        "holds no answer of h:1"
        in propose_for([failure(1, "http", "h:1", "timeout")], get[2:])["retry"].needs
    )


def test_a_tool_that_keeps_failing_gets_a_fallback():
    """A circuit breaker lets the first failures pass, so it helps against several alone."""
    rows = [failure(number, "tool", "search", "network") for number in (1, 3)]
    assert propose_for(rows[:1], span("tool", "search")) == {}
    remedy = propose_for(rows, 2 * span("tool", "search"))["fallback"]
    row = {"failure_threshold": 1, "fallback": "search is not available"}
    assert remedy.settings == {"circuit_breakers": {"tool:search": row}}
    listed = span("tool", "search", "completed", outputs={"result": [1]})
    fallback = propose_for(rows, [*2 * span("tool", "search"), *listed])["fallback"]
    assert fallback.settings["circuit_breakers"]["tool:search"]["fallback"] == []


def test_a_loop_is_stopped_before_it_reached_its_limit():
    """A higher limit is no remedy that a trace could show."""
    found = [{"kind": "loop", "form": "same call", "component": "tool", "component_name": "t", "count": 8}]
    remedies = propose_for([failure(category="step_limit")], found=found)
    assert remedies["limit-repeats"].settings == {"limits": [{"repeats": 3, "by": "tool", "name": "t"}]}
    assert "live" in remedies["higher-limit"].needs
    assert list(propose_for([failure(category="step_limit")])) == ["higher-limit"]


def test_the_command_for_a_live_call_names_event_and_trace():
    """It can be pasted."""
    needs = propose_for([failure(7)], number=7, reference="a.jsonl")["other-model"].needs
    assert needs == "it needs a live call: namel3ss debug resend 7 a.jsonl --model NAME"


def test_the_failure_is_the_one_of_the_event_or_the_first_with_a_remedy():
    """Each attempt and each end stands for it."""
    rows = [failure(1, category="logic", fingerprint="a"), failure(5, attempts=(3, 5))]
    assert case(rows).failure is rows[1]
    assert case(rows[:1]).failure is rows[0]
    assert [case(rows, number=number).failure["number"] for number in (1, 2, 3, 5, 6)] == [1, 1, 5, 5, 5]
    assert case(rows, number=9) is None
    assert case([]) is None


F, G = failure(), failure(9, "tool", "t", fingerprint="g")


def tried(failures, status, acts=1, **more):
    """A re-run with a remedy, which acted."""
    return TrialRun(failures, status, acts, **more)


@pytest.mark.parametrize(
    ("before", "after", "outcome", "detail"),
    [
        (TrialRun([F], 1), tried([], 0), WENT_AWAY, "the program ended with status 0"),
        (TrialRun([F], 1), tried([F], 1), REMAINS, "the failure happened once, as without the remedy"),
        (TrialRun([F], 1), tried([F], 1, 0), REMAINS, "the remedy did not act"),
        (TrialRun([F], 0), tried([F, F], 0), REMAINS, "the failure happened 2 times"),
        (TrialRun([F], 1), tried([G], 1), ANOTHER, "tool t failed: Error: no"),
        (TrialRun([F], 1), tried([], 1), ANOTHER, "the program ended with status 1"),
        (
            TrialRun([F], 1),
            tried([], -9, stopped="new", is_past=True),
            WENT_AWAY,
            "that the trace does not hold",
        ),
        (TrialRun([F], 1), tried([], -9, stopped="it hangs"), NOT_TRIED, "could not go on: it hangs"),
        (TrialRun([F], 1), tried([], 0, 0), NOT_TRIED, "the remedy did not act, so this shows nothing"),
        (TrialRun([F], 1, 1), tried([], 0, 1), NOT_TRIED, "the remedy did not act"),
        (TrialRun([F, F, F], 1), tried([F], 0), WENT_AWAY, "the failure happened once in place of 3"),
        (TrialRun([F, F, F], 0), tried([F], 0), REMAINS, "the failure happened once in place of 3"),
        (TrialRun([F, G], 1), tried([G], 0), WENT_AWAY, "status 0"),
    ],
)
def test_an_outcome_is_what_the_re_run_showed(before, after, outcome, detail):
    """It went away only if the remedy acted, nothing else failed, and the program ended well or passed the end of the trace."""
    result = judge("f", before, after)
    assert result.outcome == outcome
    assert result.outcome in OUTCOMES
    assert detail in result.detail
