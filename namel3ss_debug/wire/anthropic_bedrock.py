"""Read and write Anthropic's messages on Amazon Bedrock, which wraps their streams in its own event stream.

Vertex AI needs no module of its own, because it sends the events as Anthropic does.
"""

from __future__ import annotations

import base64
from typing import Any

from namel3ss_debug.wire import anthropic_messages, event_stream, lenient
from namel3ss_debug.wire.contract import Answer
from namel3ss_debug.wire.framing import SERVER_SENT

Json = dict[str, Any]

decode_request = anthropic_messages.decode_request
decode_response = anthropic_messages.decode_response
join_events = anthropic_messages.join_events
is_content = anthropic_messages.is_content
encode_response = anthropic_messages.encode_response
encode_error = anthropic_messages.encode_error


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the events of a stream, each wrapped in a message of Bedrock's event stream."""
    plain = anthropic_messages.encode_stream(answer, request, response_id=response_id, created=created)
    events = [event for chunk in plain for event in SERVER_SENT.parse(chunk)]
    return [
        event_stream.encode_event("chunk", {"bytes": base64.b64encode(lenient.dump(event)).decode()})
        for event in events
    ]
