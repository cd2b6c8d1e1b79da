"""A program that only waits for requests which nobody makes."""

from __future__ import annotations

import os
import socket
from types import MappingProxyType

import pytest

from namel3ss_debug.capture.launch.ports import read_activity
from namel3ss_debug.errors import RerunError
from namel3ss_debug.replay.rerun.stalls import StallDetector


class Clock:
    """Time that passes as the test says."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        """The time in seconds."""
        return self.seconds


@pytest.fixture
def clock():
    """The time of a silence."""
    return Clock()


@pytest.fixture
def server():
    """A server of this process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def after(silence, clock, seconds, servers=MappingProxyType({})):
    """Look now and then for so long."""
    for _ in range(seconds):
        clock.seconds += 1
        silence.check(servers)


def test_who_listens_for_longer_than_ever_is_told_with_the_place(clock, server):
    """The line and the port, and what can be done."""
    port = server.getsockname()[1]
    servers = {port: "a.py:1", 0: "other.py:2"}
    silence = StallDetector(lambda: read_activity(os.getpid()), lambda: 3.0, clock)
    after(silence, clock, 4, servers)
    with pytest.raises(
        RerunError, match=rf"a\.py:1 listens on port {port} and waits for requests from outside"
    ):
        after(silence, clock, 2, servers)


def test_who_waits_for_what_never_came_is_told(clock):
    """It listens on no port, and nothing would ever come."""
    silence = StallDetector(lambda: (0.0, set()), lambda: 3.0, clock)
    after(silence, clock, 9)
    clock.seconds += 1
    with pytest.raises(RerunError, match="never"):
        silence.check({}, lambda: RerunError("never"))


def test_what_happens_begins_the_silence_anew(clock, server):
    """Only what is longer at a stretch counts."""
    silence = StallDetector(lambda: read_activity(os.getpid()), lambda: 3.0, clock)
    for _ in range(5):
        after(silence, clock, 4)
        silence.reset()
    with pytest.raises(RerunError, match="the program listens on port"):
        after(silence, clock, 6)


def test_a_program_without_a_server_is_waited_for(clock):
    """It may sleep for as long as it likes."""
    after(StallDetector(lambda: read_activity(os.getpid()), lambda: 0.0, clock), clock, 60)


def test_a_server_that_somebody_is_connected_to_is_waited_for(clock, server):
    """It may be at work for its own program."""
    silence = StallDetector(lambda: read_activity(os.getpid()), lambda: 0.0, clock)
    with socket.create_connection(server.getsockname()):
        after(silence, clock, 20)
    with pytest.raises(RerunError):
        after(silence, clock, 20)


def test_a_program_that_has_gone_is_no_reason(clock):
    """It ends by itself."""
    after(StallDetector(lambda: read_activity(2**22 + 1), lambda: 0.0, clock), clock, 5)
