"""Rules that were written for version 1 of the document of `analyze` still work."""

import pytest

from namel3ss_debug.analysis.analyzer import RENAMED_KEYS
from namel3ss_debug.analysis.checks.measures import CheckedRun
from namel3ss_debug.analysis.checks.states import RunAssert, add_old_keys
from namel3ss_debug.expressions import compile_expression


def test_old_keys_are_beside_the_new_ones():
    """In rows and in objects by name as well; the document itself stays as it is."""
    document = {
        "triggers": {"triggered": [], "triggered_count": 0},
        "integrity": {"checks": {"repaired_lines": 2}},
        "health": {
            "findings": [{"id": "loop", "evidence": "e", "events": [3], "suggestion": None}],
            "parts": {"quality": {"lowered_by": [{"id": "loop", "weight": 0.1}]}},
        },
    }
    known = add_old_keys(document)
    assert known["triggers"]["fired_count"] == 0
    assert known["integrity"]["checks"]["mended_lines"] == 2
    assert known["health"]["findings"][0]["words"] == "e"
    assert known["health"]["parts"]["quality"]["lowered_by"][0]["by"] == 0.1
    assert "fired" not in document["triggers"]


def test_a_renamed_key_stays_in_its_place():
    """Only the last name of a path changes, which is what the aliases rely on."""
    for old, new in RENAMED_KEYS.items():
        assert old.rpartition(".")[0] == new.rpartition(".")[0] or "." not in old or "[]" in old


@pytest.mark.parametrize(
    ("text", "is_true"),
    [
        ("triggers.rules[0].state == 'fired'", True),
        ("triggers.rules[0].state == 'triggered'", True),
        ('triggers.rules[1].state == "quiet"', True),
        ("triggers.rules[0].state == 'quiet'", False),
        ("triggers.rules[1].state == 'triggered'", False),
    ],
)
def test_a_rule_may_name_the_former_states_of_triggers(text, is_true):
    """A trigger that was met was `fired`, and one that was not was `quiet`."""
    document = {"triggers": {"rules": [{"state": "triggered"}, {"state": "ok"}]}}
    rule = RunAssert(compile_expression(text, frozenset({"triggers"})))
    assert (list(rule.find_violations(CheckedRun(document, {}))) == []) == is_true
