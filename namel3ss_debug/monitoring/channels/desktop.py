"""Show alerts as notifications of the desktop, by `notify-send`."""

from __future__ import annotations

import html
import shutil
import subprocess

from namel3ss_debug.monitoring.channels import AlertDocument, Channel, DeliveryError, describe

_URGENCIES = {"note": "low", "warning": "normal", "error": "critical"}
_SECONDS = 10


def deliver(channel: Channel, alert: AlertDocument, now: float) -> None:
    """Call `notify-send`, whose text may hold markup, so that of the trace is escaped."""
    del channel, now
    program = shutil.which("notify-send")
    if program is None:
        raise DeliveryError("notify-send is not installed", final=True)
    title, text = describe(alert)
    urgency = f"--urgency={_URGENCIES[alert['severity']]}"
    command = [
        program,
        "--app-name=namel3ss-debug",
        urgency,
        "--",
        title,
        html.escape(text, quote=False).replace("\\", "\\\\"),
    ]
    try:
        done = subprocess.run(  # noqa: S603  (it is the program of the desktop, and the text an argument)
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise DeliveryError(f"notify-send did not end within {_SECONDS} s") from None
    if done.returncode:
        raise DeliveryError(f"notify-send ended with status {done.returncode}")
