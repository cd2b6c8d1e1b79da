"""Events as programs get them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.traces.events import EVENT_TYPES
from namel3ss_debug.traces.typed_events import TraceEvent, TraceEventType

VALUES = st.text(max_size=5) | st.integers() | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)


@given(st.dictionaries(st.sampled_from(["event_id", "inputs", "status", "seq", "of_a_newer_format"]), VALUES))
def test_an_event_comes_back_as_it_stands_in_the_file(event):
    """A law: fields that the format does not know are kept, and those that are left out stay so."""
    read = TraceEvent.from_dict({"event_type": "decision", **event}, 3)
    assert (read.number, read.event_type) == (3, "decision")
    assert read.to_dict() == {"event_type": "decision", **event}


def test_an_event_is_shown_with_the_fields_that_it_has():
    """At the end of a cell of a notebook nobody reads thirty times `None`."""
    event = TraceEvent.from_dict({"event_type": "decision", "seq": 0, "of_a_newer_format": [1]}, 3)
    assert repr(event) == "TraceEvent(number=3, event_type='decision', seq=0, of_a_newer_format=[1])"


def test_the_enumeration_has_every_event_type():
    """By its name in capitals, in the order of the format."""
    assert {member.name: member.value for member in TraceEventType} == {
        name.upper(): name for name in EVENT_TYPES
    }
    assert list(TraceEventType) == list(EVENT_TYPES)
