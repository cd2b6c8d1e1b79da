"""What a monitor passes on beside its screen: alerts to the channels, metrics to Prometheus or a Pushgateway.

Receivers may be slow, so a thread of its own sends; what it could not send waits in the outbox.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from namel3ss_debug.analysis.metrics import ALERTS, MEMORY, OPEN_SPANS, RUNNING, Labels, MetricTotals
from namel3ss_debug.errors import DebugError
from namel3ss_debug.monitoring.alert import FIRING
from namel3ss_debug.monitoring.channels.outbox import Outbox
from namel3ss_debug.monitoring.metrics_server import MetricsServer, push

if TYPE_CHECKING:
    from namel3ss_debug.monitoring.monitor import Snapshot
    from namel3ss_debug.monitoring.rules import AlertRule

FLUSH_SECONDS: Final = 1.0
PUSH_SECONDS: Final = 15.0
_MB = 1 << 20


class Outlets:
    """Passes on alerts and metrics, from `start` until `close`.

    Args:
        outbox: takes the alerts.
        rules: the alert rules, each of which is a metric.
        report: takes a line for each thing that could not be sent, in the thread that sends.
        port: where metrics are served on loopback; None for nowhere.
        pushgateway: where they are pushed; empty for nowhere.

    Attributes:
        metrics: takes the spans that end.
        port: where metrics are served; 0 for nowhere.

    Raises:
        WrongUsageError: the port is taken.
    """

    def __init__(
        self,
        outbox: Outbox,
        rules: Sequence[AlertRule],
        report: Callable[[str], None],
        *,
        port: int | None = None,
        pushgateway: str = "",
    ) -> None:
        self.metrics = MetricTotals()
        self._outbox, self._report, self._pushgateway = outbox, report, pushgateway
        self._rules = [(("rule", rule.name), ("severity", rule.severity)) for rule in rules]
        self._gauges: Mapping[str, Mapping[Labels, float]] = {}
        self._server = None if port is None else MetricsServer(port, self._make_lines)
        self.port = self._server.server_port if self._server else 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send, name="outlets", daemon=True)

    def start(self) -> None:
        """Send what waits from an earlier monitor, and what comes."""
        if self._server is not None:
            self._server.start()
        self._thread.start()

    def take(self, snapshot: Snapshot) -> None:
        """Keep the alerts that changed until they are sent, and the figures for the next who asks."""
        for alert in snapshot.changed:
            self._outbox.put(alert, snapshot.at)
        self._gauges = self._make_gauges(snapshot)

    def close(self) -> None:
        """Send what is left, once, and stop."""
        self._over.set()
        self._thread.join()
        if self._server is not None:
            self._server.close()
        waiting = self._outbox.count_waiting()
        if waiting:
            self._report(f"alerts that wait: {waiting}; the next monitor of the folder sends them")

    def _send(self) -> None:
        pushed = float("-inf")
        over = False
        while not over:
            over = self._over.wait(FLUSH_SECONDS)
            try:
                for line in self._outbox.flush(time.time()):
                    self._report(line)
                if self._pushgateway and (over or time.monotonic() - pushed >= PUSH_SECONDS):
                    pushed = time.monotonic()
                    push(self._pushgateway, self._make_lines())
            except DebugError as error:
                self._report(str(error))
            except Exception as error:  # the next round may succeed; its text may hold a secret
                self._report(f"alerts and metrics could not be sent ({type(error).__name__})")

    def _make_lines(self) -> list[str]:
        return self.metrics.make_lines(self._gauges)

    def _make_gauges(self, snapshot: Snapshot) -> Mapping[str, Mapping[Labels, float]]:
        running = [figures for figures in snapshot.traces if figures.state == "running"]
        firing = Counter(alert.rule for alert in snapshot.alerts if alert.state == FIRING)
        return {
            MEMORY: {
                (("trace", Path(figures.trace).name),): figures.memory_mb * _MB
                for figures in running
                if figures.memory_mb is not None
            },
            OPEN_SPANS: {(): sum(figures.open_spans for figures in running)},
            RUNNING: {(): len(running)},
            ALERTS: {labels: firing[labels[0][1]] for labels in self._rules},
        }
