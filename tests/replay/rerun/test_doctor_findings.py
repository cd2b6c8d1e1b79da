"""What the doctor finds, made of the recording of a first run and of the causes."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.rerun.doctor import (
    CLOCK,
    HASH_SEED,
    ORDER,
    RANDOMNESS,
    UNKNOWN,
    Cause,
    DoctorDifference,
)
from namel3ss_debug.replay.rerun.doctor_findings import ADVICE, ERROR, INFO, WARNING, FirstRun, findings
from namel3ss_debug.replay.rerun.recorded_calls import END, START, RecordedCall, RecordedCalls, Step
from namel3ss_debug.replay.rerun.requests import Request, TaskKey
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


@pytest.fixture
def record(root):
    """Make the record of a first run."""

    def make(events=EVENTS, **inputs):
        read = Inputs(environment={"TEAM": "the blue ones"}, **inputs)
        return FirstRun(events, RecordedCalls(None, {}), read, root)

    return make


def short(found):
    """What was found, in short."""
    return [(each.severity, each.source, each.call_site, each.reaches) for each in found]


def test_an_input_that_reaches_something_is_a_warning_at_the_line_that_reads_it(record):
    """Lines that ask a model or import a library draw for these, and are left out."""
    causes = [Cause(source, DoctorDifference("llm", "app.py:4", "1 -> 2")) for source in (CLOCK, RANDOMNESS)]
    found = findings(causes, record(), "")
    assert short(found)[:3] == [
        (WARNING, CLOCK, "app.py:2", ("llm",)),
        (WARNING, RANDOMNESS, "app.py:3", ("llm",)),
        (WARNING, "environment", "app.py:5", ("llm",)),
    ]
    assert (found[0].code, found[0].times, found[0].shown_at) == ("now = time.time()", 2, ("app.py:4",))


def test_inputs_that_reach_nothing_are_told_without_advice(record):
    """Each once, with how often it was read."""
    found = findings([], record(EVENTS[:5]), "")
    assert {each.severity for each in found} == {INFO}
    assert [(each.source, each.call_site, each.times, each.advice) for each in found] == [
        ("files", "app.py:6", 1, ""),
        (CLOCK, "app.py:2", 2, ""),
        (RANDOMNESS, "app.py:3", 1, ""),
        (RANDOMNESS, "app.py:4", 2, ""),
        ("environment", "app.py:5", 1, ""),
    ]


def test_what_nobody_gives_back_is_an_error_and_comes_first(record):
    """A file that was read and has changed since explains it."""
    unknown = Cause(UNKNOWN, DoctorDifference("output", "app.py:9", "1 -> 2"), replayed=False)
    hashed = Cause(HASH_SEED, DoctorDifference("output", "app.py:9", "a -> b"))
    found = findings([hashed, unknown], record(), "")
    assert short(found)[:2] == [
        (ERROR, UNKNOWN, "app.py:9", ("output",)),
        (WARNING, HASH_SEED, "app.py:9", ("output",)),
    ]
    found = findings([unknown], record(), "", ["/data/count.txt"])
    assert short(found)[0] == (ERROR, "files", "app.py:6", ("output",))
    assert (found[0].what, found[0].shown_at) == ("count.txt", ("app.py:9",))
    found = findings([hashed], record(), "", ["/data/count.txt"])
    assert short(found)[0] == (WARNING, HASH_SEED, "app.py:9", ("output",))


def test_a_variable_is_looked_for_in_questions_and_output(record):
    """One whose value was left out of the recording, or is too short to tell, is not."""
    reached = findings([], record(EVENTS[:3]), "hello, the blue ones")
    assert (WARNING, "environment", "app.py:5", ("output",)) in short(reached)
    unknown = findings([], record(EVENTS[:3], redacted=["TEAM"]), "hello, the blue ones")
    assert (INFO, "environment", "app.py:5", ()) in short(unknown)


def test_kinds_of_input_are_given_otherwise_where_the_program_has_them(record):
    """A hash seed that the user has fixed is not touched."""
    assert record(hash_seed=3).present() == (CLOCK, RANDOMNESS, HASH_SEED)
    assert record([], hash_seed=3, hash_seed_is_set=True).present() == ()


def test_a_file_that_was_missing_counts_where_it_is_there_by_now(tmp_path, record):
    """As one that the program itself writes later, and then finds in every other run."""
    (tmp_path / "kept.json").touch()
    missing = {str(tmp_path / name): {"missing": ["app.py:6"]} for name in ("kept.json", "none.json")}
    assert record([read(files=missing)]).files == {str(tmp_path / "kept.json"): ("app.py:6",)}


def in_parallel(*sites):
    """A recording in which one question was open at each of these lines at the same time."""
    calls = {
        number: RecordedCall(
            number, Request("llm", "m", (), task_key=TaskKey(0, str(number)), call_site=site)
        )
        for number, site in enumerate(sites, 1)
    }
    steps = [Step(number, part) for part in (START, END) for number in calls]
    return RecordedCalls(None, calls, (), tuple(steps))


def test_calls_in_parallel_are_told_once_at_each_line(root):
    """In the order of the lines; as a warning where their order reaches something."""
    seen = FirstRun([], in_parallel("app.py:10", "app.py:9", "app.py:10"), Inputs(), root)
    found = findings([], seen, "")
    assert [(each.call_site, each.what, each.times) for each in found] == [
        ("app.py:9", "called concurrently", 1),
        ("app.py:10", "called concurrently", 2),
    ]
    cause = Cause(ORDER, DoctorDifference("output", "app.py:9", "a -> b"))
    found = findings([cause], seen, "")
    assert [(each.severity, each.call_site, each.times) for each in found] == [
        (WARNING, "app.py:9", 1),
        (WARNING, "app.py:10", 2),
    ]
    assert {(each.advice, each.example, each.shown_at) for each in found} == {
        (ADVICE[ORDER], "a -> b", ("app.py:9",))
    }


def test_of_several_lines_that_draw_none_is_named_alone(record):
    """They draw from one stream; where all of them ask a model, they are named all the same."""
    cause = Cause(RANDOMNESS, DoctorDifference("llm", "app.py:4", "1 -> 2"))
    one = findings([cause], record(), "")[0]
    several = findings([cause], record([*EVENTS, read(drawn={"app.py:12": 1, "app.py:2": 1})]), "")
    assert (one.call_site, one.what) == ("app.py:3", "")
    assert [(each.call_site, each.what) for each in several[:3]] == [
        (f"app.py:{line}", "one of 3 lines that draw") for line in (2, 3, 12)
    ]
    asking = findings([cause], record([read(drawn={"app.py:4": 2}), EVENTS[5]]), "")
    assert (asking[0].source, asking[0].call_site, asking[0].times) == (RANDOMNESS, "app.py:4", 2)


def test_the_line_of_a_cause_is_the_one_that_was_told_apart(record):
    """Else each that reads the input; where no re-run gives the input back, that at which it shows."""
    places = {str(line): {"code": f"app.py:f#{line}", "call_site": f"app.py:{line}"} for line in (2, 5)}
    seen = record(
        [{"event_type": "log_record"}, read(clock={"places": places, "reads": {"0": {"2": [1], "5": [1]}}})]
    )
    assert seen.sites == {"app.py:2": {"app.py:f#2"}, "app.py:5": {"app.py:f#5"}}
    shown = DoctorDifference("output", "app.py:9", "1 -> 2")

    def warned(**cause):
        found = findings([Cause(CLOCK, shown, **cause)], seen, "")
        return [(each.severity, each.call_site) for each in found if each.severity != INFO]

    assert warned() == [(WARNING, "app.py:2"), (WARNING, "app.py:5")]
    assert warned(places=("app.py:5",)) == [(WARNING, "app.py:5")]
    assert warned(replayed=False) == [(ERROR, "app.py:9")]


def test_variables_that_a_library_reads_are_told_at_the_line_that_calls_it(record):
    """The first few by name; those of lines of libraries are left out."""

    def describe_unanswered(*names):
        sites = {name: {"call_site": "app.py:2"} for name in names}
        elsewhere = {"LIB": {"call_site": "lib/x.py:f"}, "TEAM": {"call_site": "app.py:5"}}
        found = findings([], record([read(environment=sites | elsewhere)]), "")
        assert {each.source for each in found} == {"environment"}
        return [(each.call_site, each.what, each.times) for each in found]

    assert describe_unanswered("C", "A", "B") == [("app.py:2", "A, B, C", 3), ("app.py:5", "TEAM", 1)]
    assert describe_unanswered("C", "A", "B", "E", "D")[0] == ("app.py:2", "A, B, C and 2 more", 5)


@pytest.mark.parametrize(
    ("value", "reaches"), [("team", ("output",)), ("the", ()), ("     ", ()), (None, ())]
)
def test_a_variable_is_only_looked_for_where_its_value_is_long_enough(root, value, reaches):
    """A short one stands in any text."""
    seen = FirstRun(EVENTS[2:3], RecordedCalls(None, {}), Inputs(environment={"TEAM": value}), root)
    (found,) = findings([], seen, "the team of     ")
    assert (found.what, found.reaches, found.times) == ("TEAM", reaches, 1)


def test_a_variable_that_only_names_the_model_reaches_no_question(record):
    """Of a question, what it says counts."""
    asked = EVENTS[5] | {"inputs": {"model": "the blue ones", "messages": []}}
    (found, _) = findings([], record([EVENTS[2], asked]), "")
    assert (found.what, found.reaches) == ("TEAM", ())


def test_standard_input_and_answers_of_models_are_told(record):
    """With how much was read, and with what temperature the model was asked."""
    seeded = EVENTS[5] | {"inputs": {"params": {"temperature": 0, "seed": 7}}}
    found = findings([], record([read(stdin=True), EVENTS[5], seeded, seeded], stdin="bGluZQ=="), "")
    assert [(each.source, each.call_site, each.what, each.times) for each in found] == [
        ("stdin", "", "4 bytes", 1),
        ("model", "app.py:4", "gpt, its own temperature", 1),
        ("model", "app.py:4", "gpt, temperature 0, seeded", 2),
    ]


def test_what_was_printed_and_read_is_known_by_its_lines(record):
    """Of files, those that were read; a file that two processes have read, with the lines of both."""
    seen = record([*EVENTS, read(files={"/data/count.txt": {"read": ["app.py:9", "app.py:6"]}})])
    assert seen.printed == {0: "app.py:9", 2: "app.py:9"}
    assert seen.files == {"/data/count.txt": ("app.py:6", "app.py:9")}


def test_damaged_metadata_is_passed_over(record):
    """A trace is foreign data."""
    events = [
        read(printed=[1], files="x", clock={"places": [1]}, environment=3),
        {"event_type": "inputs_read", "metadata": 1},
    ]
    seen = record(events)
    assert (seen.printed, seen.files, seen.sites) == ({}, {}, {})
    assert findings([], seen, "") == ()
