"""Every rule of redaction finds its secrets in every place of a trace, and ordinary text stays as it is.

The values are made from the examples of the table itself: a new row is tested by being there.
"""

from __future__ import annotations

import argparse
import base64
import configparser
import hashlib
import http.cookiejar
import inspect
import json
import netrc
import random
import re
import smtplib
import string
import urllib.request
import uuid
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, unquote_plus, urlencode

import pytest

from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing
from namel3ss_debug.capture.seams.http.chunks import Chunks
from namel3ss_debug.capture.seams.http.exchanges import chunk_to_json
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.redaction.checks import is_card
from namel3ss_debug.traces.redaction.growing import IncrementalRedaction
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.traces.redaction.rules import PHRASES, RUN, TOKENS
from namel3ss_debug.wire.framing import FRAMINGS

_parser = import_module("re._parser")
_c = import_module("re._constants")

RULES = TOKENS + PHRASES
REDACTOR = Redactor()
EVENTS = FRAMINGS["text/event-stream"]
CATEGORIES = {_c.CATEGORY_WORD: string.ascii_letters + string.digits + "_", _c.CATEGORY_DIGIT: string.digits}


def characters(item):
    """The characters of one item of a class."""
    kind, value = item
    if kind is _c.LITERAL:
        return chr(value)
    if kind is _c.RANGE:
        return "".join(map(chr, range(value[0], value[1] + 1)))
    return CATEGORIES[value]


def made(form, rng):
    """A random text of a form, and the part of it that its group stands for, else all."""
    group = []

    def build(items):
        parts = []
        for kind, value in items:
            if kind is _c.LITERAL:
                parts.append(chr(value))
            elif kind is _c.IN:
                parts.append(rng.choice("".join(map(characters, value))))
            elif kind is _c.MAX_REPEAT:
                least, most, inner = value
                parts += [build(inner) for _ in range(rng.randint(least, most))]
            elif kind is _c.BRANCH:
                parts.append(build(rng.choice(value[1])))
            elif kind is _c.SUBPATTERN:
                parts.append(build(value[3]))
                if value[0] is not None:
                    group.append(parts[-1])
            else:
                raise ValueError(f"no example may hold {kind}")
        return "".join(parts)

    text = build(_parser.parse(form))
    return text, group[-1] if group else text


def examples(rule, count):
    """So many random texts of a rule with their secrets, the same in each run."""
    rng = random.Random(rule.example)
    while count:
        text, secret = made(rule.example, rng)
        if rule.name == "card" and not is_card(re.fullmatch(".*", secret)):
            continue  # nine of ten numbers have another check digit
        yield text, secret
        count -= 1


PROSE = "The agent asks a model, and the model asks for a tool; what it returns is in the next question. " * 5


def name_and_value(rule, text, secret):
    """A field with the secret: under the name that shows it to be one, or under a harmless name."""
    if rule.name in {"docker_auth", "azure_sas"}:
        return rule.name[-4:].removeprefix("_").replace("sas", "sig"), secret
    name, is_assigned, value = text.partition("=")
    return (
        (name, value) if is_assigned and (rule.is_named or rule.name == "assignment") else ("setting", text)
    )


def recorded_pieces(text, payloads, rng):
    """What is recorded of a stream of server-sent events that spell the text, cut anywhere."""
    whole = f"It is {text}\nand then more"
    places = sorted({0, len(whole), *(rng.randrange(len(whole)) for _ in range(rng.choice([1, 2, 8, 30])))})
    written = []
    chunks = Chunks(EVENTS, payloads.redactor, lambda data, _arrived: written.append(data), lambda: 1)
    for one, other in pairwise(places):
        content = {"choices": [{"index": 0, "delta": {"content": whole[one:other]}}]}
        chunks.feed(b"data: " + json.dumps(content).encode() + b"\n\n")
    chunks.finish()
    recorded = "".join(payloads.mapping(chunk_to_json(data))["text"] for data in written)
    return "".join(
        EVENTS.read_content(event)["choices"][0]["delta"]["content"]
        for event in EVENTS.split(recorded.encode())
    )


def record(tracer, rule, text, secret, rng):
    """Record the secret in each place of a call of a tool that fails."""
    payloads = tracer.payloads
    name, value = name_and_value(rule, text, secret)
    header = "X-" + name.replace("_", "-").title()
    with (
        suppress(ValueError),
        tracer.span(
            "tool",
            "call",
            inputs={
                "text": f"see {text}\nand then",
                "long text": f"{PROSE}\nsee {text}\n{PROSE}",
                "object": {"rows": [{name: value}], "more": [text]},
                "json": json.dumps({"n": 1, "log": f"a\n{text}", "arguments": json.dumps({name: value})}),
                "url": payloads.url("https://h.example/p?a=1&" + urlencode({name: value})),
                "header": payloads.headers([("Accept", "*/*"), (header, value)]),
                "environment": payloads.redactor.field(name.upper(), value),
                "percent": quote(f"x={text}&y", safe=""),
                "pieces": ["", recorded_pieces(text, payloads, rng)],
            },
        ),
    ):
        raise ValueError(f"it failed: {text}")


def strings(value):
    """Every name and text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def grown(pieces):
    """A text that arrives in pieces, without its secrets."""
    text, growing = "".join(pieces), IncrementalRedaction(REDACTOR)
    for piece in pieces:
        growing.feed(piece)
    growing.finish()
    parts, done = [], 0
    for secret in growing.secrets:
        parts += [text[done : secret.start], secret.shown]
        done = secret.end
    return "".join([*parts, text[done:]])


def leaks(value, secret):
    """Whether the end of a secret, or its middle, is in a JSON value: as it is, or behind escapes."""
    parts = {secret[-12:], secret[30:42] if len(secret) > 42 else secret[-12:]}
    for text in strings(value):
        for seen in (text, unquote_plus(text), text.replace("\\n", "\n").replace("\\", "")):
            if any(part in seen for part in parts):
                return True
    return False


SLICES = 10
"""The slow set runs so many parts of the table at once."""


@pytest.mark.parametrize(
    ("count", "rules"),
    [(2, RULES), *(pytest.param(300, RULES[one::SLICES], marks=pytest.mark.slow) for one in range(SLICES))],
    ids=["quick", *map(str, range(SLICES))],
)
def test_no_place_of_a_trace_keeps_a_secret(count, rules, tmp_path):
    """Text, object and nested JSON, pieces of a stream, exception, URL, header, variable, and percent-encoded."""
    rng = random.Random(count)
    tracer = initialize_tracing(trace_output_dir=str(tmp_path), max_payload_size=0)
    secrets = []
    try:
        for rule in rules:
            for text, secret in examples(rule, count):
                record(tracer, rule, text, secret, rng)
                secrets.append((rule.name, secret))
    finally:
        trace = shutdown_tracing()
    leaked = {}
    calls = (event for event in open_trace(trace).events() if event["component"] == "tool")
    for (rule, secret), start, end in zip(secrets, calls, calls, strict=True):
        inputs = start["inputs"]
        for place in [*inputs, "exception"]:
            if leaks(end if place == "exception" else inputs[place], secret):
                leaked.setdefault((rule, place), []).append(secret)
    assert not leaked, "\n".join(
        f"{key}: {len(found)} of {count}, {found[0]}" for key, found in leaked.items()
    )


def test_every_row_is_complete():
    """Each has a form to make values from, literals in lower case, and a group in the example where the pattern has one."""
    for rule in RULES:
        assert rule.example, rule.name
        assert all(literal == literal.lower() for literal in rule.literals)
        for text, secret in examples(rule, 20):
            assert any(find.name for find in REDACTOR.finds(f"({text})")), (rule.name, text)
            assert len(secret) >= RUN or rule in PHRASES


def test_an_id_that_each_event_repeats_does_not_wait():
    """Only its first event does, until the second shows that nothing goes on."""
    growing = IncrementalRedaction(REDACTOR)
    for count in range(1, 20):
        growing.feed("chatcmpl-Cabcdefghij0123456789XYZ")
        assert growing.settled == (growing.length if count > 1 else 0)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_secret_in_a_stream_is_found_wherever_it_is_cut(rule):
    """Also where each character is a piece of its own."""
    [(text, secret)] = examples(rule, 1)
    for place in range(len(text)):
        assert not leaks(grown([text[:place], text[place:]]), secret), place
    assert not leaks(grown(text), secret)


ORDINARY_WORDS = [
    "the",
    "model",
    "calls",
    "a",
    "tool",
    "and",
    "answers",
    "with",
    "tokens",
    "key",
    "value",
    "auth",
    "session",
    "author",
    "sign",
    "machine",
    "default",
    "default:",
    "password",
    "fields",
    "secret",
    "sauce",
]


def ordinary_strings():
    """2,000 strings that agents see every day and that hold no secret, the same in each run."""
    rng = random.Random(7)
    some = lambda alphabet, count: "".join(rng.choices(alphabet, k=count))  # noqa: E731
    alnum, hexes = string.ascii_letters + string.digits, "0123456789abcdef"
    made_up = [
        lambda: str(uuid.UUID(int=rng.getrandbits(128))),
        lambda: f"request_id={uuid.UUID(int=rng.getrandbits(128))} status=200",
        lambda: json.dumps(
            {"id": "chatcmpl-" + some(alnum, 29), "usage": {"total_tokens": rng.randrange(9999)}}
        ),
        lambda: json.dumps(
            {"id": "call_" + some(alnum, 24), "type": "function", "function": {"name": "lookup"}}
        ),
        lambda: json.dumps({"id": "msg_" + some(alnum, 24), "run_id": "run_" + some(alnum, 24)}),
        lambda: (
            "commit " + some(hexes, 40) + "\nAuthor: Ann <ann@example.com>\nDate:   Mon Nov 23 10:00:00 2026"
        ),
        lambda: f"index {some(hexes, 7)}..{some(hexes, 7)} 100644\n--- a/src/auth.py\n+++ b/src/auth.py",
        lambda: hashlib.sha256(rng.randbytes(8)).hexdigest() + "  dist/package-1.0.tar.gz",
        lambda: "sha512-" + base64.b64encode(rng.randbytes(64)).decode(),
        lambda: json.dumps(
            {
                "resolved": "https://registry.npmjs.org/a/-/a-1.0.tgz",
                "integrity": "sha512-" + base64.b64encode(rng.randbytes(64)).decode(),
            }
        ),
        lambda: (
            "data:image/png;base64,"
            + base64.b64encode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + rng.randbytes(600)).decode()
        ),
        lambda: base64.b64encode(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + rng.randbytes(900)).decode(),
        lambda: base64.b64encode(" ".join(rng.choices(ORDINARY_WORDS, k=40)).encode()).decode(),
        lambda: ".".join(some(string.ascii_lowercase, rng.randrange(3, 12)) for _ in range(5)),
        lambda: f"{some(string.ascii_lowercase, 8)}.{some(alnum, 22)}.{some(alnum, 12)}",
        lambda: "/usr/lib/python3/" + "/".join(some(string.ascii_lowercase, 9) for _ in range(5)) + ".py:12",
        lambda: (
            "https://example.com/search?"
            + urlencode({"q": " ".join(rng.choices(ORDINARY_WORDS, k=5)), "page": 2})
        ),
        lambda: "https://example.com/a%20b/" + some(alnum, 22) + "?etag=" + some(hexes, 32),
        lambda: " ".join(rng.choices(ORDINARY_WORDS, k=rng.randrange(5, 40))).capitalize() + ".",
        lambda: json.dumps(
            {
                "text": "“" + " ".join(rng.choices(ORDINARY_WORDS, k=12)) + "” \u2013 a/b",
                "path": "C:\\tmp\\new\\r.txt",
            }
        ),
        lambda: (
            f"2026-11-24T02:39:{rng.randrange(60):02d}.{rng.randrange(10**6):06d}Z INFO span={some(hexes, 16)} trace={some(hexes, 32)}"
        ),
        lambda: "traceparent: 00-" + some(hexes, 32) + "-" + some(hexes, 16) + "-01",
        lambda: some(string.digits, rng.randrange(8, 20)),
        lambda: f"embedding: [{', '.join(str(round(rng.uniform(-1, 1), 8)) for _ in range(12))}]",
        lambda: (
            f"azure region: westeurope, netlify site: {some(string.ascii_lowercase, 12)}, okta domain: dev-{rng.randrange(10**7)}"
        ),
    ]
    lines = [
        line
        for module in (
            argparse,
            base64,
            configparser,
            hashlib,
            http.cookiejar,
            json.decoder,
            netrc,
            smtplib,
            urllib.request,
            uuid,
        )
        for line in inspect.getsource(module).splitlines()
        if len(line.strip()) > 20
    ]
    code = rng.sample(lines, 900)
    prose = [
        line
        for line in Path(__file__).parents[2].joinpath("ARCHITECTURE.md").read_text().splitlines()
        if len(line) > 20
    ][:100]
    strings = [*code, *prose]
    return [*strings, *(made_up[number % len(made_up)]() for number in range(2000 - len(strings)))]


def test_ordinary_strings_stay_as_they_are():
    """Of 2,000 at most 5 are changed: ids, hashes, images, code, prose, git, lock files, addresses."""
    every = ordinary_strings()
    assert len(every) == 2000
    changed = [(text, REDACTOR.text(text)) for text in every if REDACTOR.text(text) is not text]
    assert len(changed) <= 5, changed
    in_stream = [
        text
        for text in every[::4]
        if REDACTOR.text(text) is text and grown(re.findall(".{1,7}", text, re.DOTALL)) != text
    ]
    assert len(in_stream) <= 2, in_stream
