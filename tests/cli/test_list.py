"""`debug list`."""

import json

import pytest

from namel3ss_debug.analysis.sections import listed


def end_with(trace, **metadata):
    """Add the end of the program to a recording."""
    end = {"event_type": "trace_end", "event_id": "9", "seq": 8, "timestamp": 1763726402.0}
    line = json.dumps(end | {"component": "app", "metadata": metadata})
    trace.write_text(f"{trace.read_text()}{line}\n")


def test_recordings_are_rows(run, trace, monkeypatch):
    """A recording shows its id, start, program, duration, cost, errors and outcome; a wide screen has room for more."""
    size = f"{trace.stat().st_size / 1024:.1f} KB"
    assert run("list").stdout.splitlines() == [
        "trace     UTC          program    took      cost  errors  outcome",
        "ab12cd34  11-21 12:00  app.py   1.32 s  $0.00021       1  killed",
        "",
        f"1 trace, {size}, in debug/traces",
    ]
    monkeypatch.setenv("COLUMNS", "120")
    assert run("list").stdout.splitlines()[:2] == [
        "trace     started (UTC)     program    took      cost  errors  events    size  outcome",
        f"ab12cd34  2025-11-21 12:00  app.py   1.32 s  $0.00021       1       8  {size}  killed",
    ]


def test_a_narrow_list_shows_the_file_of_a_program_without_its_folder(run, trace, monkeypatch):
    """A path cut in its middle would lose the name in which the programs of a folder differ; a wide list has the path."""
    trace.write_text(trace.read_text().replace('"app.py"', '"examples/failing_agent.py"'))
    assert " failing_agent.py " in run("list").stdout.splitlines()[1]
    monkeypatch.setenv("COLUMNS", "120")
    assert " examples/failing_agent.py " in run("list").stdout.splitlines()[1]


def test_a_narrow_list_keeps_what_tells_recordings_apart(run, trace, monkeypatch):
    """At 40 columns a row has the whole id, the day, the program, and an outcome that is not in order."""
    monkeypatch.setenv("COLUMNS", "40")
    rows = ["trace     UTC          program  outcome", "ab12cd34  11-21 12:00  app.py   killed", ""]
    assert run("list").stdout.splitlines()[:3] == rows
    end_with(trace, exit_status=0)
    assert run("list").stdout.splitlines()[1] == "ab12cd34  11-21 12:00  app.py"


def test_reruns_stand_below_their_trace_with_their_verdict(run, trace, monkeypatch):
    """A re-run whose trace is not in the list names it; the document names the recording of each."""
    begun = trace.read_text()
    end_with(trace, exit_status=0)
    rerun = trace.with_name("trace_20251122_120000_00000001.jsonl")
    lines = begun.replace('"format": 2', '"format": 2, "rerun": {"of": "ab12cd34ef567890"}')
    rerun.write_text(
        lines.replace('"execution_id": "ab12cd34ef567890"', '"execution_id": "0000000100000000"')
    )
    end_with(rerun, exit_status=0, rerun={"verdict": "diverged"})
    rows = run("list").stdout.splitlines()[1:3]
    assert [row.split()[0] for row in rows] == ["ab12cd34", "└─"]
    assert rows[1].endswith("  diverged")
    documents = json.loads(run("list", "--format", "json").stdout)["recordings"]
    assert [(each["rerun_of"], each["verdict"]) for each in documents] == [
        (None, None),
        ("ab12cd34ef567890", "diverged"),
    ]
    trace.unlink()
    monkeypatch.setenv("COLUMNS", "120")
    assert run("list").stdout.splitlines()[1].endswith("  re-run of ab12cd34: diverged")


def test_runs_are_found_by_model_cost_text_tag_and_time(run, trace):
    """Every condition must hold; a tag is of the settings, or of the metadata of a span."""
    tagged = trace.read_text().replace('"format": 2', '"format": 2, "settings": {"tags": {"team": "search"}}')
    span = '"component_name": "Support", "metadata": {"user": 42, "tags": ["beta"]}'
    trace.write_text(tagged.replace('"component_name": "Support"', span, 1))

    def found(*options):
        return len(json.loads(run("list", "--format", "json", *options).stdout)["recordings"])

    for options in (
        ["--model", "GPT-4o*"],
        ["--cost", ">0.0002", "--cost", "> 0.0001"],
        ["--text", "a-17", "--text", "The Service"],
        ["--tag", "user=42", "--tag", "team=sea*", "--tag", "beta"],
        ["--since", "5000w"],
        ["--failed", "--model", "gpt-4o-mini", "--cost", "<= 1", "--text", "A-17", "--tag", "team"],
    ):
        assert found(*options) == 1, options
    for options in (
        ["--model", "gpt-4o"],
        ["--cost", ">1"],
        ["--text", "A-18"],
        ["--text", "argv"],
        ["--tag", "user=4"],
        ["--tag", "us"],
        ["--since", "1h"],
        ["--tag", "user=42", "--outcome", "completed"],
    ):
        assert found(*options) == 0, options
    assert run("list", "--text", "A-18").stderr == (
        "namel3ss debug: no traces in debug/traces that meet all conditions\n"
    )
    assert run("list", "--cost", "1").stderr.startswith(
        "namel3ss debug: --cost 1: not a comparison; write it as '>0.05' or '<= 1'"
    )
    assert run("list", "--since", "x").stderr.startswith("namel3ss debug: --since x: not a time")


def test_files_of_other_writers_are_listed(run, workspace):
    """What an importer reads stands in the list, whatever its name; other JSON does not."""
    call = {"component": "llm", "component_name": "m", "timestamp": 1e9}
    events = [call | {"event_type": "llm_call_start"}, call | {"event_type": "llm_call_end"}]
    (workspace / "other.json").write_text(json.dumps(events, indent=1))
    (workspace / "package.json").write_text('{"name": "x"}')
    rows = run("list", ".").stdout.splitlines()
    assert [row.split()[0] for row in rows[1:-2]] == ["other.json"]


@pytest.mark.parametrize(
    ("metadata", "outcome", "shown"),
    [
        ({"exit_status": 0}, "completed", "completed"),
        ({"exit_status": 3}, "failed", "failed (exit status 3)"),
        ({"stopped_by": "SIGTERM"}, "stopped", "stopped (SIGTERM)"),
    ],
)
def test_the_outcome_is_the_same_in_every_command(run, trace, metadata, outcome, shown):
    """The list, its document, the analysis and its document have one word for how the run ended."""
    end_with(trace, **metadata)
    assert run("list").stdout.splitlines()[1].endswith(shown.replace("exit status", "status"))
    (recording,) = json.loads(run("list", "--format", "json").stdout)["recordings"]
    overview = json.loads(run("analyze", trace, "--format", "json").stdout)["execution_overview"]
    assert recording["outcome"] == overview["outcome"] == outcome
    assert (recording["errors"], recording["cost"]) == (overview["errors"], overview["cost"])
    assert recording["duration_ms"] == overview["duration_ms"]
    assert f"outcome    {shown}" in run("analyze", trace).stdout


def test_an_uncaught_exception_and_ctrl_c_are_told_apart(run, trace):
    """The type of the exception stands in brackets; a run that Ctrl-C ended is interrupted, and has not failed."""
    begun = trace.read_text()
    for error_type, status, shown in (
        ("ValueError", {"exit_status": 1}, "failed (ValueError)"),
        ("KeyboardInterrupt", {}, "interrupted"),
    ):
        error = {
            "event_type": "error_occurred",
            "event_id": "e",
            "component": "app",
            "error_type": error_type,
        }
        trace.write_text(begun + json.dumps(error | {"metadata": {"uncaught": True}}) + "\n")
        end_with(trace, **status)
        assert run("list").stdout.splitlines()[1].endswith(shown)


def test_only_runs_with_an_outcome(run, trace, workspace):
    """`--failed` shows what failed or was killed, `--outcome` what it names; without any, one line says so."""
    good = workspace / "debug/traces/trace_20251122_120000_00000000.jsonl"
    good.write_text(trace.read_text())
    end_with(good, exit_status=0)

    def shown(*options):
        document = json.loads(run("list", "--format", "json", *options).stdout)
        return [recording["outcome"] for recording in document["recordings"]]

    assert shown() == ["completed", "killed"]
    assert shown("--failed") == ["killed"]
    assert shown("--outcome", "completed") == ["completed"]
    assert shown("--outcome", "completed", "--outcome", "killed") == ["completed", "killed"]
    result = run("list", "--outcome", "stopped")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "namel3ss debug: no traces in debug/traces with the outcome stopped\n"
    assert run("list", "--outcome", "excellent").exit_code == 2


def test_a_marked_run_is_found_by_its_mark(run, trace):
    """`--outcome` takes a mark too, and `--failed` shows what is marked bad, however it ended."""
    end_with(trace, exit_status=0)

    def shown(*options):
        return len(json.loads(run("list", "--format", "json", *options).stdout)["recordings"])

    assert shown("--failed") == shown("--outcome", "bad") == 0
    assert run("mark", str(trace), "bad").exit_code == 0
    assert shown("--failed") == shown("--outcome", "bad") == shown("--outcome", "completed") == 1
    assert shown("--outcome", "good") == 0


def test_a_trace_that_is_not_read_again_keeps_its_figures(run, trace, monkeypatch):
    """The figures come from the cache until the file changes; one that is too large has its outcome only."""
    first = run("list").stdout

    def refuse(*_arguments, **_options):
        raise AssertionError("it was read again")

    with monkeypatch.context() as patch:
        patch.setattr(listed, "analyze_trace", refuse)
        assert run("list").stdout == first
    end_with(trace, exit_status=3)
    monkeypatch.setattr(listed, "LARGEST", 10)
    (recording,) = json.loads(run("list", "--format", "json").stdout)["recordings"]
    assert (recording["outcome"], recording["outcome_detail"]) == ("failed", "exit status 3")
    assert (recording["cost"], recording["errors"], recording["duration_ms"]) == (None, None, None)
    assert (recording["models"], recording["tags"]) == ([], {})
    monkeypatch.setattr(listed, "LARGEST", 1 << 20)
    assert json.loads(run("list", "--format", "json").stdout)["recordings"][0]["errors"] == 1


def test_dropped_events_are_shown_by_every_command(run, trace):
    """What the program could not write stands in the list and above each answer."""
    header, _, rest = trace.read_text().partition("\n")
    note = '{"dropped":22191,"next_seq":22199,"error":"ENOSPC","ended":true,"exit_status":0}'
    trace.write_text(f"{header}\n{note.ljust(127)}\n{rest}")
    assert run("list").stdout.splitlines()[1].endswith("  22,191  completed")
    sentence = "22,191 events were dropped: no space left on device"
    for words in (
        ["analyze"],
        ["inspect"],
        ["explain", "4"],
        ["report"],
        ["logs"],
        ["diff", trace],
    ):
        told = run(*words, trace)
        assert sentence in told.stderr, (words, told.stderr)


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
    assert (
        result.stderr
        == "namel3ss debug: no traces in debug/traces; make one with: namel3ss debug trace app.py\n"
    )


def test_a_recording_that_may_not_be_read_is_named(run, trace, forbid):
    """It is in no row, so a line on stderr says that there is one."""
    forbid(trace)
    told = f"namel3ss debug: debug/traces: 1 file that may not be read left out: {trace.name}\n"
    assert run("list").stderr.startswith(told)
