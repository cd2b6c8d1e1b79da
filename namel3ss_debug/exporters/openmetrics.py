"""Export the figures of a trace as OpenMetrics: calls, errors, tokens, cost and latencies by agent, tool and model.

Names, units and buckets are those of the GenAI metric conventions of OpenTelemetry, written as Prometheus does: dots become
underscores, units are in the name. What the conventions do not count is `namel3ss_*`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import SpanTable, read_spans

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
"""The buckets that the conventions advise for `gen_ai.client.operation.duration` and `gen_ai.client.token.usage`."""

_OPERATIONS = {"agent": "invoke_agent", "tool": "execute_tool", "llm": "chat"}
_LABELS = {"agent": "gen_ai_agent_name", "tool": "gen_ai_tool_name", "llm": "gen_ai_request_model"}

Labels = tuple[tuple[str, str], ...]


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield the whole text, which ends with `# EOF`."""
    for line in make_lines(read_spans(events)):
        yield (line + "\n").encode()


def make_lines(spans: SpanTable) -> Iterator[str]:
    """Yield the lines of the figures of a table, which may be of several traces."""
    durations: defaultdict[Labels, list[float]] = defaultdict(list)
    tokens: defaultdict[Labels, list[float]] = defaultdict(list)
    errors: Counter[Labels] = Counter()
    costs: Counter[Labels] = Counter()
    for row in spans.of(*_OPERATIONS):
        component = spans.component(row)
        if component == "agent" and spans.turn[row]:
            continue
        labels: Labels = (
            ("gen_ai_operation_name", _OPERATIONS[component]),
            (_LABELS[component], spans.name(row)),
        )
        agent = spans.agent[row]
        if component != "agent" and agent >= 0:
            labels += (("gen_ai_agent_name", spans.name(agent)),)
        errors[labels] += bool(spans.failed[row])
        if spans.duration[row] >= 0 and spans.end[row]:
            durations[labels].append(spans.duration[row] / 1e9)
        if component == "llm" and spans.counted[row]:
            for kind in ("input", "output"):
                count = spans.columns[f"{kind}_tokens"][row]
                tokens[*labels, ("gen_ai_token_type", kind)].append(count)
        if spans.cost[row] >= 0:
            costs[labels] += spans.cost[row]
    yield from _histogram(
        "gen_ai_client_operation_duration_seconds", "Time of calls.", SECONDS, durations, "seconds"
    )
    yield from _histogram("gen_ai_client_token_usage", "Tokens of model calls.", TOKENS, tokens)
    yield from _counter("namel3ss_errors", "Calls that failed.", errors)
    yield from _counter(
        "namel3ss_cost_dollars",
        "Cost in US dollars, as reported or by published prices.",
        {labels: cost / 1e12 for labels, cost in costs.items()},
    )
    yield "# EOF"


def _histogram(
    name: str,
    about: str,
    buckets: tuple[float, ...],
    values: Mapping[Labels, list[float]],
    unit: str = "",
) -> Iterator[str]:
    yield f"# TYPE {name} histogram"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {about}"
    for labels, found in sorted(values.items()):
        counts = Counter(bisect_left(buckets, value) for value in found)
        total = 0
        for index, bucket in enumerate(buckets):
            total += counts[index]
            yield f"{name}_bucket{_braced((*labels, ('le', repr(float(bucket)))))} {total}"
        yield f"{name}_bucket{_braced((*labels, ('le', '+Inf')))} {len(found)}"
        yield f"{name}_sum{_braced(labels)} {sum(found)!r}"
        yield f"{name}_count{_braced(labels)} {len(found)}"


def _counter(name: str, about: str, values: Mapping[Labels, float]) -> Iterator[str]:
    yield f"# TYPE {name} counter"
    yield f"# HELP {name} {about}"
    for labels, value in sorted(values.items()):
        yield f"{name}_total{_braced(labels)} {value!r}"


def _braced(labels: Labels) -> str:
    escaped = (
        f'{name}="{value}"'
        for name, value in (
            (name, value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"'))
            for name, value in labels
        )
    )
    return "{" + ",".join(escaped) + "}"
