"""Read and write OpenAI embeddings, `POST .../embeddings`."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any

from namel3ss_debug.wire import billing, lenient, openai_shared, parts
from namel3ss_debug.wire.contract import Answer, Json

_USUAL_DIMENSIONS = 1536
"""The dimensions of an invented vector if neither the answer nor the request has them."""


def decode_request(body: object) -> Json:
    """Return the request as `{model, messages, tools, params}`; each input is a message of role user.

    An input of token numbers becomes a part of type `tokens`.
    """
    request = lenient.mapping(body)
    inputs = openai_shared.list_inputs(request.get("input"))
    messages = [parts.make_message("user", [openai_shared.make_part(item)]) for item in inputs]
    return parts.make_request(request, {"model", "input"}, messages, [])


def decode_response(body: object) -> Answer:
    """Return the number of vectors and their dimensions, instead of the vectors themselves."""
    response = lenient.mapping(body)
    data = lenient.mappings(response.get("data"))
    return Answer(
        response_model=lenient.string(response.get("model")),
        usage=_decode_usage(lenient.mapping(response.get("usage"))),
        vectors=len(data),
        dimensions=_count_dimensions(data[0].get("embedding")) if data else None,
        cost=billing.read_cost(response.get("usage")),
    )


def _decode_usage(usage: Json) -> dict[str, int]:
    """Return token counts. All tokens are input, for which some providers (Voyage) send only the total."""
    total = lenient.drop_none({"input_tokens": lenient.count(usage.get("total_tokens"))})
    return total | openai_shared.decode_usage(usage)


def _count_dimensions(vector: object) -> int | None:
    """Return the length of a vector, which is a list of numbers or base64 of 32-bit floats."""
    if isinstance(vector, list):
        return len(vector)
    if isinstance(vector, str):
        return (len(vector.rstrip("=")) * 3 // 4) // 4
    return None


def join_events(events: list[Json]) -> Json:
    """Return the last document as the response, because embeddings do not stream."""
    return events[-1] if events else {}


def is_content(event: object) -> bool:
    """Return whether a document contains vectors."""
    return bool(lenient.mapping(event).get("data"))


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:
    """Return the vectors of the answer; without any, invented ones of unit length, the same for the same input every time."""
    del response_id, created
    inputs = openai_shared.list_inputs(request.get("input"))
    requested = lenient.count(request.get("dimensions"))
    length = (requested if answer.dimensions is None else answer.dimensions) or _USUAL_DIMENSIONS
    count = len(inputs) if answer.vectors is None else answer.vectors
    as_base64 = request.get("encoding_format") == "base64"
    data = []
    vectors = answer.embeddings or [
        invent_vector(inputs[index] if index < len(inputs) else index, length) for index in range(count)
    ]
    for index, vector in enumerate(vectors):
        embedding: Any = (
            base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_base64 else vector
        )
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    input_count = answer.usage.get("input_tokens", 0)
    return {
        "object": "list",
        "data": data,
        "model": answer.response_model or request.get("model") or "",
        "usage": {"prompt_tokens": input_count, "total_tokens": input_count},
    }


def invent_vector(item: object, length: int) -> list[float]:
    """Return a vector of unit length drawn from the SHAKE-256 of `item`, so that equal inputs have equal vectors."""
    noise = hashlib.shake_256(lenient.dump(item)).digest(2 * length)
    numbers = [value / 32768 for (value,) in struct.iter_unpack("<h", noise)]
    norm = sum(value * value for value in numbers) ** 0.5 or 1.0
    return [value / norm for value in numbers]


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """Return the whole document as one chunk, because embeddings do not stream."""
    return [lenient.dump(encode_response(answer, request, response_id=response_id, created=created))]


encode_error = openai_shared.encode_error
