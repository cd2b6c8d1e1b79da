"""Recordings that can only be read from their beginning, looked at again and again."""

from __future__ import annotations

import gzip

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.traces import reader
from namel3ss_debug.traces.index import Spool
from namel3ss_debug.traces.reader import open_trace

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=12)


@given(EVENTS)
def test_events_come_back_as_they_were(events):
    """From any number on."""
    made = Spool(events)
    assert made.count == len(events)
    for number in range(len(events) + 1, 0, -1):
        assert [*made.events(number)] == events[number - 1 :]


@pytest.fixture
def path(tmp_path):
    """A compressed trace of a hundred events."""
    rows = (
        {"event_type": "decision", "component": "app", "event_id": str(n), "seq": n, "timestamp": 100.0 + n}
        for n in range(100)
    )
    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(orjson.dumps(row) + b"\n" for row in rows)))
    return path


def test_a_compressed_trace_is_not_read_again_for_every_event(path, passes):
    """However many events are asked for, the passes are few."""
    trace = open_trace(path)
    assert trace.count() == 100
    counted = passes()
    assert [event["seq"] for _, event in trace.chosen(range(100, 0, -1))] == list(range(99, -1, -1))
    assert [trace.event(number)["seq"] for number in (50, 3, 99)] == [49, 2, 98]
    assert [event["seq"] for event in trace.events(98)] == [97, 98, 99]
    assert len(counted) == reader.PASSES_BEFORE_SPOOL + 1


def test_a_trace_that_changed_is_spooled_anew(path):
    """What was written down of an earlier state is not shown."""
    trace = open_trace(path)
    trace.count()
    for _ in range(4):
        assert trace.event(100)["seq"] == 99
    content = gzip.decompress(path.read_bytes()).replace(b'"decision"', b'"noticed"')
    path.write_bytes(gzip.compress(content))
    trace.count()
    assert trace.event(7)["event_type"] == "noticed"


def test_without_room_every_event_is_found_by_a_pass(path, monkeypatch):
    """A temporary directory that cannot be written to is no error."""

    def full(_events):
        raise OSError("no space left")

    trace = open_trace(path)
    trace.count()
    monkeypatch.setattr(reader, "Spool", full)
    assert [trace.event(number)["seq"] for number in (5, 60, 7, 8, 100)] == [4, 59, 6, 7, 99]
