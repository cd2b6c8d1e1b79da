"""What belongs on a page about a failure."""

from pathlib import Path

import orjson
import pytest

from namel3ss_debug.analysis.issue import choose, issue
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.traces.reader import open_trace


@pytest.fixture
def told(recording, tmp_path):
    """The page about some events, as JSON."""

    def told(words="", events=None):
        path = tmp_path / "run.jsonl"
        written = recording.events if events is None else events
        path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in written))
        return issue(open_trace(path), words, Options())

    return told


def failure(number, severity, name, error, **more):
    """A row of the section errors."""
    return {
        "number": number,
        "severity": severity,
        "component": "tool",
        "component_name": name,
        "error": error,
    } | more


TWO = [
    failure(4, 0.3, "pay", "the card was declined"),
    failure(9, 0.8, "search", "no route to host", error_type="ConnectionError"),
]


@pytest.mark.parametrize(
    ("words", "number", "by"),
    [
        ("", 9, "severity"),
        ("it crashed somewhere", 9, "severity"),
        ("customers say the payment was DECLINED!", 4, "words"),
        ("lost its connection", 9, "words"),  # a part of the type
        ("cards are refused", 4, "words"),  # the beginning of a word
    ],
)
def test_the_words_choose_the_failure(words, number, by):
    """The failure with most of the words is meant; where none fits, the most severe."""
    chosen, chosen_by = choose(TWO, words)
    assert (chosen["number"], chosen_by) == (number, by)


def test_small_words_choose_nothing():
    """What stands in every sentence fits none."""
    assert (
        choose([failure(1, 0.2, "a", "this was the error"), failure(2, 0.5, "b", "x")], "what was the")[1]
        == "severity"
    )


def test_a_weaker_sign_is_meant_only_where_the_words_fit_it_better():
    """A failure is surer than what an output says of one."""
    weak = failure(2, 0.9, "mail", "mailbox full", weak=True)
    assert choose([*TWO, weak], "")[0]["number"] == 9
    assert choose([*TWO, weak], "mailbox")[0]["number"] == 2
    assert choose([weak], "")[0]["number"] == 2
    assert choose([], "anything") == (None, None)


def test_the_page_of_a_failure(told, recording):
    """The failure with its chain, its stack trace, and how its call is mocked."""
    for at in range(3):
        recording.span("tool", "lookup", at, at + 0.5)
    begun = recording.start("tool", "lookup", 4)
    trace = "\n".join(f"line {place}" for place in range(40))
    recording.end(begun, 5, status="failed", error="gone", error_type="KeyError", stack_trace=trace)
    found = told()
    assert found["failure"]["number"] == 7
    assert found["mock"] == "lookup@4"
    assert found["origin"]["chain"][0]["number"] == 7
    assert found["stack_trace"].splitlines()[:2] == ["...", "line 25"]
    assert (found["other_failures"], found["can_run_again"]) == (0, False)


def test_a_run_without_a_failure(told, recording):
    """There is no failure to tell, and the rest is."""
    recording.span("tool", "lookup", 0, 1)
    found = told("it is slow")
    assert (found["failure"], found["origin"], found["mock"], found["chosen_by"]) == (None, None, None, None)
    assert (found["words"], found["status"]["status"]) == ("it is slow", "completed")


def test_only_a_recording_of_ours_with_payloads_can_run_again(told, recording):
    """It says what was run, and at the level basic it holds no answers."""
    metadata = {
        "target": "app.py",
        "settings": {"level": "detailed"},
        "packages": {"openai": "3.1", "rich": "15"},
    }
    recording.add("trace_start", 0, metadata=metadata)
    recording.span("tool", "lookup", 0, 1)
    found = told()
    assert found["can_run_again"]
    assert found["environment"]["packages"] == {"openai": "3.1"}
    recording.events[0]["metadata"]["settings"]["level"] = "basic"
    assert not told()["can_run_again"]


def test_nobody_s_home_is_named(told, recording):
    """Neither that of the user who writes the page nor one in the recording."""
    begun = recording.start("tool", "read", 0, inputs={"arguments": {"path": f"{Path.home()}/secret.txt"}})
    said = f"no file {Path.home()}/secret.txt, /home/anna/b.txt, C:\\Users\\Bob\\c.txt or /Users/evelyn/d.txt"
    recording.end(begun, 1, status="failed", error=said, error_type="FileNotFoundError")
    page = orjson.dumps(told()).decode()
    assert "no file ~/secret.txt, ~/b.txt, ~\\\\c.txt or ~/d.txt" in page
    assert not any(name in page for name in ("anna", "Bob", "evelyn", f"{Path.home()}/"))


def test_a_user_who_has_no_home_gets_a_page(told, recording, monkeypatch):
    """As in a container whose user the system does not know."""
    recording.end(recording.start("tool", "read", 0), 1, status="failed", error="no file /home/anna/b")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert "no file ~/b" in orjson.dumps(told()).decode()
