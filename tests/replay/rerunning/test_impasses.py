"""Tests of why a program that runs again cannot go on, and of what is proposed then."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.rerunning.boundaries import Question
from namel3ss_debug.replay.rerunning.impasses import Stop, told
from namel3ss_debug.replay.rerunning.recorded import Boundary, Finding

MODEL = Question("llm", "m", (), call_site="app.py:4")
TOOL = Question("tool", "search", ())
THERE = Boundary(9, Question("llm", "m", (), call_site="app.py:2"), end=10)


@pytest.mark.parametrize(
    ("stop", "line"),
    [
        (
            Stop("new", MODEL, THERE, call="llm@3"),
            (
                "app.py:4 asks m, and the recording holds no answer to that; it holds the question to m from app.py:2 there, at "
                "event 9: give an answer with --mock 'llm@3.text=...', ask for real with --from 9, or record the program again"
            ),
        ),
        (
            Stop("new", MODEL, None, call="llm@3"),
            (
                "app.py:4 asks m, and the recording holds no answer to that; it holds nothing more: "
                "give an answer with --mock 'llm@3.text=...', or record the program again"
            ),
        ),
        (
            Stop("new", MODEL, THERE, call="llm@3", offline=True),
            "give an answer with --mock 'llm@3.text=...', ask for real without --offline, or record the program again",
        ),
        (
            Stop("new", TOOL, THERE),
            (
                "the program calls search, and the recording holds no answer to that; it holds the question to m from app.py:2 "
                "there, at event 9: give an answer with --mock 'search:JSON', run the tool with --run-tools search, or record "
                "the program again"
            ),
        ),
        (
            Stop("new", Question("mcp", "connect", ()), None),
            "it holds nothing more: start the server with --run-tools all, or record the program again",
        ),
        (
            Stop("new", Question("mcp", "prompts/get", ()), Boundary(9, TOOL)),
            (
                "it holds the call of search there, at event 9: "
                "start the server with --run-tools with a tool of this server, or record the program again"
            ),
        ),
        (
            Stop("open", MODEL, Boundary(9, MODEL)),
            "app.py:4 asks m, which was never answered: the recording ends inside this call, at event 9",
        ),
        (
            Stop("open", MODEL, THERE),
            "app.py:4 asks m, which was never answered: the program gave this call up then, at event 9",
        ),
        (
            Stop("strict", TOOL, THERE),
            "the program calls search otherwise than the recording, which holds the question to m from app.py:2 at event 9",
        ),
        (
            Stop("strict", TOOL),
            "the program calls search otherwise than the recording, which holds nothing at event 0",
        ),
        (
            Stop(
                "unusable",
                TOOL,
                THERE,
                findings=(Finding("cut", 9, "$.result", "max_payload_size"),),
                call="search@2",
            ),
            (
                "the program calls search as recorded at event 9, but the answer was cut ($.result): run the tool with "
                "--run-tools search, give an answer with --mock 'search@2:JSON', or record it again with max_payload_size 0"
            ),
        ),
        (
            Stop("unusable", MODEL, THERE, findings=(Finding("damaged", 9, "$"),), call="llm@1"),
            "app.py:4 asks m as recorded at event 9, but the answer is damaged ($): give an answer with --mock 'llm@1.text=...'",
        ),
        (
            Stop("unusable", Question("mcp", "ping", ()), THERE, findings=(Finding("damaged", 9, "$"),)),
            "the program asks an MCP server: ping as recorded at event 9, but the answer is damaged ($): record it again",
        ),
    ],
)
def test_an_impasse_is_told_in_one_line_with_the_ways_out(stop, line):
    """What the code asks, what the recording holds, and what can be done about such a call."""
    assert told(stop).endswith(line)
