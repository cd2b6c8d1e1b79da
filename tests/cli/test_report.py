"""`debug report`."""

import json
import re

import pytest


def test_the_page(run, trace):
    """The user's words, the failure, where it began, how it came to it, how to look at it again, and on what it ran."""
    done = run("report", "the lookup does not work")
    assert done.exit_code == 0
    headings = [line for line in done.stdout.splitlines() if line.startswith("#")]
    assert headings == [
        "# tool lookup: ConnectionError: the service is down",
        "## What happened",
        "## Where it began (each step from the one below it)",
        "## How it came to it",
        "## How to look at it again (with the trace beside this page)",
        "## Environment and cost",
    ]
    assert "\n> the lookup does not work\n" in done.stdout
    assert "- **fingerprint**: " in done.stdout
    name = "trace_20251121_120000_ab12cd34.jsonl"
    assert f"`namel3ss debug explain 5 {name}`" in done.stdout
    assert f"`namel3ss debug replay {name} --step -b 5`" in done.stdout
    assert "--rerun" not in done.stdout  # this recording does not say under what settings it was made
    assert "\nConnectionError: down\n```" in done.stdout


def test_one_argument_is_the_recording_where_it_names_one(run, trace):
    """Otherwise it is what is wrong, in words."""
    for named in (trace, "latest", "ab12cd34"):
        assert "\n> " not in run("report", named).stdout
    spaced = trace.with_name("my run.jsonl")
    spaced.write_bytes(trace.read_bytes())
    assert "\n> " not in run("report", spaced).stdout
    trace.with_name("trace_latest.jsonl").symlink_to(trace.name)
    assert "\n> lookup" in run("report", "lookup").stdout
    assert "\n> lookup" in run("report", "lookup", trace).stdout


def test_words_that_fit_no_failure(run, trace):
    """The page and stderr say that they do not, and nothing of it where they do."""
    done = run("report", "no such zebra", trace)
    assert "\nNo failure matches these words; this is the most severe.\n" in done.stdout
    assert "no failure matches these words" in done.stderr
    done = run("report", "the lookup", trace)
    assert "fits these words" not in done.stdout + done.stderr


def test_a_recording_that_is_not_there(run, trace):
    """A file that is not there is no words about what is wrong."""
    done = run("report", "other.jsonl")
    assert (done.exit_code, "other.jsonl" in done.stderr) == (2, True)


def test_words_without_quotes(run, trace):
    """What the shell has parted into several arguments is answered with what is missing."""
    assert "two: no " in (said := run("report", "orders", "two").stderr)
    assert "; put several WORDS in quotes (see " in said
    assert run("report", "it", "orders", "twice").stderr == (
        "namel3ss debug: put WORDS in quotes, as in: report 'it orders twice' (see namel3ss debug report --help)\n"
    )
    assert "WORDS" not in run("report", "it orders twice", "other.jsonl").stderr


def test_the_page_as_json(run, trace):
    """One document with its schema first."""
    document = json.loads(run("report", "lookup", trace, "--format", "json").stdout)
    assert next(iter(document.items())) == ("schema", "namel3ss-debug/report/2")
    assert (document["failure"]["number"], document["chosen_by"]) == (5, "words")
    assert [step["number"] for step in document["activity"]][-1] == 5


def test_the_page_goes_into_a_file(run, trace, workspace):
    """With -o nothing is printed, and folders that are missing are made; a place that cannot be written is told."""
    done = run("report", "-o", "issue.md")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "namel3ss debug: the page is in issue.md\n"
    assert (workspace / "issue.md").read_text() == run("report").stdout
    assert run("report", "-o", "new/folder/issue.md").exit_code == 0
    assert (workspace / "new/folder/issue.md").read_text() == run("report").stdout
    done = run("report", "-o", "issue.md/page.md")
    assert (done.exit_code, done.stderr.startswith("namel3ss debug: cannot write issue.md/page.md: issue.md is no dir")) == (2, True)  # fmt: skip


def test_the_same_page_every_time(run, trace):
    """The same recording and words, the same bytes."""
    assert run("report", "x y").stdout == run("report", "x y").stdout


@pytest.mark.parametrize("kind", ["markdown", "json"])
def test_a_hostile_recording_adds_no_markup(run, hostile_trace, kind):
    """What a recording says is shown and never obeyed: by a terminal, by Markdown."""
    shown = run("report", "lookup", hostile_trace, "--format", kind).stdout
    assert all(character.isprintable() or character == "\n" for character in shown)
    if kind == "markdown":
        outside = re.sub(r"```.*?```|`[^`]*`", "", shown, flags=re.DOTALL)
        assert "[red]" not in outside.replace("\\[red\\]", "")
        assert len(re.findall(r"^#", shown, re.MULTILINE)) == 6


def test_a_run_in_which_nothing_failed(run, streamed_trace):
    """Where the program was when the recording ended is told in place of a failure."""
    shown = run("report", streamed_trace).stdout
    assert shown.startswith("# The program never ended\n")
    assert "llm m, event 7, never ended" in shown
    assert "## Findings" in shown
