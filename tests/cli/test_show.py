"""`debug show`."""

import json


def test_a_run_is_a_conversation(run, trace):
    """What the model read and called, what the tool returned, the agent around them, and what never ended."""
    assert run("show").stdout.splitlines() == [
        "Transcript",
        "  n  at s  what happened",
        '  2  0.01  Support  begins  {"question": "Where is A-17?"}',
        "  3  0.02    gpt-4o-mini  reads  user: Where is A-17?",
        '  4  1.26    gpt-4o-mini  calls  lookup(order="A-17")',
        '  5  1.27    lookup(order="A-17")  fails  ConnectionError: the service is down',
        '  7  1.31  Support  ends  {"answer": "Later."}',
        '  8  1.32  send_mail(to="a@example.org")  never ended',
        "the trace has no end: the program was killed, or still runs",
    ]


def test_parts_of_it(run, trace):
    """From an event on, of one agent, or only what went wrong; the number of all steps stays."""

    def numbers(*words):
        document = json.loads(run("show", *words, "--format", "json").stdout)
        assert document["steps_total"] == 6
        return [step["number"] for step in document["steps"]]

    assert numbers("--from", "5") == [5, 7, 8]
    assert numbers("--agent", "support") == [2, 3, 4, 5, 7]
    assert numbers("--errors") == [5, 8]
    assert "2 of 6 steps" in run("show", "--errors").stdout


def test_whole_texts(run, trace):
    """Each is below its line, without cuts."""
    shown = run("show", "--full").stdout
    assert "user\n          Where is A-17?" in shown
    assert "ConnectionError: down" in shown


def test_no_data_becomes_markup(run, hostile_trace):
    """The transcript of a hostile recording has no control character."""
    for words in (("--format", "table"), ("--full",), ("--format", "markdown"), ("--format", "json")):
        shown = run("show", *words).stdout
        assert all(character.isprintable() or character == "\n" for character in shown)
