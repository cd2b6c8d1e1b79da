"""What the doctor finds, made of the recording of a first run and of the causes."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.doctor import UNKNOWN, Cause, Difference
from namel3ss_debug.replay.rerunning.disturbances import CLOCK, HASH_SEED, RANDOMNESS
from namel3ss_debug.replay.rerunning.findings import ERROR, INFO, WARNING, Record, findings
from namel3ss_debug.replay.rerunning.recorded import Recorded
from namel3ss_debug.traces.inputs import Recorded as Inputs

PROGRAM = (
    "import uuid\nnow = time.time()\nname = uuid.uuid4()\nanswer = ask(name)\nteam = os.environ['TEAM']\n"
)


def read(**metadata):
    """An event that tells what was read."""
    return {"event_type": "inputs_read", "metadata": {"process": "0", **metadata}}


EVENTS = [
    read(
        clock={
            "places": {"0": {"code": "app.py:f#1", "call_site": "app.py:2"}},
            "reads": {"0": {"0": [1, 1]}},
        }
    ),
    read(drawn={"app.py:1": 3, "app.py:3": 1, "app.py:4": 2, "lib/x.py:f": 1}),
    read(environment={"TEAM": {"value": "the blue ones", "call_site": "app.py:5"}}),
    read(
        files={
            "/data/count.txt": {"read": ["app.py:6"], "written": ["app.py:7"]},
            "/data/log": {"written": ["app.py:8"]},
        }
    ),
    read(printed={"app.py:9": [0, 2]}),
    {
        "event_type": "llm_call_start",
        "component": "llm",
        "component_name": "gpt",
        "call_site": "app.py:4",
        "inputs": {
            "model": "gpt",
            "messages": [{"role": "user", "parts": [{"content": "we are the blue ones"}]}],
        },
    },
]


@pytest.fixture
def root(tmp_path):
    """The folder of the program."""
    (tmp_path / "app.py").write_text(PROGRAM)
    return tmp_path


def record(events=EVENTS, **inputs):
    """The record of a first run."""
    return Record(events, Recorded(None, {}), Inputs(environment={"TEAM": "the blue ones"}, **inputs))


def short(found):
    """What was found, in short."""
    return [(each.weight, each.source, each.place, each.reaches) for each in found]


def test_an_input_that_reaches_something_is_a_warning_at_the_line_that_reads_it(root):
    """Lines that ask a model or import a library draw for these, and are left out."""
    causes = [
        Cause(source, (Difference("llm", "app.py:4", "1 -> 2", "changed"),)) for source in (CLOCK, RANDOMNESS)
    ]
    found = findings(causes, record(), "", root)
    assert short(found)[:3] == [
        (WARNING, CLOCK, "app.py:2", ("llm",)),
        (WARNING, RANDOMNESS, "app.py:3", ("llm",)),
        (WARNING, "environment", "app.py:5", ("llm",)),
    ]
    assert (found[0].code, found[0].times, found[0].seen_at) == ("now = time.time()", 2, ("app.py:4",))


def test_inputs_that_reach_nothing_are_told_without_advice(root):
    """Each once, with how often it was read."""
    found = findings([], record(EVENTS[:5]), "", root)
    assert {each.weight for each in found} == {INFO}
    assert [(each.source, each.place, each.times, each.advice) for each in found] == [
        ("files", "app.py:6", 1, ""),
        (CLOCK, "app.py:2", 2, ""),
        (RANDOMNESS, "app.py:3", 1, ""),
        (RANDOMNESS, "app.py:4", 2, ""),
        ("environment", "app.py:5", 1, ""),
    ]


def test_what_nobody_gives_back_is_an_error_and_comes_first(root):
    """A file that was read and has changed since explains it."""
    unknown = Cause(UNKNOWN, (Difference("output", "app.py:9", "1 -> 2"),), served=False)
    hashed = Cause(HASH_SEED, (Difference("output", "app.py:9", "a -> b"),))
    found = findings([hashed, unknown], record(), "", root)
    assert short(found)[:2] == [
        (ERROR, UNKNOWN, "app.py:9", ("output",)),
        (WARNING, HASH_SEED, "app.py:9", ("output",)),
    ]
    found = findings([unknown], record(), "", root, ["/data/count.txt"])
    assert short(found)[0] == (ERROR, "files", "app.py:6", ("output",))
    assert (found[0].what, found[0].seen_at) == ("count.txt", ("app.py:9",))


def test_a_variable_is_looked_for_in_questions_and_output(root):
    """One whose value was left out of the recording, or is too short to tell, is not."""
    reached = findings([], record(EVENTS[:3]), "hello, the blue ones", root)
    assert (WARNING, "environment", "app.py:5", ("output",)) in short(reached)
    unknown = findings([], record(EVENTS[:3], redacted=["TEAM"]), "hello, the blue ones", root)
    assert (INFO, "environment", "app.py:5", ()) in short(unknown)


def test_kinds_of_input_are_given_otherwise_where_the_program_has_them():
    """A hash seed that the user has fixed is not touched."""
    assert [each.source for each in record(hash_seed=3).present()] == [CLOCK, RANDOMNESS, HASH_SEED]
    assert [each.source for each in record([], hash_seed=3, hash_seed_given=True).present()] == []


def test_damaged_metadata_is_passed_over(root):
    """A trace is foreign data."""
    events = [
        read(printed=[1], files="x", clock={"places": [1]}, environment=3),
        {"event_type": "inputs_read", "metadata": 1},
    ]
    seen = record(events)
    assert (seen.printed, seen.files, seen.sites) == ({}, {}, {})
    assert findings([], seen, "", root) == ()
