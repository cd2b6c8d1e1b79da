"""Read and write Ollama's completion of a prompt, `POST .../api/generate`; its answers are almost those of a chat."""

from __future__ import annotations

from namel3ss_debug.wire import framing, lenient, ollama_chat, parts
from namel3ss_debug.wire.contract import Answer, Json

_REQUEST_KEYS = {"model", "prompt", "system", "images", "stream"}


def decode_request(body: object) -> Json:
    """Return the request as `{model, messages, tools, params}`; the prompt is the message of a user."""
    request = lenient.mapping(body)
    messages = []
    if system := lenient.string(request.get("system")):
        messages.append(parts.make_message("system", [parts.make_text(system)]))
    message = {"content": request.get("prompt"), "images": request.get("images")}
    messages.append(parts.make_message("user", ollama_chat.decode_content(message)))
    return parts.make_request(request, _REQUEST_KEYS, messages, [])


decode_response = ollama_chat.decode_response
is_content = ollama_chat.is_content
join_events = ollama_chat.join_events


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the answer to a prompt as one document."""
    del response_id
    every, last = ollama_chat.make_frame(answer, request, created)
    thoughts = {} if answer.reasoning is None else {"thinking": answer.reasoning}
    return {**every, "response": answer.text or answer.refusal or "", **thoughts, **last}


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the answer to a prompt as lines."""
    response = encode_response(answer, request, response_id=response_id, created=created)
    every, last = ollama_chat.make_frame(answer, request, created)
    lines: list[Json] = [
        {**every, "response": "", "thinking": piece, "done": False}
        for piece in framing.split_text(response.get("thinking", ""))
    ]
    lines += [
        {**every, "response": piece, "done": False} for piece in framing.split_text(response["response"])
    ]
    lines.append({**every, "response": "", **last})
    return [lenient.dump(line) + b"\n" for line in lines]


encode_error = ollama_chat.encode_error
