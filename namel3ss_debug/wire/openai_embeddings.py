"""OpenAI embeddings, `POST .../embeddings`."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any

from namel3ss_debug.wire import billing, lenient, openai_shared, parts
from namel3ss_debug.wire.contract import Answer, Json

_USUAL_DIMENSIONS = 1536
"""The dimensions of a made-up vector where neither answer nor request contain them."""


def decode_request(body: object) -> Json:
    """The request as `{model, messages, tools, params}`; each input is a message of role user.

    An input of token numbers is a part of type `tokens`.
    """
    request = lenient.mapping(body)
    given = openai_shared.texts_or_tokens(request.get("input"))
    messages = [parts.make_message("user", [openai_shared.text_or_tokens(item)]) for item in given]
    return parts.make_request(request, {"model", "input"}, messages, [])


def decode_response(body: object) -> Answer:
    """How many vectors came back and how long they are, instead of the vectors themselves."""
    response = lenient.mapping(body)
    data = lenient.mappings(response.get("data"))
    return Answer(
        response_model=lenient.string(response.get("model")),
        usage=_usage(lenient.mapping(response.get("usage"))),
        vectors=len(data),
        dimensions=_dimensions(data[0].get("embedding")) if data else None,
        cost=billing.read_cost(response.get("usage")),
    )


def _usage(told: Json) -> dict[str, int]:
    """Token counts; all of them are input, for which some providers (Voyage) send the total only."""
    total = lenient.drop_none({"input_tokens": lenient.count(told.get("total_tokens"))})
    return total | openai_shared.decode_usage(told)


def _dimensions(vector: object) -> int | None:
    """The length of a vector, which is a list of numbers or base64 of 32-bit floats."""
    if isinstance(vector, list):
        return len(vector)
    if isinstance(vector, str):
        return (len(vector.rstrip("=")) * 3 // 4) // 4
    return None


def join_events(events: list[Json]) -> Json:
    """Embeddings do not stream; the last document stands for the response."""
    return events[-1] if events else {}


def is_content(event: object) -> bool:
    """Whether a document holds vectors."""
    return bool(lenient.mapping(event).get("data"))


def encode_response(answer: Answer, request: Json, *, response_id: str, created: int) -> Json:  # noqa: ARG001
    """Made-up vectors for the request: of unit length, and the same for the same input every time."""
    inputs = openai_shared.texts_or_tokens(request.get("input"))
    wanted = lenient.count(request.get("dimensions"))
    length = (wanted if answer.dimensions is None else answer.dimensions) or _USUAL_DIMENSIONS
    number = len(inputs) if answer.vectors is None else answer.vectors
    packed = request.get("encoding_format") == "base64"
    data = []
    for index in range(number):
        vector = made_up_vector(inputs[index] if index < len(inputs) else index, length)
        shown: Any = base64.b64encode(struct.pack(f"<{length}f", *vector)).decode() if packed else vector
        data.append({"object": "embedding", "index": index, "embedding": shown})
    used = answer.usage.get("input_tokens", 0)
    return {
        "object": "list",
        "data": data,
        "model": answer.response_model or request.get("model") or "",
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def made_up_vector(item: object, length: int) -> list[float]:
    """A vector of unit length drawn from the SHAKE-256 of `item`, so that equal inputs have equal vectors."""
    noise = hashlib.shake_256(lenient.dump(item)).digest(2 * length)
    numbers = [value / 32768 for (value,) in struct.iter_unpack("<h", noise)]
    norm = sum(value * value for value in numbers) ** 0.5 or 1.0
    return [value / norm for value in numbers]


def encode_stream(answer: Answer, request: Json, *, response_id: str, created: int) -> list[bytes]:
    """The whole document as one chunk, because embeddings do not stream."""
    return [lenient.dump(encode_response(answer, request, response_id=response_id, created=created))]


encode_error = openai_shared.encode_error
