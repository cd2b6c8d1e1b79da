"""Log records of any level that report an error are found, and ordinary ones are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from namel3ss_debug.analysis.sections.log_errors import find_indicator

ORDINARY = Path(__file__).parents[2] / "data" / "logs" / "ordinary.txt"
"""A thousand lines that dpkg, apt, pip, npm, httpx, urllib3, uvicorn, SQLAlchemy and Django logged when all went well."""

REPORTS = [
    ("failure", "Request failed: connection refused"),
    ("failure", "could not save: IntegrityError"),
    ("failure", "worker crashed"),
    ("failure", "3 errors while importing"),
    ("failure", "job finished with exception"),
    ("failure", "error: no such column"),
    ("failure", "ERROR rate limit hit"),
    ("failure", "tool call failed, falling back to cache"),
    ("blocked", "Read timed out after 30 s"),
    ("blocked", "deadlock between two agents"),
    ("memory", "memory usage suggests a leak"),
    ("memory", "out of memory"),
    ("access", "permission denied for table orders"),
]

NOT = [
    "0 errors, 12 passed",
    "no errors found",
    "finished without any failures",
    "errors=0 failed=0",
    "connect_tcp.started timeout=5.0",
    "GET /errors?failed=no 200",
    "read timeout of 30 s",
    "installed the error handler",
    "error rate 0.1 %",
    "insert into errors values (1)",
    "the terror of configure liberror-perl",
    "[non-fatal] Tracing: request failed: connection refused",
]


@pytest.mark.parametrize(("indicator", "message"), REPORTS)
def test_a_message_that_reports_an_error_has_its_indicator(indicator, message):
    """Whatever its level."""
    assert find_indicator(message) == indicator


@pytest.mark.parametrize("message", NOT)
def test_the_words_of_an_error_are_none_where_nothing_failed(message):
    """Counts of zero, limits, paths and names."""
    assert find_indicator(message) is None


def test_ordinary_lines_of_real_programs_are_seldom_reported():
    """At most five per cent of a thousand lines."""
    lines = ORDINARY.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1000
    assert sum(find_indicator(line) is not None for line in lines) <= 50


def log(recording, level, message):
    """Add a record of the logger `app`."""
    metadata = {"level": level, "message": message}
    return recording.add("log_record", 0, component="log", component_name="app", metadata=metadata)


def test_records_are_counted_by_their_text_without_numbers(recording, analysed):
    """The frequent one first; a record of level error is there by its level."""
    for number in (7, 8, 9):
        log(recording, "info", f"order {number} failed")
    log(recording, "error", "the disk is nearly full")
    log(recording, "info", "order 10 sent")
    section = analysed(recording.events, ["log_errors"])["log_errors"]
    assert section["count"] == 4
    assert [
        (row["message"], row["times"], row["numbers"], row["indicator"]) for row in section["messages"]
    ] == [
        ("order 7 failed", 3, [1, 2, 3], "failure"),
        ("the disk is nearly full", 1, [4], "level"),
    ]


def test_a_pattern_of_the_user_is_an_indicator_too(recording, analysed):
    """It decides alone, also where our words would be ordinary."""
    log(recording, "info", "no errors, but stock is low")
    own = {"stock": "stock is low"}
    section = analysed(recording.events, ["log_errors"], error_indicators=own)["log_errors"]
    assert [row["indicator"] for row in section["messages"]] == ["stock"]
    assert analysed(recording.events, ["log_errors"])["log_errors"]["count"] == 0


def test_a_log_without_errors_is_known_to_have_none(recording, analysed):
    """The health knows it as the report does; without a log nothing is known."""
    without = analysed(recording.events, ["health", "log_errors"])
    assert without["health"]["sections"]["log_errors"]["score"] is None
    log(recording, "info", "all is well")
    found = analysed(recording.events, ["health", "log_errors"])
    assert (found["log_errors"]["records"], found["log_errors"]["count"]) == (1, 0)
    assert found["health"]["sections"]["log_errors"]["score"] == 1.0


def test_records_below_error_are_one_finding(recording, analysed):
    """Those of level error have their own place in the report, and a run without any has no finding."""
    log(recording, "error", "broken")
    health = analysed(recording.events, ["health", "log_errors"])["health"]
    assert "error_in_log" not in {finding["id"] for finding in health["findings"]}
    log(recording, "info", "payment failed")
    health = analysed(recording.events, ["health", "log_errors"])["health"]
    (finding,) = (finding for finding in health["findings"] if finding["id"] == "error_in_log")
    assert "payment failed" in finding["evidence"]
