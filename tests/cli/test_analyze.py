"""`debug analyze`."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

FOREIGN = Path(__file__).parents[1] / "data/namel3ss/sample_trace.jsonl"

PATHS = (
    "performance.slow_operations",
    "performance.llm_performance",
    "performance.tool_performance",
    "resource_usage",
    "errors.total_errors",
    "errors.error_categories",
    "execution_overview",
    "component_breakdown",
    "event_type_breakdown",
    "integrity.score",
    "dependencies.critical_path",
    "dependencies.parallel",
)

FINDINGS = [
    "Findings",
    "  1  event 8: the run never ended: the last event is 8, and no end was recorded",
    "     namel3ss debug inspect --event 8 ab12cd34",
    "  2  event 8: tool send_mail never ended: the program was inside it when the",
    "     trace ended",
    "     namel3ss debug explain 8 ab12cd34",
    "  3  event 5: tool lookup failed: ConnectionError: the service is down",
    "     namel3ss debug explain 5 ab12cd34",
]
"""The findings of a program that was killed."""


@pytest.fixture(params=["whole", "streamed", "foreign"])
def some_trace(request, workspace):
    """A recording of ours, one whose program died while an answer was streamed, and one of another writer."""
    if request.param != "foreign":
        return request.getfixturevalue("trace" if request.param == "whole" else "streamed_trace")
    return Path(shutil.copy(FOREIGN, workspace / "foreign.jsonl"))


def test_the_paths_people_pipe_to_jq_are_there(program, some_trace):
    """The document has its schema first and every promised path, as jq sees it where there is a jq."""
    words = [*program, "analyze", str(some_trace), "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert next(iter(json.loads(done.stdout).items())) == ("schema", "namel3ss-debug/analyze/2")
    for path in PATHS:
        assert asked(done.stdout, path) is not None


def asked(document, path):
    """What stands at a path of a document."""
    if jq := shutil.which("jq"):
        answer = subprocess.run(
            [jq, "-e", f".{path}"], input=document, capture_output=True, text=True, check=True
        )
        return json.loads(answer.stdout)
    value = json.loads(document)
    for key in path.split("."):
        value = value[key]
    return value


def test_the_first_screen(run, trace):
    """The outcome, where the time went, what it cost, the findings with their events and commands, and what else there is."""
    shown = run("analyze", "ab12cd34").stdout.splitlines()
    assert shown == [
        "app.py",
        "  outcome  killed",
        "  errors   1 error",
        "  time     1.32 s: 94 % gpt-4o-mini, 3 % lookup, 2 % Support, 2 % the rest",
        "  cost     $0.00021: 1 model call, 412 tokens (380 input, 32 output)",
        "  trace    debug/traces/trace_20251121_120000_ab12cd34.jsonl, 8 events",
        "",
        *FINDINGS,
        "  analyze --all adds all tables, each also by its flag: summary, performance,",
        "  errors, signals, resources, integrity, dependencies, patterns, optimizations,",
        "  triggers, interactions",
    ]


@pytest.mark.parametrize("words", [["--all"], ["--format", "markdown"], ["--format", "html"]])
def test_everything_is_behind_all_and_in_the_other_formats(run, trace, words):
    """The tables of every section are there, and the health."""
    shown = run("analyze", trace, *words).stdout
    for title in ("1 error", "Bottlenecks", "Models", "Tools", "Critical path", "Resources", "Components"):
        assert title in shown
    assert "Health 48.6 %" in shown


def test_an_exception_that_a_tool_handled_stands_in_the_header(run, workspace):
    """What a tool hides from its caller is named with its event; the first screen keeps within 25 lines."""
    began, ended = 100.0, 100.5
    tool = {"component": "tool", "component_name": "convert"}
    events = [
        {"event_type": "trace_start", "event_id": "0", "timestamp": 99.0, "metadata": {"target": "app.py"}},
        tool | {"event_type": "tool_call_start", "event_id": "1", "timestamp": began},
        {
            "event_type": "exception_handled", "event_id": "2", "parent_event_id": "1", "timestamp": began,
            **tool, "error_type": "KeyError", "error": "'EUR'", "call_site": "app.py:9",
            "metadata": {"function": "convert"},
        },
        tool | {
            "event_type": "tool_call_end", "event_id": "3", "parent_event_id": "1", "timestamp": ended,
            "status": "completed", "duration_ms": 500.0, "outputs": {"result": 7},
        },
    ]  # fmt: skip
    path = workspace / "t.jsonl"
    path.write_text("".join(json.dumps(event | {"seq": seq}) + "\n" for seq, event in enumerate(events)))
    shown = run("analyze", path).stdout.splitlines()
    assert "  handled  KeyError in tool convert, event 3" in shown
    assert "  time     1.50 s: 67 % start-up, 33 % convert" in shown
    assert len(shown) <= 25


@pytest.mark.parametrize(
    ("flag", "sections"),
    [
        ("--errors", ["errors"]),
        ("--performance", ["performance"]),
        ("--resources", ["resource_usage"]),
        ("--integrity", ["integrity"]),
        ("--dependencies", ["dependencies"]),
        ("--health", ["health"]),
        ("--summary", ["execution_overview", "component_breakdown", "event_type_breakdown"]),
    ],
)
def test_flags_choose_sections(run, trace, flag, sections):
    """Only the sections that were asked for are in the document."""
    document = json.loads(run("analyze", trace, flag, "--format", "json").stdout)
    assert list(document) == ["schema", "trace", *sections, "problems"]
    assert run("analyze", trace, flag).exit_code == 0


def test_with_a_flag_nothing_is_cut(run, trace):
    """A section that was asked for is shown whole, without the findings of the others."""
    shown = run("analyze", trace, "--summary", "--dependencies").stdout
    assert "  trace_start                 1" in shown
    assert "Spans on the path" in shown
    assert "Findings" not in shown


def test_the_commands_name_the_recording_that_was_named(run, trace):
    """They can be pasted as they are; of the latest recording the name is left out."""
    trace.with_name("trace_latest.jsonl").symlink_to(trace.name)
    assert "     namel3ss debug explain 5" in run("analyze").stdout.splitlines()[:24]
    odd = trace.with_name("odd name.jsonl")
    odd.write_text(trace.read_text())
    assert f"     namel3ss debug explain 5 '{odd}'" in run("analyze", odd).stdout.splitlines()


def test_the_health_section(run, trace):
    """The score, its parts, and every finding with the command that looks further."""
    shown = run("analyze", "ab12cd34", "--health").stdout.splitlines()
    assert "Health 48.6 %  serious findings" in shown
    assert "  66.7 % of the spans did their work; killed, 1 error seen; outcome not judged" in shown
    assert "  stability        5 %  unfinished 90 %, never ended 50 %" in shown
    assert shown[-1] == "     namel3ss debug explain 5 ab12cd34"


@pytest.fixture
def two_traces(trace):
    """Two recordings of the same, a day apart."""
    later = trace.with_name("trace_20251122_120000_ffffffff.jsonl")
    later.write_text(trace.read_text().replace("ab12cd34ef567890", "f" * 16).replace("17637264", "17638128"))
    return [trace, later]


def test_a_directory_is_every_recording_in_it(run, two_traces):
    """Several recordings are put together, with one row each, oldest first, and a list in the document."""
    directory = two_traces[0].parent
    shown = run("analyze", directory, "--summary", "--errors").stdout.splitlines()
    assert shown[:13] == [
        "2 traces",
        "  from    2025-11-21 12:00 to 2025-11-22 12:00 UTC",
        "  status  killed 2",
        "  took    2.64 s together",
        "  calls   2 agent, 2 LLM, 4 tool",
        "  errors  2",
        "  tokens  824",
        "  cost    $0.00042",
        "",
        "Traces",
        "  id        began (UTC)  status    took  calls  tokens      cost  errors",
        "  ab12cd34  11-21 12:00  killed  1.32 s      3     412  $0.00021       1",
        "  ffffffff  11-22 12:00  killed  1.32 s      3     412  $0.00021       1",
    ]
    assert "2 errors" in shown
    assert {"ab12cd34:5", "ffffffff:5", "ab12cd34:8"} <= {line.split()[0] for line in shown[15:] if line}
    document = json.loads(run("analyze", directory, "--format", "json").stdout)
    assert next(iter(document.items())) == ("schema", "namel3ss-debug/analyze/2")
    assert [item["execution_overview"]["events"] for item in document["traces"]] == [8, 8]
    assert document["performance"]["llm_performance"]["gpt-4o-mini"]["count"] == 2
    for path in (path for path in PATHS if not path.startswith(("integrity", "dependencies"))):
        assert asked(json.dumps(document), path) is not None


def test_the_first_screen_of_several_traces(run, two_traces):
    """A finding of several traces stands once, with where to look; scores and tables are behind --all."""
    shown = run("analyze", two_traces[0].parent).stdout.splitlines()
    (row,) = [line for line in shown if line.startswith("  ab12cd34  11-21")]
    assert "%" not in row
    assert len(shown) <= 30
    assert all(len(line) <= 80 for line in shown)
    start = shown.index("Findings")
    assert shown[start : start + len(FINDINGS)] == FINDINGS
    assert "48.6 %" in run("analyze", two_traces[0].parent, "--all").stdout


def test_a_recording_counts_once_however_it_is_named(run, two_traces):
    """A pattern of the shell also gives the link to the latest and the other files of a recording."""
    link = two_traces[0].with_name("trace_latest.jsonl")
    link.symlink_to(two_traces[1].name)
    shown = run("analyze", *two_traces, link, "ab12cd34", "--summary").stdout
    assert shown.startswith("2 traces\n")


def test_no_data_of_several_becomes_markup_or_reaches_the_terminal(run, hostile_trace):
    """What holds for one recording holds for many."""
    other = hostile_trace.with_name("other.jsonl")
    other.write_bytes(hostile_trace.read_bytes())
    for kind in ("table", "markdown", "json"):
        shown = run("analyze", hostile_trace, other, "--by", "agent", "--format", kind).stdout
        assert all(character.isprintable() or character == "\n" for character in shown)


def test_one_of_several_that_cannot_be_read_is_told_and_left_out(run, two_traces):
    """The answer is that of the others."""
    two_traces[1].write_text("{")
    done = run("analyze", *two_traces, "--summary", "--format", "json")
    assert (done.exit_code, json.loads(done.stdout)["aggregate"]["count"]) == (0, 1)
    assert done.stderr.startswith(f"namel3ss debug: {two_traces[1]}: there is no event in it")


def test_reruns_in_a_directory_are_left_out_unless_named(run, two_traces, monkeypatch):
    """They are no runs of their own: the figures are those of the others, and the answer says what is missing."""
    real, rerun = two_traces
    mark = '"format": 2, "rerun": {"of": "ab12cd34ef567890"}'
    rerun.write_text(rerun.read_text().replace('"format": 2', mark))
    shown = run("analyze", real.parent, "--summary").stdout.splitlines()
    assert shown[0] == "1 trace"
    assert "  1 re-run left out; name it to analyze it" in shown
    document = json.loads(run("analyze", real.parent, "--format", "json").stdout)
    told = document["aggregate"]
    assert (told["count"], told["left_out"]) == (1, [str(rerun)])
    assert document["execution_overview"]["tokens"] == 412
    assert run("analyze", rerun, "--summary").stdout.startswith("app.py\n")
    both = json.loads(run("analyze", real.parent, rerun, "--format", "json").stdout)["aggregate"]
    assert (both["count"], both["left_out"]) == (2, [])
    monkeypatch.setattr("time.time", lambda: 1763812800.0 + 3600)
    of_today = run("analyze", "--last", "2d", "--summary").stdout
    assert of_today.startswith("1 trace\n")
    assert "1 re-run left out" in of_today
    later = rerun.with_name("trace_20251123_120000_eeeeeeee.jsonl")
    later.write_text(real.read_text().replace("17637264", "17638128").replace("ab12cd34ef567890", "e" * 16))
    rerun.write_text(rerun.read_text().replace("17638128", "17637264"))
    assert "left out" not in run("analyze", "--last", "2h", "--summary").stdout
    later.unlink()
    real.unlink()
    alone = json.loads(run("analyze", real.parent, "--format", "json").stdout)["aggregate"]
    assert (alone["count"], alone["left_out"]) == (1, [])


def test_the_last_days_are_counted_from_now(run, two_traces, monkeypatch):
    """Without a TRACE, every recording of that time is meant."""
    monkeypatch.setattr("time.time", lambda: 1763812800.0 + 3600)
    assert run("analyze", "--last", "2h", "--summary").stdout.startswith("1 trace\n")
    assert run("analyze", "--last", "2d", "--summary").stdout.startswith("2 traces\n")
    done = run("analyze", "--last", "30m")
    assert (done.exit_code, "no trace began in the last 30m" in done.stderr) == (2, True)


def test_recordings_are_grouped(run, two_traces):
    """A row, and a document, for each group."""
    shown = run("analyze", "--by", "day", "--errors").stdout.splitlines()
    place = shown.index("By day")
    assert shown[place + 1 : place + 4] == [
        "  day         traces    took  calls  tokens      cost  errors",
        "  2025-11-21       1  1.32 s      3     412  $0.00021       1",
        "  2025-11-22       1  1.32 s      3     412  $0.00021       1",
    ]
    document = json.loads(run("analyze", "--by", "agent", "--errors", "--format", "json").stdout)
    assert [(group["group"], group["traces"]) for group in document["groups"]] == [("Support", 2)]
    assert document["groups"][0]["errors"] == document["errors"]


def test_a_section_is_chosen_by_its_name(run, trace):
    """The names are those of the document."""
    document = json.loads(
        run("analyze", trace, "--section", "resource_usage", "--errors", "--format", "json").stdout
    )
    assert list(document) == ["schema", "trace", "errors", "resource_usage", "problems"]
    done = run("analyze", trace, "--section", "resources_usage")
    assert (done.exit_code, "did you mean resource_usage?" in done.stderr) == (2, True)


def test_markdown_escapes_data(run, hostile_trace):
    """In Markdown no data becomes markup."""
    shown = run("analyze", hostile_trace, "--format", "markdown").stdout
    assert "\\[red\\]x\\[/\\]" in shown
    assert "[red]" not in shown.replace("\\[red\\]", "")
    assert shown.startswith("# ^\\[\\[31m")
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_slow_is_a_setting(run, trace, monkeypatch):
    """`slow_ms` decides what is slow."""
    monkeypatch.setenv("NAMEL3SS_DEBUG_SLOW_MS", "1250")
    document = json.loads(run("analyze", trace, "--performance", "--format", "json").stdout)
    assert [row["component_name"] for row in document["performance"]["slow_operations"]] == ["Support"]


def test_the_prices_in_the_settings_are_those_that_calls_cost(program, workspace):
    """A model that nobody publishes a price for costs what the workspace says."""
    (workspace / ".namel3ss").mkdir()
    (workspace / ".namel3ss/debug.json").write_text('{"prices": {"house-model": {"input": 2, "output": 10}}}')
    start = {
        "event_type": "llm_call_start",
        "event_id": "1",
        "component": "llm",
        "component_name": "house-model",
    }
    end = start | {
        "event_type": "llm_call_end",
        "event_id": "2",
        "parent_event_id": "1",
        "usage": {"input_tokens": 1000, "output_tokens": 100},
    }
    times = ({"timestamp": number, "seq": number} for number in (0, 1))
    lines = [json.dumps(event | time) for event, time in zip((start, end), times, strict=True)]
    (workspace / "house.jsonl").write_text("\n".join(lines) + "\n")
    words = [*program, "analyze", "house.jsonl", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["resource_usage"]["cost"]["total"] == pytest.approx(0.003)


def test_a_recording_of_a_directory_that_may_not_be_read_is_named(run, trace, forbid):
    """The others are analysed."""
    other = trace.with_name("other.jsonl")
    other.write_bytes(trace.read_bytes())
    forbid(other)
    done = run("analyze", trace.parent, "--summary")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "1 trace")
    assert "other.jsonl: cannot be opened: Permission denied\n" in done.stderr


@pytest.mark.parametrize(
    ("section", "answer"),
    [
        ("--errors", "No errors"),
        ("--handled", "No handled exceptions  they are recorded from the level detailed on"),
        ("--log-errors", "No log was recorded"),
    ],
)
def test_an_empty_section_answers_a_user_who_asked_for_it(run, workspace, section, answer):
    """A report that shows everything leaves it out."""
    end = {"event_type": "trace_end", "event_id": "2", "component": "app", "timestamp": 101.0, "metadata": {}}
    begin = end | {"event_type": "trace_start", "event_id": "1", "timestamp": 100.0}
    (workspace / "calm.jsonl").write_text(json.dumps(begin) + "\n" + json.dumps(end) + "\n")
    assert run("analyze", section, "calm.jsonl").stdout.splitlines()[-1] == answer
    assert answer not in run("analyze", "calm.jsonl").stdout.splitlines()
