"""Post alerts as JSON to a URL.

A kill between the answer of the receiver and our note of it posts the alert again; the `Idempotency-Key` is the same then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from namel3ss_debug.monitoring.channels import AlertDocument, Channel, DeliveryError
from namel3ss_debug.wire.posting import open_poster, split_login

SCHEMA: Final = "namel3ss-debug/alert/1"
_LATER = frozenset({0, 408, 425, 429})
"""Statuses besides those of a broken server after which another attempt may succeed; 0: it was not reached."""


def deliver(channel: Channel, alert: AlertDocument, now: float) -> None:
    """Post the alert."""
    del now
    key = {"idempotency-key": f"{alert['episode']}:{alert['state']}"}
    post_json(channel, channel.target, {"schema": SCHEMA, **alert}, key)


def post_json(channel: Channel, url: str, document: Any, headers: Mapping[str, str] | None = None) -> None:
    """Post a document once, with the token of the channel, or with the name and password in its URL.

    Raises:
        DeliveryError: the receiver did not take it.
    """
    address, login = split_login(url)
    if channel.token:
        login = {"authorization": f"Bearer {channel.token}"}
    fixed = {"content-type": "application/json", **(headers or {}), **login}
    with open_poster(f"the channel {channel.name}", "alerts", retries=0) as post:
        posted = post(address, json.dumps(document).encode(), fixed)
    if posted.problem:
        later = posted.status in _LATER or posted.status >= 500
        raise DeliveryError(f"{channel.address} {posted.problem}", final=not later, wait=posted.retry_after)
