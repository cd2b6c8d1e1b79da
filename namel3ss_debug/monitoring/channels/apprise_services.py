"""Send alerts to what apprise knows: Slack, Teams, Discord, e-mail, PagerDuty, and some hundred more."""

from __future__ import annotations

import logging

from namel3ss_debug.monitoring.channels import AlertDocument, Channel, DeliveryError, describe


def deliver(channel: Channel, alert: AlertDocument, now: float) -> None:
    """Send a title and a text; apprise reports no more than whether it was taken."""
    del now
    import apprise

    logging.getLogger("apprise").disabled = True  # its records may hold the URL, and would be on the screen
    service = apprise.Apprise()
    if not service.add(channel.target):
        raise DeliveryError(f"apprise does not know {channel.address}", final=True)
    title, text = describe(alert)
    kinds = {"note": apprise.NotifyType.INFO, "warning": apprise.NotifyType.WARNING}
    kind = kinds.get(alert["severity"], apprise.NotifyType.FAILURE)
    if alert["state"] == "resolved":
        kind = apprise.NotifyType.SUCCESS
    if not service.notify(text, title, kind):
        raise DeliveryError(f"{channel.address} did not take it")
