"""A monitor passes on its alerts and metrics, in a thread of its own."""

import json
import urllib.request

import pytest

from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.monitoring.alert import Alert
from namel3ss_debug.monitoring.channels.outbox import Outbox
from namel3ss_debug.monitoring.monitor import Snapshot
from namel3ss_debug.monitoring.outlets import Outlets
from namel3ss_debug.monitoring.rules import read_alert_rules

ALERT = Alert(
    "loop", "error", "firing", "text", (), 5.0, 5.0, 1.0, 2.0, None, "t.jsonl", (1,), "command", "f", "e1"
)
SNAPSHOT = Snapshot(1.0, (), (ALERT,), (ALERT,))


@pytest.fixture
def outlets(tmp_path, receiver):
    """Return a function that makes outlets to the receiver, with the problems that they report."""
    problems = []

    def make(**options):
        channels = {"ops": {"kind": "webhook", "url": f"{receiver.url}/hook"}}
        config = DebugConfiguration(alert_channels=channels)
        made = Outlets(Outbox(tmp_path, config, 0.0), read_alert_rules(config), problems.append, **options)
        made.start()
        return made, problems

    return make


def test_an_alert_is_sent_and_metrics_are_served(outlets, receiver, monkeypatch):
    """Each rule is a metric, also one that does not fire."""
    monkeypatch.setattr("namel3ss_debug.monitoring.outlets.FLUSH_SECONDS", 0.01)
    made, problems = outlets(port=0)
    made.take(SNAPSHOT)
    receiver.wait(1)
    with urllib.request.urlopen(f"http://127.0.0.1:{made.port}/metrics") as response:
        lines = response.read().decode().splitlines()
    made.close()
    assert json.loads(receiver.requests[0][2])["episode"] == "e1"
    assert 'namel3ss_alerts{rule="loop",severity="error"} 1' in lines
    assert 'namel3ss_alerts{rule="stalled_call",severity="error"} 0' in lines
    assert "namel3ss_running_traces 0" in lines
    assert problems == []


def test_what_is_left_at_the_end_is_named(outlets, receiver, monkeypatch):
    """The last attempt is at the end, of the Pushgateway too."""
    monkeypatch.setattr("namel3ss_debug.monitoring.outlets.FLUSH_SECONDS", 600.0)
    made, problems = outlets(pushgateway=receiver.url)
    receiver.statuses = [503] * 9
    made.take(SNAPSHOT)
    made.close()
    assert len(problems) == 3
    assert "ops: " in problems[0]
    assert problems[1].startswith("--pushgateway http://127.0.0.1:")
    assert problems[2] == "alerts that wait: 1; the next monitor of the folder sends them"
