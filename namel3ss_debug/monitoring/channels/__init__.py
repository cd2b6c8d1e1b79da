"""Where alerts go: one module for each kind of channel, which delivers one alert.

A module of `CHANNELS` has `deliver(channel, alert, now)`, which raises `DeliveryError` if the alert was not taken. To add a
kind, write the module and add its row. A channel of the setting `alert_channels` names its kind and what that needs.
Secrets are in the environment: `url_env` and `token_env` name the variables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

from namel3ss_debug.analysis.findings import SEVERITIES
from namel3ss_debug.config import DebugConfiguration, values
from namel3ss_debug.errors import DebugError, SettingError
from namel3ss_debug.traces.redaction.redactor import Redactor

AlertDocument = Mapping[str, Any]
"""An alert as `Alert.to_json` makes it, without secrets."""


class DeliveryError(DebugError):
    """An alert was not taken; the message follows the name of the channel.

    Attributes:
        final: whether another attempt is in vain.
        wait: the seconds after which the receiver wants to be asked again; 0 where it does not say.
    """

    def __init__(self, why: str, *, final: bool = False, wait: float = 0.0) -> None:
        super().__init__(why)
        self.final, self.wait = final, wait


@dataclass(frozen=True)
class Channel:
    """A channel of the setting `alert_channels`.

    Attributes:
        name: its name in the setting.
        kind: one of `CHANNELS`.
        address: its URL or path as messages may show it.
        target: the URL or path.
        token: the token that goes with each alert.
        severity: the lowest severity that it gets.
        per_minute: how many alerts it gets in a minute at most; more wait.
    """

    name: str
    kind: str
    address: str = ""
    target: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    severity: str = SEVERITIES[0]
    per_minute: int = 60

    def takes(self, severity: str) -> bool:
        """Return whether the channel gets alerts of this severity."""
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.severity)


class ChannelModule(Protocol):
    """What the module of a kind of channel has."""

    def deliver(self, channel: Channel, alert: AlertDocument, now: float) -> None:
        """Deliver an alert, once.

        Raises:
            DeliveryError: it was not taken.
        """


class ChannelKind(NamedTuple):
    """A kind of channel: its module, what it is, the keys that it needs (one of them) and may have, the package it needs.

    `renewed` is after how many seconds an alert that still fires is delivered again, for receivers that forget it; 0: never.
    """

    module: str
    help: str
    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    package: str = ""
    renewed: float = 0.0

    def load(self) -> ChannelModule:
        """Import the module."""
        module: ChannelModule = import_module(f"namel3ss_debug.monitoring.channels.{self.module}")
        return module


TERMINAL: Final = "terminal"
CHANNELS: Final[Mapping[str, ChannelKind]] = {
    TERMINAL: ChannelKind("terminal", "a line on the terminal of `monitor`"),
    "jsonl": ChannelKind("json_lines", "a line of JSON at the end of a file", ("path",)),
    "desktop": ChannelKind("desktop", "a notification by notify-send"),
    "webhook": ChannelKind(
        "webhook", "a POST of JSON, with an Idempotency-Key", ("url", "url_env"), ("token_env",), "urllib3"
    ),
    "alertmanager": ChannelKind(
        "alertmanager",
        "the API v2 of Alertmanager",
        ("url", "url_env"),
        ("token_env",),
        "urllib3",
        renewed=60,
    ),
    "apprise": ChannelKind(
        "apprise_services", "a URL of apprise: Slack, e-mail, and more", ("url_env",), package="apprise"
    ),
}


def read_channels(configuration: DebugConfiguration, environ: Mapping[str, str]) -> list[Channel]:
    """Return the channels of the setting, with their secrets from the environment.

    Raises:
        SettingError: one of them is not as it should be, or has a secret in the setting.
    """
    redactor = Redactor(configuration.redact_keys, configuration.redact_patterns)
    return [
        _read_channel(name, value, environ, redactor) for name, value in configuration.alert_channels.items()
    ]


def _read_channel(
    name: str, value: Mapping[str, Any], environ: Mapping[str, str], redactor: Redactor
) -> Channel:
    where = f"alert_channels.{name}"
    kind = value.get("kind")
    row = CHANNELS.get(kind) if isinstance(kind, str) else None
    if row is None:
        raise SettingError(f"{where}.kind is {values.shown(kind)}, allowed is {', '.join(CHANNELS)}")
    allowed = ("kind", *row.needs, *row.may, "severity", "per_minute")
    for key, entry in value.items():
        if key not in allowed:
            if key == "url" or redactor.key_is_secret(key):
                variable = "url_env" if key == "url" else "token_env"
                raise SettingError(
                    f"{where} has {key}: settings hold no secret; put it into an environment variable, and name that with {variable}"
                )
            hint = values.suggest(key, allowed) or f", allowed is {', '.join(allowed)}"
            raise SettingError(f"{where} has {values.shown(key)}{hint}")
        if key != "per_minute" and not (isinstance(entry, str) and entry):
            raise SettingError(f"{where}.{key} is {values.shown(entry)}, allowed is a text")
    found = [key for key in row.needs if key in value]
    if row.needs and len(found) != 1:
        raise SettingError(f"{where} needs {' or '.join(row.needs)}")
    if "url" in value and _has_secret(value["url"], redactor):
        raise SettingError(
            f"{where}.url has a secret in it; put the URL into an environment variable, and name that with url_env"
        )
    if value.get("severity", SEVERITIES[0]) not in SEVERITIES:
        raise SettingError(
            f"{where}.severity is {values.shown(value['severity'])}, allowed is {', '.join(SEVERITIES)}"
        )
    per_minute = value.get("per_minute", 60)
    if type(per_minute) is not int or per_minute < 1:
        raise SettingError(
            f"{where}.per_minute is {values.shown(per_minute)}, allowed is a whole number from 1"
        )

    def from_environment(key: str) -> str:
        variable = value[key]
        if not environ.get(variable, "").strip():
            raise SettingError(f"{where}.{key}: the environment variable {variable} is not set")
        return environ[variable].strip()

    target = address = ""
    if found == ["url_env"]:
        target, address = from_environment("url_env"), f"the URL in {value['url_env']}"
    elif found:
        target = address = value[found[0]]
    if row.may and not target.startswith(("http://", "https://")):
        raise SettingError(f"{where}: {address} is no URL of HTTP; give one such as http://localhost:9093")
    try:
        _ = urlsplit(target).port
    except ValueError:
        raise SettingError(f"{where}: {address} is no valid URL") from None
    token = from_environment("token_env") if "token_env" in value else ""
    if not (token.isascii() and token.isprintable()):
        raise SettingError(
            f"{where}.token_env: the value of the environment variable {value['token_env']} is no token; it has characters that no header takes"
        )
    severity = value.get("severity", SEVERITIES[0])
    return Channel(name, str(kind), address, target, token, severity, per_minute)


def _has_secret(url: str, redactor: Redactor) -> bool:
    return redactor.text(url) != url or any(
        redactor.key_is_secret(key) for key, _ in parse_qsl(urlsplit(url).query)
    )


def describe(alert: AlertDocument) -> tuple[str, str]:
    """Return an alert as a title and a text of a few lines for people."""
    labels = ", ".join(f"{name} {value}" for name, value in alert["labels"].items())
    lines = (alert["text"], labels, f"trace {os.path.basename(alert['trace'])}", alert["command"])
    return (
        plain(f"{alert['state']}: {alert['rule']} ({alert['severity']})"),
        "\n".join(plain(line) for line in lines if line),
    )


def plain(text: str) -> str:
    """Return foreign text on one line, without control sequences and in valid Unicode."""
    return "".join(each if each.isprintable() else " " if each.isspace() else "\ufffd" for each in text)
