"""The metrics of traces, as `export --format openmetrics` and `monitor --metrics` give them, and dashboards read them.

Names, units and buckets are those of the GenAI metric conventions of OpenTelemetry, written as Prometheus does: dots become
underscores, units are in the name. What the conventions do not count is `namel3ss_*`.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final, NamedTuple

from namel3ss_debug.traces.span_table import SpanTable

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
"""The buckets that the conventions advise for `gen_ai.client.operation.duration` and `gen_ai.client.token.usage`."""

OPERATIONS: Final = {"agent": "invoke_agent", "tool": "execute_tool", "llm": "chat"}
_LABELS = {"agent": "gen_ai_agent_name", "tool": "gen_ai_tool_name", "llm": "gen_ai_request_model"}

Labels = tuple[tuple[str, str], ...]


class Metric(NamedTuple):
    """A metric: its kind in OpenMetrics, what it counts, its unit, which ends its name, and the buckets of a histogram.

    Sums are kept as whole numbers, of which `scale` make one unit.
    """

    kind: str
    help: str
    unit: str = ""
    scale: int = 1
    buckets: tuple[float, ...] = ()


DURATION: Final = "gen_ai_client_operation_duration_seconds"
TOKENS: Final = "gen_ai_client_token_usage"
ERRORS: Final = "namel3ss_errors"
COST: Final = "namel3ss_cost_dollars"
CPU: Final = "namel3ss_cpu_seconds"
MEMORY: Final = "namel3ss_memory_bytes"
OPEN_SPANS: Final = "namel3ss_open_spans"
RUNNING: Final = "namel3ss_running_traces"
ALERTS: Final = "namel3ss_alerts"

METRICS: Final[Mapping[str, Metric]] = {
    DURATION: Metric("histogram", "Time of calls.", "seconds", 10**9, _SECONDS),
    TOKENS: Metric("histogram", "Tokens of model calls.", buckets=_TOKENS),
    ERRORS: Metric("counter", "Calls that failed."),
    COST: Metric("counter", "Cost in US dollars, as reported or by published prices.", "dollars", 10**12),
    CPU: Metric("counter", "Processor time of calls, without that of calls inside.", "seconds", 10**9),
    MEMORY: Metric("gauge", "Memory of a running program.", "bytes"),
    OPEN_SPANS: Metric("gauge", "Spans that have not ended."),
    RUNNING: Metric("gauge", "Traces that are still written."),
    ALERTS: Metric("gauge", "Alerts that fire."),
}
"""Every metric by its name; the gauges are of `monitor` only."""


class MetricTotals:
    """The metrics of any number of spans, added one by one; what it keeps does not grow with them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a server reads while spans are added
        self._counts: defaultdict[tuple[str, Labels], Counter[int]] = defaultdict(Counter)
        self._sums: Counter[tuple[str, Labels]] = Counter()

    def add(self, spans: SpanTable, row: int, agent: str) -> None:
        """Add a span, once it has ended or never will.

        Args:
            spans: its table.
            row: its row.
            agent: the name of the nearest agent around it; empty for none.
        """
        with self._lock:
            self._add(spans, row, agent)

    def make_lines(self, gauges: Mapping[str, Mapping[Labels, float]] | None = None) -> list[str]:
        """Return the lines of OpenMetrics, which end with `# EOF`.

        Args:
            gauges: the values of gauges by their names.
        """
        with self._lock:
            return list(self._lines(gauges or {}))

    def _add(self, spans: SpanTable, row: int, agent: str) -> None:
        component = spans.component(row)
        if component not in OPERATIONS or (component == "agent" and spans.turn[row]):
            return
        labels: Labels = (
            ("gen_ai_operation_name", OPERATIONS[component]),
            (_LABELS[component], spans.name(row)),
        )
        if component != "agent" and agent:
            labels += (("gen_ai_agent_name", agent),)
        self._sums[ERRORS, labels] += bool(spans.failed[row])
        if spans.duration[row] >= 0 and spans.end[row]:
            self._observe(DURATION, labels, spans.duration[row])
        if component == "llm" and spans.counted[row]:
            for kind in ("input", "output"):
                count = spans.columns[f"{kind}_tokens"][row]
                self._observe(TOKENS, (*labels, ("gen_ai_token_type", kind)), count)
        if spans.cost[row] >= 0:
            self._sums[COST, labels] += spans.cost[row]
        if spans.own_cpu[row] >= 0:
            self._sums[CPU, labels] += spans.own_cpu[row]

    def _lines(self, gauges: Mapping[str, Mapping[Labels, float]]) -> Iterator[str]:
        for name, metric in METRICS.items():
            values: dict[Labels, float] = {
                labels: total / metric.scale if metric.scale > 1 else total
                for (of, labels), total in self._sums.items()
                if of == name
            }
            values.update(gauges.get(name, {}))
            if not values:
                continue
            yield f"# TYPE {name} {metric.kind}"
            if metric.unit:
                yield f"# UNIT {name} {metric.unit}"
            yield f"# HELP {name} {metric.help}"
            for labels, value in sorted(values.items()):
                if metric.kind == "histogram":
                    yield from self._bucket_lines(name, metric, labels)
                    yield f"{name}_sum{_braced(labels)} {value!r}"
                else:
                    yield f"{name}{'_total' if metric.kind == 'counter' else ''}{_braced(labels)} {value!r}"
        yield "# EOF"

    def _observe(self, name: str, labels: Labels, value: int) -> None:
        metric = METRICS[name]
        self._counts[name, labels][bisect_left(metric.buckets, value / metric.scale)] += 1
        self._sums[name, labels] += value

    def _bucket_lines(self, name: str, metric: Metric, labels: Labels) -> Iterator[str]:
        counts = self._counts[name, labels]
        totals = accumulate(counts[index] for index in range(len(metric.buckets) + 1))
        for bound, total in zip((*map(float, metric.buckets), "+Inf"), totals, strict=True):
            yield f"{name}_bucket{_braced((*labels, ('le', str(bound))))} {total}"
        yield f"{name}_count{_braced(labels)} {counts.total()}"


def make_lines(spans: SpanTable) -> list[str]:
    """Return the lines of the metrics of a table, which may be of several traces."""
    totals = MetricTotals()
    for row in spans.of(*OPERATIONS):
        agent = spans.agent[row]
        totals.add(spans, row, spans.name(agent) if agent >= 0 else "")
    return totals.make_lines()


def to_text_format(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines of OpenMetrics in the text format of Prometheus, where a counter has the name of its samples."""
    counter = ""
    for line in lines:
        words = line.split(" ", 3)
        if words[1] == "TYPE":
            counter = words[2] if words[3] == "counter" else ""
        if words[0] == "#" and words[1] in {"TYPE", "HELP"} and counter == words[2]:
            yield " ".join((*words[:2], f"{words[2]}_total", words[3]))
        elif words[0] != "#" or words[1] not in {"UNIT", "EOF"}:
            yield line


def _braced(labels: Labels) -> str:
    escaped = (
        f'{name}="{value}"'
        for name, value in (
            (name, value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"'))
            for name, value in labels
        )
    )
    return "{" + ",".join(escaped) + "}" if labels else ""
