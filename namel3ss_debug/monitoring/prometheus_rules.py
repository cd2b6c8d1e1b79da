"""Write alert rules as rules of Prometheus, over the metrics that `monitor --metrics` serves.

A limit over measures that Prometheus can compute itself becomes a query. For every other rule `monitor` has to look at the
trace, and the rule asks whether it does alert: the metric `namel3ss_alerts`. One more rule fires where `monitor` is gone.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from namel3ss_debug.analysis.metrics import ALERTS, COST, DURATION, ERRORS, TOKENS
from namel3ss_debug.monitoring.metrics_server import JOB

if TYPE_CHECKING:
    from namel3ss_debug.analysis.checks.rules import LiveLimit
    from namel3ss_debug.monitoring.rules import AlertRule

SEVERITIES: Final[Mapping[str, str]] = {"note": "info", "warning": "warning", "error": "critical"}
"""Our severities, as alerts of Prometheus name them by custom."""


_CALLS = 'gen_ai_operation_name=~"chat|execute_tool"'
_SUBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "all": (_CALLS, ""),
    "run": (_CALLS, ""),
    "agent": (_CALLS, " by (gen_ai_agent_name)"),
    "model": ('gen_ai_operation_name="chat"', " by (gen_ai_request_model)"),
    "tool": ('gen_ai_operation_name="execute_tool"', " by (gen_ai_tool_name)"),
}
"""Whom a rule limits -> the selector of the calls, and the grouping. Metrics have no run: all runs count together."""


def _sum_of(metric: str) -> str:
    return f"sum{{by}}(increase({metric}{{{{{{calls}}}}}}[{{window}}]))"


def _percentile(share: float) -> str:
    return f"1000 * histogram_quantile({share}, sum{{with_le}}(rate({DURATION}_bucket{{{{{{calls}}}}}}[{{window}}])))"


_MEASURES: Final[Mapping[str, str]] = {
    "calls": _sum_of(f"{DURATION}_count"),
    "failures": _sum_of(f"{ERRORS}_total"),
    "error_rate": f"{_sum_of(f'{ERRORS}_total')} / {_sum_of(f'{DURATION}_count')}",
    "calls_per_minute": f"60 * sum{{by}}(rate({DURATION}_count{{{{{{calls}}}}}}[{{window}}]))",
    "cost": _sum_of(f"{COST}_total"),
    "tokens": _sum_of(f"{TOKENS}_sum"),
    "p50_ms": _percentile(0.5),
    "p95_ms": _percentile(0.95),
    "p99_ms": _percentile(0.99),
}
"""Measure -> its query, where Prometheus can compute it."""

_BROKEN: Final[Mapping[type[ast.cmpop], str]] = {
    ast.LtE: ">",
    ast.Lt: ">=",
    ast.GtE: "<",
    ast.Gt: "<=",
    ast.Eq: "!=",
    ast.NotEq: "==",
}
_ARITHMETIC: Final[Mapping[type[ast.operator], str]] = {
    ast.Mult: "*",
    ast.Div: "/",
    ast.Add: "+",
    ast.Sub: "-",
}


def write_rules(rules: Iterable[AlertRule]) -> str:
    """Return the file of rules, as YAML."""
    return "\n".join(["groups:", f"  - name: {JOB}", "    rules:", *_rule_lines(rules)]) + "\n"


def make_query(rule: AlertRule) -> str:
    """Return the query that has a result where a rule is broken."""
    limit = rule.limit
    if limit.window is not None and limit.only is None and limit.by in _SUBJECTS:
        with suppress(KeyError):  # a measure, or a part of the language, that Prometheus does not have
            return _negate(ast.parse(limit.expression.text, mode="eval").body, limit)
    return f"sum({ALERTS}{{rule={json.dumps(rule.name)}}}) > 0"


def _rule_lines(rules: Iterable[AlertRule]) -> Iterator[str]:
    yield from _lines_of(
        "monitor_down", f'up{{job="{JOB}"}} == 0', 60, {"severity": "critical"}, "monitor is gone"
    )
    for rule in rules:
        labels = {**rule.labels, "severity": SEVERITIES[rule.severity]}
        yield from _lines_of(rule.name, make_query(rule), rule.limit.hold, labels, rule.message)


def _lines_of(name: str, query: str, hold: float, labels: Mapping[str, str], message: str) -> Iterator[str]:
    # JSON texts are YAML texts. Annotations are templates, in which a brace of a message must not begin one.
    summary = (message or name).replace("{{", '{{ "{{" }}')
    yield f"      - alert: {json.dumps(name)}"
    yield f"        expr: {json.dumps(query)}"
    yield f"        for: {hold:.0f}s"
    yield f"        labels: {json.dumps(dict(labels))}"
    yield f"        annotations: {json.dumps({'summary': summary})}"


def _negate(node: ast.expr, limit: LiveLimit) -> str:
    """Return the query for a part of a limit that is not true.

    Raises:
        KeyError: Prometheus has no such thing.
    """
    if isinstance(node, ast.BoolOp):
        word = " and " if isinstance(node.op, ast.Or) else " or "
        return word.join(f"({_negate(value, limit)})" for value in node.values)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = _value(node.left, limit), _value(node.comparators[0], limit)
        return f"{left} {_BROKEN[type(node.ops[0])]} {right}"
    raise KeyError(type(node))


def _value(node: ast.expr, limit: LiveLimit) -> str:
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        return repr(node.value)
    if isinstance(node, ast.BinOp):
        return f"({_value(node.left, limit)} {_ARITHMETIC[type(node.op)]} {_value(node.right, limit)})"
    if not isinstance(node, ast.Name):
        raise KeyError(type(node))
    calls, by = _SUBJECTS[limit.by]
    with_le = f"{by[:-1]}, le)" if by else " by (le)"
    query = _MEASURES[node.id].format(calls=calls, by=by, with_le=with_le, window=f"{limit.window:.0f}s")
    return f"({query})"
