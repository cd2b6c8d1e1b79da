import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import strategies as st

from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.importers.opening import open_trace

ROOT = Path(__file__).parents[3]
PROGRAMS = ROOT / "tests" / "data" / "programs_silent"


@pytest.fixture
def call(recording):
    """Add the call of a tool with its result; with an exception that was handled in it, and what that clause returned."""

    def call(result, *, handled=None, name="convert", component="tool", returned=..., **fields):
        start = recording.start(component, name, len(recording.events))
        if handled is not None:
            handle(recording, handled, start, returned, component=component, component_name=name)
        recording.end(start, len(recording.events), **({"outputs": {"result": result}} | fields))
        return start

    return call


def handle(
    recording, error_type, parent=None, returned=..., function="convert", leaves_by=None, line=17, **fields
):
    """Add a handled exception."""
    leaves_by = leaves_by or ("end" if returned is ... else "return")
    metadata = {"function": function, "exit": leaves_by, "until": line + 3}
    if parent is not None:
        fields["parent_event_id"] = parent
    if returned is not ...:
        fields["outputs"] = {"result": returned}
    recording.add(
        "exception_handled",
        len(recording.events),
        status="completed",
        error_type=error_type,
        error="it went wrong",
        call_site=f"tools.py:{line}",
        metadata=metadata,
        **fields,
    )


def warn(recording, line, message="taking the default", level="warning", **fields):
    """Add a log record."""
    metadata = {"level": level, "message": message}
    site = f"tools.py:{line}"
    recording.add(
        "log_record", len(recording.events), component="log", call_site=site, metadata=metadata, **fields
    )


@pytest.fixture
def judged(recording, analysed):
    """How each clause is judged, and what it is said to have returned."""

    def judged():
        sites = analysed(recording.events, ["handled_exceptions"])["handled_exceptions"]["sites"]
        return [(row["judged"], row["returned"]) for row in sites]

    return judged


@pytest.fixture
def evidence(recording, analysed):
    """The evidence of the silent failures among the findings of the health, with the events."""

    def evidence():
        findings = analysed(recording.events)["health"]["findings"]
        return [(row["evidence"], row["events"]) for row in findings if row["id"] == "silent_failure"]

    return evidence


def test_a_zero_that_the_clause_returned_is_a_silent_failure(call, evidence):
    """The finding names the function, the exception, the line and the value; its proof are the exception and the result."""
    call({"eur": 9.0})
    call({"eur": 0}, handled="ValueError", returned={"eur": 0})
    assert evidence() == [("convert handled ValueError at tools.py:17 and returned {'eur': 0}", [4, 5])]


def test_a_result_is_compared_with_calls_in_which_nothing_was_handled(call, judged):
    """Empty, where others are not, or of another shape than all of at least two others."""
    call([1, 2])
    call([], handled="KeyError")
    assert judged() == [("result", "[]")]


def test_another_shape_is_a_silent_failure(call, judged):
    """A list in place of objects with the same keys."""
    call({"id": 1, "name": "lamp"})
    call({"id": 2, "name": "desk"})
    call(["lamp"], handled="KeyError")
    assert judged() == [("result", "['lamp']")]


@pytest.mark.parametrize(
    ("others", "result", "returned"),
    [
        ([{"eur": 9}], {"eur": 8}, ...),  # as the others
        ([{"eur": 9}], {"usd": 8}, ...),  # another shape, and too few to compare with
        ([{"eur": 9}, {"usd": 9}], {"gbp": 8}, ...),  # the others differ as well
        ([[]], [], []),  # the others are empty as well
        ([], None, None),  # how a function reports that there is nothing
        ([], False, False),
        ([{"eur": 9}, {"eur": 7}], {"error": "no such currency"}, {"error": "no such currency"}),  # reported
    ],
)
def test_an_ordinary_result_is_none(call, judged, others, result, returned):
    """A handled exception alone is harmless."""
    for other in others:
        call(other)
    call(result, handled="KeyError", returned=returned)
    assert [how for how, _ in judged()] == [None]


@pytest.mark.parametrize(
    ("error_type", "result", "how"),
    [
        ("ConnectionError", {"items": []}, "result"),
        ("openai.RateLimitError", [], "result"),
        ("ConnectionError", {"items": [1]}, None),  # a later attempt succeeded
        ("ConnectionError", None, None),
        ("TimeoutError", [], None),  # programs poll with it
        ("KeyError", [], None),  # a cache without the key
    ],
)
def test_a_source_that_was_not_reached_has_no_empty_result(call, judged, error_type, result, how):
    """A loop of attempts that all fail leaves an empty result, although no clause returns it."""
    call(result, handled=error_type)
    assert [sign for sign, _ in judged()] == [how]


def test_unreached_sources_with_empty_results_elsewhere_are_ordinary(call, judged):
    """A result that calls without an exception have as well is no sign."""
    call([])
    call([], handled="ConnectionError")
    assert [sign for sign, _ in judged()] == [None]


@pytest.mark.parametrize(("times", "how"), [(25, "result"), (20, None)])
def test_calls_of_which_only_the_count_was_recorded_are_no_comparison(recording, call, judged, times, how):
    """A clause has at most twenty events: further calls that fail silently are no sign that zero is an ordinary result."""
    call(9.5)
    for number in range(25):
        call(0.0, handled="KeyError" if number < 20 else None, returned=0.0)
    counts = [{"call_site": "tools.py:17", "error_type": "KeyError", "times": times}]
    recording.add("trace_end", len(recording.events), metadata={"handled": counts})
    assert [sign for sign, _ in judged()] == [how]


def test_json_in_a_text_is_read(call, judged):
    """Many tools return their result as JSON."""
    call('{"eur": 9.5}')
    call('{"eur": 0}', handled="ValueError", returned={"eur": 0})
    assert judged() == [("result", "'{\"eur\": 0}'")]


def test_a_failure_of_the_call_is_not_silent(call, judged):
    """Neither is one that is the failure of another span."""
    call(None, handled="ValueError", returned=[], status="failed", error_type="ValueError", error="no")
    call([1], name="search", status="failed", error_type="OSError", error="it went wrong")
    call([], handled="OSError", returned=[], component="chain", name="step")
    assert [how for how, _ in judged()] == [None, None]


@pytest.mark.parametrize(
    ("error_type", "value", "how"),
    [
        ("KeyError", [], "returned"),
        ("KeyError", 0, "returned"),
        ("KeyError", "", "returned"),
        ("KeyError", {"docs": [], "score": 0.0}, "returned"),
        ("KeyError", None, None),
        ("KeyError", False, None),
        ("KeyError", [0, 1], None),
        ("FileNotFoundError", {}, None),
    ],
)
def test_outside_of_tools_the_value_of_the_clause_counts(recording, judged, error_type, value, how):
    """An empty collection or text, or zero; of a missing file an empty value is what one expects."""
    handle(recording, error_type, returned=value, function="retrieve")
    assert judged() == [(how, repr(value))]


def test_a_warning_in_the_clause_makes_it_a_silent_failure(recording, evidence):
    """The program itself reports that something went wrong, and goes on."""
    warn(recording, 30, "elsewhere")
    warn(recording, 18)
    handle(recording, "JSONDecodeError", function="plan")
    text = "plan handled JSONDecodeError at tools.py:17 and went on; it logged 'taking the default'"
    assert evidence() == [(text, [3])]


def test_a_logged_retry_or_a_lower_level_is_none(recording, judged):
    """The next round of a loop is another attempt."""
    warn(recording, 18)
    handle(recording, "TimeoutError", leaves_by="continue")
    warn(recording, 41, level="info")
    handle(recording, "TypeError", line=40)
    assert judged() == [(None, None), (None, None)]


def test_warnings_in_the_log_are_listed(recording, analysed):
    """Those of lower levels are not, wherever they were logged."""
    warn(recording, 3, "slow", component_name="shop")
    warn(recording, 4, "served", level="info")
    warn(recording, 5, "gone", level="critical")
    section = analysed(recording.events, ["handled_exceptions"])["handled_exceptions"]
    assert section["warning_count"] == 2
    assert section["warnings"][0] == {
        "number": 1,
        "call_site": "tools.py:3",
        "level": "warning",
        "logger": "shop",
        "message": "slow",
    }


def test_a_clause_has_one_row_for_each_type(recording, analysed):
    """With the times that `trace_end` counts, and those that are only counted in the total."""
    for _ in range(3):
        handle(recording, "json.decoder.JSONDecodeError")
    handle(recording, "KeyError")
    rows = [
        {"call_site": "tools.py:17", "error_type": "JSONDecodeError", "times": 40},
        {"call_site": "tools.py:90", "error_type": "ImportError", "times": 2},
    ]
    recording.add("trace_end", 9, metadata={"handled": rows})
    section = analysed(recording.events)["handled_exceptions"]
    assert [(row["error_type"], row["times"]) for row in section["sites"]] == [
        ("json.decoder.JSONDecodeError", 40),
        ("KeyError", 1),
    ]
    assert (section["total"], section["silent"]) == (43, 0)


CALLS = st.tuples(
    st.sampled_from(["convert", "search"]),
    st.sampled_from([[], [1], 0, None, {"eur": 0}, {"eur": 1}, {"error": "no"}]),
    st.sampled_from([None, "KeyError", "ConnectionError"]),
    st.booleans(),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("rates", "convert handled ValueError at rates.py:17 and returned {'eur': 0}"),
        ("retrieval", "retrieve handled KeyError at retrieval.py:18 and returned []"),
        ("planner", "plan handled json.decoder.JSONDecodeError at planner.py:29 and went on; it logged"),
    ],
)
def test_a_planted_silent_failure_is_among_the_first_three_findings(tmp_path, program, expected):
    """A real program, recorded as users record it."""
    findings = record(tmp_path, program)["health"]["findings"]
    assert any(row["evidence"].startswith(expected) for row in findings[:3])


def test_usual_handlers_are_no_silent_failures(tmp_path):
    """A program with the handlers that correct programs have is recorded with them, and none is reported."""
    document = record(tmp_path, "harmless")
    assert document["handled_exceptions"]["total"] >= 10
    assert document["handled_exceptions"]["silent"] == 0


def record(folder, program):
    """Trace one of the programs, and return its analysis."""
    trace = folder / "run.jsonl"
    command = [sys.executable, "-m", "namel3ss_debug", "trace", f"{program}.py", "-o", str(trace)]
    paths = f"{ROOT}:{ROOT / 'examples'}"
    done = subprocess.run(
        command,
        cwd=PROGRAMS,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return analyze(open_trace(trace))
