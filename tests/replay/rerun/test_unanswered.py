"""Tests of why a program that runs again cannot go on, and of what is proposed then."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.rerun.recorded_calls import RecordedCall, ReplayFlaw
from namel3ss_debug.replay.rerun.requests import Request
from namel3ss_debug.replay.rerun.unanswered import UnansweredCall, describe_unanswered

MODEL = Request("llm", "m", (), call_site="app.py:4")
TOOL = Request("tool", "search", ())
THERE = RecordedCall(9, Request("llm", "m", (), call_site="app.py:2"), end=10)


@pytest.mark.parametrize(
    ("stop", "line"),
    [
        (
            UnansweredCall("new", MODEL, THERE, call="llm@3"),
            (
                "app.py:4 calls m, and the trace holds no answer for this call; it holds the call of m from app.py:2 there, at "
                "event 9: give an answer with --mock 'llm@3.text=...', call it for real with --live-from 9, or record the program again"
            ),
        ),
        (
            UnansweredCall("new", MODEL, None, call="llm@3"),
            (
                "app.py:4 calls m, and the trace holds no answer for this call; it holds nothing more: "
                "give an answer with --mock 'llm@3.text=...', or record the program again"
            ),
        ),
        (
            UnansweredCall("new", TOOL, THERE),
            (
                "the program calls search, and the trace holds no answer for this call; it holds the call of m from app.py:2 "
                "there, at event 9: give an answer with --mock 'search:JSON', run the tool with --run-tools search, or record "
                "the program again"
            ),
        ),
        (
            UnansweredCall("new", Request("mcp", "connect", ()), None),
            "it holds nothing more: start the server with --run-tools all, or record the program again",
        ),
        (
            UnansweredCall("new", Request("mcp", "prompts/get", ()), RecordedCall(9, TOOL)),
            (
                "it holds the call of search there, at event 9: "
                "start the server with --run-tools with a tool of this server, or record the program again"
            ),
        ),
        (
            UnansweredCall("open", MODEL, RecordedCall(9, MODEL)),
            "app.py:4 calls m, which was never answered: the trace ends inside this call, at event 9",
        ),
        (
            UnansweredCall("open", MODEL, THERE),
            "app.py:4 calls m, which was never answered: the program abandoned this call when it was recorded, at event 9",
        ),
        (
            UnansweredCall("strict", TOOL, THERE),
            "the program calls search, but the trace holds the call of m from app.py:2 at event 9",
        ),
        (
            UnansweredCall("strict", TOOL),
            "the program calls search, but the trace holds nothing at event 0",
        ),
        (
            UnansweredCall(
                "unusable",
                TOOL,
                THERE,
                flaws=(ReplayFlaw("cut", 9, "$.result", "max_payload_size"),),
                call="search@2",
            ),
            (
                "the program calls search as recorded at event 9, but the answer was cut ($.result): run the tool with "
                "--run-tools search, give an answer with --mock 'search@2:JSON', or record it again with max_payload_size 0"
            ),
        ),
        (
            UnansweredCall("unusable", MODEL, THERE, flaws=(ReplayFlaw("damaged", 9, "$"),), call="llm@1"),
            "app.py:4 calls m as recorded at event 9, but the answer is damaged ($): give an answer with --mock 'llm@1.text=...'",
        ),
        (
            UnansweredCall(
                "unusable", Request("mcp", "ping", ()), THERE, flaws=(ReplayFlaw("damaged", 9, "$"),)
            ),
            "the program requests from an MCP server: ping as recorded at event 9, but the answer is damaged ($): record it again",
        ),
    ],
)
def test_an_impasse_is_told_in_one_line_with_the_ways_out(stop, line):
    """What the code asks, what the recording holds, and what can be done about such a call."""
    assert describe_unanswered(stop).endswith(line)
