"""The index: found again, continued, rebuilt, and never believed."""

import gc
import gzip
import os
import stat
import subprocess
import sys

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namel3ss_debug.errors import UnreadableTraceError
from namel3ss_debug.traces import index, reader
from namel3ss_debug.traces.reader import open_trace

EVENTS = 10_000  # more than two blocks


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache directory of the test's own, used for traces of any size."""
    directory = tmp_path / "cache" / "namel3ss-debug"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "WRITTEN_FROM", 0)
    monkeypatch.setattr(reader, "SCAN_LIMIT", 0)
    return directory


def lines(first, last, **more):
    """The lines of the events from `first` to before `last`."""
    rows = (
        {
            "event_type": "decision",
            "component": "app",
            "event_id": str(seq + 1),
            "seq": seq,
            "timestamp": 1_763_720_100.0 + seq,
            "metadata": {"text": "x" * (seq % 50)} | more,
        }
        for seq in range(first, last)
    )
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


@pytest.fixture
def path(tmp_path):
    """A trace of ten thousand events."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines(0, EVENTS))
    return path


def saved(cache):
    """The index files in the cache."""
    return sorted(cache.iterdir())


def test_an_index_is_kept_privately_and_used_again(path, cache, passes):
    """It is one file of mode 0600; another run finds any event without a pass."""
    assert open_trace(path).event(9_000)["seq"] == 8_999
    (file,) = saved(cache)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size < EVENTS * 13 + 2000
    counted = passes()
    trace = open_trace(path)
    for number in (1, 4096, 4097, 8192, 8193, EVENTS):
        assert trace.event(number)["seq"] == number - 1
    assert trace.count() == EVENTS
    assert [found["seq"] for found in trace.events(5_000)] == list(range(4_999, EVENTS))
    assert counted == []


def test_small_traces_leave_no_file(tmp_path, cache, monkeypatch):
    """Their index is only built in memory."""
    monkeypatch.setattr(index, "WRITTEN_FROM", 1_000_000)
    path = tmp_path / "small.jsonl"
    path.write_bytes(lines(0, 100))
    assert open_trace(path).event(50)["seq"] == 49
    assert not cache.exists()


def test_without_a_cache_everything_works(path, monkeypatch, tmp_path):
    """A cache directory that cannot be made is no error."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    trace = open_trace(path)
    assert trace.count() == EVENTS
    assert trace.event(7_000)["seq"] == 6_999


def test_a_trace_that_grew_continues_its_index(path, passes):
    """Only the new events are read, and the result is that of a fresh index."""
    trace = open_trace(path)
    assert trace.count() == EVENTS
    with path.open("ab") as file:
        file.write(lines(EVENTS, EVENTS + 500))
    counted = passes()
    for looked in (trace, open_trace(path)):
        assert looked.count() == EVENTS + 500
        assert looked.event(EVENTS + 500)["seq"] == EVENTS + 499
        assert looked.event(1)["seq"] == 0
    assert [resume.line for resume in counted] == [EVENTS + 1]


def test_new_segments_continue_the_index(path, passes):
    """A rotation while the index is in use does not start it anew."""
    trace = open_trace(path)
    assert trace.count() == EVENTS
    with path.open("ab") as file:
        file.write(lines(EVENTS, EVENTS + 10))
    path.with_name("run.s1.jsonl").write_bytes(lines(EVENTS + 10, EVENTS + 20))
    counted = passes()
    assert trace.count() == EVENTS + 20
    assert [found["seq"] for found in trace.events(EVENTS)] == list(range(EVENTS - 1, EVENTS + 20))
    assert len(counted) == 1
    assert counted[0] is not None


@given(cuts=st.lists(st.integers(0, 4000), min_size=1, max_size=5), torn=st.integers(0, 80))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_growth_law(tmp_path_factory, cuts, torn):
    """However a file grew, also by pieces of lines, the continued index answers as a fresh pass does."""
    directory = tmp_path_factory.mktemp("grow")
    path = directory / "run.jsonl"
    whole = lines(0, 40)
    path.write_bytes(whole[:100])
    trace = open_trace(path)
    for cut in [*sorted(cuts), len(whole) - torn, len(whole)]:
        with path.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(whole[file.tell() : max(cut, file.tell())])
        fresh = list(open_trace(path).events())
        assert trace.count() == len(fresh)
        assert list(trace.events(2)) == fresh[1:]
        assert [trace.event(number) for number in range(1, len(fresh) + 1)] == fresh
    assert trace.count() == 40


def test_a_trace_that_changed_in_place_is_indexed_anew(path):
    """The same size, another content: the index does not lead astray."""
    trace = open_trace(path)
    assert trace.event(5_000)["seq"] == 4_999
    state = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"event_id":"5000"', b'"event_id":"500x"'))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    for looked in (trace, open_trace(path)):
        assert looked.event(5_000)["event_id"] == "500x"
        assert looked.event(5_001)["seq"] == 5_000


def test_a_shorter_or_replaced_trace_is_indexed_anew(path, tmp_path):
    """Truncation and replacement are seen."""
    trace = open_trace(path)
    assert trace.count() == EVENTS
    path.write_bytes(lines(0, 3_000))
    assert trace.count() == 3_000
    other = tmp_path / "other"
    other.write_bytes(lines(0, 20_000, other=True))
    other.replace(path)
    assert trace.count() == 20_000
    assert trace.event(100)["metadata"]["other"] is True


@given(data=st.data())
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_index_is_never_believed(path, cache, data):
    """Any bytes changed, cut or added: every answer is still right."""
    open_trace(path).count()
    (file,) = saved(cache)
    body = bytearray(file.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=5)):
        body[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(body)))
    file.write_bytes(bytes(body[: data.draw(st.sampled_from([len(body), cut]))]))
    trace = open_trace(path)
    number = data.draw(st.integers(1, EVENTS))
    assert trace.event(number)["seq"] == number - 1
    assert trace.count() == EVENTS


def test_an_index_made_to_lead_astray_is_noticed(path, cache):
    """Well-formed blocks that point elsewhere are caught by the checksum of the line."""
    open_trace(path).count()
    (file,) = saved(cache)
    honest = index.load_index([path])
    forged = index.IndexBuilder([path])
    for place in honest.places(2):
        forged.add(place._replace(offset=place.offset + 3))
    forged.add(honest.place(1)._replace(offset=1 << 40))
    forged.finish(seekable=True, sizes={}, resume=None, resume_count=0)
    trace = open_trace(path)
    assert trace.event(3)["seq"] == 2
    assert trace.event(EVENTS)["seq"] == EVENTS - 1
    assert [found["seq"] for found in open_trace(path).events(9_998)] == [9_997, 9_998, 9_999]
    assert saved(cache) == [file]


def test_compressed_and_foreign_traces_are_counted_once(tmp_path, passes):
    """They have no places, so events are found by a scan, but the count is kept."""
    import gzip

    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(gzip.compress(lines(0, 300)))
    assert open_trace(path).count() == 300
    counted = passes()
    trace = open_trace(path)
    assert trace.count() == 300
    assert counted == []
    assert trace.event(299)["seq"] == 298
    assert len(counted) == 1


def test_an_interrupted_build_leaves_nothing_behind(path, cache):
    """Ctrl-C while the index is built removes the half file."""
    trace = open_trace(path)

    def interrupt(done, total):
        raise KeyboardInterrupt

    trace.progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        trace.count()
    assert saved(cache) == []


def test_the_cache_keeps_a_bounded_number_of_indexes(tmp_path, cache, monkeypatch):
    """The oldest go first."""
    monkeypatch.setattr(index, "MOST_FILES", 3)
    for number in range(5):
        path = tmp_path / f"run{number}.jsonl"
        path.write_bytes(lines(0, 10))
        open_trace(path).count()
        os.utime(index.index_path(path), (number, number))
    assert len(saved(cache)) == 3
    assert index.index_path(tmp_path / "run4.jsonl").exists()


def test_an_index_serves_another_process(path):
    """What one process built, the next one uses."""
    open_trace(path).count()
    script = """
import sys
from namel3ss_debug.traces import reader
reader.ProcessReader.events = None
print(reader.open_trace(sys.argv[1]).event(9_999)["seq"])
"""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "9998\n"


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(1, EVENTS), max_size=40)
    | st.builds(range, st.integers(1, EVENTS), st.integers(1, EVENTS), st.sampled_from([1, 7, -1, -3]))
)
def test_chosen_events_come_in_the_order_they_are_asked_for(path, numbers):
    """Forwards, backwards or in any order, each number has its event."""
    chosen = [(number, event["seq"]) for number, event in open_trace(path).chosen(numbers)]
    assert chosen == [(number, number - 1) for number in numbers]


def test_a_change_reaches_every_event_that_is_read(path):
    """Whoever sets it sees the events as they are changed, however they are read, and each is changed once."""
    trace = open_trace(path)
    trace.change = lambda _, event: {**event, "seq": event["seq"] + 1_000_000}
    assert next(trace.events())["seq"] == 1_000_000
    assert next(trace.events(7000))["seq"] == 1_006_999
    assert trace.event(5)["seq"] == 1_000_004
    assert [event["seq"] for _, event in trace.chosen([9, 3])] == [1_000_008, 1_000_002]
    assert next(trace.indexed_events())["seq"] == 1_000_000


@pytest.mark.parametrize("number", [0, EVENTS + 1, EVENTS + 5000])
def test_a_number_without_an_event_cannot_be_chosen(path, number):
    """The events before it come, and the index is not thought damaged."""
    chosen = open_trace(path).chosen([5, number])
    assert next(chosen)[0] == 5
    with pytest.raises(UnreadableTraceError, match=f"there is no event {number}"):
        next(chosen)
    assert open_trace(path).has_index()


def test_chosen_events_of_a_trace_that_changed_meanwhile(path):
    """Where another line stands than the index says, the index is built anew and each number has its new event."""
    trace = open_trace(path)
    chosen = trace.chosen([1, 5000, 6000])
    assert next(chosen)[1]["seq"] == 0
    path.write_bytes(path.read_bytes().replace(b'"seq":4999', b'"seq":4999,"depends_on":["x"]'))
    assert [event.get("depends_on") for _, event in chosen] == [["x"], None]


def test_chosen_events_of_a_compressed_trace(tmp_path):
    """Without places the events are found by reading from the beginning."""
    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(gzip.compress(lines(0, 50)))
    assert [event["seq"] for _, event in open_trace(path).chosen([40, 2, 3])] == [39, 1, 2]


def test_the_events_of_a_pass_that_builds_the_index(path, cache, passes):
    """They are all the events; afterwards the index is there, and a pass that is broken off leaves nothing."""
    for event in open_trace(path).indexed_events():
        assert event["seq"] == 0
        break
    assert not open_trace(path).has_index()
    trace = open_trace(path)
    assert [event["seq"] for event in trace.indexed_events()] == list(range(EVENTS))
    counted = passes()
    assert trace.has_index()
    assert open_trace(path).has_index()
    assert trace.count() == open_trace(path).count() == EVENTS
    assert counted == []
    assert len([*trace.indexed_events()]) == EVENTS
    assert [name.suffix for name in saved(cache)] == [".index"]


def test_a_trace_in_a_circle_of_references_closes_its_file(path):
    """The file of an index is closed before the collector comes to it, which would warn."""

    def in_a_circle():
        trace = open_trace(path)
        assert trace.count() == EVENTS
        trace.progress = lambda *_: trace
        return trace.index()._file

    file = in_a_circle()
    gc.collect()
    assert file.closed
