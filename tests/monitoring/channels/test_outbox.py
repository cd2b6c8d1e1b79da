"""Alerts are on disk before they are sent, and each state of an episode reaches each channel once."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import DebugError
from namel3ss_debug.monitoring.alert import Alert
from namel3ss_debug.monitoring.channels import CHANNELS
from namel3ss_debug.monitoring.channels.outbox import KEEP_SECONDS, LONGEST_PAUSE, Outbox

NOW = 1_764_000_000.0
ALERT = Alert(
    rule="error_rate",
    severity="error",
    state="firing",
    text="7 of 20 calls failed",
    labels=(("tool", "search"),),
    value=0.35,
    threshold=0.05,
    began=NOW - 300,
    fired=NOW,
    ended=None,
    trace="debug/traces/trace_20251124_160000_ab12cd34.jsonl",
    events=(7, 9),
    command="namel3ss debug inspect --event 7",
    fingerprint="f" * 32,
    episode="e1",
)


def resolved(alert):
    """The end of an episode."""
    return replace(alert, state="resolved", ended=NOW + 60)


def episode(number):
    """The beginning of another episode."""
    return replace(ALERT, episode=f"e{number}", fingerprint=f"{number:032x}")


def make_outbox(folder, environ=os.environ, now=NOW, **channels):
    """Make an outbox with these channels."""
    return Outbox(folder, DebugConfiguration(alert_channels=channels), now, environ)


@pytest.fixture
def webhook(receiver):
    """A channel to the receiver."""
    return {"kind": "webhook", "url": f"{receiver.url}/hook"}


def taken(receiver):
    """The episodes and states that the receiver took, in order."""
    bodies = [json.loads(body) for _, _, body, status in receiver.requests if status == 200]
    return [(body["episode"], body["state"]) for body in bodies]


def test_a_state_of_an_episode_is_sent_once(tmp_path, receiver, webhook):
    """However often it is put, by this monitor or another one; the end of an unknown episode is not sent at all."""
    for _ in range(2):
        outbox = make_outbox(tmp_path, ops=webhook)
        for alert in (replace(ALERT, state="pending"), ALERT, ALERT, resolved(ALERT), resolved(episode(2))):
            outbox.put(alert, NOW)
            assert outbox.flush(NOW) == []
    assert taken(receiver) == [("e1", "firing"), ("e1", "resolved")]
    path, headers, body, _ = receiver.requests[0]
    assert path == "/hook"
    assert headers["idempotency-key"] == "e1:firing"
    assert json.loads(body) == {"schema": "namel3ss-debug/alert/1", **ALERT.to_json()}


def test_a_receiver_that_fails_and_recovers_gets_all_once_and_in_order(tmp_path, receiver, webhook):
    """Its pauses grow to their limit, nothing is sent within one, and its alerts wait."""
    outbox = make_outbox(tmp_path, ops=webhook)
    receiver.statuses = [503] * 10 + [429]
    alerts = [episode(number) for number in range(5)]
    for alert in alerts:
        outbox.put(alert, NOW)
    outbox.put(resolved(alerts[0]), NOW)
    now, pauses = NOW, []
    while outbox.count_waiting():
        (line,) = outbox.flush(now) or [""]
        if line:
            assert "alert channel ops: http://127.0.0.1:" in line
            assert "alerts that wait: 6" in line
            pauses.append(float(line.rpartition(" in ")[2].removesuffix(" s")))
            attempts = len(receiver.requests)
            assert outbox.flush(now + pauses[-1] - 0.1) == []
            assert len(receiver.requests) == attempts
            now += pauses[-1]
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert taken(receiver) == [(f"e{number}", "firing") for number in range(5)] + [("e0", "resolved")]


def test_a_receiver_that_is_not_there_gets_all_when_it_is(tmp_path, receiver, webhook):
    """Without a server the alerts wait, and the next monitor of the folder sends them."""
    port = receiver.server.server_port
    gone = make_outbox(tmp_path, ops={"kind": "webhook", "url": "http://127.0.0.1:9/hook"})
    gone.put(ALERT, NOW)
    (line,) = gone.flush(NOW)
    assert "was not reached (NewConnectionError); alerts that wait: 1, next attempt in 2 s" in line
    again = make_outbox(tmp_path, ops={"kind": "webhook", "url": f"http://127.0.0.1:{port}/hook"})
    assert again.flush(NOW + 1) == []
    assert again.flush(NOW + 2) == []
    assert taken(receiver) == [("e1", "firing")]


def test_what_a_receiver_refuses_is_named_and_not_tried_again(tmp_path, receiver, webhook):
    """What is after it is sent."""
    outbox = make_outbox(tmp_path, ops=webhook)
    receiver.statuses = [400]
    outbox.put(ALERT, NOW)
    outbox.put(episode(2), NOW)
    (line,) = outbox.flush(NOW)
    assert line.endswith("answered 400 not now; this alert is not sent")
    assert taken(receiver) == [("e2", "firing")]
    assert outbox.count_waiting() == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.monitoring.alert import Alert
from namel3ss_debug.monitoring.channels.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), DebugConfiguration(alert_channels={"ops": {"kind": "webhook", "url": sys.argv[2]}}), 0.0)
for number in range(20):
    outbox.put(Alert("r", "error", "firing", "text", (), None, None, 1.0, 1.0, None, "t.jsonl", (), "", f"f{number}", f"e{number}"), 1.0)
    if number == 9:
        outbox.flush(1.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_monitor_loses_and_doubles_nothing(tmp_path, receiver, webhook):
    """What it had put and not sent is sent by the next one."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), webhook["url"]], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(taken(receiver)) == 10
    outbox = make_outbox(tmp_path, ops=webhook)
    assert outbox.flush(NOW) == []
    assert sorted(taken(receiver)) == sorted((f"e{number}", "firing") for number in range(20))


def test_a_rate_limit_delays_and_drops_nothing(tmp_path, receiver, webhook):
    """No more than so many alerts are sent within a minute."""
    outbox = make_outbox(tmp_path, ops=webhook | {"per_minute": 3})
    for number in range(8):
        outbox.put(episode(number), NOW)
    counts = []
    for second in range(0, 180, 10):
        outbox.flush(NOW + second)
        counts.append(len(receiver.requests))
    assert (counts[0], counts[5], counts[6], counts[12], counts[17]) == (3, 3, 6, 8, 8)
    assert taken(receiver) == [(f"e{number}", "firing") for number in range(8)]


def test_a_channel_takes_from_a_severity_on(tmp_path, receiver, webhook):
    """Lighter alerts do not reach it, and neither does their end."""
    outbox = make_outbox(
        tmp_path, ops=webhook | {"severity": "error"}, log={"kind": "jsonl", "path": str(tmp_path / "a")}
    )
    light = replace(ALERT, severity="warning", episode="light", fingerprint="a" * 32)
    for alert in (light, ALERT, resolved(light)):
        outbox.put(alert, NOW)
    assert outbox.flush(NOW) == []
    assert taken(receiver) == [("e1", "firing")]
    lines = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    assert [(line["episode"], line["state"]) for line in lines] == [
        ("light", "firing"),
        ("e1", "firing"),
        ("light", "resolved"),
    ]


def test_two_monitors_of_a_folder_send_once(tmp_path, receiver, webhook):
    """While one sends, another does nothing, and what it has put is sent by the first or later."""
    first, second = make_outbox(tmp_path, ops=webhook), make_outbox(tmp_path, ops=webhook)
    module = CHANNELS["webhook"].load()
    deliver = module.deliver

    def deliver_beside(*arguments):
        second.put(episode(2), NOW)
        assert second.flush(NOW) == []
        deliver(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "deliver", deliver_beside)
        first.put(ALERT, NOW)
        first.flush(NOW)
    assert taken(receiver) == [("e1", "firing")]
    assert second.flush(NOW) == []
    assert taken(receiver) == [("e1", "firing"), ("e2", "firing")]


def test_what_two_monitors_see_is_one_episode(tmp_path, receiver, webhook):
    """Each dates it by its own looks; the first one that sees the end says so, and what begins after it is another one."""
    first, second = make_outbox(tmp_path, ops=webhook), make_outbox(tmp_path, ops=webhook)
    seen_later = replace(ALERT, episode="e2", began=ALERT.began + 0.2)
    first.put(ALERT, NOW)
    second.put(seen_later, NOW)
    second.put(resolved(seen_later), NOW + 60)
    first.put(resolved(ALERT), NOW + 61)
    first.put(
        ALERT, NOW + 62
    )  # as a monitor does that is started again and reads the trace from the beginning
    first.put(replace(ALERT, episode="e3", began=NOW + 90), NOW + 90)
    assert first.flush(NOW + 100) == []
    assert taken(receiver) == [("e1", "firing"), ("e1", "resolved"), ("e3", "firing")]


def test_an_episode_whose_end_nobody_saw_goes_on_for_an_hour(tmp_path, receiver, webhook):
    """Each look of `monitor --once` is a monitor of its own."""
    for number, after in enumerate((0, 1800, 3600, 7300)):
        later = replace(ALERT, episode=f"e{number}", began=NOW + after)
        make_outbox(tmp_path, ops=webhook).put(later, NOW + after)
    assert make_outbox(tmp_path, ops=webhook).flush(NOW + 7300) == []
    assert taken(receiver) == [("e0", "firing"), ("e3", "firing")]


def test_a_channel_that_breaks_holds_up_no_other(tmp_path, receiver, webhook, monkeypatch):
    """Whatever it raises, the line has no text of it, which may hold a secret."""

    def deliver(channel, alert, now):
        raise ValueError("Bearer s3cr3t")

    monkeypatch.setattr("namel3ss_debug.monitoring.channels.terminal.deliver", deliver)
    outbox = make_outbox(tmp_path, broken={"kind": "terminal"}, ops=webhook)
    outbox.put(ALERT, NOW)
    (line,) = outbox.flush(NOW)
    assert "ValueError" in line
    assert "s3cr3t" not in line
    assert taken(receiver) == [("e1", "firing")]


def test_secrets_of_a_trace_are_replaced_on_the_way_out(tmp_path, receiver, webhook):
    """Neither the file nor the receiver gets them."""
    secret = "sk-ant-api03-" + "A1b2" * 24
    outbox = make_outbox(tmp_path, ops=webhook)
    outbox.put(replace(ALERT, text=f"failed with {secret}", labels=(("tool", secret),)), NOW)
    outbox.flush(NOW)
    assert secret not in receiver.requests[0][2].decode()
    assert secret.encode() not in (tmp_path / ".alerts.sqlite").read_bytes()
    assert "[REDACTED" in receiver.requests[0][2].decode()


def test_the_file_is_private_and_forgets_what_was_sent_long_ago(tmp_path, receiver, webhook):
    """After thirty days, an episode could be sent again; what waits is kept."""
    outbox = make_outbox(tmp_path, ops=webhook)
    outbox.put(ALERT, NOW)
    outbox.flush(NOW)
    assert (tmp_path / ".alerts.sqlite").stat().st_mode & 0o077 == 0
    outbox.put(episode(2), NOW)
    later = make_outbox(tmp_path, now=NOW + KEEP_SECONDS + 1, ops=webhook)
    assert later.count_waiting() == 1
    later.put(ALERT, NOW)
    assert later.count_waiting() == 2


def test_a_file_that_is_no_outbox_is_one_line(tmp_path, webhook):
    """It names the file, and the file stays as it is."""
    (tmp_path / ".alerts.sqlite").write_text("no database " * 100)
    with pytest.raises(
        DebugError, match=r"\.alerts\.sqlite: file is not a database; alerts cannot be kept there"
    ):
        make_outbox(tmp_path, ops=webhook)


def test_without_channels_nothing_is_written(tmp_path):
    """The folder stays as it is."""
    outbox = make_outbox(tmp_path / "none")
    outbox.put(ALERT, NOW)
    assert (outbox.flush(NOW), outbox.count_waiting(), (tmp_path / "none").exists()) == ([], 0, False)
