"""Real files of every format that is imported; the numbers were counted from the files, and not with this package."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from namel3ss_debug.cli.main import debug
from namel3ss_debug.importers import IMPORTERS
from namel3ss_debug.importers.files import read_head
from namel3ss_debug.importers.opening import load_spans
from namel3ss_debug.importers.otel_spans import OtelSpan
from namel3ss_debug.importers.otlp import read_attributes

DATA = Path(__file__).parent.parent / "data/imports"


class Counted(NamedTuple):
    """What a file has, counted from its JSON by a script of its own, which does not use this package.

    Attributes:
        tree: its spans by component, `turn` for the turn of an agent, those below a span in brackets; `3 tool` are three
            of the same shape.
        input, output, cached, written, reasoning: its tokens; those read from a cache and written to it are input too.
        cost: the US dollars that it states.
        errors: how many of its spans failed.
    """

    tree: str
    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0
    cost: float = 0.0
    errors: int = 0


SAMPLES = {
    "atif/harbor_openhands.json": Counted("agent(turn(2 llm 2 tool))", 220, 80, cost=0.00135),
    "atif/harbor_terminus2_timeout.json": Counted("agent(turn(3 llm 3 tool))", 882, 115, cost=0.003355),
    "atif/letta-atif-tool-calls.json": Counted("agent(turn(2 llm 2 tool))"),
    "atif/multi_tool_trajectory.json": Counted(
        "agent(turn(3 llm 4 tool))", 9150, 635, cached=5562, cost=0.0074
    ),
    "atif/parallel_tools_mixed_results.json": Counted("agent(turn(2 llm 3 tool))", 1200, 105, cost=0.005),
    "atif/subagent_trajectories.json": Counted("agent(turn(2 llm tool(agent(llm))))", 2600, 210),
    "chrome-trace/logging_integration.json": Counted(
        "span(span(span(span(span(span span(2 span)) span(span(2 span) span(span span(2 span)))) span(span(span(2 span) span(span span(2 span))) span(span(span span(2 span)) span(span(2 span) span(span span(2 span))))))))"
    ),
    "claude-code/agent-a2898e3.jsonl": Counted(
        "agent(turn(12 llm 33 tool))", 675_466, 136, cached=604_156, written=71_257, errors=8
    ),
    "claude-code/agent-afc096d.jsonl": Counted(
        "agent(turn(18 llm 48 tool))", 497_515, 28, cached=457_858, written=39_438, errors=2
    ),
    "claude-code/edge_cases.jsonl": Counted(
        "agent(2 turn(llm tool) turn(llm)) agent(llm tool)", 488, 435, errors=1
    ),
    "claude-code/session-2.1.jsonl": Counted(
        "agent(turn(3 llm tool tool(agent(turn(2 llm tool)))))",
        1240,
        104,
        cached=450,
        written=80,
        errors=1,
    ),
    "claude-code/short.jsonl": Counted(
        "agent(turn(llm 2 tool))", 25_353, 13, cached=11_515, written=13_835, errors=2
    ),
    "claude-code/stream-2.1.jsonl": Counted(
        "agent(3 llm tool tool(agent(turn(llm tool))))",
        1240,
        104,
        cached=450,
        written=80,
        cost=0.006875,
        errors=1,
    ),
    "claude-code/subagent.jsonl": Counted(
        "agent(turn(4 llm 4 tool) turn(8 llm 12 tool))", 454_704, 1586, cached=427_286, written=25_842
    ),
    "claude-code/tool_heavy.jsonl": Counted(
        "agent(turn(2 llm 2 tool) turn(2 llm 4 tool))", 105_981, 212, cached=88_231, written=17_696
    ),
    "codex/codex-0.169.jsonl": Counted("agent(turn(3 llm 2 tool))", 500, 63, cached=128, errors=1),
    "codex/exec-0.169.jsonl": Counted("agent(2 llm tool)", 300, 14, cached=20, errors=1),
    "codex/tool-calls.jsonl": Counted("agent(turn(4 llm 3 tool))"),
    "gemini-cli/gemini-cli-0.61.jsonl": Counted("agent(turn(3 llm 2 tool))", 420, 63, cached=128, errors=1),
    "gemini-cli/tool-calls.json": Counted("agent(turn(llm tool))"),
    "har/browser-to-models.har": Counted("http 3 llm", 85, 27, cached=64, errors=1),
    "har/humanssuck.net.har": Counted("4 http"),
    "inspect-ai/2025-02-11T15-17-00-05-00_popularity_dPiJifoWeEQBrfWsAopzWr.eval": Counted(
        "10 chain(chain chain(llm))", 620, 20
    ),
    "inspect-ai/2025-05-12T20-28-13-04-00_popularity.json": Counted(
        "3 chain(2 chain chain(llm) validation)", 192, 6
    ),
    "inspect-ai/log_images_tc.json": Counted("chain(agent(llm))", 323, 5),
    "inspect-ai/log_streaming.eval": Counted("4 chain(chain chain(llm) validation)", 252, 6),
    "inspect-ai/log_tool_call_error.json": Counted("chain(agent(11 tool))", errors=11),
    "jaeger/weather-agent.openllmetry.json": Counted("agent(3 llm tool)", 169, 28, cached=64, errors=2),
    "langfuse/autogen-2025-06-06.trace.json": Counted("span(llm)", 41, 3, cost=0.000025),
    "langfuse/claude-agent-2025-12-22.trace.json": Counted("span(4 llm 2 tool)", 34, 232, cost=0.003582),
    "langfuse/crewai-2025-07-11.trace.json": Counted(
        "span(span(span span(llm span)))", 190, 164, cost=0.0001269
    ),
    "langfuse/google-adk-2025-08-28.trace.json": Counted(
        "chain(agent(llm llm(tool)))", 67, 9, cost=0.0000103
    ),
    "langfuse/langgraph-python-2025-08-22.trace.json": Counted(
        "span(2 span(llm span) span(span))", 168, 66, cost=0.000234
    ),
    "langfuse/llamaindex-2025-06-05.trace.json": Counted("span(llm)", 13, 81, cost=0.000842499999),
    "langfuse/microsoft-agent-2025-12-17.trace.json": Counted("agent(2 llm tool)", 293, 106, cost=0.00028525),
    "langfuse/openai-agents-2025-09-30.trace.json": Counted(
        "agent(agent(2 llm tool))", 140, 44, cost=0.000632
    ),
    "langfuse/pydantic-ai-tools-2025-12-04.trace.json": Counted(
        "span(span(2 llm span(3 tool)) 2 span(llm))", 1315, 209, cost=0.000322649999
    ),
    "langfuse/vercel-aisdk-2025-11-17.trace.json": Counted("chain(llm tool)", 62, 85, cost=0.000927499999),
    "langsmith/langsmith_py_wrap_openai_stream.json": Counted("llm", 9, 9),
    "mini-swe-agent/github_issue.traj.json": Counted("agent(turn(10 llm 10 tool))", errors=2),
    "mlflow/mlflow-3.17-trace.json": Counted(
        "agent(2 llm tool)", 169, 28, cached=64, cost=0.00003735, errors=1
    ),
    "mlflow/mlflow-3.18-otlp-received.json": Counted("agent(2 llm tool)", 15, 7, cost=0.00000645),
    "openai-agents/openai-agents-export.json": Counted("agent(llm tool)", 12, 5),
    "openhands/sdk-v1-events.jsonl": Counted("agent(2 llm 3 tool)", 107_458, 1347, cached=68_193, errors=3),
    "openhands/v0-basic.json": Counted("agent(turn(2 llm tool))", 8132, 1312, cached=3482),
    "otel-console/weather-agent.genai.txt": Counted("agent(3 llm tool)", 169, 28, errors=2),
    "otlp/trace-basic.json": Counted("span"),
    "otlp/weather-agent.genai.jsonl": Counted("agent(3 llm tool)", 169, 28, errors=2),
    "otlp/weather-agent.langfuse.json": Counted("agent(2 llm tool)", 169, 28, cached=64, errors=1),
    "otlp/weather-agent.langsmith.json": Counted("chain(2 llm tool)", 169, 28, cached=64, errors=1),
    "otlp/weather-agent.openllmetry.pb": Counted("agent(3 llm tool)", 169, 28, cached=64, errors=2),
    "otlp-openinference/rag_earnings_agent.json": Counted(
        "span(chain(chain(chain(chain(2 chain))) chain(chain(chain(chain(chain(chain)) llm 2 span)))) 2 span)",
        629,
        19,
    ),
    "otlp-openinference/smol_deep_research_agent.json": Counted(
        "span(6 llm span)", 17_952, 7122, cached=5504, reasoning=4352
    ),
    "phoenix/weather-agent.otlpv1.json": Counted("agent(3 llm tool)", 169, 28, cached=64, errors=2),
    "phoenix/weather-agent.spans.json": Counted("agent(3 llm tool)", 169, 28, cached=64, errors=2),
    "swe-agent/marshmallow-1867.function_calling.traj": Counted("agent(11 llm 11 tool)"),
    "swe-agent/test-repo.traj": Counted("agent(5 llm 5 tool)", 7141, 243, cost=0.01952),
    "tempo/weather-agent.api-v1.json": Counted("agent(3 llm tool)", 169, 28, cached=64, errors=2),
    "tempo/weather-agent.api-v2.json": Counted("agent(3 llm tool)", 169, 28, errors=2),
    "zipkin/yelp.json": Counted("span(span(2 span span(4 span)) span(span(3 span span(span))))"),
}
"""A message of Claude Code counts once, by its id: it stands on several lines, each with its usage so far.

Of `ai.generateText` in Langfuse, which repeats what its `doGenerate` states, only the latter counts.
"""

ENDS = {"endTime", "end_time", "ended_at", "endTimeUnixNano", "end_time_unix_nano", "completed"}
COMMANDS = ("show", "analyze", "inspect --tree", "explain 2", "replay --step")


def count(path, draw):
    """Return what a file has as its importer reads it."""
    table = load_spans(path)
    columns = (
        table.input_tokens,
        table.output_tokens,
        table.cache_read_tokens,
        table.cache_write_tokens,
        table.reasoning_tokens,
    )
    stated = [
        row
        for row in range(len(table))
        if table.value(table.priced_by[row]) == "recorded" and not table.turn[row]
    ]
    cost = sum(table.cost[row] for row in stated) / 1e12
    return Counted(draw(table), *map(sum, columns), pytest.approx(cost, abs=1e-12), sum(table.failed))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_the_tree_tokens_cost_and_errors_of_its_file(name, draw):
    """Each number once."""
    assert count(DATA / name, draw) == SAMPLES[name]


def loosen(value):
    """Return a JSON value with its numbers as texts, and without the times at which anything ended."""
    if isinstance(value, dict):
        return {key: loosen(each) for key, each in value.items() if key not in ENDS}
    if isinstance(value, list):
        return list(map(loosen, value))
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def parse_lines(text):
    """Yield the JSON values of the lines that have one."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


@pytest.mark.parametrize("name", [name for name in SAMPLES if not name.endswith((".eval", ".pb", ".txt"))])
def test_numbers_as_text_missing_ends_and_lines_in_an_array_change_no_count(name, tmp_path, draw):
    """Writers differ in that; a span whose result is known has ended."""
    text = (DATA / name).read_text()
    value = list(parse_lines(text)) if name.endswith(".jsonl") else json.loads(text)
    path = tmp_path / Path(name).name
    path.write_text(json.dumps(loosen(value)))
    subagents = (DATA / name).with_suffix("")
    if subagents.is_dir():
        shutil.copytree(subagents, path.with_suffix(""))
    assert count(path, draw) == SAMPLES[name]


def test_every_sample_is_recognised_by_one_importer_only():
    """And every file of the samples is tested, but a set of attributes, which is no file of any tool."""
    files = {path.relative_to(DATA).as_posix() for path in DATA.glob("[a-z]*/*") if path.is_file()}
    assert files - {"otlp/opencode-B.doStream.json"} == SAMPLES.keys()
    for name in SAMPLES:
        head = read_head(DATA / name)
        assert sum(row.load().sniff(head) for row in IMPORTERS) == 1, name


def test_a_set_of_attributes_of_opencode_is_a_call_of_a_model():
    """They are those of the Vercel AI SDK; the counts are read once, though three conventions have them."""
    attributes = read_attributes(
        json.loads((DATA / "otlp/opencode-B.doStream.json").read_bytes())["attributes"]
    )
    facts, _ = OtelSpan(name="ai.streamText.doStream", trace_id="", span_id="1", attributes=attributes).read()
    assert (facts.kind, facts.name) == ("model", "claude-haiku-4-5-20251001")
    assert [message["role"] for message in facts.inputs["messages"]] == ["system", "user"]
    assert len(facts.inputs["tools"]) == 11
    assert facts.usage == {
        "input_tokens": 12632,
        "output_tokens": 13,
        "cache_read_tokens": 0,
        "cache_write_tokens": 12629,
    }
    assert (facts.outputs["text"], facts.outputs["finish_reason"]) == ("PONG-OPENCODE-B1", "stop")
    assert facts.session_id == "ses_163f6d41affe5UvQOoAwyu4xVP"


def run_commands(name, monkeypatch, tmp_path):
    """Run every command of `COMMANDS` on a sample."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for line in COMMANDS:
        command, *options = shlex.split(line)
        words = [command, *options, str(DATA / name)]
        result = CliRunner().invoke(debug, words, prog_name="namel3ss debug", input="next\nquit\n")
        assert result.exit_code in {0, 1}, f"{words}: {result.output}"
        assert result.stdout.strip()
        assert "bug in the debugger" not in result.output


@pytest.mark.parametrize(
    "name",
    ["claude-code/subagent.jsonl", "langfuse/vercel-aisdk-2025-11-17.trace.json", "swe-agent/test-repo.traj"],
)
def test_a_sample_opens_in_every_command(name, monkeypatch, tmp_path):
    """With and without times."""
    run_commands(name, monkeypatch, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_opens_in_every_command(name, monkeypatch, tmp_path):
    """As a trace of ours does."""
    run_commands(name, monkeypatch, tmp_path)
