"""Damaged and hostile files of every imported format end in a readable part or in one line, in every command."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import signal
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import pytest
from click.testing import CliRunner

from namel3ss_debug.cli.main import debug
from namel3ss_debug.exporters import otlp_proto
from namel3ss_debug.importers.opening import open_trace

DATA = Path(__file__).parent.parent / "data"
IMPORTS = DATA / "imports"
FILES = [
    min(
        (path for path in folder.iterdir() if path.is_file() and path.suffix == suffix),
        key=lambda path: path.stat().st_size,
    )
    for folder in sorted(IMPORTS.iterdir())
    if folder.is_dir() and folder.name != "LICENSES"
    for suffix in sorted({path.suffix for path in folder.iterdir() if path.is_file()})
]
JAEGER = {
    "data": [
        {
            "traceID": "5af7183fb1d4cf5f",
            "spans": [
                {
                    "traceID": "5af7183fb1d4cf5f",
                    "spanID": "6b221d5bc9e6496c",
                    "operationName": "POST /chat",
                    "references": [],
                    "startTime": 1700000000000000,
                    "duration": 120000,
                    "tags": [{"key": "http.method", "type": "string", "value": "POST"}],
                    "logs": [{"timestamp": 1700000000050000, "fields": [{"key": "event", "value": "retry"}]}],
                    "processID": "p1",
                },
                {
                    "traceID": "5af7183fb1d4cf5f",
                    "spanID": "1111111111111111",
                    "operationName": "search",
                    "references": [{"refType": "CHILD_OF", "spanID": "6b221d5bc9e6496c"}],
                    "startTime": 1700000000010000,
                    "duration": 20000,
                    "tags": [{"key": "error", "type": "bool", "value": True}],
                    "processID": "p1",
                },
            ],
            "processes": {"p1": {"serviceName": "front"}},
        }
    ]
}
UNNUMBERED = [
    {"event_type": "agent_execution_start", "component": "agent", "component_name": "a", "timestamp": 1700000000.0},
    {"event_type": "llm_call_start", "component": "llm", "component_name": "m", "timestamp": 1700000001.0},
    {"event_type": "llm_call_end", "component": "llm", "component_name": "m", "timestamp": 1700000002.0, "tokens_used": 3},
    {"event_type": "agent_execution_end", "component": "agent", "component_name": "a", "timestamp": 1700000003.0},
]  # fmt: skip


def read_samples():
    """Return the name of each format with the bytes of a file of it."""
    found = {f"{path.parent.name}{path.suffix}": path.read_bytes() for path in FILES}
    found["session.jsonl"] = (
        IMPORTS / "codex/tool-calls.jsonl"
    ).read_bytes()  # the smallest is what `codex exec` prints
    found["jaeger.json"] = json.dumps(JAEGER).encode()
    found["unnumbered.jsonl"] = "\n".join(map(json.dumps, UNNUMBERED)).encode()
    recording = DATA / "recordings/weather_agent.jsonl"
    found["own.jsonl"] = recording.read_bytes()
    found["otlp.pb"] = b"".join(otlp_proto.export(open_trace(recording).events()))
    return found


SAMPLES = read_samples()

EVIL = "\x1b[31m\x1b]0;owned\x07\x1bP+q\x1b\\\x9b2J\u202eevil\u2066\x00\x08\r"
WRONG = (
    None, True, -1, 10**30, 1e308, "", EVIL, [], {}, [[]], [{}], {"a": {}}, "[" * 5000, [None, 1, "x"], "9" * 400, 0.1,
    {"type": "text"}, "\udcff", -(10**18), [[[[]]]],
)  # fmt: skip
PLACEHOLDER = "REPLACED"
"""Stands for a value that no JSON encoder writes."""


def walk(value):
    """Yield each object and list in a JSON value, without recursion."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, (dict, list)):
            yield each
            stack += each.values() if isinstance(each, dict) else each


def items_of(value):
    """Yield each place in a JSON value: the container, and the key or index."""
    for each in walk(value):
        for key in list(each) if isinstance(each, dict) else range(len(each)):
            yield each, key


def replace_some(values, chance, new, count, wanted=lambda value: True):
    """Replace some values by `new(chance)`."""
    places = [place for place in items_of(values) if wanted(place[0][place[1]])]
    for each, key in chance.sample(places, min(count, len(places))):
        each[key] = new(chance)


def change_texts(values, change):
    """Change every text that is a value."""
    for each, key in items_of(values):
        if isinstance(each[key], str):
            each[key] = change(each[key])


def swap_types(values, chance):
    """Put values of other types at three places."""
    replace_some(values, chance, lambda chance: deepcopy(chance.choice(WRONG)), 3)


def put_controls(values, chance):
    """Put control sequences into most texts, also those that say what something is."""
    change_texts(values, lambda text: text if chance.random() < 0.5 else EVIL + text)


def put_controls_into_content(values, chance):
    """Put control sequences into all longer texts, so that the file keeps its form."""
    change_texts(values, lambda text: text + EVIL if len(text) > 12 and " " in text else text)


def put_controls_into_keys(values, chance):
    """Put control sequences into some keys."""
    for each in list(walk(values)):
        for key in list(each) if isinstance(each, dict) else ():
            if chance.random() < 0.2:
                each[EVIL + key] = each.pop(key)


def put_surrogates(values, chance):
    """Put halves of surrogate pairs into all longer texts."""
    change_texts(values, lambda text: text + "\ud800" if len(text) > 12 else text)


def set_parents(values, chance):
    """Let everything be inside of itself, or of another at random."""
    ids = [
        each[key]
        for each, key in items_of(values)
        if isinstance(each, dict) and isinstance(each[key], str) and re.fullmatch("(?i).*(id|uuid)", key)
    ]
    for each, key in list(items_of(values)):
        if isinstance(each, dict) and "parent" in key.lower():
            own = next((each[name] for name in ("id", "uuid", "spanId", "span_id") if name in each), None)
            each[key] = own if chance.random() < 0.4 or not ids else chance.choice(ids)


def repeat_ids(values, chance):
    """Give everything the same id."""
    for each, key in list(items_of(values)):
        if (
            isinstance(each, dict)
            and isinstance(each[key], str)
            and key.lower() in ("id", "uuid", "spanid", "span_id", "event_id")
        ):
            each[key] = "1"


def repeat_rows(values, chance):
    """Let each list have its members twice."""
    for each in list(walk(values)):
        if isinstance(each, list):
            each.extend(deepcopy(each[:50]))


def drop_keys(values, chance):
    """Leave out some fields."""
    for each in list(walk(values)):
        for key in list(each) if isinstance(each, dict) else ():
            if chance.random() < 0.1:
                del each[key]


def lengthen(values, chance):
    """Put a text of a megabyte at one place."""
    replace_some(values, chance, lambda chance: "x\u0301" * 500_000, 1, lambda value: isinstance(value, str))


def of_numbers(values, chance):
    """Mark all numbers, so that they are replaced in the text."""
    replace_some(values, chance, lambda chance: PLACEHOLDER, 30, lambda value: type(value) in (int, float))


def mark(values, chance):
    """Mark two values, so that they are replaced in the text."""
    replace_some(values, chance, lambda chance: PLACEHOLDER, 2)


STRUCTURED = [
    *[(swap_types, None)] * 14,
    *[(drop_keys, None)] * 2,
    *[(put_controls, None)] * 2,
    (put_controls_into_content, None),
    (put_controls_into_keys, None),
    (put_surrogates, None),
    *[(set_parents, None)] * 3,
    (repeat_ids, None),
    (repeat_rows, None),
    (lengthen, None),
    *[(of_numbers, raw) for raw in ("1" + "0" * 400, "1e999", "NaN", "-Infinity", "-1", "99999999999999999999")],
    *[(mark, raw) for raw in ("[" * 100_000 + "]" * 100_000, '{"a":' * 900 + "1" + "}" * 900, "[" * 2_000, "\\", "\x00")],
]  # fmt: skip
"""Changes of the JSON in a file, with the raw text that stands for what they marked."""


def encode(values, is_lines, raw):
    """Return JSON values as bytes again, with the raw text put in; each half of a surrogate pair as an escape."""
    texts = [json.dumps(value) for value in values]
    text = "\n".join(texts) if is_lines else texts[0]
    return (text if raw is None else text.replace(f'"{PLACEHOLDER}"', raw)).encode()


def decode(data):
    """Return the JSON values of a file, and whether they are one on each line; None for a file without JSON."""
    try:
        return [json.loads(data)], False
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in data.splitlines() if line.strip()], True
    except ValueError:
        return None, False


def zipped(data, name="x"):
    """Return a ZIP archive with one member."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def rezip(data, change):
    """Return a ZIP archive with changed members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)))
    return stream.getvalue()


def mutate(data, chance):
    """Yield a name and the bytes of each mutation of a file."""
    for place in (1, 2, 3, len(data) // 2, len(data) - 2, len(data) - 1, *chance.sample(range(len(data)), 4)):
        yield f"cut at {place}", data[:place]
    for number in range(6):
        at = chance.randrange(len(data))
        yield f"bytes {number}", data[:at] + chance.randbytes(chance.randrange(1, 40)) + data[at + 5 :]
    yield "zeros", data[: len(data) // 3] + bytes(5000) + data[len(data) // 3 :]
    yield from {
        "empty": b"",
        "blank": b" \n\n",
        "null": b"null",
        "list": b"[]",
        "object": b"{}",
        "number": b"0",
        "lists": b"[" * 100_000,
        "noise": chance.randbytes(5000),
        "picture": b"\x89PNG\r\n\x1a\n" + chance.randbytes(500),
        "gzip": gzip.compress(data),
        "half a gzip": gzip.compress(data)[:-20],
        "zip": zipped(data),
        "half a zip": zipped(data)[:-30],
        "bomb": zipped(b"[" + b"0," * 5_000_000 + b"0]", "header.json"),
        "UTF-16": data.decode(errors="replace").encode("utf-16"),
        "mark": b"\xef\xbb\xbf" + data,
        "CRLF": data.replace(b"\n", b"\r\n"),
        "controls": EVIL.encode() + b"\n" + data,
    }.items()
    for number, (change, raw) in enumerate(STRUCTURED):
        name = f"{change.__name__} {number}"

        def changed(text, change=change, raw=raw):
            values, is_lines = decode(text)
            if not values:
                at = chance.randrange(len(text) or 1)
                return text[:at] + chance.randbytes(8) + text[at + 8 :]
            change(values, chance)
            return encode(values, is_lines, raw)

        yield name, rezip(data, changed) if zipfile.is_zipfile(io.BytesIO(data)) else changed(data)


SECONDS = 20
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@contextmanager
def limited():
    """End what takes too long."""

    def stop(number, frame):
        raise TimeoutError(f"no end after {SECONDS} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def commands_for(path):
    """Return what users do with a file."""
    return [
        ["show", str(path)],
        ["analyze", str(path)],
        ["inspect", str(path), "--tree"],
        ["import", str(path), "-o", str(path.parent / "out/converted.jsonl")],
        ["list", str(path.parent)],
    ]


def judge(words, status, out, err):
    """Return what is wrong with the end of a command; None if nothing is."""
    if status not in (0, 1, 2):
        return f"{words[0]} ended with status {status}: {err[-2000:]}"
    if "Traceback" in err:  # a trace may hold one, which is then shown
        return f"{words[0]} showed a traceback: {err[-2000:]}"
    harm = HARMFUL.search(out + err)
    if harm is not None:
        return (
            f"{words[0]} printed {harm[0]!r}: {(out + err)[max(harm.start() - 100, 0) : harm.end() + 20]!r}"
        )
    if status == 2 and len(err.strip().splitlines()) > 1:
        return f"{words[0]} refused in several lines: {err}"
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_a_mutated_file_is_read_in_part_or_refused_in_one_line(name, tmp_path, monkeypatch):
    """Every command ends in time, with no traceback, no control sequence, and one line where it refuses the file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NAMEL3SS_DEBUG_TRACE_OUTPUT_DIR", str(tmp_path / "traces"))
    chance = random.Random(name)
    shown, wrong = 0, []
    mutations = list(mutate(SAMPLES[name], chance))
    assert len(mutations) >= 60
    for number, (what, data) in enumerate(mutations):
        path = tmp_path / f"{number}" / f"file.{name.partition('.')[2]}"
        path.parent.mkdir()
        (path.parent / "out").mkdir()
        path.write_bytes(data)
        for words in commands_for(path):
            with limited():
                result = CliRunner().invoke(debug, words, prog_name="namel3ss debug", input="")
            problem = judge(words, result.exit_code, result.stdout, result.stderr)
            if problem is not None:
                wrong.append(f"{what}: {problem}")
            shown += words[0] == "show" and result.exit_code == 0
    assert not wrong, "\n".join(wrong)
    # Protobuf has no beginning that can be read without its end.
    assert shown > (20 if name != "otlp.pb" else 0), "most mutations leave something to read"


@pytest.mark.slow
def test_real_processes_end_as_well(tmp_path):
    """A sample of the mutations, for what only a process of its own would do."""
    chance = random.Random("processes")
    environment = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "NAMEL3SS_DEBUG_TRACE_OUTPUT_DIR": str(tmp_path / "traces"),
    }
    for number, name in enumerate(SAMPLES):
        what, data = chance.choice(list(mutate(SAMPLES[name], chance)))
        path = tmp_path / f"{number}" / f"file.{name.partition('.')[2]}"
        path.parent.mkdir()
        (path.parent / "out").mkdir()
        path.write_bytes(data)
        words = commands_for(path)[number % 5]
        done = subprocess.run(
            [sys.executable, "-m", "namel3ss_debug", *words],
            capture_output=True, timeout=60, env=environment, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        problem = judge(words, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert problem is None, f"{name}, {what}: {problem}"
