"""What two programs print is compared by line and task, however it was cut into events."""

import pytest

from namel3ss_debug.analysis.diff.masks import Masks
from namel3ss_debug.analysis.diff.output import Output, compare_output


def printed(*events, rerun=False):
    """A run that printed these; each event is a list of (task, text)."""
    run = Output()
    metadata = {"pid": 7, "randomness": {"output": {"stdout": 0, "stderr": 0}}}
    run.add_header({"event_type": "trace_start", "metadata": metadata | ({"rerun": {}} if rerun else {})})
    for number, pieces in enumerate(events, 2):
        output = [{"task": task, "stream": "stdout", "text": text} for task, text in pieces]
        run.add(number, {"event_type": "output", "metadata": {"process": "0", "output": output}})
    return run


def compared(a, b):
    """The differences in short: the place and the two texts."""
    return [
        (each.place, each.a and each.a.text, each.b and each.b.text)
        for each in compare_output(a, b, Masks(()))
    ]


@pytest.mark.parametrize(
    ("a", "b", "differences"),
    [
        ([[("0", "one\n")], [("0", "two\n")]], [[("0", "one\ntwo\n")]], []),
        ([[("0", "took 0.31 s\n")]], [[("0", "took 0.29 s\n")]], []),
        ([[("0", "one\ntwo\n")]], [[("0", "one\nthree\n")]], [(2, "two", "three")]),
        ([[("0", "one\n")]], [[("0", "one\ntwo\n")]], [(2, None, "two")]),
        ([[("0/t1", "x\n"), ("0/t2", "y\n")]], [[("0/t1", "y\n"), ("0/t2", "x\n")]], []),
        ([[("0/t1", "x\n"), ("0/t2", "y\n")]], [[("0/t2", "y\n"), ("0/t1", "x\n")]], []),
    ],
    ids=["cut elsewhere", "time", "changed", "added", "other thread", "other order of threads"],
)
def test_lines_are_compared_by_task(a, b, differences):
    """Only another line of a task is a difference, and only the first of a stream is listed."""
    assert compared(printed(*a), printed(*b)) == differences


def test_an_answered_tool_prints_nothing():
    """The lines of tools are left out where a run is a re-run."""
    then = [("0/(search 1)", "searching\n"), ("0", "done\n")]
    assert compared(printed(then), printed([("0", "done\n")], rerun=True)) == []
    assert compared(printed(then), printed([("0", "done\n")])) == [(1, "searching", None)]


def test_a_run_without_recorded_output_is_not_compared():
    """Nothing is known about what it printed."""
    assert compared(Output(), printed([("0", "one\n")])) == []
