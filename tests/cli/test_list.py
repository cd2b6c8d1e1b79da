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


def test_a_narrow_list_keeps_what_tells_recordings_apart(run, trace, monkeypatch):
    """At 40 columns a row has the whole id, the day without its year, the program, and an end that was not in order."""
    monkeypatch.setenv("COLUMNS", "40")
    rows = ["recording  UTC          program  status", "ab12cd34   11-21 12:00  app.py   killed", ""]
    assert run("list").stdout.splitlines()[:3] == rows
    end = {"event_type": "trace_end", "event_id": "9", "seq": 8, "timestamp": 1763726402.0}
    trace.write_text(trace.read_text() + json.dumps(end | {"component": "app"}) + "\n")
    assert run("list").stdout.splitlines()[1] == "ab12cd34   11-21 12:00  app.py"


def test_a_rerun_is_told_apart_from_a_run(run, trace):
    """The status says that it is one, and how it ended where that was not in order; the document names the recording."""
    text = trace.read_text().replace('"format": 1', '"format": 1, "rerun": {"of": "ab12cd34ef567890"}')
    trace.write_text(text)
    assert run("list").stdout.splitlines()[1].endswith("  re-run, killed")
    end = {
        "event_type": "trace_end",
        "event_id": "9",
        "seq": 8,
        "timestamp": 1763726402.0,
        "component": "app",
    }
    trace.write_text(text + json.dumps(end) + "\n")
    assert run("list").stdout.splitlines()[1].endswith("  re-run")
    (recording,) = json.loads(run("list", "--format", "json").stdout)["recordings"]
    assert (recording["status"], recording["rerun_of"]) == ("finished", "ab12cd34ef567890")


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


def test_a_recording_that_may_not_be_read_is_named(run, trace, forbid):
    """It is in no row, so a line on stderr says that there is one."""
    forbid(trace)
    told = f"namel3ss debug: debug/traces: 1 file that may not be read left out: {trace.name}\n"
    assert run("list").stderr.startswith(told)
