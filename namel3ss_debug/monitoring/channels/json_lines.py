"""Append alerts to a file, one JSON object on each line."""

from __future__ import annotations

import json

from namel3ss_debug.monitoring.channels import AlertDocument, Channel, DeliveryError
from namel3ss_debug.traces.folders import open_private


def deliver(channel: Channel, alert: AlertDocument, now: float) -> None:
    """Write the line at once, so that a kill leaves no half of it."""
    del now
    try:
        with open(channel.target, "ab", buffering=0, opener=open_private) as file:
            file.write(json.dumps(alert).encode() + b"\n")
    except OSError as error:
        raise DeliveryError(f"{channel.address}: {error.strerror}") from None
