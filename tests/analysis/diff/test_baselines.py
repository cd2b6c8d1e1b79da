"""What sets a failing run apart from passing ones."""

import copy

import pytest

from namel3ss_debug.analysis.diff.baselines import diff_baselines


@pytest.fixture
def apart(written):
    """The findings on a failing run beside passing ones, in short."""

    def compare(passing, failing):
        paths = [written(events, f"passing{place}.jsonl") for place, events in enumerate(passing)]
        return diff_baselines(paths, written(failing, "failing.jsonl"))

    return compare


def told(found):
    """The findings in short."""
    return [(each.kind, each.number_a, each.number_b) for each in found.differences]


def changed(events, number, path, value):
    """A copy of some events with another value at a path of one of them."""
    copied = copy.deepcopy(events)
    *way, last = path
    at = copied[number - 1]
    for key in way:
        at = at[key]
    at[last] = value
    return copied


REASON = ("inputs", "arguments", "reason")
RESULT = ("outputs", "result")


def test_a_run_like_one_of_them_is_not_apart(support_run, apart):
    """What any passing run did is no finding, though it differs from the others."""
    late = changed(support_run, 8, REASON, "late")
    assert apart([support_run, late], support_run).same
    assert apart([support_run, late], late).same


def test_what_no_passing_run_asked_is_a_finding(support_run, apart):
    """Other arguments than in any of them; the first such place is named."""
    late = changed(support_run, 8, REASON, "late")
    lost = changed(changed(support_run, 8, REASON, "lost"), 9, RESULT, "Ask the carrier.")
    found = apart([support_run, late], lost)
    assert told(found) == [("arguments", 8, 8), ("result", 9, 9)]
    assert found.first == found.differences[0]
    assert found.kinds == {"arguments": 1, "result": 1}


def test_a_call_that_no_passing_run_made_is_a_finding(support_run, apart):
    """One that some of them made is not."""
    with_audit = copy.deepcopy(support_run)
    start = copy.deepcopy(with_audit[7]) | {"event_id": "more", "component_name": "audit"}
    end = copy.deepcopy(with_audit[8]) | {
        "event_id": "m",
        "parent_event_id": "more",
        "component_name": "audit",
    }
    with_audit[9:9] = [start, end]
    assert told(apart([support_run, support_run], with_audit)) == [("added", None, 10)]
    assert apart([support_run, with_audit], with_audit).same


def test_what_every_passing_run_did_is_missed(support_run, apart):
    """What only some of them did is not."""
    without = [*support_run[:7], *support_run[9:]]
    assert told(apart([support_run, support_run], without)) == [("missing", 8, None)]
    assert apart([support_run, without], without).same


def test_a_result_that_another_passing_run_had_is_no_finding(support_run, apart):
    """Whatever the first of them came to; the first finding is the first that lasts."""
    refused = changed(support_run, 9, RESULT, "No refunds.")
    assert apart([support_run, refused], refused).same
    found = apart([support_run, refused], changed(refused, 15, ("outputs", "text"), "You do not."))
    assert told(found) == [("result", 15, 15)]
    failing = changed(changed(support_run, 4, ("inputs", "arguments", "customer"), "Bob"), 13, RESULT, "lost")
    found = apart([support_run, refused], changed(failing, 15, ("outputs", "text"), "It is lost."))
    assert [(each.kind, each.lasting) for each in found.differences] == [
        ("arguments", False),
        ("result", True),
        ("result", True),
    ]
    assert found.first == found.differences[1]


def test_what_the_model_read_where_it_parts_is_in_the_document(support_run, apart):
    """Before and behind a call of a tool; null where nothing sets the run apart."""
    document = apart([support_run, support_run], changed(support_run, 9, RESULT, "No refunds.")).to_json()
    assert [(document[name]["a"], document[name]["b"]) for name in ("read", "read_next")] == [
        (6, 6),
        (10, 10),
    ]
    same = apart([support_run], support_run).to_json()
    assert [same[name] for name in ("first", "read", "read_next")] == [None] * 3


def test_the_document_names_all_runs(support_run, apart):
    """The passing ones in their order, and the failing one."""
    document = apart([support_run, support_run], support_run[:12]).to_json()
    assert [side["events"] for side in (*document["passing"], document["failing"])] == [16, 16, 12]
    assert document["first"]["kind"] == "status"


def test_without_a_passing_run_there_is_nothing_to_say(support_run, apart):
    """A mistake of the caller."""
    with pytest.raises(ValueError, match="no passing run"):
        apart([], support_run)
