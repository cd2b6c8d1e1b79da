"""Channels of the setting `alert_channels`: what is allowed, and what each kind delivers."""

import base64
import json
from dataclasses import replace

import pytest

from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import SettingError
from namel3ss_debug.monitoring.alert import Alert
from namel3ss_debug.monitoring.channels import CHANNELS, DeliveryError, read_channels

NOW = 1_764_000_000.0
HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e漢字 <b>&</b> \\a\nsecond\ud800"
ALERT = Alert(
    rule="loop",
    severity="error",
    state="firing",
    text=HOSTILE,
    labels=(("1st", "x"), ("gen_ai.tool", "search")),
    value=0.35,
    threshold=None,
    began=NOW,
    fired=NOW,
    ended=None,
    trace="debug/traces/trace_x.jsonl",
    events=(7,),
    command="namel3ss debug show",
    fingerprint="f",
    episode="e1",
)


PLUGINS = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""apprise loads all its plugins, and with them what Python 3.11 has for the last time."""


def read(environ=(), **channels):
    """Return the channels of such a setting."""
    return read_channels(DebugConfiguration(alert_channels=channels), dict(environ))


def deliver(alert=ALERT, environ=(), now=NOW, **channel):
    """Deliver an alert by one channel."""
    (found,) = read(environ, ops=channel)
    CHANNELS[found.kind].load().deliver(found, alert.to_json(), now)


WEBHOOK = {"kind": "webhook", "url": "http://localhost:9/x"}
SLACK = "https://hooks.slack.com/services/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"


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ({}, ".kind is null, allowed is terminal, jsonl, desktop, webhook, alertmanager, apprise"),
        ({"kind": "webhook"}, " needs url or url_env"),
        (WEBHOOK | {"url_env": "A"}, " needs url or url_env"),
        (WEBHOOK | {"url": SLACK}, ".url has a secret in it; put the URL into an environment variable, and name that with url_env"),
        (WEBHOOK | {"url": "http://me:secret1@host/x"}, ".url has a secret in it; put"),
        (WEBHOOK | {"url": "http://host/x?api_key=1"}, ".url has a secret in it; put"),
        (WEBHOOK | {"url": "ftp://host/x"}, ": ftp://host/x is no URL of HTTP; give one such as http://localhost:9093"),
        (WEBHOOK | {"token": "abc"}, " has token: settings hold no secret; put it into an environment variable, and name that with token_env"),
        (WEBHOOK | {"password": "abc"}, " has password: settings hold no secret"),
        ({"kind": "apprise", "url": "slack://a/b/c"}, " has url: settings hold no secret; put it into an environment variable, and name that with url_env"),
        (WEBHOOK | {"token_env": "NONE"}, ".token_env: the environment variable NONE is not set"),
        (WEBHOOK | {"severty": "error"}, ' has "severty"; did you mean severity?'),
        (WEBHOOK | {"severity": "bad"}, '.severity is "bad", allowed is note, warning, error'),
        (WEBHOOK | {"per_minute": 0}, ".per_minute is 0, allowed is a whole number from 1"),
        (WEBHOOK | {"url": 5}, ".url is 5, allowed is a text"),
    ],
)  # fmt: skip
def test_a_wrong_channel_is_one_line_without_its_secret(channel, message):
    """The line names the channel, the key and what to do."""
    with pytest.raises(SettingError) as caught:
        read(ops=channel)
    assert str(caught.value).startswith(f"alert_channels.ops{message}")
    assert "\n" not in str(caught.value)
    assert "pX8fJq2" not in str(caught.value)
    assert "secret1" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"URL": "http://me:pa]ss1@host", "TOKEN": "x"}, ": the URL in URL is no valid URL"),
        (
            {"URL": "http://host", "TOKEN": "ss1€"},
            ".token_env: the value of the environment variable TOKEN is no token",
        ),
        ({"URL": "http://host", "TOKEN": "\n"}, ".token_env: the environment variable TOKEN is not set"),
    ],
)
def test_a_wrong_secret_is_one_line_without_it(environ, message):
    """The line names its variable."""
    with pytest.raises(SettingError) as caught:
        read(environ, ops={"kind": "webhook", "url_env": "URL", "token_env": "TOKEN"})
    assert str(caught.value).startswith(f"alert_channels.ops{message}")
    assert "ss1" not in str(caught.value)


def test_the_line_end_of_a_file_is_no_part_of_a_secret():
    """As `$(cat token)` leaves out and a secret of an orchestrator does not."""
    environ = {"URL": "http://host\n", "TOKEN": "secret2\n"}
    (channel,) = read(environ, ops={"kind": "webhook", "url_env": "URL", "token_env": "TOKEN"})
    assert (channel.target, channel.token) == ("http://host", "secret2")


def test_every_kind_can_be_read():
    """A channel shows where its secrets are, and not the secrets."""
    environ = {"ADDRESS": "https://me:secret1@host", "TOKEN": "secret2"}
    for kind, row in CHANNELS.items():
        needs = {row.needs[-1]: "ADDRESS"} if row.needs else {}
        (channel,) = read(environ, ops={"kind": kind, **needs, **dict.fromkeys(row.may, "TOKEN")})
        assert "secret" not in repr(channel)
        assert (channel.token == "secret2") is bool(row.may)


@pytest.mark.parametrize(
    ("channel", "header"),
    [
        ({"token_env": "TOKEN"}, "Bearer secret2"),
        ({}, "Basic " + base64.b64encode(b"me:p@ss").decode()),
    ],
)
def test_a_webhook_gets_the_secrets_of_the_environment(receiver, channel, header):
    """A token, or the name and password of the URL, as a header."""
    url = receiver.url.replace("//", "//me:p%40ss@") + "/x"
    deliver(kind="webhook", url_env="URL", environ={"URL": url, "TOKEN": "secret2"}, **channel)
    path, headers, body, _ = receiver.requests[0]
    assert (path, headers["authorization"]) == ("/x", header)
    assert json.loads(body)["text"] == HOSTILE


def test_a_url_of_the_environment_is_in_no_message(receiver):
    """The line names its variable."""
    receiver.statuses = [500]
    with pytest.raises(DeliveryError, match=r"^the URL in OPS_URL answered 500 not now$") as caught:
        deliver(kind="webhook", url_env="OPS_URL", environ={"OPS_URL": f"{receiver.url}/secret"})
    assert not caught.value.final


def test_alertmanager_gets_labels_that_it_takes(receiver):
    """Names are valid, the trace is part of the identity, and an alert that fires ends unless it is renewed."""
    deliver(kind="alertmanager", url=receiver.url)
    deliver(replace(ALERT, state="resolved", ended=NOW + 30), kind="alertmanager", url=receiver.url)
    (firing,), (over,) = (json.loads(body) for _, _, body, _ in receiver.requests)
    assert receiver.requests[0][0] == "/api/v2/alerts"
    assert firing["labels"] == over["labels"] == {
        "alertname": "loop",
        "severity": "critical",
        "trace": "trace_x.jsonl",
        "label_1st": "x",
        "gen_ai_tool": "search",
    }  # fmt: skip
    assert firing["annotations"]["value"] == "0.35"
    assert (firing["startsAt"], firing["endsAt"]) == (
        "2025-11-24T16:00:00+00:00",
        "2025-11-24T16:05:00+00:00",
    )
    assert over["endsAt"] == "2025-11-24T16:00:30+00:00"


@PLUGINS
def test_apprise_gets_a_title_and_a_text(receiver):
    """Its kinds follow severity and state."""
    environ = {"URL": receiver.url.replace("http", "json") + "/x"}
    deliver(kind="apprise", url_env="URL", environ=environ)
    deliver(replace(ALERT, state="resolved"), kind="apprise", url_env="URL", environ=environ)
    first, second = (json.loads(body) for _, _, body, _ in receiver.requests)
    assert (first["title"], first["type"]) == ("firing: loop (error)", "failure")
    assert first["message"].endswith("\ntrace trace_x.jsonl\nnamel3ss debug show")
    assert (second["title"], second["type"]) == ("resolved: loop (error)", "success")


@PLUGINS
@pytest.mark.parametrize(("url", "final"), [("nonsense://x", True), ("json://127.0.0.1:9/x", False)])
def test_apprise_says_what_it_does_not_know_or_could_not_send(url, final, caplog):
    """The message names the variable, and no record has the URL."""
    with pytest.raises(DeliveryError, match="the URL in ADDRESS") as caught:
        deliver(kind="apprise", url_env="ADDRESS", environ={"ADDRESS": url})
    assert caught.value.final is final
    assert caplog.text == ""


def test_the_terminal_gets_one_line_without_control_sequences(capsys):
    """On stderr, with the command that goes there."""
    deliver(kind="terminal")
    shown = capsys.readouterr().err
    assert shown.startswith("firing: loop (error): ")
    assert shown.endswith("trace trace_x.jsonl; namel3ss debug show\n")
    assert shown[:-1].isprintable()


def test_the_desktop_gets_text_and_no_markup(tmp_path, monkeypatch):
    """By notify-send, if there is one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeliveryError, match="notify-send is not installed") as caught:
        deliver(kind="desktop")
    assert caught.value.final
    program = tmp_path / "notify-send"
    program.write_text(f'#!/bin/sh\nfor word in "$@"; do echo "$word" >>{tmp_path}/words; done\n')
    program.chmod(0o700)
    deliver(kind="desktop")
    words = (tmp_path / "words").read_text().splitlines()
    assert words[:4] == ["--app-name=namel3ss-debug", "--urgency=critical", "--", "firing: loop (error)"]
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in words[4]
    program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(DeliveryError, match="notify-send ended with status 1"):
        deliver(kind="desktop")


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    """A later attempt may succeed."""
    with pytest.raises(DeliveryError, match="Is a directory") as caught:
        deliver(kind="jsonl", path=str(tmp_path))
    assert not caught.value.final
