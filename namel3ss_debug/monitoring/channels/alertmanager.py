"""Send alerts to the API v2 of Alertmanager, as Prometheus does.

Alertmanager forgets what nobody sends again: an alert that fires has an end a few minutes ahead, which each renewal moves.
So an alert ends there too if the monitor is killed. The labels are the identity, and the trace is one of them.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Any, Final

from namel3ss_debug.monitoring.alert import RESOLVED
from namel3ss_debug.monitoring.channels import AlertDocument, Channel, plain
from namel3ss_debug.monitoring.channels.webhook import post_json
from namel3ss_debug.monitoring.prometheus_rules import SEVERITIES

PATH: Final = "/api/v2/alerts"
LASTS_SECONDS: Final = 300
_NO_NAME = re.compile(r"\W", re.ASCII)


def deliver(channel: Channel, alert: AlertDocument, now: float) -> None:
    """Send the alert with its present end."""
    url = channel.target.rstrip("/")
    post_json(channel, url if url.endswith(PATH) else url + PATH, [to_alertmanager(alert, now)])


def to_alertmanager(alert: AlertDocument, now: float) -> dict[str, Any]:
    """Return an alert as Alertmanager takes it."""
    labels = {
        f"label_{name}" if name[:1].isdigit() else name: value for name, value in alert["labels"].items()
    }
    fixed = {
        "alertname": alert["rule"],
        "severity": SEVERITIES[alert["severity"]],
        "trace": os.path.basename(alert["trace"]),
    }
    noted = {"summary": alert["text"], "command": alert["command"]}
    noted |= {key: f"{alert[key]:g}" for key in ("value", "threshold") if alert[key] is not None}
    ends = alert["ended"] if alert["state"] == RESOLVED else now + LASTS_SECONDS
    return {
        "labels": {
            _NO_NAME.sub("_", name): plain(value) for name, value in (labels | fixed).items() if value
        },
        "annotations": {name: plain(value) for name, value in noted.items()},
        "startsAt": _moment(alert["began"]),
        "endsAt": _moment(max(ends, alert["began"])),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
