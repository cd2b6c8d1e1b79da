"""Finding, grouping, listing and deleting recordings."""

import fcntl
import gzip
import os

import orjson
import pytest

from namel3ss_debug.errors import TraceNotFoundError
from namel3ss_debug.traces.store import (
    Kept,
    ProcessFiles,
    clean,
    ending,
    find_trace,
    is_written,
    list_traces,
    trace_files,
)
from namel3ss_debug.traces.unrecorded import unrecorded_path

DAY = 86_400.0
NOW = 1_763_720_100.0


def start(execution, at, process=0, segment=0, **more):
    """The first line of a segment."""
    metadata = {
        "format": 2,
        "process": process,
        "segment": segment,
        "argv": ["app.py", "-v"],
        "target": "app.py",
    }
    row = {"event_type": "trace_start", "component": "app", "event_id": "1", "seq": 0, "timestamp": at}
    return orjson.dumps(row | {"execution_id": execution, "metadata": metadata | more}) + b"\n"


def end(seq):
    """The last line of a process that ended in order."""
    return orjson.dumps({"event_type": "trace_end", "event_id": str(seq + 1), "seq": seq}) + b"\n"


def record(directory, id8, *, days_ago=0.0, size=0, finished=True, suffix=""):
    """Write a recording of ours and return its path."""
    at = NOW - days_ago * DAY
    path = directory / f"trace_20251121_101500_{id8}{suffix}.jsonl"
    filler = orjson.dumps({"event_type": "decision", "seq": 1, "event_id": "2", "error": "x" * size}) + b"\n"
    path.write_bytes(start(id8 + "-rest", at) + filler + (end(2) if finished else b""))
    os.utime(path, (at, at))
    return path


def names(found):
    """The ids in the names of the traces that were found."""
    return [getattr(each, "trace", each).path.name[-14:-6] for each in found]


def test_the_files_of_a_trace_are_found_from_any_of_them(tmp_path):
    """Processes and segments are in the order of their numbers; what is named otherwise is not among them."""
    wanted = [
        "run.jsonl",
        "run.s2.jsonl",
        "run.s10.jsonl.gz",
        "run.p2.jsonl",
        "run.p2.s1.jsonl",
        "run.p10.jsonl",
    ]
    for name in [*wanted, "runner.jsonl", "run.txt", "run.s11.jsonl.gz.tmp", "run.x.jsonl"]:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "run.p11.jsonl").mkdir()
    (tmp_path / "run.p12.jsonl").symlink_to("run.jsonl")
    files = [tmp_path / name for name in wanted]
    expected = (
        ProcessFiles(0, tuple(files[:3])),
        ProcessFiles(2, tuple(files[3:5])),
        ProcessFiles(10, tuple(files[5:])),
    )
    for file in files:
        assert trace_files(file) == expected


def test_a_trace_is_found_by_its_name_where_its_first_segments_were_rotated_away(tmp_path):
    """That is how `trace` calls it, and `-o`; a further segment that is gone is none."""
    for name in ("run.s12.jsonl", "run.s9.jsonl", "run.p1.jsonl", "runner.s1.jsonl"):
        (tmp_path / name).write_bytes(start("a" * 16, NOW))
    assert find_trace(str(tmp_path / "run.jsonl"), tmp_path) == tmp_path / "run.s9.jsonl"
    for gone in ("run.s8.jsonl", "ru.jsonl", "run", "none/run.jsonl"):
        with pytest.raises(TraceNotFoundError):
            find_trace(str(tmp_path / gone), tmp_path)


def test_a_file_with_any_other_name_is_a_trace_of_its_own(tmp_path):
    """`trace.json` has no further files."""
    (tmp_path / "trace.json").write_bytes(b"")
    assert trace_files(tmp_path / "trace.json") == (ProcessFiles(0, (tmp_path / "trace.json",)),)


def test_latest_is_what_the_link_says(tmp_path):
    """None and `latest` follow the link, and a directory stands for its newest trace."""
    old, _ = record(tmp_path, "aaaaaaaa", days_ago=2), record(tmp_path, "bbbbbbbb")
    (tmp_path / "trace_latest.jsonl").symlink_to(old.name)
    for reference in (None, "latest", str(tmp_path)):
        assert find_trace(reference, tmp_path) == old


def test_latest_without_a_good_link_is_the_trace_that_began_last(tmp_path):
    """A dangling link is passed over."""
    _, new = record(tmp_path, "aaaaaaaa", days_ago=2), record(tmp_path, "bbbbbbbb")
    assert find_trace(None, tmp_path) == new
    (tmp_path / "trace_latest.jsonl").symlink_to("gone.jsonl")
    assert find_trace(None, tmp_path) == new
    assert find_trace(str(tmp_path / "trace_latest.jsonl"), tmp_path) == new


def test_a_trace_is_found_by_the_beginning_of_its_id(tmp_path):
    """Four characters are enough, the whole execution id works as well, a file of the user's name too."""
    first = record(tmp_path, "abcd0000")
    second = record(tmp_path, "abce0000")
    (tmp_path / "mine.jsonl").write_bytes(start("feedbeef-1", NOW))
    assert find_trace("abcd", tmp_path) == first
    assert find_trace("abce0000", tmp_path) == second
    assert find_trace("abce0000-rest", tmp_path) == second
    assert find_trace("feedbe", tmp_path) == tmp_path / "mine.jsonl"


def test_an_id_that_fits_several_traces_names_them(tmp_path):
    """The message is one line with the candidates."""
    for number in range(7):
        record(tmp_path, f"abcd000{number}")
    with pytest.raises(
        TraceNotFoundError, match=r"7 traces begin with this \(trace_.*abcd0000.*, \.\.\.\)"
    ) as caught:
        find_trace("abcd", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reference", ["abc", "nothere", "no/such.jsonl", "x.jsonl", "a\0b", "x" * 5000])
def test_what_does_not_exist_is_an_error_with_what_to_do(tmp_path, reference):
    """Whatever was given, the message says it and names the command that lists recordings."""
    with pytest.raises(TraceNotFoundError, match="namel3ss debug list"):
        find_trace(reference, tmp_path)


def test_what_was_asked_for_is_named_where_there_is_no_directory(tmp_path):
    """The rest is said as where the latest is asked for."""
    missing = tmp_path / "missing"
    with pytest.raises(TraceNotFoundError) as latest:
        find_trace(None, missing)
    with pytest.raises(TraceNotFoundError) as named:
        find_trace("zzzz", missing)
    assert str(named.value) == f"zzzz: no such trace; {latest.value}"


def test_an_empty_or_missing_directory_says_how_to_record(tmp_path):
    """There is no latest trace where there is none."""
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(TraceNotFoundError, match="namel3ss debug trace"):
            find_trace(None, directory)
        assert list_traces(directory) == []


def test_the_list_is_newest_first_and_says_what_the_ends_of_the_files_say(tmp_path):
    """Sizes, processes and events count the whole trace."""
    record(tmp_path, "aaaaaaaa", days_ago=1)
    path = record(tmp_path, "bbbbbbbb", finished=False)
    record(tmp_path, "bbbbbbbb", suffix=".s1")
    record(tmp_path, "bbbbbbbb", suffix=".p1")
    (tmp_path / "notes.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "trace_latest.jsonl").symlink_to(path.name)
    newest, oldest = list_traces(tmp_path)
    assert (newest.path, newest.execution_id, newest.started_at) == (path, "bbbbbbbb-rest", NOW)
    assert (newest.files, newest.processes, newest.events, newest.status) == (3, 2, 6, "finished")
    assert (newest.target, newest.argv) == ("app.py", ("app.py", "-v"))
    assert newest.size_bytes == sum(file.stat().st_size for file in tmp_path.glob("*bbbbbbbb*"))
    assert (oldest.started_at, oldest.events) == (NOW - DAY, 3)


def test_events_that_were_rotated_away_are_not_counted(tmp_path):
    """The numbers of what is left begin where those before it end."""
    path = tmp_path / "run.s6.jsonl"
    path.write_bytes(start("aaaaaaaa", NOW, segment=6).replace(b'"seq":0', b'"seq":292') + end(409))
    assert list_traces(tmp_path)[0].events == 118
    path.write_bytes(b'{"torn\n' + end(409))
    assert list_traces(tmp_path)[0].events == 1


def test_the_status_tells_open_from_killed(tmp_path):
    """A trace without an end is open while a writer holds its lock, and killed otherwise."""
    path = record(tmp_path, "aaaaaaaa", finished=False)
    assert list_traces(tmp_path)[0].status == "killed"
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert is_written(path)
        assert list_traces(tmp_path)[0].status == "open"
    assert not is_written(path)
    with path.open("ab") as file:
        file.write(b'{"event_type":"trace_e')
    assert list_traces(tmp_path)[0].events == 2


def test_a_program_that_became_another_one_ended_with_it(tmp_path):
    """After `os.exec*` the process goes on under its id, and with it the run; the end of another process says nothing."""
    first = record(tmp_path, "aaaaaaaa", finished=False)
    for pids, status in (((7, 7), "finished"), ((7, 8), "killed"), ((None, None), "killed")):
        for path, pid in zip((first, record(tmp_path, "aaaaaaaa", suffix=".p1")), pids, strict=True):
            told = {"pid": pid} if pid else {}
            path.write_bytes(start("aaaaaaaa", NOW, **told) + (end(1) if path is not first else b""))
        assert list_traces(tmp_path)[0].status == status
        assert ending(trace_files(first)) == status


def test_a_damaged_beginning_or_end_does_not_hide_a_trace(tmp_path):
    """A torn first line, NUL bytes behind the end and a compressed last segment are told as far as can be."""
    torn = record(tmp_path, "aaaaaaaa")
    torn.write_bytes(b'{"event_ty\n' + torn.read_bytes() + b"\0" * 100 + b"\n")
    packed = tmp_path / "trace_20251121_101500_bbbbbbbb.jsonl.gz"
    packed.write_bytes(gzip.compress(start("bbbbbbbb", NOW) + end(1)))
    by_id = {info.path.name.split(".")[0][-8:]: info for info in list_traces(tmp_path)}
    assert (by_id["aaaaaaaa"].status, by_id["aaaaaaaa"].events) == ("finished", 3)
    assert (by_id["bbbbbbbb"].execution_id, by_id["bbbbbbbb"].events) == ("bbbbbbbb", 2)
    assert by_id["bbbbbbbb"].status == "finished"


def test_how_a_compressed_run_ended_is_told_or_said_to_be_untold(tmp_path, monkeypatch):
    """It is read for its last line, however many members it has; one that is too large or damaged does not tell."""
    whole, torn = start("bbbbbbbb", NOW) + end(1), start("bbbbbbbb", NOW)
    path = tmp_path / "trace_20251121_101500_bbbbbbbb.jsonl.gz"

    def told(data):
        path.write_bytes(data)
        (info,) = list_traces(tmp_path)
        return info.status, info.events

    assert told(gzip.compress(torn) + gzip.compress(end(1))) == ("finished", 2)
    assert told(gzip.compress(torn)) == ("killed", 1)
    assert told(gzip.compress(whole)[:-12]) == ("unknown", None)
    monkeypatch.setattr("namel3ss_debug.traces.lines.PACKED_BYTES", 10)
    assert told(gzip.compress(whole)) == ("unknown", None)


@pytest.mark.parametrize("metadata", ["x", {"argv": 5, "target": ["a"]}, None, {"argv": [1, {}]}])
def test_a_hostile_first_line_is_listed_without_an_error(tmp_path, metadata):
    """Fields of any type are taken for what they can be."""
    row = {"event_type": "trace_start", "execution_id": 5, "timestamp": "x", "metadata": metadata, "seq": "y"}
    (tmp_path / "t.jsonl").write_bytes(orjson.dumps(row) + b"\n")
    (info,) = list_traces(tmp_path)
    assert (info.started_at, info.events) == (None, None)


def test_old_traces_are_deleted_whole(tmp_path):
    """Every segment and process goes; younger traces and other files stay."""
    for suffix in ("", ".s1", ".p1", ".p1.s1"):
        record(tmp_path, "aaaaaaaa", days_ago=40, suffix=suffix)
    record(tmp_path, "bbbbbbbb", days_ago=20)
    record(tmp_path, "cccccccc")
    arguments = {"keep": lambda _: Kept(30), "max_bytes": None, "now": NOW}
    assert names(clean(tmp_path, dry_run=True, **arguments)) == ["aaaaaaaa"]
    assert len(list(tmp_path.iterdir())) == 6
    assert names(clean(tmp_path, **arguments)) == ["aaaaaaaa"]
    assert names(list_traces(tmp_path)) == ["cccccccc", "bbbbbbbb"]


def test_the_oldest_go_until_the_size_fits(tmp_path):
    """The limit is for all traces together."""
    for number in range(5):
        record(tmp_path, f"aaaaaaa{number}", days_ago=9 - number, size=10_000)
    assert names(clean(tmp_path, keep=lambda _: Kept(None), max_bytes=32_000, now=NOW)) == [
        "aaaaaaa0",
        "aaaaaaa1",
    ]
    assert names(clean(tmp_path, keep=lambda _: Kept(None), max_bytes=1, now=NOW)) == ["aaaaaaa2", "aaaaaaa3"]
    assert names(list_traces(tmp_path)) == ["aaaaaaa4"]


def test_without_limits_nothing_is_deleted(tmp_path):
    """None means no limit, and so do 0 bytes."""
    for number in range(3):
        record(tmp_path, f"aaaaaaa{number}", days_ago=1000 + number)
    for limit in (None, 0):
        assert clean(tmp_path, keep=lambda _: Kept(None), max_bytes=limit, now=NOW) == []
    assert clean(tmp_path / "missing", keep=lambda _: Kept(1), max_bytes=1, now=NOW) == []


def test_the_newest_and_what_is_still_written_stay(tmp_path):
    """Age does not matter for them."""
    held = record(tmp_path, "aaaaaaaa", days_ago=100, finished=False)
    record(tmp_path, "bbbbbbbb", days_ago=90)
    record(tmp_path, "cccccccc", days_ago=80)
    with held.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert names(clean(tmp_path, keep=lambda _: Kept(1), max_bytes=1, now=NOW)) == ["bbbbbbbb"]
    assert names(clean(tmp_path, keep=lambda _: Kept(1), max_bytes=1, now=NOW)) == ["aaaaaaaa"]


def test_nothing_is_deleted_that_we_did_not_write(tmp_path):
    """The name and the first line of every file must be ours; links are not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    foreign = record(outside, "dddddddd", days_ago=100)
    directory = tmp_path / "traces"
    directory.mkdir()
    kept = [
        record(directory, "aaaaaaaa", days_ago=100),  # one of its files has another first line
        directory / "trace_20251121_101500_aaaaaaaa.p1.jsonl",
        directory / "mine.jsonl",
        directory / "trace_20251121_101500_xyz.jsonl",
        directory / "trace_20251121_101500_bbbbbbbb.jsonl",
        directory / "trace_20251121_101500_bbbbbbbc.jsonl",
        directory / "notes.txt",
    ]
    kept[1].write_text("my notes\n")
    kept[2].write_bytes(start("x", NOW - 100 * DAY))
    kept[3].write_bytes(start("x", NOW - 100 * DAY))
    kept[4].write_text('{"event_type":"decision"}\n')
    kept[5].write_text('{"event_type":"trace_start"}\n')
    kept[6].write_text("hello")
    for file in kept:
        os.utime(file, (NOW - 100 * DAY, NOW - 100 * DAY))
    (directory / "trace_20251121_101500_dddddddd.jsonl").symlink_to(foreign)
    record(directory, "eeeeeeee")
    assert clean(directory, keep=lambda _: Kept(1), max_bytes=1, now=NOW) == []
    assert foreign.exists()
    assert all(file.exists() for file in kept)


def test_a_link_that_points_nowhere_is_put_right(tmp_path):
    """It then leads to the newest trace, or goes when there is none."""
    newest = record(tmp_path, "bbbbbbbb")
    link = tmp_path / "trace_latest.jsonl"
    link.symlink_to("gone.jsonl")
    clean(tmp_path, keep=lambda _: Kept(30), max_bytes=None, now=NOW, dry_run=True)
    assert os.readlink(link) == "gone.jsonl"
    clean(tmp_path, keep=lambda _: Kept(30), max_bytes=None, now=NOW)
    assert os.readlink(link) == newest.name
    newest.unlink()
    clean(tmp_path, keep=lambda _: Kept(30), max_bytes=None, now=NOW)
    assert not link.is_symlink()


def test_two_cleaners_do_not_work_at_once(tmp_path):
    """The second leaves the directory alone."""
    record(tmp_path, "aaaaaaaa", days_ago=100)
    record(tmp_path, "bbbbbbbb")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert clean(tmp_path, keep=lambda _: Kept(1), max_bytes=None, now=NOW) == []
    finally:
        os.close(descriptor)
    assert names(clean(tmp_path, keep=lambda _: Kept(1), max_bytes=None, now=NOW)) == ["aaaaaaaa"]


def test_the_marks_of_processes_that_could_not_record_go_with_their_recording(tmp_path):
    """Nothing of a recording that is cleaned away stays behind."""
    record(tmp_path, "aaaaaaaa", days_ago=100)
    record(tmp_path, "bbbbbbbb")
    for path in list(tmp_path.glob("trace_*.jsonl")):
        unrecorded_path(path).touch()
    clean(tmp_path, keep=lambda _: Kept(1), max_bytes=None, now=NOW)
    assert [path.name for path in tmp_path.glob(".*.unrecorded") if "aaaaaaaa" in path.name] == []
    assert len(list(tmp_path.glob(".*.unrecorded"))) == 1
