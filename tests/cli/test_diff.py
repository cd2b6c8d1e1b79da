"""`debug diff`."""

import copy
import json

import orjson
import pytest

from namel3ss_debug.traces.reader import open_trace


@pytest.fixture
def events(trace):
    """The events of the small recording."""
    return list(open_trace(trace).events())


@pytest.fixture
def other(events, workspace):
    """Writes the recording with one event changed."""

    def write(number=None, **fields):
        changed = copy.deepcopy(events)
        if number is not None:
            changed[number - 1] |= fields
        path = workspace / "other.jsonl"
        path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in changed))
        return path

    return write


ASKED = {
    "model": "gpt-4o-mini",
    "messages": [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Where is B-21, and when will it come?"}]},
    ],
}


def test_a_recording_and_itself(run, trace):
    """Status 0, said in the first line."""
    done = run("diff", trace, trace)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "The runs are the same run"


def test_two_runs_that_part(run, trace, other, workspace):
    """Status 1; what differs, both sides of what the model read, and what both took; within 80 columns."""
    paths = [path.relative_to(workspace) for path in (trace, other(3, inputs=ASKED))]
    done = run("diff", *paths)
    assert done.exit_code == 1
    assert max(map(len, done.stdout.splitlines())) <= 80
    shown = done.stdout.split("What they took")[0].splitlines()
    assert shown == [
        "The runs diverge  1 prompt",
        "     trace                                              events  program",
        "  a  debug/traces/trace_20251121_120000_ab12cd34.jsonl       8  app.py",
        "  b  other.jsonl                                             8  app.py",
        "",
        "First difference  the runs agree again after each",
        "  prompt   the model got another prompt",
        "  changed  instructions, question",
        "  inside   Support",
        "  a        event 3, llm gpt-4o-mini: Where is A-17?",
        "  b        event 3, llm gpt-4o-mini: Where is B-21, and when will it come?",
        "",
        "What the model read  event 3 in a, event 3 in b",
        "     a                               b",
        "  +                                  1 system  Be brief.",
        "  ~  1 user  Where is [-A-]-[-17-]?  2 user  Where is {+B+}-{+21, and",
        "                                     when will it come+}?",
        "",
        "They reconverge  event 5 in a, event 5 in b, for 2 steps, to the end",
        "",
    ]


def test_the_document(run, trace, other):
    """The schema first; the difference with its messages; the figures of both sides."""
    done = run("diff", trace, other(3, inputs=ASKED), "--format", "json")
    document = json.loads(done.stdout)
    assert next(iter(document.items())) == ("schema", "namel3ss-debug/diff/2")
    assert document["kinds"] == {"prompt": 1}
    assert document["first"] == document["differences"][0]
    assert [change["kind"] for change in document["first"]["messages"]] == ["added", "changed"]
    assert document["a"]["tokens"] == document["b"]["tokens"] == 412


def test_markdown(run, trace, other):
    """Headings and tables."""
    done = run("diff", trace, other(6, status="completed", error=None), "--format", "markdown")
    assert done.exit_code == 1
    assert done.stdout.startswith("# The runs diverge")
    assert "| status | failed | completed |" in done.stdout


def test_a_failing_run_beside_passing_ones(run, trace, other):
    """With --baseline there is one more recording, and it is the failing one."""
    done = run("diff", "--baseline", trace, "--baseline", trace, other(3, inputs=ASKED))
    assert done.exit_code == 1
    assert done.stdout.splitlines()[0] == "What sets the failing run apart  1 prompt"
    again = other(1, metadata={"format": 2, "process": 0, "target": "app.py", "argv": ["app.py"]})
    assert run("diff", "--baseline", trace, again).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one"], "diff compares two runs, as in: diff A B; 1 given"),
        (["one", "two", "three"], "diff compares two runs, as in: diff A B; 3 given"),
        (["--baseline", "one", "two", "three"], "diff compares one failing run with --baseline; 2 given"),
        (["one", "two"], "one"),
    ],
)
def test_what_cannot_be_compared(run, trace, words, message):
    """Status 2, with one line that says why."""
    del trace
    done = run("diff", *words)
    assert done.exit_code == 2
    assert message in done.stderr


def test_what_is_not_compared(run, trace, other, monkeypatch):
    """By an option, or by the setting."""
    path = other(3, inputs=ASKED)
    assert run("diff", trace, path, "--ignore", "messages").exit_code == 0
    monkeypatch.setenv("NAMEL3SS_DEBUG_DIFF_IGNORE", "inputs.messages")
    assert run("diff", trace, path).exit_code == 0


def test_hostile_recordings(run, other, hostile_trace, workspace):
    """No control sequence of a recording reaches the terminal, in no format and on no side."""
    hostile = hostile_trace.rename(workspace / "hostile.jsonl")
    plain = other()
    for pair in ((plain, hostile), (hostile, plain)):
        for form in ("table", "markdown", "json"):
            done = run("diff", *pair, "--format", form)
            assert done.exit_code == 1
            assert not any(character in done.stdout for character in "\x1b\x07\x9b\u202e\u200b\x7f")
