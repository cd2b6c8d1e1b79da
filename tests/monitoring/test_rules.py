"""Alert rules in the language of check."""

import pytest

from namel3ss_debug.analysis.checks.measures import LIVE_BY
from namel3ss_debug.analysis.checks.rules import RuleSource
from namel3ss_debug.config import DebugConfiguration, load_configuration
from namel3ss_debug.errors import RuleError
from namel3ss_debug.monitoring.rules import BUILT_IN, read_alert_rules
from namel3ss_debug.monitoring.watch import MEASURES


def test_every_built_in_rule_is_on_or_has_no_threshold():
    """Those that depend on the program are off."""
    on = {rule.name for rule in read_alert_rules(DebugConfiguration())}
    off = {row.name for row in BUILT_IN} - on
    assert off == {
        "response_time",
        "throughput",
        *(f"{what}_forecast" for what in ("latency", "error", "cost", "memory")),
    }


def test_every_measure_can_be_evaluated():
    """A rule never parses and then has no value."""
    assert set().union(*LIVE_BY.values()) == MEASURES.keys()


def test_settings_switch_rules_on_and_off():
    """By the names of the rules; those of the triggers by the names of these."""
    overrides = {"alert_thresholds": {"throughput": 10, "loop": None}, "triggers": {"context_share": None}}
    config = load_configuration(environ={}, overrides=overrides).config
    rules = {rule.name: rule for rule in read_alert_rules(config)}
    assert rules["throughput"].limit.expression.text == "calls_per_minute >= 10"
    assert "loop" not in rules
    assert "context_overflow" not in rules


def test_a_rule_carries_its_times_its_severity_and_its_labels():
    """As they are written."""
    written = {"name": "mine", "limit": "error_rate <= 0.01", "by": "tool", "of": "search", "window": "10m", "for": "90s",
               "every": "5s", "severity": "warning", "labels": {"team": "search"}}  # fmt: skip
    rule = read_alert_rules(DebugConfiguration(), [RuleSource("here", [written])])[-1]
    assert (rule.limit.window, rule.limit.hold, rule.limit.every, rule.limit.only) == (600, 90, 5, "search")
    assert (rule.severity, rule.labels) == ("warning", {"team": "search"})


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            {"limit": "error_rate <= 1", "window": "soon"},
            'window is "soon", allowed is a time such as 30s, 5m or 6h',
        ),
        ({"limit": "error_rate <= 1", "window": 0}, "window is 0, allowed"),
        ({"limit": "speed <= 1", "for": "1m"}, "speed"),
        ({"forbid": "tool:delete"}, "monitor evaluates rules of the kind limit; check evaluates forbid"),
        ({"limit": "answered"}, "answered is only known at the end of a run"),
        ({"limit": "calls <= 1", "level": "note", "severity": "note"}, "leave one out"),
        ({"limit": "calls <= 1", "labels": {"a": 1}}, "an object of texts"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_refused(written, message):
    """With the key and what is allowed."""
    with pytest.raises(RuleError, match="here") as caught:
        read_alert_rules(DebugConfiguration(), [RuleSource("here", [{"name": "here", **written}])])
    assert message in str(caught.value)
