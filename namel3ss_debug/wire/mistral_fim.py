"""Read and write Mistral's fill-in-the-middle, `POST .../fim/completions`: a prompt and its suffix, answered like a chat."""

from __future__ import annotations

from namel3ss_debug.wire import openai_chat, openai_completions

decode_request = openai_completions.decode_request
decode_response = openai_chat.decode_response
join_events = openai_chat.join_events
is_content = openai_chat.is_content
encode_response = openai_chat.encode_response
encode_stream = openai_chat.encode_stream
encode_error = openai_chat.encode_error
