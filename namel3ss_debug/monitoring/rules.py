"""The alert rules: the built-in ones, and those of the user, all in the rule language of `check`.

A rule is a `limit` over measures of the growing trace (`analysis.checks.measures`); an alert fires where it is broken for
as long as `for` wants. The thresholds of the built-in rules are the settings `alert_thresholds` and `triggers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from namel3ss_debug.analysis.checks.measures import LIVE_BY
from namel3ss_debug.analysis.checks.rules import CheckRule, LiveLimit, RuleSource, read_rules
from namel3ss_debug.errors import RuleError
from namel3ss_debug.monitoring.watch import FIGURES, WITHOUT_WINDOW, WindowKey

if TYPE_CHECKING:
    from namel3ss_debug.config import DebugConfiguration


class AlertTemplate(NamedTuple):
    """A built-in rule.

    Attributes:
        name: its name.
        setting: the name of its threshold in `alert_thresholds`, or in `triggers` where that does not have it.
        limit: what must be true; `{}` is the threshold.
        by: whom it limits.
        message: what is wrong where it is broken.
        window, hold: in seconds; None for the whole run.
        severity: of its alerts.
    """

    name: str
    setting: str
    limit: str
    by: str
    message: str
    window: float | None = None
    hold: float = 0.0
    severity: str = "error"


BUILT_IN: Final = (
    AlertTemplate("agent_down", "agent_down", "down_seconds <= {}", "run", "the program is gone and recorded no end"),
    AlertTemplate("error_rate_high", "error_rate", "calls < 20 or failures < 3 or error_rate <= {}", "run", "calls fail", 300),
    AlertTemplate("memory_leak", "memory_mb_per_hour", "memory_mb_per_hour <= {}", "process", "memory grows", 1800),
    AlertTemplate("slow_response", "slow_response", "calls < 20 or p50_ms <= {}", "run", "half of the calls are slow", 600, 0, "warning"),
    AlertTemplate("high_cost", "high_cost", "cost <= {}", "all", "much was spent within an hour", 3600, 0, "warning"),
    AlertTemplate("pattern_anomaly", "pattern_anomaly", "outliers <= {}", "operation", "the last calls are unlike those before", 21_600, 60, "warning"),
    AlertTemplate("cpu_usage", "cpu_usage", "cpu_share <= {}", "process", "the processor is busy", None, 60, "warning"),
    AlertTemplate("memory_usage", "memory_usage", "memory_share <= {}", "run", "the memory of the machine is nearly full"),
    AlertTemplate("response_time", "response_time", "calls == 0 or p95_ms <= {}", "run", "responses are slow", 60, 0, "warning"),
    AlertTemplate("throughput", "throughput", "calls_per_minute >= {}", "run", "too little is done", 60, 0, "warning"),
    AlertTemplate("performance_degradation", "response_time", "slowdown <= {}", "operation", "slower than before", 21_600, 0, "warning"),
    AlertTemplate("infinite_loop", "cpu_seconds", "busy_seconds <= {}", "process", "computes without a pause"),
    AlertTemplate("dependency_failures", "timeouts", "timeouts <= {}", "run", "calls are not answered in time", 300),
    AlertTemplate("context_overflow", "context_share", "context_share <= {}", "model", "the context is nearly full", 60),
    AlertTemplate("deadlock", "blocked_seconds", "blocked_seconds <= {}", "operation", "nothing goes on inside"),
    AlertTemplate("loop", "loop", "loop_calls < {}", "run", "the same calls again and again, without progress"),
    AlertTemplate("stalled_call", "stalled_call", "open_seconds <= {}", "model", "a model does not answer"),
    AlertTemplate("cost_jump", "cost_jump", "cost_jump <= {}", "operation", "calls cost more than before", 21_600, 0, "warning"),
    AlertTemplate("context_forecast", "context_forecast", "context_turns > {}", "model", "the context of a conversation will soon be nearly full", None, 0, "warning"),
    AlertTemplate("latency_forecast", "latency_forecast", "mean_ms_ahead <= {}", "run", "calls take ever longer", 600, 0, "warning"),
    AlertTemplate("error_forecast", "error_forecast", "error_rate_ahead <= {}", "run", "ever more calls fail", 600, 0, "warning"),
    AlertTemplate("cost_forecast", "cost_forecast", "cost_per_call_ahead <= {}", "run", "calls cost ever more", 600, 0, "warning"),
    AlertTemplate("memory_forecast", "memory_forecast", "memory_mb_ahead <= {}", "process", "memory will soon be used up", 1800, 0, "warning"),
    AlertTemplate("daily_budget", "daily_budget", "cost <= 0.8 * {}", "all", "the budget of a day is nearly spent", 86_400, 0, "warning"),
    AlertTemplate("monthly_budget", "monthly_budget", "cost <= 0.8 * {}", "all", "the budget of a month is nearly spent", 2_592_000, 0, "warning"),
)  # fmt: skip
"""Every built-in rule. `agent_down` to `pattern_anomaly` are named as teams name their alerts."""

OF_TRIGGERS: Final = frozenset({"performance_degradation"})
"""Rules whose threshold is one of `triggers` although `alert_thresholds` has the same name for another rule."""

WEAK: Final = frozenset({"pattern_anomaly"})
"""Rules that say least about what is wrong; they do not alert beside another alert of the same trace."""


class AlertRule(NamedTuple):
    """A rule that is evaluated again and again.

    Attributes:
        name, severity, message, labels: as in the rule.
        limit: what must be true, of whom, over which time.
        key: the windows that it reads.
    """

    name: str
    severity: str
    message: str
    labels: Mapping[str, str]
    limit: LiveLimit
    key: WindowKey


def built_in_rules(config: DebugConfiguration) -> list[dict[str, Any]]:
    """Return the built-in rules that are on, as a user would write them."""
    found = []
    for row in BUILT_IN:
        own = config.alert_thresholds if row.name not in OF_TRIGGERS else {}
        threshold = own[row.setting] if row.setting in own else config.triggers.get(row.setting)
        if threshold is None:
            continue
        window = config.triggers.get("error_window_seconds") if row.name == "error_rate_high" else row.window
        rule: dict[str, Any] = {
            "name": row.name,
            "limit": row.limit.format(f"{threshold:g}"),
            "by": row.by,
            "message": row.message,
            "severity": row.severity,
            "for": f"{row.hold:.0f}s",
        }
        found.append(rule | ({"window": f"{window:.0f}s"} if window else {}))
    return found


def read_alert_rules(config: DebugConfiguration, sources: Iterable[RuleSource] = ()) -> list[AlertRule]:
    """Return the rules of the settings and of some sources; an expression alone, such as "cost <= 0.05", is a limit.

    Raises:
        RuleError: one of them is not valid, or `monitor` cannot evaluate it.
    """
    limits = [
        source._replace(rules=[{"limit": rule} if isinstance(rule, str) else rule for rule in source.rules])
        for source in sources
    ]
    parsed = read_rules([RuleSource("built-in", built_in_rules(config)), *limits])
    return [_make_rule(rule) for rule in parsed]


def _make_rule(rule: CheckRule) -> AlertRule:
    limit = rule.limit
    if limit is None:
        raise RuleError(
            f"{rule.name}: monitor evaluates rules of the kind limit; check evaluates {rule.kind}"
        )
    unknown = sorted(limit.expression.names - LIVE_BY[limit.by])
    if unknown:
        raise RuleError(
            f"{rule.name}: {unknown[0]} is only known at the end of a run; of {limit.by}, monitor knows "
            f"{', '.join(sorted(LIVE_BY[limit.by]))}"
        )
    key = WindowKey(limit.by, limit.window)
    return AlertRule(rule.name, rule.level, rule.message, rule.labels, limit, key)


def find_windows(rules: Sequence[AlertRule]) -> dict[WindowKey, frozenset[str]]:
    """Return the windows that some rules and the figures need, each with the measures that are read from it."""
    windows = dict(FIGURES)
    for rule in rules:
        names = rule.limit.expression.names
        if not names <= WITHOUT_WINDOW:
            windows[rule.key] = windows.get(rule.key, frozenset()) | names
    return windows
