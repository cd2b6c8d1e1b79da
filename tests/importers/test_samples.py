"""Real files of every format that is imported; the numbers were counted from the files, and not with this package."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from namel3ss_debug.cli.main import debug
from namel3ss_debug.importers import IMPORTERS
from namel3ss_debug.importers.files import read_head
from namel3ss_debug.importers.opening import load_spans

DATA = Path(__file__).parent.parent / "data/imports"

SAMPLES = {
    "otlp/trace-basic.json": ({"span": 1}, 0, 0, 0, 0),
    "otlp-openinference/rag_earnings_agent.json": ({"chain": 12, "span": 5, "llm": 1}, 629, 19, None, 0),
    "otlp-openinference/smol_deep_research_agent.json": ({"span": 2, "llm": 6}, 17952, 7122, None, 0),
    "codex/tool-calls.jsonl": ({"agent": 1, "llm": 4, "tool": 3}, 0, 0, None, 0),
    "gemini-cli/tool-calls.json": ({"agent": 1, "llm": 1, "tool": 1}, 0, 0, None, 0),
    "langfuse/autogen-2025-06-06.trace.json": ({"span": 1, "llm": 1}, 41, 3, 0.000025, 0),
    "langfuse/claude-agent-2025-12-22.trace.json": ({"span": 1, "llm": 4, "tool": 2}, 34, 232, 0.003582, 0),
    "langfuse/crewai-2025-07-11.trace.json": ({"span": 5, "llm": 1}, 190, 164, 0.0001269, 0),
    "langfuse/google-adk-2025-08-28.trace.json": (
        {"chain": 1, "agent": 1, "llm": 2, "tool": 1},
        67,
        9,
        0.0000103,
        0,
    ),
    "langfuse/langgraph-python-2025-08-22.trace.json": ({"span": 7, "llm": 2}, 168, 66, 0.000234, 0),
    "langfuse/llamaindex-2025-06-05.trace.json": ({"span": 1, "llm": 1}, 13, 81, 0.000842499999, 0),
    "langfuse/microsoft-agent-2025-12-17.trace.json": (
        {"agent": 1, "llm": 2, "tool": 1},
        293,
        106,
        0.00028525,
        0,
    ),
    "langfuse/openai-agents-2025-09-30.trace.json": ({"agent": 2, "llm": 2, "tool": 1}, 140, 44, 0.000632, 0),
    "langfuse/pydantic-ai-tools-2025-12-04.trace.json": (
        {"span": 5, "llm": 4, "tool": 3},
        1315,
        209,
        0.000322649999,
        0,
    ),
    # ai.generateText repeats what its doGenerate states, and is a step around it.
    "langfuse/vercel-aisdk-2025-11-17.trace.json": (
        {"chain": 1, "llm": 1, "tool": 1},
        62,
        85,
        0.000927499999,
        0,
    ),
    "langsmith/langsmith_py_wrap_openai_stream.json": ({"llm": 1}, 9, 9, None, 0),
    "inspect-ai/2025-02-11T15-17-00-05-00_popularity_dPiJifoWeEQBrfWsAopzWr.eval": (
        {"chain": 30, "llm": 10},
        620,
        20,
        None,
        0,
    ),
    "inspect-ai/2025-05-12T20-28-13-04-00_popularity.json": (
        {"chain": 12, "llm": 3, "validation": 3},
        192,
        6,
        None,
        0,
    ),
    "inspect-ai/log_images_tc.json": ({"chain": 1, "agent": 1, "llm": 1}, 323, 5, None, 0),
    "inspect-ai/log_streaming.eval": ({"chain": 12, "llm": 4, "validation": 4}, 252, 6, None, 0),
    "inspect-ai/log_tool_call_error.json": ({"chain": 1, "agent": 1, "tool": 11}, 0, 0, None, 11),
    "atif/harbor_openhands.json": ({"agent": 1, "llm": 2, "tool": 2}, 220, 80, 0.00135, 0),
    "atif/harbor_terminus2_timeout.json": ({"agent": 1, "llm": 3, "tool": 3}, 882, 115, 0.003355, 0),
    "atif/letta-atif-tool-calls.json": ({"agent": 1, "llm": 2, "tool": 2}, 0, 0, None, 0),
    "atif/multi_tool_trajectory.json": ({"agent": 1, "llm": 3, "tool": 4}, 9150, 635, 0.0074, 0),
    "atif/parallel_tools_mixed_results.json": ({"agent": 1, "llm": 2, "tool": 3}, 1200, 105, 0.005, 0),
    "atif/subagent_trajectories.json": ({"agent": 2, "llm": 3, "tool": 1}, 2600, 210, None, 0),
    "swe-agent/marshmallow-1867.function_calling.traj": ({"agent": 1, "llm": 11, "tool": 11}, 0, 0, None, 0),
    "swe-agent/test-repo.traj": ({"agent": 1, "llm": 5, "tool": 5}, 7141, 243, 0.01952, 0),
    "mini-swe-agent/github_issue.traj.json": ({"agent": 1, "llm": 10, "tool": 10}, 0, 0, None, 2),
    "openhands/v0-basic.json": ({"agent": 1, "llm": 2, "tool": 1}, 8132, 1312, None, 0),
    "openhands/sdk-v1-events.jsonl": ({"agent": 1, "llm": 2, "tool": 3}, 107458, 1347, None, 3),
    "openai-agents/openai-agents-export.json": ({"agent": 1, "llm": 1, "tool": 1}, 12, 5, None, 0),
    "mlflow/mlflow-3.18-otlp-received.json": ({"agent": 1, "llm": 2, "tool": 1}, 15, 7, 0.00000645, 0),
    "zipkin/yelp.json": ({"span": 16}, 0, 0, 0, 0),
    "har/humanssuck.net.har": ({"http": 4}, 0, 0, 0, 0),
    "chrome-trace/logging_integration.json": ({"span": 43}, 0, 0, 0, 0),
}
"""File -> spans by component without turns, tokens of input and output, the cost that it states, failed spans."""

CLAUDE = [f"claude-code/{path.name}" for path in sorted((DATA / "claude-code").iterdir())]
COMMANDS = ("show", "analyze", "inspect --tree", "explain 2", "replay --step -c next -c quit")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_the_spans_tokens_cost_and_errors_of_its_file(name):
    """Each number once."""
    components, input_tokens, output_tokens, cost, errors = SAMPLES[name]
    table = load_spans(DATA / name)
    rows = [row for row in range(len(table)) if not table.turn[row]]
    assert Counter(map(table.component, rows)) == components
    assert (sum(table.input_tokens), sum(table.output_tokens)) == (input_tokens, output_tokens)
    assert sum(table.failed) == errors
    recorded = sum(table.cost[row] for row in rows if table.value(table.priced_by[row]) == "recorded") / 1e12
    assert recorded == pytest.approx(cost or 0, abs=1e-12)


def test_every_sample_is_recognised_by_one_importer_only():
    """And every file of the samples is tested, but a set of attributes, which is no file of any tool."""
    files = {path.relative_to(DATA).as_posix() for path in DATA.glob("[a-z]*/*")}
    assert files - {"otlp/opencode-B.doStream.json"} == {*SAMPLES, *CLAUDE}
    for name in (*SAMPLES, *CLAUDE):
        head = read_head(DATA / name)
        assert sum(row.load().sniff(head) for row in IMPORTERS) == 1, name


def run_commands(name, monkeypatch, tmp_path):
    """Run every command of `COMMANDS` on a sample."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for line in COMMANDS:
        command, *options = shlex.split(line)
        words = [command, *options, str(DATA / name)]
        result = CliRunner().invoke(debug, words, prog_name="namel3ss debug", input="")
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
@pytest.mark.parametrize("name", [*SAMPLES, *CLAUDE])
def test_every_sample_opens_in_every_command(name, monkeypatch, tmp_path):
    """As a trace of ours does."""
    run_commands(name, monkeypatch, tmp_path)
