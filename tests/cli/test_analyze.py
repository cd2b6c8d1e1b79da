"""`debug analyze`."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

FOREIGN = Path(__file__).parent.parent / "data/namel3ss/sample_trace.jsonl"

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
    assert next(iter(json.loads(done.stdout).items())) == ("schema", "namel3ss-debug/analyze/1")
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


def test_the_report(run, trace):
    """What failed comes first, then what took long, then what it cost; all within 80 columns."""
    assert run("analyze", "ab12cd34").stdout.splitlines() == [
        "app.py",
        "  status     open  66.7 % of the spans did their work",
        "  took       1.32 s",
        "  calls      1 agent, 1 LLM, 2 tool",
        "  errors     1 error",
        "  tokens     412  (380 input, 32 output)",
        "  cost       $0.00021",
        "  events     8 in 4 spans",
        "  started    2025-11-21 12:00:00.000 UTC, Python 3.11.7",
        "  recording  debug/traces/trace_20251121_120000_ab12cd34.jsonl",
        "",
        "1 error",
        "  n  where        category  error",
        "  5  tool lookup  network   ConnectionError: the service is down",
        "",
        "1 span never ended  the program was here when the recording ended",
        "  n  where           started (UTC)",
        "  8  tool send_mail  2025-11-21 12:00:01.320",
        "",
        "Integrity 82.5 %  how far the recording can be trusted",
        "  found                 how many  lowers by  because",
        "  open processes  1 of 1 process       10 %  killed, or still running",
        "  open spans        1 of 4 spans      7.5 %  how they ended is not known",
        "",
        "Where it shows",
        "  n  what",
        "  8  never ended",
        "",
        "Bottlenecks  time of their own, as a share of the run",
        "  operation           ms   share  cause",
        "  llm gpt-4o-mini  1,240  93.9 %  model",
        "  tool lookup       35.0   2.7 %  tool",
        "  agent Support     25.0   1.9 %  unknown",
        "",
        "2 slow operations  over 1.00 s",
        "  n  operation           ms  of its own  call site",
        "  2  agent Support    1,300        25.0  app.py:40",
        "  3  llm gpt-4o-mini  1,240       1,240",
        "",
        "Models  single attempts; out/s: tokens a second",
        "  model        calls  p50 ms  p95 ms  max ms  tokens  out/s",
        "  gpt-4o-mini      1   1,240   1,240   1,240     412   25.8",
        "",
        "Tools",
        "  tool       calls  errors  total ms  p50 ms  p95 ms  max ms",
        "  lookup         1       1      35.0    35.0    35.0    35.0",
        "  send_mail      0              0.00",
        "",
        "Other operations",
        "  operation  calls  total ms  p50 ms  p95 ms  max ms",
        "  Support        1     1,300   1,300   1,300   1,300",
        "",
        "Critical path  what the 1.31 s were made of",
        "  work     1.30 s",
        "  at once  0.99 on average",
        "  needs    1 inferred",
        "",
        "  operation            spans     ms   share",
        "  llm gpt-4o-mini          1  1,240  94.7 %",
        "  tool lookup              1   35.0   2.7 %",
        "  agent Support            1   25.0   1.9 %",
        "  outside of any span          10.0   0.8 %",
        "",
        "Spans on the path  slack: how much longer without delaying the run",
        "  n  span                ms  on the path  slack ms  needs",
        "  3  llm gpt-4o-mini  1,240        1,240      0.00",
        "  5  tool lookup       35.0         35.0      0.00  3",
        "  2  agent Support    1,300         25.0      0.00",
        "  8  tool send_mail    0.00         0.00      0.00",
        "",
        "Resources",
        "  model, agent  input  output  tokens      cost",
        "  gpt-4o-mini     380      32     412  $0.00021",
        "  Support         380      32     412  $0.00021",
        "",
        "Components  total counts nested and parallel work more than once",
        "  component  spans  errors  total ms  of its own  tokens      cost",
        "  llm            1             1,240       1,240     412  $0.00021",
        "  tool           2       1      35.0        35.0",
        "  agent          1             1,300        25.0",
        "",
        "Events",
        "  type                   events",
        "  tool_call_start             2",
        "  agent_execution_end         1",
        "  agent_execution_start       1",
        "  llm_call_end                1",
        "  llm_call_start              1",
        "  tool_call_end               1",
        "  trace_start                 1",
    ]


@pytest.mark.parametrize(
    ("flag", "sections"),
    [
        ("--errors", ["errors"]),
        ("--performance", ["performance"]),
        ("--resources", ["resource_usage"]),
        ("--integrity", ["integrity"]),
        ("--dependencies", ["dependencies"]),
        ("--summary", ["execution_overview", "component_breakdown", "event_type_breakdown"]),
    ],
)
def test_flags_choose_sections(run, trace, flag, sections):
    """Only the sections that were asked for are in the document."""
    document = json.loads(run("analyze", trace, flag, "--format", "json").stdout)
    assert list(document) == ["schema", "trace", *sections, "problems"]
    assert run("analyze", trace, flag).exit_code == 0


def test_a_directory_is_every_recording_in_it(run, trace):
    """Several recordings are one row each, oldest first, or a list in the document."""
    later = trace.with_name("trace_20251122_120000_ffffffff.jsonl")
    later.write_text(trace.read_text().replace("ab12cd34ef567890", "f" * 16).replace("17637264", "17638128"))
    assert run("analyze", trace.parent).stdout.splitlines() == [
        "2 recordings",
        "  id        started (UTC)     status    took  calls  tokens      cost  errors",
        "  ab12cd34  2025-11-21 12:00  open    1.32 s      3     412  $0.00021       1",
        "  ffffffff  2025-11-22 12:00  open    1.32 s      3     412  $0.00021       1",
    ]
    document = json.loads(run("analyze", trace.parent, "--format", "json").stdout)
    assert list(document) == ["schema", "traces"]
    assert [item["execution_overview"]["events"] for item in document["traces"]] == [8, 8]


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
