"""What a program asks a server of its own, the server answers in a re-run as well."""

from __future__ import annotations

import os
import socket

import pytest

from namel3ss_debug.capture.launch.ports import OwnPorts, find_listening
from namel3ss_debug.replay.overrides.active import Overrides
from namel3ss_debug.replay.overrides.mocks import parse_mock
from namel3ss_debug.replay.rerun.attempts import Attempt, loopback_port
from namel3ss_debug.replay.rerun.divergences import summarize
from namel3ss_debug.replay.rerun.overriding import CallCounter
from namel3ss_debug.replay.rerun.plan import Plan
from namel3ss_debug.replay.rerun.recorded_calls import read_recorded
from namel3ss_debug.replay.rerun.requests import read_request
from namel3ss_debug.replay.rerun.unanswered import CannotGoOnError


def fetch(made, path, address="127.0.0.1:8000"):
    """The start of a request that asks no model."""
    exchange = {"method": "GET", "url": f"http://{address}{path}", "hash": path}
    metadata = {"chain": ["app.py:main"], "exchange": exchange}
    return made.add("http_exchange_start", "http", component_name=address, metadata=metadata)


def respond(made, start, **end):
    """Its response, or what else became of it."""
    end = end or {"status": "completed", "metadata": {"exchange": {"status": 200, "body": "old"}}}
    made.add("http_exchange_end", "http", start, **end)


REFUSED = {
    "status": "failed",
    "error": "refused",
    "error_type": "ConnectionError",
    "metadata": {"exchange": {"raised": {"type": "httpx.ConnectError", "text": "refused"}}},
}


@pytest.fixture
def recorded(listed, boundary_events):
    """A program that asks its server, which asks another; and a model on this machine."""
    made = boundary_events()
    outer = fetch(made, "/plan")
    respond(made, fetch(made, "/price", "prices.example"))
    respond(made, outer)
    made.say(made.ask("hello"), "hi")
    return read_recorded(listed(made.events))


def start(recorded, boundary_events, *ports, mocks=None):
    """A run of a program that listens on these ports; and what it tells of its latest event."""
    run, made = Attempt(Plan(recorded), mocks), boundary_events()
    run.listens = ports.__contains__

    def reply():
        number = len(made.events)
        run.observe(number, made.events[-1])
        return run.reply(number, made.events[-1])

    return run, made, reply


def test_a_server_of_the_program_answers_itself(recorded, boundary_events):
    """What it asks others, and what a model is asked, is answered from the recording; nothing parts."""
    run, made, reply = start(recorded, boundary_events, 8111, 80)
    fetch(made, "/plan", "localhost:8111")
    assert reply() == {}
    fetch(made, "/price", "prices.example")
    assert "http" in reply()
    made.ask("hello")
    assert "http" in reply()
    assert run.divergences(ended=True) == ()
    found = summarize((), run.matches())
    assert (found.exact, run.seen.real) == (2, {1})


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("127.0.0.1:8000", 8000),
        ("localhost", 80),
        ("[::1]:8000", 8000),
        ("a.example:8000", None),
        ("[::1", None),
    ],
)
def test_a_port_of_this_machine_is_known_by_the_address(boundary_events, address, port):
    """Where none is written, it is that of HTTP; a model is asked from the recording, wherever it is."""
    made = boundary_events()
    fetch(made, "/", address)
    assert loopback_port(read_request(1, made.events[0])) == port
    made.ask("hello", component_name=address)
    assert loopback_port(read_request(2, made.events[1])) is None


def test_what_the_recording_does_not_hold_is_asked_of_an_own_server_alone(recorded, boundary_events):
    """A new endpoint of the program's own is no call that is made for real elsewhere."""
    run, made, reply = start(recorded, boundary_events, 8111)
    fetch(made, "/new", "[::1]:8111")
    assert reply() == {}
    fetch(made, "/new", "127.0.0.1:9000")
    with pytest.raises(CannotGoOnError):
        reply()
    fetch(made, "/plan", "127.0.0.1:9000")
    assert "http" in reply()
    assert [found.kind for found in run.divergences(ended=False)] == ["new"]


def test_a_request_that_came_to_nothing_does_so_again(listed, boundary_events):
    """A program that asks until its server is there does so as often as it did."""
    made = boundary_events()
    respond(made, fetch(made, "/health"), **REFUSED)
    respond(made, fetch(made, "/health"))
    run, made, reply = start(read_recorded(listed(made.events)), boundary_events, 8000)
    fetch(made, "/health")
    assert reply()["http"]["raised"]["type"] == "httpx.ConnectError"
    fetch(made, "/health")
    assert reply() == {}
    assert run.divergences(ended=True) == ()


def test_what_the_user_gives_stands_in_place_of_an_own_server(recorded, boundary_events):
    """A mock is for every request."""
    entries = CallCounter()
    mocks = Overrides(lambda: None, entries.find)
    mocks.add(parse_mock('http:{"plan": 1}'))
    run, made, reply = start(recorded, boundary_events, 8000, mocks=mocks)
    fetch(made, "/plan")
    entries.observe(1, made.events[-1])
    assert reply()["answer"] == {"plan": 1}
    assert run.seen.real == set()


def test_the_ports_of_a_program_are_those_on_which_it_waits():
    """Not those that it has bound and does not listen on; what was found once is known; of a process that is gone, none."""
    listens = OwnPorts(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert listens(port)
        assert port in find_listening(os.getpid())
        assert bound.getsockname()[1] not in find_listening(os.getpid())
        assert find_listening(2**22 + 1) == set()
        assert not listens(bound.getsockname()[1])
        assert not OwnPorts(2**22 + 1)(port)
    assert listens(port)
    assert not OwnPorts(os.getpid())(port)
