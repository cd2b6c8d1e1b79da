"""A coding agent reads traces through the official client of MCP, and can do nothing else."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from namel3ss_debug.cli import mcp
from namel3ss_debug.errors import WrongUsageError

DATA = Path(__file__).parent.parent / "data"
FAILING = str(DATA / "recordings" / "failing_agent.jsonl")
SUPPORT = str(DATA / "recordings" / "support_agent.jsonl")
CALLS = {
    "list_traces": ({"directory": str(DATA / "recordings")}, "failing_agent"),
    "show": ({}, "user"),
    "analyze": ({}, "failing_agent"),
    "explain": ({}, "place_order"),
    "inspect_event": ({"event": 3}, "event"),
    "tree": ({}, "place_order"),
    "search": ({"where": "status == 'failed'"}, "place_order"),
    "activity": ({"name": "llm"}, "llm"),
    "diff": ({"before": SUPPORT, "after": FAILING}, "differ"),
}
HOSTILE = '{"event_type": "tool_call_start", "component": "tool", "component_name": "\\u001b[31m\\u202eevil"}\n\x00\xff{{{\n'


def session(folder, talk):
    """Run a session of the official client with the server, in a folder."""

    async def run():
        # the environment of a client is small: what the server needs is passed
        environment = {**os.environ, "NAMEL3SS_DEBUG_OUTPUT_DIR": str(folder / "traces")}
        server = StdioServerParameters(
            command=sys.executable, args=["-m", "namel3ss_debug", "mcp"], env=environment, cwd=str(folder)
        )
        async with stdio_client(server) as streams, ClientSession(*streams) as client:
            await client.initialize()
            return await talk(client)

    return asyncio.run(asyncio.wait_for(run(), 300))


def text_of(result):
    """Return the text of a result."""
    return "\n".join(part.text for part in result.content)


@pytest.mark.slow
def test_each_tool_answers_a_session_of_the_official_client(tmp_path):
    """On a good and on a hostile trace, without control sequences; every tool says that it only reads."""
    hostile = tmp_path / "hostile.jsonl"
    hostile.write_bytes(HOSTILE.encode("latin-1"))

    async def talk(client):
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == set(CALLS)
        assert all(
            json.loads(tool.model_dump_json(by_alias=True))["annotations"]["readOnlyHint"] for tool in tools
        )
        found = {}
        for name, (arguments, _) in CALLS.items():
            traced = {} if {"directory", "before"} & set(arguments) else {"trace": FAILING}
            found[name] = text_of(await client.call_tool(name, {**arguments, **traced}))
            bad = (
                {"after": str(hostile)}
                if name == "diff"
                else {}
                if name == "list_traces"
                else {"trace": str(hostile)}
            )
            found[name, "hostile"] = text_of(await client.call_tool(name, {**arguments, **bad}))
        return found

    found = session(tmp_path, talk)
    for name, (_, word) in CALLS.items():
        assert word in found[name].lower(), (name, found[name])
        assert "Next: " in found[name]
        assert len(found[name]) < mcp.LONGEST + 300
    for text in found.values():
        assert text
        assert not [char for char in text if (ord(char) < 32 and char not in "\n\t") or char in "\x7f\u202e"]
        assert "Traceback" not in text


def test_a_client_cannot_pass_options_or_run_anything(tmp_path):
    """What begins with a dash is a trace that is not there, and no file is written."""
    wanted = tmp_path / "written"

    async def talk(client):
        tried = [
            ("show", {"trace": f"--output={wanted}"}),
            ("diff", {"before": "--help", "after": FAILING}),
            ("activity", {"name": "--format=html", "trace": FAILING}),
            ("list_traces", {"directory": "--format=json"}),
            ("search", {"where": "__import__('os').system('touch written')", "trace": FAILING}),
            ("explain", {"trace": f"-o{wanted}"}),
        ]
        return [await client.call_tool(name, arguments) for name, arguments in tried]

    for result in session(tmp_path, talk):
        text = text_of(result)
        assert result.is_error
        assert "namel3ss debug: " in text, text
        assert "Usage:" not in text
    assert not [*tmp_path.rglob("written*")]


def test_a_long_result_is_cut(monkeypatch):
    """At a line, and it says so."""
    monkeypatch.setattr(mcp, "LONGEST", 300)
    text = mcp.show(FAILING, full=True)
    assert "further characters; ask for less" in text
    assert len(text) < 700


@pytest.mark.parametrize("trace", ["latest", "nothing.jsonl"])
def test_what_is_not_there_is_one_line(trace, tmp_path, monkeypatch):
    """As on the command line, and an error for the client."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAMEL3SS_DEBUG_OUTPUT_DIR", str(tmp_path))
    with pytest.raises(WrongUsageError) as caught:
        mcp.analyze(trace)
    assert "\n" not in str(caught.value)
