"""`debug activity`."""

import json
from shlex import quote


def test_the_story_of_an_agent(run, trace):
    """The latest recording is meant, and the name in any case."""
    assert run("activity", "support").stdout.splitlines() == [
        "Activity of Support  agent; 1 span, 4 steps, 1 failure",
        "  calls  gpt-4o-mini 1, lookup 1 (1 failed)",
        "",
        "  n   at s     took  activity",
        '  2  0.010           Support begins: {"question": "Where is A-17?"}',
        "  3  0.020             asks gpt-4o-mini: Where is A-17?",
        '             1.24 s      answers: lookup(order="A-17")',
        '  5  1.270             calls lookup: {"order": "A-17"}',
        "            35.0 ms      fails: ConnectionError: the service is down",
        '  7  1.310   1.30 s  Support ends with: {"answer": "Later."}',
    ]


def test_the_document_and_the_page(run, trace):
    """The schema comes first; Markdown has the same as a table."""
    document = json.loads(run("activity", "Support", trace, "--format", "json", "--limit", "1").stdout)
    assert next(iter(document.items())) == ("schema", "namel3ss-debug/activity/1")
    assert [step["number"] for step in document["steps"]] == [2]
    assert document["steps_left_out"] == 3
    assert run("activity", "send_mail", "--format", "markdown").stdout.startswith("# Activity of send\\_mail")


def test_a_name_that_is_not_there(run, trace):
    """The nearest is suggested, in one line."""
    done = run("activity", "suport")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "did you mean Support?" in done.stderr


def test_a_recording_alone_lacks_the_name(run, trace):
    """It is told with an example, and not that nothing has the name of the file."""
    done = run("activity", trace)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert (
        f"NAME is missing: name an agent, a tool or a component before it, as in `namel3ss debug activity llm {quote(str(trace))}`"
        in done.stderr
    )


def test_no_data_becomes_markup(run, hostile_trace):
    """The story of a hostile recording has no control character."""
    for words in (("--format", "table"), ("--format", "markdown"), ("--format", "json")):
        shown = run("activity", "Support*", *words).stdout
        assert all(character.isprintable() or character == "\n" for character in shown)
