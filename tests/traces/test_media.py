"""Media is written once a segment, and every reader gets all of it back."""

from __future__ import annotations

import base64
import json
import random

import pytest

from namel3ss_debug.traces.media import SHORTEST, MediaText, _kept, find_media
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.signing import derive_key, line_verifier
from namel3ss_debug.traces.writer import TraceWriter

RAW = random.Random(3).randbytes(9000)
PNG = b"\x89PNG\r\n\x1a\n" + RAW
KEY = derive_key(b"k" * 32, "e")


def in_base64(data: bytes) -> str:
    """Return data in base64."""
    return base64.b64encode(data).decode()


def header(process, segment, seq):
    """Make a small `trace_start`."""
    metadata = {"format": 2, "process": process, "segment": segment, "first_seq": seq}
    start = {"event_type": "trace_start", "event_id": None, "seq": 0, "timestamp": 1.0, "component": "app"}
    return {**start, "execution_id": "e", "metadata": metadata}


def event(*media, text=""):
    """Make an event with media."""
    parts = [{"type": "blob", "content": each} for each in media]
    inputs = {"messages": [{"role": "user", "parts": parts, "text": text}]}
    plain = {"event_type": "decision", "event_id": None, "seq": 0, "timestamp": 1.0, "component": "app"}
    return {**plain, "inputs": inputs}


def media_of(shown):
    """Return the media in an event that was read."""
    return [part["content"] for part in shown["inputs"]["messages"][0]["parts"]]


@pytest.fixture
def make(tmp_path):
    """Make writers of one trace; closed after the test."""
    made = []

    def writer(**settings):
        first = tmp_path / "trace_20260101_000000_0123abcd.jsonl"
        made.append(TraceWriter(first, **{"first_process": True, "header": header, "key": KEY, **settings}))
        made[-1].begin()
        return made[-1]

    yield writer
    for writer in made:
        writer.close()


FIRST, SECOND = (find_media(in_base64(PNG + bytes([number]))) for number in (1, 2))


@pytest.mark.parametrize("buffer_size", [1, 3])
def test_media_is_written_once_a_segment_and_read_whole(make, buffer_size):
    """Requests repeat a conversation; each line is signed as it stands in the file."""
    writer = make(buffer_size=buffer_size, flush_interval=0)
    sent = [(FIRST,), (FIRST, SECOND), (SECOND, FIRST), (FIRST, FIRST)]
    for media in sent:
        writer.append(event(*media))
    writer.close()
    lines = writer.first.read_bytes().splitlines(keepends=True)
    assert [(line.count(FIRST.encode()), line.count(SECOND.encode())) for line in lines] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (0, 0),
        (0, 0),
    ]
    assert all(map(line_verifier(KEY, 0, 0), lines[1:]))
    trace = open_trace(writer.first)
    events = list(trace.events())[1:]
    assert [media_of(each) for each in events] == [list(map(str, media)) for media in sent]
    assert all(type(text) is str for each in events for text in media_of(each))
    assert not trace.problems


def test_any_event_is_read_alone_and_backwards(make):
    """The text is looked for in the file where the line that holds it was not read."""
    writer = make()
    for number in range(5):
        writer.append(event(FIRST, text=str(number)))
    writer.close()
    trace = open_trace(writer.first)
    trace.index()
    for number in (6, 4, 2):
        _kept.clear()  # as in another process
        assert media_of(trace.event(number)) == [FIRST]
    _kept.clear()
    assert [media_of(each) for each in trace.events(5)] == [[FIRST]] * 2


def test_each_segment_holds_its_own_media(make):
    """So that nothing is lost where earlier segments are rotated away."""
    writer = make(rotate_max_bytes=20_000, rotate_keep=1)
    for number in range(12):
        writer.append(event(FIRST, text="x" * 3000 + str(number)))
    writer.close()
    (left,) = (path for path in writer.first.parent.glob("*.jsonl") if not path.is_symlink())
    trace = open_trace(left)
    events = [each for each in trace.events() if each["event_type"] == "decision"]
    assert events
    assert trace.rotated_away
    assert all(media_of(each) == [FIRST] for each in events)
    assert "media is missing" not in trace.problems.counts


@pytest.mark.parametrize("change", ["removed", "edited"])
def test_media_whose_text_is_gone_is_reported_and_nothing_is_in_its_place(make, change):
    """Not even a text that somebody has put there."""
    writer = make()
    for _ in range(2):
        writer.append(event(FIRST))
    writer.close()
    start, first, second = writer.first.read_bytes().splitlines(keepends=True)
    first = b"" if change == "removed" else first.replace(FIRST[:40].encode(), SECOND[50:90].encode())
    writer.first.write_bytes(start + first + second)
    trace = open_trace(writer.first)
    *_, last = trace.events()
    assert media_of(last) == [{"$media": FIRST.digest, "size": len(FIRST)}]
    assert trace.problems.counts["media is missing"] == (1 if change == "removed" else 2)


def test_media_that_never_reached_the_file_is_written_again(make, monkeypatch):
    """A full disk loses the event that held it; the next one does not refer to it."""
    writer = make()

    def full(_descriptor, _data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("namel3ss_debug.traces.writer.write", full)
        writer.append(event(FIRST))
    writer.append(event(FIRST))
    writer.close()
    assert writer.dropped == 1
    *_, last = open_trace(writer.first).events()
    assert media_of(last) == [FIRST]


MEDIA = {
    "png": in_base64(PNG),
    "jpeg": in_base64(b"\xff\xd8\xff\xe0" + RAW),
    "gif": in_base64(b"GIF89a" + RAW),
    "webp": in_base64(b"RIFF\x24\x00\x00\x00WEBPVP8 " + RAW),
    "pdf": in_base64(b"%PDF-1.7\n" + RAW),
    "mp3": in_base64(b"\xff\xfb\x90\x44" + RAW),
    "mp3 with tags": in_base64(b"ID3\x04\x00" + RAW),
    "ogg": in_base64(b"OggS\x00\x02" + RAW),
    "mp4": in_base64(b"\x00\x00\x00\x18ftypmp42" + RAW),
    "zip": in_base64(b"PK\x03\x04\x14\x00" + RAW),
    "data URI": "data:audio/wav;base64," + in_base64(RAW),
    "data URI with a name": "data:application/pdf;name=a.pdf;base64," + in_base64(RAW),
}


@pytest.mark.parametrize("kind", MEDIA)
def test_media_is_known_by_its_first_bytes_or_its_address(kind):
    """It is the same text for everybody else."""
    media = find_media(MEDIA[kind])
    assert type(media) is MediaText
    assert media == MEDIA[kind]
    assert json.dumps([media]) == json.dumps([MEDIA[kind]])


@pytest.mark.parametrize(
    "member",
    [
        ("mime_type", "audio/L16;rate=24000"),
        ("media_type", "image/png"),
        ("format", "wav"),
        ("mimeType", "video/mp4"),
    ],
)
def test_media_is_known_by_the_type_beside_it(member):
    """Such as raw samples, which have no first bytes of their own."""
    assert find_media(in_base64(RAW), [member]) is not None
    assert find_media(in_base64(RAW)) is None


@pytest.mark.parametrize(
    "text",
    [
        in_base64(PNG)[: SHORTEST - 1],
        in_base64(PNG) + " sk-proj-abc",
        "data:image/png;base64," + "a b" * SHORTEST,
        "data:text/plain;base64," + in_base64(RAW),
        "data:image/svg+xml;base64," + in_base64(RAW),
        "see " + in_base64(PNG),
        "é" + in_base64(PNG),
    ],
)
def test_what_may_hold_a_text_is_no_media(text):
    """It is searched for secrets like anything else."""
    assert find_media(text) is None
    assert find_media(text, [("format", "markdown")]) is None
