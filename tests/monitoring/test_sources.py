"""Traces that are followed, and folders in which they appear."""

import os

from namel3ss_debug.monitoring.sources import LOOK_AGAIN_SECONDS, TraceFolder, TraceSource
from tests.monitoring import conftest as fleet


def names(source, now):
    """The types of the events that are new."""
    return [event["event_type"] for event in source.events(now)]


def test_a_growing_trace_is_read_once(tmp_path):
    """Only what is new; it is over when its writer wrote the end, and at the second look only."""
    run = fleet.Run("grows", 1)
    run.request(1)
    writer, append = fleet.write(run, tmp_path)
    source = TraceSource(tmp_path / "grows.jsonl")
    assert names(source, 0) == ["trace_start"]
    for _, event in run.moments:
        append(event)
    assert len(names(source, 0)) == 4
    assert names(source, 0) == []
    assert not source.is_over
    assert source.find_gone() == []
    writer.close()
    for _ in range(3):
        names(source, 7.0)
    assert (source.is_over, source.over_since, source.find_gone()) == (True, 7.0, [0])


def test_a_folder_shows_each_trace_once_and_old_ones_not(tmp_path):
    """By the time of their last change; the link to the latest is no trace of its own."""
    for name in ("a.jsonl", "a.p1.jsonl", "a.s1.jsonl", "b.jsonl", "notes.txt"):
        (tmp_path / name).write_text("{}\n")
    os.utime(tmp_path / "b.jsonl", (1, 1))
    (tmp_path / "trace_latest.jsonl").symlink_to("a.jsonl")
    a, b, c = (tmp_path / f"{name}.jsonl" for name in "abc")
    folder = TraceFolder(tmp_path, 1000.0)
    assert folder.find((), 0.0) == [a]
    c.write_text("{}\n")
    assert folder.find([a], 1.0) == [c]
    b.write_text("{}\n{}\n")  # it goes on; the folder is as before
    assert folder.find([a, c], 2.0) == []
    assert folder.find([a, c], 1.0 + LOOK_AGAIN_SECONDS) == [b]
