"""A scripted stand-in for a model provider, on loopback: no key, no network, the same answers on every run.

It speaks every wire format that recordings are read in (OpenAI, Anthropic, Gemini, Bedrock, Cohere, Ollama), streamed
or not, so the real SDKs talk to it as they talk to the real thing. What it says is a script: a list
with one entry for each turn of a conversation, or a function from the decoded request to an entry. An entry
is a `Reply`, or a list of them: one for each attempt, to let a first attempt fail.

    with ScriptedModel([say("", call("add", a=1, b=2)), say("It is 3.")]) as model:
        client = OpenAI(base_url=f"{model.url}/v1", api_key="unused")

With `encodings`, answers are compressed as those of real providers are: in one of these that the request accepts.

Nothing is remembered between requests: the turn is read from the messages of a request and the attempt from
the header in which both SDKs count their retries.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from itertools import groupby
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from namel3ss_debug.wire import Answer, Format, canonical_hash, recognise

Json = dict[str, Any]
CREATED = 1_735_689_600  # 1 January 2025: a fixed moment, so that no answer depends on when it was given
ID_PREFIXES = {"openai.chat": "chatcmpl-", "openai.responses": "resp_", "anthropic.messages": "msg_"}


@dataclass(frozen=True)
class Reply:
    """One answer of the server: what the model says, or a failure where `status` is 400 or more.

    `seconds` pass before the answer begins, `between` before each further event of a stream.
    """

    answer: Answer = field(default_factory=Answer)
    status: int = 200
    message: str = ""
    headers: Json = field(default_factory=dict)
    seconds: float = 0.0
    between: float = 0.0


Entry = Reply | Sequence[Reply]
Script = Sequence[Entry] | Callable[[Json], Entry]


def say(text: str, *calls: Json, seconds: float = 0.0, between: float = 0.0, **more: Any) -> Reply:
    """The model says `text` and asks for `calls`; `more` are further fields of an `Answer`, such as `usage`."""
    answer = Answer(text=text or None, tool_calls=list(calls), **more)
    return Reply(answer, seconds=seconds, between=between)


def call(name: str, **arguments: Any) -> Json:
    """One tool call, to be given to `say`."""
    return {"name": name, "arguments": arguments}


def fail(status: int, message: str, *, seconds: float = 0.0, **headers: str) -> Reply:
    """An HTTP error; an underscore in the name of a header stands for its hyphen: `retry_after_ms="50"`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, message=message, headers=named, seconds=seconds)


class ScriptedModel:
    """The server. It listens on a free port from the start of a `with` block to its end.

    `encodings` are the content encodings that it knows: `gzip`, `deflate`, and `br` and `zstd` where brotli and
    zstandard are installed. `url` is where it listens, `requests` what it was asked: `{path, headers, body}` each, in order of arrival, and
    `usage` the tokens that it told each answer took.
    """

    def __init__(self, script: Script, encodings: Sequence[str] = ()) -> None:
        self.script = script
        self.encodings = encodings
        self.requests: list[Json] = []
        self.usage: list[dict[str, int]] = []
        self.closing = threading.Event()

    def __enter__(self) -> Self:
        handler = type("BoundHandler", (Handler,), {"model": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        # Without this an SDK would send its requests to the proxy that the environment names.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), name="model", daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def reply(self, request: Json, attempt: int) -> Reply:
        """The script's reply to a decoded request; `attempt` counts from 0."""
        if callable(self.script):
            entry = self.script(request)
        else:
            roles = [role for role, _ in groupby(message["role"] for message in request["messages"])]
            turn = roles.count("assistant")
            if turn >= len(self.script):
                return fail(400, f"the script ends before turn {turn + 1}")
            entry = self.script[turn]
        return entry if isinstance(entry, Reply) else entry[min(attempt, len(entry) - 1)]


class Handler(BaseHTTPRequestHandler):
    """Reads one request, finds the reply in the script and writes it as the provider would."""

    model: ScriptedModel
    protocol_version = "HTTP/1.1"  # keeps connections open, as the providers do
    disable_nagle_algorithm = True  # each event of a stream leaves at once

    def handle(self) -> None:
        """Serve a connection until the program closes it, even where it does so before it has its answer."""
        with suppress(ConnectionError):
            super().handle()

    def do_POST(self) -> None:
        """Answer one request."""
        path = urlsplit(self.path).path
        body = orjson.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"null")
        self.model.requests.append({"path": path, "headers": dict(self.headers), "body": body})
        spoken = recognise(path, body)
        if spoken is None:
            self.send_json(
                404, {"error": {"message": f"nothing answers at {path}", "type": "not_found_error"}}
            )
            return
        attempt = int(self.headers.get("x-stainless-retry-count", "0"))
        body = spoken.complete(path, body)  # with what the provider has in the address
        reply = self.model.reply(spoken.codec.decode_request(body), attempt)
        self.model.closing.wait(reply.seconds)
        self.send_reply(spoken, reply, body)

    def send_reply(self, spoken: Format, reply: Reply, body: Json) -> None:
        """Write a reply in the format of its request."""
        if reply.status >= 400:
            self.send_json(
                reply.status, spoken.codec.encode_error(reply.status, "", reply.message), reply.headers
            )
            return
        digest = canonical_hash("POST", self.path, body)
        calls = [
            {"id": f"call_{digest[:6]}_{place}", **asked}
            for place, asked in enumerate(reply.answer.tool_calls)
        ]
        usage = reply.answer.usage or estimated_usage(body, reply.answer)
        self.model.usage.append(told_usage(spoken, body, usage))
        answer = reply.answer._replace(tool_calls=calls, usage=usage)
        frame: Json = {"response_id": ID_PREFIXES.get(spoken.name, "") + digest, "created": CREATED}
        if body.get("stream"):
            self.send_stream(
                spoken.codec.encode_stream(answer, body, **frame), reply.between, spoken.stream_type
            )
        else:
            self.send_json(200, spoken.codec.encode_response(answer, body, **frame), reply.headers)

    def send_json(self, status: int, body: Json, headers: Json | None = None) -> None:
        """Write one JSON document."""
        encoder = self.choose_encoder(orjson.dumps(body))
        data = encoder.encode(orjson.dumps(body)) + encoder.finish()
        kind = {"content-type": "application/json", "content-length": len(data)}
        self.send_headers(status, {**kind, **encoder.headers, **(headers or {})})
        self.wfile.write(data)

    def send_stream(self, events: list[bytes], between: float, content_type: str) -> None:
        """Write the events of a stream, each as one chunk of its own."""
        encoder = self.choose_encoder(b"".join(events))
        kind = {"content-type": content_type, "transfer-encoding": "chunked"}
        self.send_headers(200, {**kind, **encoder.headers})
        for place, event in enumerate(events):
            self.model.closing.wait(between if place else 0)
            self.send_chunk(encoder.encode(event))
        self.send_chunk(encoder.finish())
        self.wfile.write(b"0\r\n\r\n")

    def send_chunk(self, data: bytes) -> None:
        """Write one chunk of a body; an empty one would end it."""
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def choose_encoder(self, body: bytes) -> Encoder:
        """Begin an encoding that the request accepts. Which one depends on the body alone, so it is the same on every run."""
        accepted = {
            each.partition(";")[0].strip() for each in self.headers.get("accept-encoding", "").split(",")
        }
        usable = [name for name in self.model.encodings if name in accepted]
        return begin_encoding(usable[zlib.crc32(body) % len(usable)] if usable else "")

    def send_headers(self, status: int, headers: Json) -> None:
        """Write the status line and the headers; no date among them, because it would differ on every run."""
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: the output belongs to the agent."""


@dataclass(frozen=True)
class Encoder:
    """Encodes a body: `encode` each piece so that it can be read at once, then `finish`; `headers` name the encoding."""

    encode: Callable[[bytes], bytes]
    finish: Callable[[], bytes]
    headers: Json


def begin_encoding(name: str) -> Encoder:
    """Begin to encode a body; the empty name leaves it as it is."""
    headers = {"content-encoding": name}
    if not name:
        return Encoder(lambda data: data, bytes, {})
    if name == "br":
        brotli_body = import_module("brotli").Compressor()
        return Encoder(
            lambda data: brotli_body.process(data) + brotli_body.flush(), brotli_body.finish, headers
        )
    if name == "zstd":
        zstandard = import_module("zstandard")
        frame = zstandard.ZstdCompressor().compressobj()
        flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return Encoder(lambda data: frame.compress(data) + frame.flush(flush), frame.flush, headers)
    body = zlib.compressobj(wbits=31 if name == "gzip" else 15)
    return Encoder(lambda data: body.compress(data) + body.flush(zlib.Z_SYNC_FLUSH), body.flush, headers)


def told_usage(spoken: Format, body: Json, usage: dict[str, int]) -> dict[str, int]:
    """What a provider tells of the tokens of an answer: OpenAI nothing in a stream unless it was asked to."""
    if spoken.name == "openai.chat" and body.get("stream"):
        return usage if (body.get("stream_options") or {}).get("include_usage") else {}
    return {"input_tokens": usage["input_tokens"]} if spoken.operation == "embeddings" else usage


def estimated_usage(body: Json, answer: Answer) -> dict[str, int]:
    """Token counts at four characters for a token, where the script names none."""
    said = len(answer.text or "") + sum(len(orjson.dumps(asked)) for asked in answer.tool_calls)
    return {"input_tokens": len(orjson.dumps(body)) // 4, "output_tokens": max(1, said // 4)}
