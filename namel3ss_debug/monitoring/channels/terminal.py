"""Print alerts on the terminal, a line each."""

from __future__ import annotations

import sys

from namel3ss_debug.monitoring.channels import AlertDocument, Channel, describe


def deliver(channel: Channel, alert: AlertDocument, now: float) -> None:
    """Print the line on stderr, where it is apart from what `monitor` answers."""
    del channel, now
    title, text = describe(alert)
    print(f"{title}: {'; '.join(text.splitlines())}", file=sys.stderr)
