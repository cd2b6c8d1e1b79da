"""What a program asks a server of its own, the server answers in a re-run as well."""

from __future__ import annotations

import os
import socket
from itertools import count

import pytest

from namel3ss_debug.capture.launch.ports import OwnPorts
from namel3ss_debug.replay.overrides.active import Overrides
from namel3ss_debug.replay.overrides.mocks import parse_mock
from namel3ss_debug.replay.rerun.attempts import Attempt, distinguishable, loopback_port, response_changes
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


def test_requests_in_the_same_words_at_the_same_time_are_not_told_apart(listed, boundary_events):
    """One after the other they are, and so are requests in other words; others are none of the program's servers."""
    made = boundary_events()
    respond(made, fetch(made, "/price", "prices.example"))
    for _ in range(2):
        respond(made, fetch(made, "/after"))
    both = [fetch(made, "/beside"), fetch(made, "/beside"), fetch(made, "/alone")]
    for each in both:
        respond(made, each)
    fetch(made, "/never")
    fetch(made, "/never")
    assert distinguishable(read_recorded(listed(made.events))) == {3, 5, 9}


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


DATES = count()
"""Of each response another one."""


def tickets(number):
    """A response that tells a number."""
    outputs = {"status": 200, "headers": {"date": f"{next(DATES)}"}, "body": {"tickets": number}}
    return {"status": "completed", "outputs": outputs, "metadata": {"exchange": {"status": 200}}}


@pytest.mark.parametrize(("number", "expected"), [(1, []), (0, [("result", "changed")])])
def test_another_response_of_an_own_server_is_told(listed, boundary_events, number, expected):
    """The program got something else than then, as where an answered tool did not change what the server holds."""
    made = boundary_events()
    respond(made, fetch(made, "/health"), **tickets(1))
    run, made, reply = start(read_recorded(listed(made.events)), boundary_events, 8000)
    one = fetch(made, "/health")
    assert reply() == {}
    respond(made, one, **tickets(number))
    run.observe(len(made.events), made.events[-1])
    found = run.divergences(ended=True)
    assert [(each.kind, each.difference.paths[0].kind) for each in found] == expected


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({"headers": {"date": "now"}, "body": 1}, {"headers": {"date": "then"}, "body": 1}, []),
        ({"body": {"url": "http://127.0.0.1:4711/a"}}, {"body": {"url": "http://127.0.0.1:815/a"}}, []),
        (
            {"body": {"url": "http://127.0.0.1:4711/a"}},
            {"body": {"url": "http://127.0.0.1:815/b"}},
            ["$.body.url"],
        ),
        (
            {"body": {"url": "http://10.0.0.1:4711/a"}},
            {"body": {"url": "http://10.0.0.1:815/a"}},
            ["$.body.url"],
        ),
        (
            {"status": 200, "body": {}},
            {"status": 500, "body": {"detail": None}},
            ["$.status", "$.body.detail"],
        ),
    ],
)
def test_of_a_response_its_status_and_body_count(old, new, paths):
    """Neither headers, which tell of times, nor the port that was free."""
    assert [change.path for change in response_changes(old, new)] == paths


def test_which_of_two_requests_at_once_got_which_response_is_not_told(listed, boundary_events):
    """In the same words at the same time it is chance, and the order is no difference."""
    made = boundary_events()
    both = [fetch(made, "/next"), fetch(made, "/next")]
    for place, one in enumerate(both):
        respond(made, one, **tickets(place))
    run, made, reply = start(read_recorded(listed(made.events)), boundary_events, 8000)
    both = []
    for _ in range(2):
        both.append(fetch(made, "/next"))
        assert reply() == {}
    for place, one in enumerate(reversed(both)):
        respond(made, one, **tickets(place))
        run.observe(len(made.events), made.events[-1])
    assert run.divergences(ended=True) == ()


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
        assert not listens(bound.getsockname()[1])
        assert not OwnPorts(2**22 + 1)(port)
    assert listens(port)
    assert not OwnPorts(os.getpid())(port)
