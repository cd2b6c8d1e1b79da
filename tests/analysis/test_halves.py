"""Recordings that are read in two parts at once."""

import os
import pickle
from pathlib import Path

import orjson
import pytest

from namel3ss_debug.analysis import halves
from namel3ss_debug.analysis.analyzer import fold
from namel3ss_debug.analysis.sections.table import SECTIONS
from namel3ss_debug.traces.reader import open_trace


@pytest.fixture
def lines(recording):
    """A recording with spans around its middle, calls of models, a failure and what is left open, a line for each event."""
    outer = recording.start("agent", "Desk", 0.0)
    for turn in range(30):
        step = recording.start("chain", "step", turn + 0.1, outer)
        usage = {"input_tokens": 10 + turn, "output_tokens": 3}
        call = recording.start("llm", "gpt-4o", turn + 0.2, step, memory_usage_mb=40.0 + turn)
        recording.end(call, turn + 0.4, usage=usage, cost_estimate=0.001, outputs={"text": "so"})
        failed = (
            {"status": "failed", "error": "no such order", "error_type": "KeyError"} if turn % 7 == 0 else {}
        )
        recording.end(recording.start("tool", "find", turn + 0.5, step), turn + 0.7, **failed)
        recording.end(step, turn + 0.8)
    recording.end(outer, 40.0)
    recording.start("tool", "never", 41.0)
    return [orjson.dumps(event) for event in recording.events]


@pytest.fixture
def two_processors(monkeypatch):
    """Two processors, whatever the machine has."""
    monkeypatch.setattr(halves, "processors", lambda: 2)


@pytest.fixture
def in_this_process(monkeypatch, two_processors):
    """The later part is read here as well: what it is told and what it returns go through `pickle` all the same."""

    class Here:
        def __init__(self, *_, **__):
            pass

        def submit(self, call, *arguments):
            call, arguments = pickle.loads(pickle.dumps((call, arguments)))
            done = pickle.dumps(call(*arguments))
            return type("Done", (), {"result": staticmethod(lambda: pickle.loads(done))})

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(halves, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(halves.read_in_two, "__defaults__", (None, 1))


def _written(path: Path, lines):
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def _document(path, *, in_two):
    return fold(open_trace(path), SECTIONS, None, None, in_two=in_two).document


def _was_cut(monkeypatch):
    """Whether the later part was taken."""
    taken = []
    take = halves.Trace.take_later

    def noting(trace, *arguments):
        taken.append(arguments)
        take(trace, *arguments)

    monkeypatch.setattr(halves.Trace, "take_later", noting)
    return taken


def test_two_parts_give_the_document_of_the_whole(lines, tmp_path, in_this_process, monkeypatch):
    """All sections are the same, with spans open across the cut."""
    taken = _was_cut(monkeypatch)
    path = _written(tmp_path / "trace.jsonl", lines)
    assert orjson.dumps(_document(path, in_two=True)) == orjson.dumps(_document(path, in_two=False))
    assert len(taken) == 1


def test_segments_are_cut_in_any_of_them(lines, tmp_path, in_this_process, monkeypatch):
    """A recording in several files is the same as well."""
    taken = _was_cut(monkeypatch)
    path = _written(tmp_path / "trace_20260101_000000_abcdef01.jsonl", lines[:20])
    _written(tmp_path / "trace_20260101_000000_abcdef01.s1.jsonl", lines[20:])
    assert orjson.dumps(_document(path, in_two=True)) == orjson.dumps(_document(path, in_two=False))
    assert len(taken) == 1


def test_problems_behind_the_cut_name_their_lines(lines, tmp_path, in_this_process, monkeypatch):
    """What cannot be read in the later part, and what is missing there, is told as in one pass."""
    taken = _was_cut(monkeypatch)
    del lines[-5]
    lines[-10] = b'{"event_type": "tool_call_end", "seq'
    path = _written(tmp_path / "trace.jsonl", lines)
    document = _document(path, in_two=True)
    assert orjson.dumps(document) == orjson.dumps(_document(path, in_two=False))
    assert document["problems"]["first"][0]["line"] == len(lines) - 9
    assert document["problems"]["lost_events"] == 2
    assert len(taken) == 1


@pytest.mark.parametrize("damage", ["gap", "no number", "torn"])
def test_damage_before_the_cut_means_one_pass(damage, lines, tmp_path, in_this_process, monkeypatch):
    """Where the numbers of the later events cannot be told, everything is read in one pass."""
    taken = _was_cut(monkeypatch)
    if damage == "gap":
        del lines[7]
    elif damage == "no number":
        lines[7] = lines[7].replace(b'"seq":7,', b"")
    else:
        lines[7] = lines[7][:30]
    path = _written(tmp_path / "trace.jsonl", lines)
    assert orjson.dumps(_document(path, in_two=True)) == orjson.dumps(_document(path, in_two=False))
    assert not taken


def test_a_later_part_without_ids_means_one_pass(lines, tmp_path, in_this_process, monkeypatch):
    """Ids that are given by the line are only given where the line is known."""
    taken = _was_cut(monkeypatch)
    event = orjson.loads(lines[-1])
    del event["event_id"]
    path = _written(tmp_path / "trace.jsonl", [*lines[:-1], orjson.dumps(event)])
    assert orjson.dumps(_document(path, in_two=True)) == orjson.dumps(_document(path, in_two=False))
    assert not taken


def test_a_process_reads_the_later_part(lines, tmp_path, two_processors, monkeypatch):
    """With a process of its own the document is that of one pass, and that process is over."""
    taken = _was_cut(monkeypatch)
    monkeypatch.setattr(halves.read_in_two, "__defaults__", (None, 1))
    path = _written(tmp_path / "trace.jsonl", lines)
    assert orjson.dumps(_document(path, in_two=True)) == orjson.dumps(_document(path, in_two=False))
    assert len(taken) == 1


def test_short_recordings_and_one_processor_take_one_process(lines, tmp_path, monkeypatch):
    """Nothing is started where there is nothing to gain."""
    monkeypatch.setattr(halves, "ProcessPoolExecutor", None)
    path = _written(tmp_path / "trace.jsonl", lines)
    monkeypatch.setattr(halves, "processors", lambda: 2)
    assert _document(path, in_two=True)["trace"]["events"] == len(lines)
    monkeypatch.setattr(halves, "processors", lambda: 1)
    monkeypatch.setattr(halves.read_in_two, "__defaults__", (None, 1))
    assert _document(path, in_two=True)["trace"]["events"] == len(lines)
    assert os.path.getsize(path) < halves.WORTH_TWO
