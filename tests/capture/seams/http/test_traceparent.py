"""A place of the W3C form holds our ids whole, and of others what they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.seams.http import traceparent

EXECUTION = "c0ffee0123456789"


@given(
    st.integers(1, 2**64 - 1).map("{:016x}".format),
    st.integers(0, 2**24 - 1),
    st.integers(1, 2**40 - 1),
)
def test_what_is_written_is_read_back(execution, process, number):
    """Execution and event id come back as they were, whatever they are."""
    event = f"p{process}.{number}" if process else str(number)
    place = traceparent.read(traceparent.write(execution, event))
    assert (place.execution_id, place.event_id) == (execution, event)
    assert place.to_json() == {"execution_id": execution, "event_id": event}


def test_the_form_is_that_of_the_standard():
    """Version, trace id of 32 digits, parent id of 16, and the flag that it is recorded."""
    text = traceparent.write(EXECUTION, "p2.7")
    assert text == "00-0000000000000000c0ffee0123456789-0000020000000007-01"


@pytest.mark.parametrize(
    ("execution", "event"),
    [
        ("not-hex", "1"),
        ("0" * 16, "1"),
        (EXECUTION, ""),
        (EXECUTION, "p0.1"),
        (EXECUTION, "0"),
        (EXECUTION, "span-a"),
        (EXECUTION, f"p{2**24}.1"),
        (EXECUTION, str(2**40)),
    ],
)
def test_ids_of_others_are_not_written(execution, event):
    """What could not be read back is not sent."""
    assert traceparent.write(execution, event) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "14",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    ],
)
def test_what_the_standard_refuses_is_refused(text):
    """A header that is not well-formed is as if it were not there."""
    assert traceparent.read(text) is None


def test_a_place_of_another_tracer_keeps_its_ids():
    """A whole trace id is none of ours; a later version of the form may have more behind it."""
    place = traceparent.read("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes")
    assert (place.execution_id, place.event_id) == (None, None)
    assert place.to_json() == {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}


TEXT = traceparent.write(EXECUTION, "3")


@pytest.mark.parametrize(
    "headers",
    [
        {"TraceParent": TEXT, "a": "b"},
        {b"traceparent": TEXT.encode()},
        [("a", "b"), ("Traceparent", TEXT)],
        [(b"traceparent", TEXT.encode())],
        {"HTTP_TRACEPARENT": TEXT, "wsgi.version": (1, 0)},
    ],
)
def test_headers_are_read_in_each_way_they_come(headers):
    """Mappings and pairs, text and bytes, names in any case, and the environment of WSGI."""
    assert traceparent.read_headers(headers).event_id == "3"


def test_two_of_the_same_header_are_none():
    """As the standard says, who cannot tell which one is right takes neither."""
    assert traceparent.read_headers([("traceparent", TEXT), ("traceparent", TEXT)]) is None
    assert traceparent.read_headers({}) is None
