"""Export the metrics of a trace as OpenMetrics: calls, errors, tokens, cost and latencies by agent, tool and model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from namel3ss_debug.analysis.metrics import make_lines
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.span_table import read_spans

LEFT_OUT: Final = (
    "all but sums: calls, errors, tokens, cost, processor time and latencies by agent, tool and model",
)


def export(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield the whole text, which ends with `# EOF`."""
    for line in make_lines(read_spans(events)):
        yield (line + "\n").encode()
