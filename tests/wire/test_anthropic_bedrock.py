"""Claude on Bedrock: the events of Anthropic, each in a message of Bedrock's event stream."""

from __future__ import annotations

from namel3ss_debug import wire
from namel3ss_debug.wire import Answer

PATH = "/model/us.anthropic.claude-haiku-4-5/invoke-with-response-stream"
BODY = {"messages": [], "max_tokens": 9, "anthropic_version": "bedrock-2023-05-31"}
ANSWER = Answer(
    text="It is cold. \N{SNOWMAN}", usage={"input_tokens": 7, "output_tokens": 4}, finish_reason="end_turn"
)


def test_a_stream_is_in_the_frames_of_bedrock():
    """What is written for a mock is read back, by its content type, as the same answer."""
    spoken = wire.recognise(PATH, BODY)
    written = spoken.codec.encode_stream(ANSWER, spoken.complete(PATH, BODY), response_id="msg_1", created=0)
    assert spoken.stream_type == "application/vnd.amazon.eventstream"
    told = spoken.codec.decode_response(spoken.join_stream(b"".join(written), spoken.stream_type))
    assert (told.text, told.finish_reason) == (ANSWER.text, "end_turn")
    assert {name: told.usage[name] for name in ANSWER.usage} == ANSWER.usage


def test_on_vertex_they_are_as_anthropic_sends_them():
    """The same request under a path of Vertex AI has server-sent events."""
    spoken = wire.recognise("/v1/projects/p/models/m:streamRawPredict", BODY)
    assert (spoken.name, spoken.stream_type) == ("anthropic.hosted", "text/event-stream")
