"""`debug list`."""

import json


def test_recordings_are_rows(run, trace):
    """A recording shows its id, start, program, events, size and how it ended."""
    assert run("list").stdout.splitlines() == [
        "recording  started (UTC)     program  events    size  status",
        f"ab12cd34   2025-11-21 12:00  app.py        8  {trace.stat().st_size / 1024:.1f} KB  killed",
        "",
        f"1 recording, {trace.stat().st_size / 1024:.1f} KB, in debug/traces",
    ]


def test_the_document_has_the_path_and_the_id(run, trace):
    """What scripts need is in the document."""
    document = json.loads(run("list", "--format", "json").stdout)
    assert next(iter(document.items())) == ("schema", "namel3ss-debug/list/1")
    (recording,) = document["recordings"]
    assert recording["path"] == "debug/traces/" + trace.name
    assert recording["execution_id"] == "ab12cd34ef567890"


def test_no_recordings_is_no_mistake(run):
    """An empty list is said on stderr, and is not a failure."""
    result = run("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "no recordings in debug/traces; make one with: namel3ss debug trace app.py\n"
