"""Reading traces: order, segments, processes, damage, foreign files, and files made to do harm."""

import gzip
import json
import os
import random
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namel3ss_debug.errors import TraceNotFoundError, UnreadableTraceError
from namel3ss_debug.fields import FIELDS
from namel3ss_debug.traces import decoding, lines, process
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.span_table import read_spans
from namel3ss_debug.traces.typed_events import TraceEvent

DATA = Path(__file__).parents[1] / "data"
TIME = 1_763_720_100.0
TYPES = {"string": str, "int": int, "float": (int, float), "object": dict, "list": list}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Keep indexes out of the real home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def event(seq, event_type="decision", *, at=None, process=0, **more):
    """An event as our writer writes it."""
    prefix = f"p{process}." if process else ""
    return {
        "event_type": event_type,
        "component": "app",
        "event_id": f"{prefix}{seq + 1}",
        "seq": seq,
        "timestamp": TIME + seq / 1000 if at is None else at,
        "execution_id": "ab12cd34ef",
    } | more


def line(*arguments, **more):
    """The line of an event."""
    return orjson.dumps(event(*arguments, **more)) + b"\n"


GOOD = [line(0, "trace_start"), line(1, "llm_call_start"), line(2, "llm_call_end", parent_event_id="2")]
GOOD += [line(seq) for seq in range(3, 8)]
WHOLE = b"".join(GOOD)


def write(path, data):
    """Write bytes to a file and return its path."""
    path.write_bytes(data)
    return path


def numbers(trace):
    """The ids of all events in order."""
    return [event["event_id"] for event in trace.events()]


def test_an_intact_trace_comes_as_it_was_written(tmp_path):
    """Events are the dicts on the lines, in order, without a problem."""
    trace = open_trace(write(tmp_path / "t.jsonl", WHOLE))
    assert list(trace.events()) == [orjson.loads(part) for part in GOOD]
    assert not trace.problems
    assert trace.count() == len(GOOD)
    assert trace.event(2)["event_type"] == "llm_call_start"


def test_an_event_that_is_not_there_is_an_error_that_says_how_many_there_are(tmp_path):
    """Asking for a number outside the trace names the trace and its size."""
    trace = open_trace(write(tmp_path / "t.jsonl", WHOLE))
    for number in (0, -3, 9, 10**9):
        with pytest.raises(UnreadableTraceError, match=f"no event {number}; the trace has 8 events"):
            trace.event(number)


def test_single_events_are_those_of_the_file_as_it_is_now(tmp_path):
    """A file that has grown, or that another one has taken the place of, is looked at anew between two events."""
    path = write(tmp_path / "t.jsonl", WHOLE)
    trace = open_trace(path)
    assert trace.count() == 8
    assert [trace.event(number)["seq"] for number in (3, 1, 3)] == [2, 0, 2]
    with path.open("ab") as file:
        file.write(line(8, "state_change"))
    assert trace.event(9)["event_type"] == "state_change"
    assert trace.event(3)["seq"] == 2
    other = write(
        tmp_path / "other", b"".join([line(0, "trace_start"), *(line(n, "log_record") for n in (1, 2))])
    )
    os.replace(other, path)
    assert trace.event(3)["event_type"] == "log_record"


def test_events_can_begin_anywhere(tmp_path):
    """`events(n)` gives what a full pass gives from the n-th event on."""
    trace = open_trace(write(tmp_path / "t.jsonl", WHOLE))
    everything = list(trace.events())
    for start in range(1, 11):
        assert list(trace.events(start)) == everything[start - 1 :]


def test_segments_are_read_in_their_order_from_any_of_them(tmp_path):
    """Ten segments, one of them compressed, are one sequence, whichever is opened."""
    parts = {0: "run.jsonl"} | {number: f"run.s{number}.jsonl" for number in range(1, 12)}
    for number, name in parts.items():
        data = line(number * 2, "trace_start") + line(number * 2 + 1)
        if number == 5:
            data = gzip.compress(data)
        write(tmp_path / (f"{name}.gz" if number == 5 else name), data)
    for opened in ("run.jsonl", "run.s11.jsonl", "run.s5.jsonl.gz"):
        trace = open_trace(tmp_path / opened)
        assert [event["seq"] for event in trace.events()] == list(range(24))
        assert not trace.problems
        assert trace.count() == 24
        assert trace.event(20)["seq"] == 19
        assert len(trace.files) == 12


def test_a_segment_that_is_there_twice_is_read_once(tmp_path):
    """Where a crash left both the raw and the compressed segment, nothing is counted double."""
    write(tmp_path / "run.jsonl", WHOLE)
    write(tmp_path / "run.jsonl.gz", gzip.compress(WHOLE))
    write(tmp_path / "run.s1.jsonl.gz.tmp", b"half")
    assert open_trace(tmp_path / "run.jsonl").count() == len(GOOD)


def test_the_link_to_the_latest_opens_the_whole_trace(tmp_path):
    """A symbolic link stands for the trace of the file it points to."""
    write(tmp_path / "run.jsonl", line(0, "trace_start"))
    write(tmp_path / "run.s1.jsonl", line(1, "trace_start"))
    (tmp_path / "trace_latest.jsonl").symlink_to("run.jsonl")
    assert open_trace(tmp_path / "trace_latest.jsonl").count() == 2


def test_processes_are_merged_by_time(tmp_path):
    """Between processes the timestamp decides, a tie goes to the earlier process."""
    write(tmp_path / "run.jsonl", b"".join(line(seq, at=TIME + seq) for seq in range(3)))
    write(tmp_path / "run.p1.jsonl", b"".join(line(seq, at=TIME + seq, process=1) for seq in range(3)))
    write(tmp_path / "run.p10.jsonl", line(0, at=TIME + 0.5, process=10))
    write(tmp_path / "run.p2.jsonl", line(0, at=TIME + 0.5, process=2))
    trace = open_trace(tmp_path / "run.p2.jsonl")
    expected = ["1", "p1.1", "p2.1", "p10.1", "2", "p1.2", "3", "p1.3"]
    assert numbers(trace) == expected
    assert [trace.event(number)["event_id"] for number in range(1, 9)] == expected
    assert not trace.problems


def test_a_leftover_of_another_recording_is_not_part_of_the_trace(tmp_path):
    """A further process file under the same name but of another execution is left out."""
    write(tmp_path / "out.jsonl", line(0))
    write(tmp_path / "out.p1.jsonl", line(0, process=1, execution_id="0ther"))
    assert numbers(open_trace(tmp_path / "out.jsonl")) == ["1"]
    assert numbers(open_trace(tmp_path / "out.p1.jsonl")) == ["p1.1"]


@given(
    times=st.lists(st.lists(st.floats(0, 100), min_size=1, max_size=12), min_size=1, max_size=4),
    missing=st.sets(st.integers(0, 3)),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_law(tmp_path_factory, times, missing):
    """Every process keeps its order whatever its clock does, nothing is lost, and random access agrees."""
    directory = tmp_path_factory.mktemp("order")
    for number, clock in enumerate(times):
        data = b"".join(line(seq, at=TIME + at, process=number) for seq, at in enumerate(clock))
        write(directory / (f"run.p{number}.jsonl" if number else "run.jsonl"), data)
    trace = open_trace(directory / "run.jsonl")
    events = list(trace.events())
    assert len(events) == sum(map(len, times))
    latest = {}
    keys = []
    for found in events:
        number = found["event_id"].partition(".")[0] if "." in found["event_id"] else ""
        seen, high = latest.get(number, (-1, 0.0))
        assert found["seq"] == seen + 1
        latest[number] = (found["seq"], max(high, found["timestamp"]))
        keys.append(latest[number][1])
    assert keys == sorted(keys)
    assert [trace.event(place) for place in range(1, len(events) + 1)] == events


@given(order=st.permutations(range(1, 12)), data=st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neighbours_out_of_order_are_put_right(tmp_path_factory, order, data):
    """Lines in any order within the window come out by their number, also by random access and over segments."""
    cut = data.draw(st.integers(0, len(order)))
    directory = tmp_path_factory.mktemp("inverted")
    write(directory / "run.jsonl", line(0, "trace_start") + b"".join(map(line, order[:cut])))
    write(directory / "run.s1.jsonl", b"".join(map(line, order[cut:])))
    trace = open_trace(directory / "run.jsonl")
    assert [found["seq"] for found in trace.events()] == list(range(12))
    assert not trace.problems
    assert [trace.event(number)["seq"] for number in range(1, 13)] == list(range(12))


def test_a_gap_is_reported_and_nothing_else_is_disturbed(tmp_path):
    """Missing numbers are counted; what stands on both sides comes in order."""
    data = b"".join(line(seq) for seq in (0, 1, *range(10, 1000)))
    trace = open_trace(write(tmp_path / "t.jsonl", data))
    assert [found["seq"] for found in trace.events()] == [0, 1, *range(10, 1000)]
    assert trace.lost == 8
    assert trace.rotated_away == 0
    assert [problem.what for problem in trace.problems.first] == [
        "events are missing: 8 before the one with seq 10"
    ]


def test_a_gap_is_told_at_the_event_behind_it(tmp_path):
    """Events are held back for those that may be late; the gap is still named by the file and line where it is."""
    write(tmp_path / "run.jsonl", line(0, "trace_start") + b"".join(map(line, range(1, 5))))
    write(
        tmp_path / "run.s2.jsonl", b"".join(map(line, range(10, 300))) + b"".join(map(line, range(301, 400)))
    )
    trace = open_trace(tmp_path / "run.jsonl")
    assert sum(1 for _ in trace.events()) == 5 + 290 + 99
    assert [(problem.file, problem.line) for problem in trace.problems.first] == [
        ("run.s2.jsonl", 1),
        ("run.s2.jsonl", 291),
    ]


def test_segments_rotated_away_are_reported(tmp_path):
    """When the first segments are gone the reader says how many events went and that a re-run is impossible."""
    write(tmp_path / "run.s3.jsonl", line(500, "trace_start") + line(501))
    trace = open_trace(tmp_path / "run.s3.jsonl")
    assert trace.count() == 2
    assert (trace.lost, trace.rotated_away) == (500, 500)
    (problem,) = trace.problems.first
    assert problem == (
        "run.s3.jsonl",
        0,
        "earlier segments were rotated away: 500 events are lost; the trace cannot be re-run",
    )


def test_repeated_and_late_numbers_are_kept_and_counted(tmp_path):
    """An event whose number was already there is not lost."""
    trace = open_trace(write(tmp_path / "t.jsonl", WHOLE + line(3) + line(8)))
    assert [found["seq"] for found in trace.events()] == [*range(8), 3, 8]
    assert trace.problems.counts == {"a number (seq) repeated or too late": 1}


def test_problems_name_file_and_line_and_start_anew(tmp_path):
    """Each problem says where it is; a second pass does not count it twice."""
    data = GOOD[0] + b"not json\n\n" + GOOD[1] + b"[1]\n" + b'{"a":1}\n' + b"".join(GOOD[2:]) + b'{"event_ty'
    trace = open_trace(write(tmp_path / "t.jsonl", data))
    for _ in range(2):
        assert len(list(trace.events())) == len(GOOD)
        assert trace.problems.first == [
            ("t.jsonl", 2, "not JSON"),
            ("t.jsonl", 5, "not an event"),
            ("t.jsonl", 6, "not an event"),
            ("t.jsonl", 13, "a torn last line"),
        ]
        assert trace.problems.total == 4


def test_many_problems_are_all_counted_and_the_first_hundred_named(tmp_path):
    """A file full of rubbish costs no memory for its problems."""
    trace = open_trace(write(tmp_path / "t.jsonl", b"x\n" * 5000 + WHOLE))
    assert len(list(trace.events())) == len(GOOD)
    assert trace.problems.counts["not JSON"] == 5000
    assert len(trace.problems.first) == 100


def test_a_last_line_without_a_line_feed_counts_when_it_parses(tmp_path):
    """The event a kill left without its line feed is kept; the torn one is a problem."""
    path = write(tmp_path / "t.jsonl", WHOLE[:-1])
    assert open_trace(path).count() == len(GOOD)
    path.write_bytes(WHOLE[:-5])
    trace = open_trace(path)
    assert len(list(trace.events())) == len(GOOD) - 1
    assert trace.problems.counts == {"a torn last line": 1}


def test_wrong_types_are_mended_without_losing_what_they_say(tmp_path):
    """Known fields get their type, what does not fit moves to `unreadable`, null fields go."""
    bad = {
        "event_type": 5,
        "event_id": 7,
        "seq": "1",
        "timestamp": "2025-11-21T10:15:00+00:00",
        "component": ["llm"],
        "inputs": "hello",
        "depends_on": "3",
        "duration_ms": -4,
        "tokens_used": 12.0,
        "cost_estimate": True,
        "error": {"message": "no"},
        "status": None,
        "retry_count": 10**30,
        "own": [1],
    }
    trace = open_trace(write(tmp_path / "t.jsonl", GOOD[0] + json.dumps(bad).encode() + b"\n"))
    assert list(trace.events())[1] == {
        "event_type": "5",
        "event_id": "7",
        "seq": 1,
        "timestamp": 1763720100.0,
        "component": '["llm"]',
        "inputs": {"value": "hello"},
        "depends_on": ["3"],
        "tokens_used": 12,
        "error": '{"message":"no"}',
        "own": [1],
        "unreadable": {"duration_ms": -4, "cost_estimate": True, "retry_count": 1e30},
    }
    assert trace.problems.counts == {"a field of the wrong type or out of range, repaired": 12}


@pytest.mark.parametrize("seq", [10**15, 2**63, 2**64 - 1])
def test_a_number_of_an_event_that_no_recording_comes_to_is_put_aside(tmp_path, seq):
    """Such a seq is no place among the events: nothing is reported missing before it, and it can still be seen."""
    trace = open_trace(write(tmp_path / "t.jsonl", GOOD[0] + line(seq, at=1763720101.0)))
    assert list(trace.events())[1]["unreadable"] == {"seq": seq}
    assert trace.problems.counts == {"a field of the wrong type or out of range, repaired": 1}


@pytest.mark.parametrize("timestamp", [-1, 4102444800, 1e18, -1e18, "soon", [], True])
def test_times_outside_the_years_1970_to_2100_are_put_aside(tmp_path, timestamp):
    """Such a timestamp is no timestamp, but can still be seen."""
    trace = open_trace(write(tmp_path / "t.jsonl", line(0, at=timestamp)))
    (found,) = trace.events()
    assert "timestamp" not in found
    assert found["unreadable"] == {"timestamp": timestamp}


@pytest.mark.parametrize(
    "make",
    [
        lambda rows: json.dumps(rows, indent=2),
        json.dumps,
        lambda rows: json.dumps({"events": rows}, indent=1),
        lambda rows: json.dumps({"schema": "x", "events": rows}),
        lambda rows: "\n".join(json.dumps(row, indent=4) for row in rows),
        lambda rows: "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n",
        lambda rows: "[" + ",\n".join(json.dumps(row) for row in rows) + "]",
        lambda rows: "".join(json.dumps(row) for row in rows),
        lambda rows: "\n\r\n  ".join(json.dumps(row) for row in rows),
    ],
)
def test_json_documents_are_read_as_a_courtesy(tmp_path, make):
    """An array, an object with `events`, pretty-printed or glued objects hold the same events."""
    rows = [orjson.loads(part) for part in GOOD]
    trace = open_trace(write(tmp_path / "t.json", make(rows).encode()))
    assert list(trace.events()) == rows
    assert trace.count() == len(rows)
    assert trace.event(3) == rows[2]


def test_a_document_that_breaks_off_gives_what_is_whole(tmp_path):
    """A damaged array still gives the events before and behind the damage."""
    rows = [orjson.loads(part) for part in GOOD]
    text = json.dumps(rows, indent=1)
    trace = open_trace(write(tmp_path / "t.json", text[:-40].encode()))
    assert list(trace.events()) == rows[:-1]
    assert trace.problems.counts == {"a damaged JSON document, only a part could be read": 1}


def test_a_document_that_is_too_large_says_what_to_do(tmp_path, monkeypatch):
    """Above the limit a document is not read into memory."""
    monkeypatch.setattr(process, "DOCUMENT_LIMIT", 1000)
    rows = [orjson.loads(part) for part in GOOD] * 2000
    trace = open_trace(write(tmp_path / "t.json", json.dumps(rows, indent=1).encode()))
    assert list(trace.events()) == []
    assert "jq" in trace.problems.first[0].what


def deep(depth):
    """An event that is nested so deep."""
    return line(8, inputs={"a": 0}).replace(b'{"a":0}', b'{"a":' * depth + b"0" + b"}" * depth)


def deep_list(depth):
    """A line of so many brackets."""
    return b"[" * depth + b"]" * depth + b"\n"


GZIPPED = gzip.compress(WHOLE)
HOSTILE = {
    "empty": (b"", 0),
    "one line feed": (b"\n", 0),
    "blank lines": (b"\n \n\t\r\n" + WHOLE + b"\n\n", 8),
    "spaces": (b" " * 100_000, 0),
    "nul bytes alone": (b"\0" * 100_000, 0),
    "nul bytes behind": (WHOLE + b"\0" * 300_000, 8),
    "nul hole in front": (b"\0" * 300_000 + WHOLE, 8),
    "nul hole between": (WHOLE + b"\0" * 300_000 + line(8), 9),
    "nul bytes in a line": (WHOLE + line(8).replace(b"decision", b"deci\0sion"), 9),
    "cut in the middle": (WHOLE[:-30], 7),
    "cut in the first line": (WHOLE[:30], 0),
    "first line lost": (WHOLE[30:], 7),
    "no last line feed": (WHOLE[:-1], 8),
    "glued events": (WHOLE.replace(b"\n", b""), 8),
    "two glued events": (GOOD[0] + GOOD[1][:-1] + b"".join(GOOD[2:]), 8),
    "torn and glued": (WHOLE + line(8)[:40] + line(9), 9),
    "crlf": (WHOLE.replace(b"\n", b"\r\n"), 8),
    "old mac line ends": (WHOLE.replace(b"\n", b"\r"), 8),
    "byte order mark": (b"\xef\xbb\xbf" + WHOLE, 8),
    "utf-16 without a mark": (WHOLE.decode().encode("utf-16-le"), 8),
    "invalid utf-8": (WHOLE + line(8, error="caf\xe9").replace(b"\xc3\xa9", b"\xe9"), 9),
    "overlong utf-8": (WHOLE + line(8).replace(b"decision", b"\xc0\xafx"), 9),
    "lone surrogate": (WHOLE + line(8, error="X").replace(b"X", rb"\ud800"), 9),
    "lone surrogate in a key": (WHOLE + line(8, inputs={"X": 1}).replace(b"X", rb"\udfff"), 9),
    "nan": (WHOLE + line(8, inputs={"x": 0}).replace(b'"x":0', b'"x":NaN'), 9),
    "infinity": (WHOLE + line(8, inputs={"x": 0}).replace(b'"x":0', b'"x":-Infinity'), 9),
    "1e999": (WHOLE + line(8, duration_ms=0).replace(b'"duration_ms":0', b'"duration_ms":1e999'), 9),
    "nan timestamp": (WHOLE + line(8, at=0).replace(b'"timestamp":0', b'"timestamp":NaN'), 9),
    "huge integer": (
        WHOLE + line(8, tokens_used=0).replace(b'"tokens_used":0', b'"tokens_used":' + b"9" * 5000),
        9,
    ),
    "integer above 64 bit": (WHOLE + line(8, inputs={"x": 0}).replace(b'"x":0', b'"x":%d' % 2**64), 9),
    "large duration": (WHOLE + line(8, duration_ms=1e308, cost_estimate=1e308), 9),
    "negative seq": (WHOLE + line(-5), 9),
    "enormous seq": (WHOLE + line(2**62), 9),
    "enormous first seq": (line(2**62) + WHOLE, 9),
    "duplicate keys": (WHOLE + b'{"event_type":"a","event_type":"b","seq":8,"event_id":"9"}\n', 9),
    "duplicate ids": (WHOLE * 3, 24),
    "own parent": (WHOLE + line(8, "x_start", parent_event_id="9"), 9),
    "circle of parents": (
        WHOLE + line(8, "x_start", parent_event_id="10") + line(9, "x_start", parent_event_id="9"),
        10,
    ),
    "unhashable fields": (
        WHOLE + json.dumps({key: [{}] for key in event(0)} | {"parent_event_id": {}, "status": []}).encode(),
        9,
    ),
    "every field an object": (WHOLE + json.dumps({field.name: {"a": [1]} for field in FIELDS}).encode(), 9),
    "every field null": (WHOLE + json.dumps({field.name: None for field in FIELDS}).encode(), 9),
    "every field a string": (WHOLE + json.dumps({field.name: "x" for field in FIELDS}).encode(), 9),
    "every field true": (WHOLE + json.dumps({field.name: True for field in FIELDS}).encode(), 9),
    "nested 300": (WHOLE + deep(300), 9),
    "nested 900": (WHOLE + deep(900), 9),
    "nested 100,000": (WHOLE + deep(100_000), 8),
    "brackets 1,000,000": (WHOLE + deep_list(1_000_000) + line(8), 9),
    "open brackets": (WHOLE + b"[" * 1_000_000 + b"\n" + line(8), 9),
    "open braces": (WHOLE + b'{"event_type":' * 100_000 + b"\n" + line(8), 9),
    "200,000 keys": (WHOLE + line(8, **{f"k{number}": number for number in range(200_000)}), 9),
    "long id": (WHOLE + line(8, event_id="x" * 1_000_000), 9),
    "line of 3 MB": (WHOLE + line(8, error="x" * 3_000_000), 9),
    "control characters": (WHOLE + line(8, error="\x1b]52;c;aGk=\x07\x9b31m", component_name="\x1b[2J"), 9),
    "raw control characters": (WHOLE + b"\x1b[2J\x9b\n" + line(8), 9),
    "prototype keys": (WHOLE + line(8, __proto__={}, constructor={}, __class__="x"), 9),
    "scalars": (WHOLE + b'1\n"x"\nnull\ntrue\n1.5\n' + line(8), 9),
    "arrays": (WHOLE + b"[]\n[1,2]\n[[]]\n{}\n" + line(8), 9),
    "another format": (b"time=1 level=info msg=hello\n" * 100, 0),
    "pickle": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.", 0),
    "random bytes": (random.Random(1).randbytes(200_000), 0),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(1000), 0),
    "gzip": (GZIPPED, 8),
    "gzip members": (gzip.compress(WHOLE) + gzip.compress(line(8)), 9),
    "gzip cut": (GZIPPED[:-12], 0),
    "gzip without checksum": (GZIPPED[:-8] + b"\1" * 8, 8),
    "gzip and rubbish": (GZIPPED + b"rubbish", 8),
    "gzip head only": (GZIPPED[:5], 0),
    "gzip in gzip": (gzip.compress(GZIPPED), 0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_read_as_far_as_they_can_be(tmp_path, name):
    """No content raises; every event that can be read is there, well-formed, and found again by its number."""
    data, good = HOSTILE[name]
    trace = open_trace(write(tmp_path / "t.jsonl", data))
    events = list(trace.events())
    assert len(events) >= good
    types = {field.name: TYPES[field.type] for field in FIELDS}
    for found in events:
        assert isinstance(found["event_type"], str)
        assert isinstance(found["component"], str)
        assert isinstance(found["event_id"], str)
        assert all(isinstance(value, types[key]) for key, value in found.items() if key in types)
        TraceEvent.from_dict(found)
    assert all(parent < row for row, parent in enumerate(read_spans(events).parent))
    assert trace.count() == len(events)
    for number in {1, len(events) // 2 + 1, len(events)} & set(range(1, len(events) + 1)):
        assert trace.event(number) == events[number - 1]
    if len(events) != len(GOOD) or good != len(GOOD):
        list(trace.events())
        assert trace.problems or len(events) == good


def test_utf_16_and_zstd_are_refused_with_what_to_do(tmp_path):
    """Another encoding is named, and how to get rid of it."""
    with pytest.raises(UnreadableTraceError, match="iconv"):
        open_trace(write(tmp_path / "a.jsonl", WHOLE.decode().encode("utf-16")))
    with pytest.raises(UnreadableTraceError, match="zstd -d"):
        open_trace(write(tmp_path / "b.jsonl", b"\x28\xb5\x2f\xfd" + bytes(100)))


def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path):
    """A FIFO, a device, a directory, a link in a circle and a missing file are errors in one line."""
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "directory.jsonl").mkdir()
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "dangling.jsonl").symlink_to("nowhere.jsonl")
    for name in ("fifo", "zero", "directory", "loop"):
        with pytest.raises(UnreadableTraceError, match=f"{name}.jsonl"):
            open_trace(tmp_path / f"{name}.jsonl")
    for name in ("dangling", "missing"):
        with pytest.raises(TraceNotFoundError, match=f"{name}.jsonl"):
            open_trace(tmp_path / f"{name}.jsonl")


def test_a_fifo_among_the_segments_does_not_stop_the_rest(tmp_path):
    """A file of the trace that cannot be read is left out."""
    write(tmp_path / "run.jsonl", WHOLE)
    os.mkfifo(tmp_path / "run.s1.jsonl")
    write(tmp_path / "run.s2.jsonl", line(8, "trace_start"))
    assert open_trace(tmp_path / "run.jsonl").count() == 9


def test_a_segment_that_vanishes_is_named(tmp_path):
    """Rotation may remove a file between opening and reading."""
    write(tmp_path / "run.jsonl", WHOLE)
    later = write(tmp_path / "run.s1.jsonl", line(8, "trace_start"))
    trace = open_trace(tmp_path / "run.jsonl")
    events = trace.events()
    first = next(events)
    later.unlink()
    assert len([first, *events]) == 8
    assert trace.problems.counts == {"a file was left out": 1}


def test_a_line_over_the_limit_is_skipped_without_being_held(tmp_path, monkeypatch):
    """The lines around it are read, and it is named by its number."""
    monkeypatch.setattr(lines, "LINE_LIMIT", 200_000)
    data = WHOLE + b'{"event_type":"' + b"x" * 1_000_000 + b'"}\n' + line(8)
    trace = open_trace(write(tmp_path / "t.jsonl", data))
    assert len(list(trace.events())) == 9
    assert [(problem.line, "longer than" in problem.what) for problem in trace.problems.first] == [(9, True)]
    assert trace.event(9)["seq"] == 8


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["in front", "between"])
def test_a_hole_longer_than_any_line_takes_nothing_with_it(tmp_path, monkeypatch, before):
    """NUL bytes that a power loss left are told, however many they are, and what stands behind them is found again."""
    monkeypatch.setattr(lines, "LINE_LIMIT", 200_000)
    trace = open_trace(write(tmp_path / "t.jsonl", before + bytes(3_000_000) + line(8) + line(9)))
    events = list(trace.events())
    assert [event["seq"] for event in events][-2:] == [8, 9]
    assert (before.count(b"\n") + 1, "NUL bytes, left out") in {
        (problem.line, problem.what) for problem in trace.problems.first
    }
    assert [trace.event(number)["seq"] for number in (len(events) - 1, len(events))] == [8, 9]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (GZIPPED + b"rubbish", "something that is not gzip after gzip data, left out"),
        (GZIPPED[:-12], "gzip data that breaks off"),
        (gzip.compress(WHOLE) + GZIPPED[:15], "gzip data that breaks off"),
        (GZIPPED[:-8] + b"\1" * 8, "damaged gzip data, the rest is lost"),
    ],
)
def test_what_is_wrong_with_gzip_data_is_said(tmp_path, data, said):
    """Its end may be missing, damaged, or something else."""
    trace = open_trace(write(tmp_path / "t.jsonl.gz", data))
    list(trace.events())
    assert trace.problems.counts[said] == 1


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    """A file that an editor has saved is read as it was, from its first event on."""
    trace = open_trace(write(tmp_path / "t.jsonl", b"\xef\xbb\xbf" + WHOLE))
    assert list(trace.events()) == list(open_trace(write(tmp_path / "plain.jsonl", WHOLE)).events())
    assert trace.event(1)["seq"] == 0
    assert not trace.problems


def test_damaged_gzip_keeps_everything_before_the_damage(tmp_path):
    """Every line whose bytes came before the damage is there."""
    data = b"".join(line(seq, error=f"{seq * 7919 % 10007}") for seq in range(5000))
    packed = bytearray(gzip.compress(data))
    place = len(packed) // 2
    packed[place : place + 4] = b"\xff\xff\xff\xff"
    stream, whole = zlib.decompressobj(31), 0
    whole = len(stream.decompress(bytes(packed[:place])).split(b"\n")) - 1
    trace = open_trace(write(tmp_path / "t.jsonl.gz", bytes(packed)))
    found = [event.get("seq") for event in trace.events()]
    assert whole > 1000
    assert set(found) >= set(range(whole))
    assert trace.problems


def test_a_gzip_bomb_is_not_read_to_its_end(tmp_path, monkeypatch):
    """Data that expands too far is stopped; events before it are there."""
    monkeypatch.setattr(lines, "FREE_EXPANSION", 100_000)
    trace = open_trace(write(tmp_path / "t.jsonl.gz", gzip.compress(WHOLE + b" " * 20_000_000)))
    assert len(list(trace.events())) == 8
    assert any("expands" in problem.what for problem in trace.problems.first)


def test_a_large_compressed_recording_is_read_to_its_end(tmp_path, monkeypatch):
    """However much comes out of it, text expands so far and no further."""
    monkeypatch.setattr(lines, "FREE_EXPANSION", 100)
    trace = open_trace(write(tmp_path / "t.jsonl.gz", GZIPPED))
    assert len(list(trace.events())) == 8
    assert not trace.problems


def test_a_file_that_grows_while_it_is_read(tmp_path):
    """Events appended during a pass either come or come with the next one; nothing breaks."""
    path = write(tmp_path / "t.jsonl", WHOLE)
    trace = open_trace(path)
    stop = threading.Event()

    def append():
        with path.open("ab", buffering=0) as file:
            for seq in range(8, 3000):
                data = line(seq)
                file.write(data[:50])
                file.write(data[50:])
        stop.set()

    writer = threading.Thread(target=append)
    writer.start()
    seen = 0
    while not stop.is_set():
        found = [event["seq"] for event in trace.events()]
        assert found == list(range(len(found)))
        assert len(found) >= seen
        seen = len(found)
    writer.join()
    assert trace.count() == 3000


def test_progress_is_told_in_bytes(tmp_path):
    """The callback hears of every byte of every file."""
    write(tmp_path / "run.jsonl", WHOLE * 1000)
    write(tmp_path / "run.s1.jsonl", WHOLE)
    trace = open_trace(tmp_path / "run.jsonl")
    told = []
    trace.progress = lambda done, total: told.append((done, total))
    for _ in trace.events():
        pass
    assert told[-1] == (len(WHOLE) * 1001, len(WHOLE) * 1001)
    assert told == sorted(told)


def test_more_processes_than_open_files(tmp_path):
    """Processes that follow each other are opened one after the other."""
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
from namel3ss_debug.traces.reader import open_trace
trace = open_trace(sys.argv[1])
print(sum(1 for _ in trace.events()), trace.problems.total, trace.event(301)["event_id"])
"""
    write(tmp_path / "run.jsonl", line(0))
    for number in range(1, 301):
        data = b"".join(line(seq, at=TIME + number + seq / 10, process=number) for seq in range(2))
        write(tmp_path / f"run.p{number}.jsonl", data)
    command = [sys.executable, "-c", script, str(tmp_path / "run.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["601", "0", "p150.2"]


@given(data=st.data())
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_corruption_never_raises_and_never_loses_an_intact_line(tmp_path_factory, data):
    """Whatever happens to some bytes, the lines that were not hit are read, and random access agrees."""
    body = bytearray(WHOLE)
    places = data.draw(st.lists(st.integers(0, len(body) - 1), max_size=6))
    for place in places:
        body[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    body = bytes(body[: cut or len(body)])
    intact = [part[:-1] for part in body.splitlines(keepends=True) if part in GOOD]
    trace = open_trace_or_none(write(tmp_path_factory.mktemp("c") / "t.jsonl", body))
    if trace is None:
        return
    found = [orjson.dumps(event) for event in trace.events()]
    assert all(part in found for part in intact)
    assert trace.count() == len(found)
    assert [orjson.dumps(trace.event(number)) for number in range(1, len(found) + 1)] == found


def open_trace_or_none(path):
    """The trace, unless its first bytes say that it is in another encoding."""
    try:
        return open_trace(path)
    except UnreadableTraceError:
        return None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from([field.name for field in FIELDS] + ["x"]), JSON), max_size=8
    )
)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_in_any_field(tmp_path_factory, rows):
    """Events of arbitrary values come out well-formed, in every pass the same, and pair without an error."""
    data = "".join(json.dumps({"event_type": "a_start"} | row) + "\n" for row in rows).encode()
    path = write(tmp_path_factory.mktemp("v") / "t.jsonl", data)
    trace = open_trace(path)
    events = list(trace.events())
    assert len(events) == len(rows)
    assert list(trace.events()) == events
    types = {field.name: TYPES[field.type] for field in FIELDS}
    for found in events:
        for key, value in found.items():
            assert key not in types or isinstance(value, types[key])
            assert (
                not isinstance(value, int | float)
                or key not in types
                or 0 <= value < decoding.NUMBER_LIMIT
                or key == "seq"
            )
    read_spans(events)


@pytest.mark.slow
def test_a_gigabyte_on_one_line_takes_little_memory(tmp_path):
    """A line of a gigabyte, and a bomb, are passed in constant memory; the events around them are read."""
    path = tmp_path / "t.jsonl"
    with path.open("wb") as file:
        file.write(WHOLE + b'{"event_type":"')
        for _ in range(1024):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + line(8))
    script = """
import pathlib, re, sys
from namel3ss_debug.traces.reader import open_trace
trace = open_trace(sys.argv[1])
print(sum(1 for _ in trace.events()))
print(int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    count, megabytes = map(int, done.stdout.split())
    assert count == 9
    assert megabytes < 200


@pytest.mark.slow
def test_a_large_trace_takes_constant_memory(tmp_path):
    """Reading, indexing and finding one of 400,000 events stays below 60 MB."""
    path = tmp_path / "t.jsonl"
    with path.open("wb") as file:
        for seq in range(400_000):
            file.write(line(seq, inputs={"text": "x" * 200}))
    script = """
import pathlib, re, sys
from namel3ss_debug.traces.reader import open_trace
trace = open_trace(sys.argv[1])
print(sum(1 for _ in trace.events()), trace.event(390_000)["seq"])
print(int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    count, seq, megabytes = map(int, done.stdout.split())
    assert (count, seq) == (400_000, 389_999)
    assert megabytes < 60
