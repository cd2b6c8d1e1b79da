"""Reading a recording while it grows."""

import fcntl
import json

import pytest

from namel3ss_debug.traces.following import Follower


@pytest.fixture
def add(tmp_path):
    """Appends an event to a file of the recording `run`; gives its path."""

    def append(suffix, seq, at, execution="a1", event_type="decision"):
        path = tmp_path / f"run{suffix}.jsonl"
        event = {
            "event_type": event_type,
            "event_id": f"{suffix}.{seq}",
            "seq": seq,
            "timestamp": at,
            "execution_id": execution,
            "component": "app",
        }
        with path.open("a") as file:
            file.write(json.dumps(event) + "\n")
        return path

    return append


@pytest.fixture
def follower(tmp_path):
    """One that follows the recording `run`."""
    follower = Follower(tmp_path / "run.jsonl")
    yield follower
    follower.close()


def seen(follower):
    """The ids of the events that have come."""
    return [event["event_id"] for event in follower.events()]


def test_processes_are_merged_by_time(add, follower):
    """By the latest time that each has shown, so that the order within a process stays."""
    add("", 0, 1.0)
    add("", 1, 5.0)
    add("", 2, 2.0)
    add("", 3, 7.0)
    add(".p1", 0, 3.0)
    add(".p1", 1, 6.0)
    assert seen(follower) == [".0", ".p1.0", ".1", ".2", ".p1.1", ".3"]
    add("", 4, 9.0)
    add(".p1", 2, 8.0)
    add(".p2", 0, 8.5)
    assert seen(follower) == [".p1.2", ".p2.0", ".4"]
    assert seen(follower) == []


def test_segments_are_read_in_the_order_of_their_numbers(add, follower):
    """Those of one process one after the other, whatever their names and times; what comes to the old one first."""
    add("", 0, 1.0)
    for segment in (1, 2, 10):
        add(f".s{segment}", segment, 1.0)
    assert seen(follower) == [".0", ".s1.1", ".s2.2", ".s10.10"]
    add(".s10", 11, 1.0)
    add(".s11", 12, 0.5)
    add(".p1", 0, 1.0)
    assert seen(follower) == [".s10.11", ".s11.12", ".p1.0"]


def test_what_an_earlier_recording_left_is_not_shown(add, follower):
    """A file of another execution under the same name stays out, though it was there first."""
    add(".p1", 0, 1.0, execution="old")
    assert seen(follower) == []
    add("", 0, 2.0)
    add(".p2", 0, 3.0)
    assert seen(follower) == [".0", ".p2.0"]


def test_it_is_over_when_no_process_writes(add, follower):
    """A process has ended when it says so, or when it has let go of its file; a line that is no event is passed over."""
    add("", 0, 1.0)
    child = add(".p1", 0, 1.0)
    with child.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert seen(follower) == [".0", ".p1.0"]
        assert not follower.is_over()
        file.write("not JSON\n")
        file.flush()
        add(".p1", 1, 2.0, event_type="trace_end")
        assert seen(follower) == [".p1.1"]
        assert follower.is_over()
