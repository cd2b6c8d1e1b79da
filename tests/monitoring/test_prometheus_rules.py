"""Alert rules become rules of Prometheus; `.ci/alerting` has promtool check and test them."""

import pytest
import yaml

from namel3ss_debug.analysis.checks.rules import RuleSource
from namel3ss_debug.analysis.metrics import METRICS
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.monitoring.dashboard import make_dashboard
from namel3ss_debug.monitoring.prometheus_rules import make_query, write_rules
from namel3ss_debug.monitoring.rules import read_alert_rules

CALLS = 'sum(increase(gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name=~"chat|execute_tool"}[300s]))'
FAILED = CALLS.replace("gen_ai_client_operation_duration_seconds_count", "namel3ss_errors_total")


def read_rule(name="r", **rule):
    """Return a rule as `monitor` reads it, beside the built-in ones."""
    source = RuleSource("test", [{"name": name, **rule}])
    return read_alert_rules(DebugConfiguration(), [source])[-1]


@pytest.mark.parametrize(
    ("limit", "by", "window", "query"),
    [
        ("calls < 20 or error_rate <= 0.05", "run", 300, f"(({CALLS}) >= 20) and (({FAILED} / {CALLS}) > 0.05)"),
        ("calls >= 1 and failures == 0", "all", 300, f"(({CALLS}) < 1) or (({FAILED}) != 0)"),
        ("p95_ms <= 2 * 2500", "tool", 60,
         ("(1000 * histogram_quantile(0.95, sum by (gen_ai_tool_name, le)(rate(gen_ai_client_operation_duration_seconds_bucket"
         '{gen_ai_operation_name="execute_tool"}[60s])))) > (2 * 2500)')),
        ("cost <= 1", "all", None, 'sum(namel3ss_alerts{rule="r"}) > 0'),
        ("loop_calls < 5", "run", 60, 'sum(namel3ss_alerts{rule="r"}) > 0'),
        ("1 <= calls <= 3", "run", 60, 'sum(namel3ss_alerts{rule="r"}) > 0'),
        ("open_seconds <= 60", "model", 60, 'sum(namel3ss_alerts{rule="r"}) > 0'),
        ("not calls", "run", 60, 'sum(namel3ss_alerts{rule="r"}) > 0'),
        ("-calls < max(calls, 2) % 3", "run", 60, 'sum(namel3ss_alerts{rule="r"}) > 0'),
    ],
)  # fmt: skip
def test_a_limit_becomes_the_query_of_its_opposite(limit, by, window, query):
    """Where Prometheus can compute it; else the rule asks for the alert of `monitor`."""
    assert (
        make_query(read_rule(limit=limit, by=by, **({"window": window} if window else {"for": 1}))) == query
    )


def test_the_file_is_yaml_whatever_the_texts_are():
    """Names, labels and messages are those of the rules, and no message begins a template."""
    hostile = 'a: "b" {{ .Labels }} \n\u2028 #'
    rule = read_rule(
        limit="calls > 1", severity="warning", labels={"team": hostile}, window=60, **{"for": 90}
    )
    text = write_rules([rule._replace(name=hostile, message=hostile)])
    (group,) = yaml.safe_load(text)["groups"]
    down, rule = group["rules"]
    assert (down["alert"], down["for"]) == ("monitor_down", "60s")
    assert (rule["alert"], rule["for"]) == (hostile, "90s")
    assert rule["labels"] == {"team": hostile, "severity": "warning"}
    assert rule["annotations"]["summary"] == hostile.replace("{{", '{{ "{{" }}')


def test_the_dashboard_has_a_panel_for_each_metric():
    """No two lie on each other."""
    panels = make_dashboard()["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert all(any(name in query for query in queries) for name in METRICS)
    places = [tuple(panel["gridPos"].values()) for panel in panels]
    assert len(set(places)) == len({panel["id"] for panel in panels}) == len(panels)
