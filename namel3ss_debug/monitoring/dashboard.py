"""Make a dashboard of Grafana from the table of metrics: a panel for each, which names its operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from namel3ss_debug.analysis.metrics import METRICS, Metric

_UNITS: Final = {"seconds": "s", "dollars": "currencyUSD", "bytes": "bytes"}
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_LEGEND = "{{rule}} {{trace}} {{gen_ai_request_model}}{{gen_ai_tool_name}} {{gen_ai_agent_name}} {{gen_ai_token_type}}"
_SHARES = (0.5, 0.95, 0.99)


def make_dashboard() -> dict[str, Any]:
    """Return the dashboard, as Grafana imports it; the user chooses the Prometheus that it reads."""
    panels = [panel for name, metric in METRICS.items() for panel in _panels(name, metric)]
    for number, panel in enumerate(panels):
        place = {"x": number % _COLUMNS * _WIDTH, "y": number // _COLUMNS * _HEIGHT}
        panel |= {"id": number + 1, "gridPos": {"w": _WIDTH, "h": _HEIGHT, **place}}
    return {
        "uid": "namel3ss-debug",
        "title": "Agents (namel3ss-debug)",
        "tags": ["namel3ss-debug"],
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }


def _panels(name: str, metric: Metric) -> Iterator[dict[str, Any]]:
    if metric.kind == "gauge":
        yield _panel(metric.help, metric.unit, {_LEGEND: name})
    elif metric.kind == "counter":
        rates = {_LEGEND: f"rate({name}_total[$__rate_interval])"}
        yield _panel(f"{metric.help.rstrip('.')}, a second.", metric.unit, rates)
    else:
        kinds = "gen_ai_operation_name, gen_ai_token_type"
        shares = {
            f"p{share * 100:g} {{{{gen_ai_operation_name}}}} {{{{gen_ai_token_type}}}}": f"histogram_quantile({share}, "
            f"sum by ({kinds}, le)(rate({name}_bucket[$__rate_interval])))"
            for share in _SHARES
        }
        yield _panel(metric.help, metric.unit, shares)
        counts = {_LEGEND: f"60 * rate({name}_count[$__rate_interval])"}
        yield _panel(f"{metric.help.rstrip('.')}: how many a minute.", "", counts)


def _panel(title: str, unit: str, queries: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": title.rstrip("."),
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": _UNITS.get(unit, "short")}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for number, (legend, query) in enumerate(queries.items())
        ],
    }
