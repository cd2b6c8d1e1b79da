"""Metrics are served on loopback and pushed."""

import http.client
from pathlib import Path

import pytest

from namel3ss_debug.analysis.metrics import make_lines
from namel3ss_debug.errors import DebugError, WrongUsageError
from namel3ss_debug.importers.opening import load_spans
from namel3ss_debug.monitoring.metrics_server import MetricsServer, push

RECORDING = Path(__file__).parents[1] / "data" / "recordings" / "support_agent.jsonl"


def read_lines():
    """The metrics of a recording."""
    return make_lines(load_spans(RECORDING))


@pytest.fixture
def server():
    """A server of the metrics of a recording."""
    server = MetricsServer(0, read_lines)
    server.start()
    yield server
    server.close()


def get(server, path="/metrics", **headers):
    """Ask the server; returns status, type and text."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers["content-type"], response.read().decode()
    finally:
        connection.close()


def test_metrics_are_served_as_openmetrics(server):
    """As they are at the time of the request."""
    status, kind, text = get(server)
    assert (status, kind) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert text.splitlines() == list(read_lines())
    assert get(server, "/metrics?x=1")[0] == 200
    assert get(server, "/")[0] == 404


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:9", 200), ("[::1]", 200), ("evil.example", 403), ("", 403)]
)
def test_only_names_of_this_machine_are_answered(server, host, status):
    """A page in a browser cannot read them by a name of its own."""
    assert get(server, Host=host)[0] == status


def test_a_port_that_is_taken_is_one_line(server):
    """With what to do."""
    with pytest.raises(WrongUsageError, match=r"^--metrics \d+: Address already in use; give another port$"):
        MetricsServer(server.server_port, read_lines)


def test_metrics_are_pushed_in_the_text_format(receiver):
    """To the job of a Pushgateway, or to the path in the URL; what is refused is one line."""
    push(receiver.url, ["# TYPE a counter", "a_total 1", "# EOF"])
    push(f"{receiver.url}/metrics/job/mine/instance/x", ["# EOF"])
    (path, headers, body, _), (other, *_) = receiver.requests
    assert (path, other) == ("/metrics/job/namel3ss-debug", "/metrics/job/mine/instance/x")
    assert headers["content-type"].startswith("text/plain")
    assert body == b"# TYPE a_total counter\na_total 1\n"
    receiver.statuses = [400]
    with pytest.raises(
        DebugError, match=r"^--pushgateway http://.*/metrics/job/namel3ss-debug answered 400 not now$"
    ):
        push(receiver.url, [])


def test_the_login_of_a_pushgateway_is_a_header_and_in_no_message(receiver):
    """As curl sends the name and the password of a URL."""
    receiver.statuses = [400]
    with pytest.raises(DebugError) as caught:
        push(receiver.url.replace("//", "//me:secret1@"), [])
    assert "secret1" not in str(caught.value)
    _, headers, _, _ = receiver.requests[0]
    assert headers["authorization"].startswith("Basic ")
