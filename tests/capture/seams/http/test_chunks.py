"""Secrets that a stream spells in pieces. All secrets here are made up at run time."""

from __future__ import annotations

import base64
import json
import random
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namel3ss_debug.capture.payloads import Payloads
from namel3ss_debug.capture.seams.http.chunks import Chunks, may_have_split_secrets, redact_split_secrets
from namel3ss_debug.capture.seams.http.exchanges import chunk_to_json
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.wire import event_stream
from namel3ss_debug.wire.framing import FRAMINGS, SERVER_SENT

LETTERS = "aB3dE5gH7jK9mN2pQ4sT6vW8xY"
REDACTOR = Redactor()
PAYLOADS = Payloads(REDACTOR)

SECRETS = [
    "sk-" + "proj-" + LETTERS * 2,
    "sk-" + "proj-" + "k7Qz" * 12,
    "AK" + "IA" + "ABCDEFGH234567QR",
    "Authorization: Bearer " + LETTERS,
    "4111 1111 1111 1111",
    "4242424242424242",
    "password = " + LETTERS,
    f"-----BEGIN RSA {'PRIVATE'} KEY-----\n"
    + (LETTERS * 2 + "\n") * 4
    + f"-----END RSA {'PRIVATE'} KEY-----",
    "postgres://user:" + "s3cr%40t-Pass" + "@db.example.com/app",
]


def server_sent(make):
    """Events of a stream of server-sent events, one for each piece."""
    return lambda pieces: [b"data: " + json.dumps(make(piece)).encode() + b"\n\n" for piece in pieces]


def chat(**delta):
    """An event of a chat completion."""
    return {"id": "c-1", "model": "m-4", "choices": [{"index": 0, "delta": delta}]}


def passed_through(pieces):
    """Messages of Bedrock that pass through the events of the model behind it."""
    return [
        event_stream.encode_event(
            "chunk", {"bytes": base64.b64encode(json.dumps({"delta": {"text": piece}}).encode()).decode()}
        )
        for piece in pieces
    ]


STREAMS = {
    "chat": ("text/event-stream", server_sent(lambda piece: chat(content=piece))),
    "reasoning": ("text/event-stream", server_sent(lambda piece: chat(reasoning_content=piece))),
    "arguments": (
        "text/event-stream",
        server_sent(lambda piece: chat(tool_calls=[{"index": 1, "function": {"arguments": piece}}])),
    ),
    "messages": (
        "text/event-stream",
        lambda pieces: [
            b"event: content_block_delta\r\ndata: "
            + json.dumps(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            ).encode()
            + b"\r\n\r\n"
            for piece in pieces
        ],
    ),
    "responses": (
        "text/event-stream",
        lambda pieces: [
            b"data: "
            + json.dumps(
                {"type": "response.output_text.delta", "sequence_number": n, "delta": piece}
            ).encode()
            + b"\n\n"
            for n, piece in enumerate(pieces)
        ],
    ),
    "parts": (
        "text/event-stream",
        server_sent(lambda piece: {"candidates": [{"content": {"parts": [{"text": piece}]}}]}),
    ),
    "logprobs": (
        "text/event-stream",
        server_sent(
            lambda piece: {
                "choices": [
                    {
                        "index": 0,
                        "logprobs": {
                            "content": [{"token": piece, "logprob": -1, "bytes": [*piece.encode()]}]
                        },
                    }
                ]
            }
        ),
    ),
    "text": (
        "text/event-stream",
        lambda pieces: [
            "".join(f"data: {line}\n" for line in piece.split("\n")).encode() + b"\n" for piece in pieces
        ],
    ),
    "lines": (
        "application/x-ndjson",
        lambda pieces: [json.dumps({"message": {"content": piece}}).encode() + b"\n" for piece in pieces],
    ),
    "converse": (
        "application/vnd.amazon.eventstream",
        lambda pieces: [
            event_stream.encode_event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}})
            for piece in pieces
        ],
    ),
    "base64": ("application/vnd.amazon.eventstream", passed_through),
}


class Stream:
    """A stream that is recorded: what a chunk event would hold of it."""

    def __init__(self, kind, redactor=REDACTOR):
        content_type, self.make = STREAMS[kind]
        self.framing = FRAMINGS[content_type]
        self.outputs = []
        self.raw = []
        self.arrived = []
        self.seq = 10
        self.chunks = Chunks(self.framing, redactor, self._emit, lambda: self.seq)

    def _emit(self, data, arrived):
        self.outputs.append(PAYLOADS.mapping(chunk_to_json(data)))
        self.raw.append(data)
        self.arrived.append(arrived)
        self.seq += 1

    def spelled(self):
        """What the chunk events spell, text by text in their order."""
        found = {}
        for output in self.outputs:
            raw = output["text"].encode() if "text" in output else event_stream.from_json(output["messages"])
            for event in self.framing.split(raw):
                leaves(self.framing.read_content(event), "", found)
        return found


def leaves(value, path, found):
    """Collect the texts in a JSON value by their place."""
    if isinstance(value, str):
        found[path] = found.get(path, "") + value
    elif isinstance(value, dict):
        for key, item in value.items():
            leaves(item, f"{path}.{key}", found)
    elif isinstance(value, list):
        if path.endswith("bytes"):
            found[path] = found.get(path, "") + bytes(value).decode("latin-1")
        else:
            for item in value:
                leaves(item, f"{path}[]", found)


def cut(text, places):
    """A text in pieces."""
    ends = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[start:end] for start, end in pairwise(ends) if start < end]


def secret_of(text):
    """What of a text is taken out."""
    [before, after] = re.split(r"\[REDACTED:[\w.]+\]", REDACTOR.text(text))
    return text[len(before) : len(text) - len(after) if after else None]


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(STREAMS)),
    secret=st.sampled_from(SECRETS),
    around=st.tuples(
        st.sampled_from(["", "see ", 'x="', "\n"]), st.sampled_from(["", " and more", '" y', "\n"])
    ),
    places=st.lists(st.integers(0, 400), max_size=12)
    | st.integers(1, 8).map(lambda step: [*range(0, 400, step)]),
    seed=st.integers(0, 1000),
)
def test_no_secret_is_left_in_what_is_recorded_however_it_was_cut(kind, secret, around, places, seed):
    """In no field, nor spelled by the fields of several events; the rest of the text is there."""
    text = secret.join(around)
    stream, chance = Stream(kind), random.Random(seed)
    data = b"".join(stream.make(cut(text, places)))
    while data:
        size = chance.choice([1, 7, 50, 500, 5000])
        stream.chunks.feed(data[:size])
        data = data[size:]
    stream.chunks.finish()
    known = secret_of(text)
    spelled = stream.spelled()
    for told in spelled.values():
        assert known[-12:] not in told
        assert len(known) < 42 or known[30:42] not in told
        assert REDACTOR.text(told) == told
    assert any("[REDACTED:" in told for told in spelled.values())
    assert any(told.startswith(around[0]) and told.endswith(around[1]) for told in spelled.values())
    assert not any(known[-12:] in str(output) for output in stream.outputs)


HARMLESS = "The token bucket, a key value, tasks. See https://example.com:8080/a for 2026-11-21, 42 of 1234 skills.\n"


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(STREAMS)),
    places=st.lists(st.integers(0, 120), max_size=30),
    size=st.integers(1, 600),
)
def test_a_stream_without_secrets_is_recorded_byte_for_byte_as_it_arrived(kind, places, size):
    """Where the chunks begin and end, too."""
    stream, plain = Stream(kind), Stream(kind, None)
    data = b"".join(stream.make(cut(HARMLESS, places)))
    for at in range(0, len(data), size):
        stream.chunks.feed(data[at : at + size])
        plain.chunks.feed(data[at : at + size])
    stream.chunks.finish()
    plain.chunks.finish()
    assert stream.raw == plain.raw
    assert b"".join(stream.raw) == data


@pytest.mark.parametrize("kind", ["chat", "lines", "converse", "responses"])
def test_a_text_without_doubt_is_recorded_at_once(kind):
    """What was there before a process is killed is in its recording."""
    stream = Stream(kind)
    for number, event in enumerate(stream.make(["The", " quick", " brown", " fox", " asks", ","] * 20), 1):
        stream.chunks.feed(event)
        assert len(stream.raw) == number


def test_what_may_be_the_beginning_of_a_secret_waits_until_it_is_decided():
    """With all that came after it; then it is recorded as it arrived."""
    stream = Stream("chat")
    counts = []
    for event in stream.make(["a ", "sk-", "abc", "def", " no", " more"]):
        stream.chunks.feed(event)
        counts.append(len(stream.raw))
    assert counts == [1, 1, 1, 1, 5, 6]
    assert stream.raw == stream.make(["a ", "sk-", "abc", "def", " no", " more"])


def test_a_chunk_that_waited_tells_when_it_arrived_where_other_events_came_since():
    """So that a re-run delivers it before them."""
    stream = Stream("chat")
    for event in stream.make(["sk-abc", "def"]):
        stream.chunks.feed(event)
    stream.seq += 3
    for event in stream.make([" no", " more"]):
        stream.chunks.feed(event)
    assert stream.arrived == [10, 10, None, None]


def test_interleaved_choices_are_followed_apart():
    """Two answers in one stream spell two secrets at once."""
    stream = Stream("chat")
    for piece in cut("key " + SECRETS[0] + " end", range(0, 80, 3)):
        for index in (0, 1):
            event = {"choices": [{"index": index, "delta": {"content": piece}}]}
            stream.chunks.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    stream.chunks.finish()
    told = b"".join(stream.raw).decode()
    assert told.count("[REDACTED:openai]") == 2
    assert LETTERS[:3] not in told


def test_the_value_of_a_secret_name_in_the_arguments_of_a_tool_is_taken_out():
    """However short it is, in pieces or as an object, also inside of another; what stands beside it stays."""
    stream = Stream("arguments")
    for event in stream.make(
        ['{"us', 'er":"ann","pass', 'word":', '"hu', "nt", 'er","otp":12', "34,", '"n":5}']
    ):
        stream.chunks.feed(event)
    whole = {"choices": [{"index": 0, "delta": {"function_call": {"args": {"pin_code": 7654, "n": 1}}}}]}
    stream.chunks.feed(b"data: " + json.dumps(whole).encode() + b"\n\n")
    stream.chunks.finish()
    told = "".join(stream.spelled()[".choices[].delta.tool_calls[].function.arguments"])
    assert json.loads(told) == {"user": "ann", "password": "[REDACTED:key]", "otp": "[REDACTED:key]", "n": 5}
    assert b"7654" not in b"".join(stream.raw)
    stream = Stream("arguments")
    for event in stream.make(['{"login": {"user": "ann", "pin', '_code": 76', "54}}"]):
        stream.chunks.feed(event)
    stream.chunks.finish()
    told = "".join(stream.spelled()[".choices[].delta.tool_calls[].function.arguments"])
    assert json.loads(told) == {"login": {"user": "ann", "pin_code": "[REDACTED:key]"}}


def test_own_patterns_and_names_are_followed_too():
    """Also one that has no beginning of its own, and one that cannot be followed but by its words."""
    own = Redactor(
        ["customer_email"],
        {"ticket": "TICKET-[0-9]{6}", "odd": "[a-c]{5}[0-9]{5}", "twice": "([a-z]{3})#\\1"},
    )
    for secret in ("customer_email=a@b.example", "TICKET-123456", "abcab12345", "dog#dog"):
        for places in ([*range(40)], [8], [4, 9]):
            stream = Stream("chat", own)
            for event in stream.make(cut(f"it is {secret} now", places)):
                stream.chunks.feed(event)
            stream.chunks.finish()
            told = stream.spelled()[".choices[].delta.content"]
            assert own.text(told) == told
            assert secret[-5:] not in told


@pytest.mark.parametrize(
    ("body", "framing"),
    [
        (
            json.dumps(
                [
                    {"candidates": [{"content": {"parts": [{"text": piece}]}}]}
                    for piece in cut(SECRETS[0], range(0, 60, 4))
                ]
            ),
            None,
        ),
        (
            json.dumps(
                {
                    "choices": [
                        {"message": {"tool_calls": [{"function": {"arguments": '{"password": "hunter"}'}}]}}
                    ]
                }
            ),
            None,
        ),
        (b"".join(STREAMS["chat"][1](cut(SECRETS[0], range(0, 60, 4)))).decode(), SERVER_SENT),
    ],
)
def test_a_body_that_came_whole_is_looked_through_as_well(body, framing):
    """A list of events as a document, the arguments of a tool, a stream that is only shown."""
    told = redact_split_secrets(body.encode(), framing, REDACTOR).decode()
    assert "[REDACTED:" in told
    assert LETTERS[:3] not in told
    assert "hunter" not in told


def test_a_body_without_secrets_is_the_same_object():
    """Nothing is written anew."""
    body = b'{"choices": [{"message": {"content": "a ", "tool_calls": []}}], "list": ["a", "b"]}'
    assert redact_split_secrets(body, None, REDACTOR) is body
    assert redact_split_secrets(b"no json", None, REDACTOR) == b"no json"


DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.sampled_from([*cut(SECRETS[0], range(0, 60, 9)), SECRETS[0], "a", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "delta", "input", "arguments", "password", "token", "a", "b"]),
            inner,
            max_size=4,
        )
        | inner.map(json.dumps)
    ),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_a_document_that_cannot_hold_pieces_is_not_looked_through(document):
    """Law: looking through it would change nothing."""
    body = json.dumps(document).encode()
    if not may_have_split_secrets(document, PAYLOADS):
        assert redact_split_secrets(body, None, REDACTOR) is body


def test_most_answers_cannot_hold_pieces():
    """One choice, one message, numbers, harmless arguments of a tool; but a list of contents can."""
    call = {"function": {"name": "f", "arguments": '{"city": "Bern"}'}}
    message = {"content": "a", "tool_calls": [call]}
    assert not may_have_split_secrets({"choices": [{"message": message}], "usage": {"n": 1}}, PAYLOADS)
    assert not may_have_split_secrets({"data": [{"embedding": [0.1, 0.2, 0.3]}]}, PAYLOADS)
    assert may_have_split_secrets({"content": [{"text": "a"}, {"text": "b"}]}, PAYLOADS)
    assert may_have_split_secrets({"function": {"arguments": '{"password": "abc"}'}}, PAYLOADS)
    assert may_have_split_secrets({"input": {"password": "abc"}}, PAYLOADS)
