"""The gist of an event, or of a payload, in a few words.

The shapes that are recognised are those of the payloads that the tracer writes; anything else is shown as short JSON.
No shape is relied on: a trace may hold anything anywhere.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from namel3ss_debug.inspection.streams import CHUNK
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.inputs import EVENT_TYPE as INPUTS_READ
from namel3ss_debug.traces.output import EVENT_TYPE as OUTPUT
from namel3ss_debug.traces.output import read_pieces
from namel3ss_debug.views.paths import command, short_site
from namel3ss_debug.views.payloads import untupled
from namel3ss_debug.views.quantities import count
from namel3ss_debug.views.terminal import clean, shorten

GIST_LIMIT = 300
CHUNK_LIMIT = 20_000
_DATA_URL = re.compile(r"data:[\w.+/;=-]{0,100};base64,(?=.)")
_HOST = re.compile(r"[\w.+-]+://[^/?#]*")
_INPUT_KEYS = ("prompt", "input", "inputs", "query", "arguments", "args", "message")
_OUTPUT_KEYS = ("response", "output", "outputs", "result", "answer", "text", "message")


def summary(event: Event) -> str:
    """Return the gist of an event in a few words: the error, the answer, the last message, the arguments, the result."""
    if event.get("error") is not None:
        kind = event.get("error_type")
        return clean(
            f"{clean(kind, 60)}: {clean(event['error'], 200)}" if kind else event["error"], GIST_LIMIT
        )
    event_type = event.get("event_type")
    if event_type == "trace_start":
        target = _get(event, "metadata", "target")
        return gist(short_site(target) if target else command(_get(event, "metadata", "argv") or ()))
    if event_type == CHUNK:
        return gist(chunk_text(_get(event, "outputs", "text")))
    if event_type == "trace_end":
        return ""
    if event_type == INPUTS_READ:
        return _inputs_read(event.get("metadata"))
    if event_type == OUTPUT:
        return gist("".join(each.text for each in read_pieces(0, event)))
    of_http = event.get("component") == "http"
    for side, readers in _HTTP_READERS if of_http else _READERS:
        payload = event.get(side)
        if payload in (None, {}, []):
            continue
        for read in readers:
            found = read(payload)
            if found is not None:
                return found
        return gist(payload)
    if event.get("component") in {"log", None} or "metadata" not in event:
        return gist(_get(event, "metadata", "message") or "")
    if str(event_type).endswith(("_start", "_end")):
        # Other tracers write the text in the metadata, in place of a payload.
        keys = _INPUT_KEYS if str(event_type).endswith("_start") else _OUTPUT_KEYS
        texts = (_get(event, "metadata", key) for key in keys)
        return next((gist(found) for found in texts if found not in (None, "", {}, [])), "")
    return gist(event["metadata"])


def _inputs_read(metadata: Any) -> str:
    """Return how much the program read from outside, by source."""
    reads = _get(metadata, "clock", "reads")
    places = [each for each in reads.values() if isinstance(each, dict)] if isinstance(reads, dict) else []
    times = sum(len(each) for by_place in places for each in by_place.values() if isinstance(each, list))
    variables = _get(metadata, "environment")
    reads_by_source = [
        count(times, "clock read") if times else "",
        count(len(variables), "environment variable") if isinstance(variables, dict) else "",
        "all environment variables listed" if _get(metadata, "environment_listed") else "",
        "standard input" if _get(metadata, "stdin") else "",
    ]
    return ", ".join(filter(None, reads_by_source)) or gist(metadata)


def gist(value: Any, limit: int = GIST_LIMIT) -> str:
    """Return the beginning of a value as short JSON on one line, or the fields of an object; reads only `limit` characters."""
    if isinstance(value, str):
        return clean(without_data(value.strip() if len(value) < 10_000 else value), limit)
    return shorten("".join(_pieces(value, limit, 0)), limit)


def without_data(value: str) -> str:
    """Return a text unchanged; of a URL that holds its data in base64, only the type of the data."""
    found = _DATA_URL.match(value)
    return value if found is None else f"{found[0]}…"


def call(name: object, arguments: object, limit: int = 120) -> str:
    """Return a tool call as `search(query="refund", limit=3)`."""
    if isinstance(arguments, dict):
        inside = ", ".join(
            f"{clean(key, 40)}={shorten(''.join(_pieces(item, limit, 0)), limit)}"
            for key, item in list(arguments.items())[:8]
        )
    else:
        inside = gist(arguments, limit) if arguments is not None else ""
    return shorten(f"{clean(name, 60)}({inside}", limit - 1) + ")"


def message_text(message: Any) -> str:
    """Return the text of one message, or of a list of messages its last: text, tool calls, tool results."""
    if isinstance(message, list):
        return message_text(message[-1]) if message else ""
    if not isinstance(message, dict):
        return gist(message)
    parts = message.get("parts", message.get("content"))
    if not isinstance(parts, list):
        return gist(parts if parts is not None else message)
    return " ".join(filter(None, map(_part_text, parts[:8])))


def _part_text(part: Any, *, inside: bool = False) -> str:
    """Return the words of a part of a message; `inside` another one, no further parts are looked for."""
    if not isinstance(part, dict):
        return gist(part)
    kind = part.get("type", "part")
    if kind == "tool_call":
        return call(part.get("name"), part.get("arguments"))
    if kind == "blob":
        return f"[{clean(part.get('mime_type') or part.get('modality') or kind, 60)}]"
    for key in ("content", "text", "result", "response"):
        content = part.get(key)
        if content not in (None, ""):
            if inside or not _are_parts(content):
                return gist(content)
            return " ".join(filter(None, (_part_text(inner, inside=True) for inner in content[:8])))
    return f"[{clean(kind, 30)}]"


def _are_parts(value: Any) -> bool:
    """Return whether a value is a list of parts: the texts and pictures that a tool gave."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and "type" in each for each in value)
    )


def _answer(outputs: Any) -> str | None:
    if not isinstance(outputs, dict):
        return None
    calls = outputs.get("tool_calls")
    text = outputs.get("text")
    if not text and not calls:
        return None
    texts = [gist(text)] if text else []
    if isinstance(calls, list):
        texts += [
            call(item.get("name"), item.get("arguments")) if isinstance(item, dict) else gist(item)
            for item in calls[:8]
        ]
    return " ".join(texts)


def _result(outputs: Any) -> str | None:
    return gist(outputs["result"]) if isinstance(outputs, dict) and "result" in outputs else None


def _last_message(inputs: Any) -> str | None:
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    return message_text(messages) if isinstance(messages, list) and messages else None


def _only_input(inputs: Any) -> str | None:
    text = inputs.get("input") if isinstance(inputs, dict) and len(inputs) == 1 else None
    return gist(text) if isinstance(text, str) else None


def _arguments(inputs: Any) -> str | None:
    if not isinstance(inputs, dict) or "arguments" not in inputs:
        return None
    return gist(_plain_first(inputs["arguments"]))


def _plain_first(arguments: Any) -> Any:
    """Return arguments with objects of classes last: the context of a framework is least informative."""
    if not isinstance(arguments, dict):
        return arguments
    classed = {
        key
        for key, value in arguments.items()
        if isinstance(value, dict) and "fields" in value and "$type" in value
    }
    return {key: arguments[key] for key in sorted(arguments, key=lambda key: key in classed)}


def request_text(method: object, url: object) -> str:
    """Return a request without its host: `POST /v1/files?limit=5`."""
    found = _HOST.sub("", url, count=1) if isinstance(url, str) else ""
    return clean(f"{method} {found or '/'}", GIST_LIMIT)


def _request(inputs: Any) -> str | None:
    """Return a request, and the gist of its body."""
    if not isinstance(inputs, dict) or not isinstance(inputs.get("method"), str):
        return None
    asked, body = request_text(inputs["method"], inputs.get("url")), inputs.get("body")
    return asked if body is None else f"{asked} {gist(body)}"


def _response(outputs: Any) -> str | None:
    """Return the status of a response, and the gist of its body."""
    if not isinstance(outputs, dict) or type(outputs.get("status")) is not int:
        return None
    body = outputs.get("body")
    return str(outputs["status"]) if body is None else f"{outputs['status']} {gist(body)}"


_READERS = (
    ("outputs", (_answer, _result, _last_message)),
    ("inputs", (_last_message, _arguments, _only_input)),
)
_HTTP_READERS = (("outputs", (_response,)), ("inputs", (_request,)))
"""The sides of an event that are read for its gist, with their readers; the first result is used."""


def chunk_text(sent: Any) -> str:
    """Return the content of one chunk of a streamed answer: the text or the arguments in it, else the names of its parts."""
    if not isinstance(sent, str):
        return gist(sent)
    texts, names = [], []
    for row in sent[:CHUNK_LIMIT].splitlines():
        name, _, value = row.partition(":")
        if name == "event":
            names.append(value.strip())
        elif name == "data" and value.strip() == "[DONE]":
            names.append("done")
        elif name == "data":
            with suppress(ValueError, RecursionError):
                texts.append(_delta(json.loads(value)))
    found = "".join(texts)
    return json.dumps(found, ensure_ascii=False) if found else f"[{', '.join(names)}]" if names else sent


def _delta(part: Any) -> str:
    """Return the words in one part of a stream, wherever the known wire formats have them."""
    delta = _get(part, "delta")
    if delta is None:
        choices = _get(part, "choices")
        delta = _get(choices[0], "delta") if isinstance(choices, list) and choices else None
    if isinstance(delta, str):
        return delta
    calls = _get(delta, "tool_calls")
    arguments = _get(calls[0], "function", "arguments") if isinstance(calls, list) and calls else None
    texts = [arguments, *(_get(delta, key) for key in ("content", "text", "partial_json", "thinking"))]
    return next((text for text in texts if isinstance(text, str) and text), "")


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _pieces(value: Any, limit: int, depth: int) -> list[str]:
    """Short JSON in pieces that end soon after `limit` characters; an object of a class is its name and fields."""
    value = untupled(value)
    kind = value.get("$type") if isinstance(value, dict) else None
    if isinstance(kind, str):
        if isinstance(value.get("repr"), str):
            return [clean(value["repr"], limit)]
        if kind in {"bytes", "bytearray"} and isinstance(value.get("base64"), str):
            size = len(value["base64"].rstrip("=")) * 3 // 4
            return [f"[{count(size, 'byte')}]"]
        content = next((value[part] for part in ("fields", "items", "value") if part in value), None)
        name = [clean(kind.rpartition(".")[2], 60), " "] if isinstance(content, dict | list) else []
        if content is not None:
            return [*name, *_pieces(content, limit, depth + 1)]
    if isinstance(value, str):
        return [f'"{clean(without_data(value), limit)}"']
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if not isinstance(value, dict | list):
        return ["null" if value is None else clean(value, 60)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if depth > 5:
        return [opening, "…" if value else "", closing]
    pieces = [opening]
    length = 1
    for i, item in enumerate(value):
        if length > limit:
            return [*pieces, "…"]
        label = f'"{clean(item, 60)}": ' if isinstance(value, dict) else ""
        inner = _pieces(value[item] if isinstance(value, dict) else item, limit - length, depth + 1)
        pieces += [", " if i else "", label, *inner]
        length += len(label) + 2 + sum(map(len, inner))
    return [*pieces, closing]
