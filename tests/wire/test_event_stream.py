"""Amazon's event stream: messages found, shown as text and written again."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire import event_stream

CASSETTES = Path(__file__).parents[1] / "data" / "cassettes"
STREAMS = (
    "openllmetry/test_anthropic_converse_stream_with_tool_use.yaml",
    "pydantic-ai/test_bedrock_model_code_execution_tool_stream.yaml",
)
texts = st.text(st.characters(codec="utf-8"), max_size=20)


@pytest.mark.parametrize("file", STREAMS)
def test_a_recorded_stream_is_shown_as_text_and_written_again(file):
    """The messages of a real stream, as text, give the same bytes again."""
    recorded = yaml.safe_load((CASSETTES / file).read_text(encoding="utf-8"))["interactions"][0]
    raw = recorded["response"]["body"]["string"]
    shown = event_stream.to_json(raw)
    assert shown[0]["headers"][":event-type"] == "messageStart"
    assert event_stream.from_json(shown) == raw


@given(kind=texts, payload=st.dictionaries(texts, texts | st.integers(0, 9), max_size=3))
def test_a_written_event_is_read_back(kind, payload):
    """An event that is written is one whole message, and read as what it says."""
    raw = event_stream.encode_event(kind, payload)
    assert event_stream.find_last_end(raw) == len(raw)
    assert event_stream.split(raw + raw[:-1]) == [raw, raw[:-1]]
    if kind != "chunk":
        assert event_stream.parse_json(raw) == [{kind: payload}]


@given(raw=st.binary(max_size=60), whole=st.booleans())
def test_what_is_shown_gives_the_same_bytes_or_is_not_shown(raw, whole):
    """Bytes that no writer of ours made are never shown as something else."""
    data = event_stream.encode_event("e", {}) + raw if whole else raw
    shown = event_stream.to_json(data)
    assert shown is None or event_stream.from_json(shown) == data


def test_an_exception_is_an_error():
    """An exception message tells its type and its words as an error."""
    shown = [
        {
            "headers": {":message-type": "exception", ":exception-type": "throttlingException"},
            "text": '{"message":"slow down"}',
        }
    ]
    found = event_stream.parse_json(event_stream.from_json(shown))
    assert found == [{"error": {"type": "throttlingException", "message": "slow down"}}]


def test_events_that_are_passed_through_are_those_inside():
    """A chunk with the base64 of a model's own event is that event; one that is none is empty."""
    inner = base64.b64encode(b'{"type":"ping"}').decode()
    raw = event_stream.encode_event("chunk", {"bytes": inner}) + event_stream.encode_event(
        "chunk", {"bytes": "?"}
    )
    assert event_stream.parse_json(raw) == [{"type": "ping"}, {}]
