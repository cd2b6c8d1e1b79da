"""One page about a failure, as blocks."""

import pytest

from namel3ss_debug.inspection.activity import Activity
from namel3ss_debug.views.issue_report import page
from namel3ss_debug.views.renderers import markdown

FAILURE = {
    "number": 25, "component": "tool", "component_name": "pay", "category": "parameter", "error_type": "ValueError",
    "error": "no *card*", "severity": 0.75, "after_ms": 1900.0, "call_site": "app.py:7", "fingerprint": "ab12",
    "impact": {"attempts": 2, "repeated": 1},
}  # fmt: skip
DOCUMENT = {
    "words": "it is @alice's card\n- and mine",
    "trace": {"file": "my run.jsonl"},
    "status": {"status": "failed", "exit_status": 1, "health": 0.5, "level": "serious"},
    "findings": [{"evidence": "pay failed"}],
    "failure": FAILURE,
    "other_failures": 2,
    "stack_trace": "```\n# x",
    "origin": {"resolution": "Ask before."},
    "environment": {"python": "3.11", "packages": {"openai": "3.1"}},
    "cost": {"tokens": 10, "cost": 0.25},
    "can_run_again": True,
    "mock": "find@2",
}
SPANS = [{"number": 2, "component": "tool", "component_name": "poll"}]
AGAIN = "`namel3ss debug rerun 'my run.jsonl' --mock find@2:@answer.json`"


def test_the_page_in_markdown():
    """Words, failure, help, commands that can be pasted, environment; none of the data is markup."""
    assert list(markdown.markdown(page(DOCUMENT, Activity()))) == [
        "# tool pay: ValueError: no \\*card\\*",
        "",
        "> it is @<!-- -->alice's card",
        "> \\- and mine",
        "",
        "## What happened",
        "",
        "- **run**: failed, exit status 1",
        "- **error**: ValueError: no \\*card\\*",
        "- **category**: parameter",
        "- **event**: 25, 1.90 s into the run",
        "- **call site**: app.py:7",
        "- **attempts**: 2",
        "- **came again**: 1 time",
        "- **fingerprint**: ab12",
        "- **besides**: 2 other failures",
        "",
        "````",
        "```",
        "# x",
        "````",
        "",
        "What usually helps: Ask before.",
        "",
        "## How to look at it again (with the trace beside this page)",
        "",
        "1. step up to it in the trace: `namel3ss debug replay 'my run.jsonl' --step -b 25`",
        "2. every cause with its evidence: `namel3ss debug explain 25 'my run.jsonl'`",
        "3. run the program again, offline, on its recorded answers: `namel3ss debug rerun 'my run.jsonl'`",
        f"4. the same with another answer of find@2: {AGAIN}",
        "",
        "## Environment and cost",
        "",
        "- **python**: 3.11",
        "- **packages**: openai 3.1",
        "- **tokens**: 10",
        "- **cost**: \\$0.2500",
        "- **trace**: my run.jsonl",
    ]


def test_without_a_failure_the_page_says_what_else_stands_out():
    """What matters most is there, and the commands show the events."""
    finding = {"evidence": "slow", "suggestion": "namel3ss debug inspect --event 3"}
    told = {"status": {"status": "completed"}, "trace": {"file": "a.jsonl"}, "findings": [finding]}
    shown = list(markdown.markdown(page(told, None)))
    assert shown[0] == "# No errors seen; outcome not judged"
    assert "1. slow: `namel3ss debug inspect --event 3 a.jsonl`" in shown
    assert "1. the events: `namel3ss debug inspect a.jsonl`" in shown


@pytest.mark.parametrize(
    ("status", "spans", "title"),
    [
        ({"status": "killed", "processes_without_end": 1}, SPANS, "The program never ended"),
        ({"status": "open", "processes_without_end": 1}, SPANS, "The program had not ended yet"),
        ({"status": "open", "processes_without_end": 0}, SPANS, "tool poll never ended"),
        ({"status": "open", "processes_without_end": 1, "exit_status": 0}, SPANS, "tool poll never ended"),
        (
            {"status": "open", "processes_without_end": 1, "exit_status": 0},
            [],
            "A process of the program had not ended yet",
        ),
    ],
)
def test_the_title_says_what_had_not_ended(status, spans, title):
    """A program that ended while a call went on is not said to go on, nor one that goes on to have been killed."""
    told = {"status": status, "trace": {"file": "a.jsonl"}, "open_spans": spans}
    assert next(iter(markdown.markdown(page(told, None)))) == f"# {title}"


@pytest.mark.parametrize(
    ("cost", "unpriced", "shown"),
    [
        (0.25, 0, "\\$0.2500"),
        (0.25, 2, "\\$0.2500  (2 calls of unknown cost)"),
        (None, 1, "not known  (1 call of unknown cost)"),
    ],
)
def test_a_cost_that_leaves_calls_out_says_so(cost, unpriced, shown):
    """As in every other place that shows one."""
    told = DOCUMENT | {"cost": {"cost": cost, "calls_without_price": unpriced}}
    assert f"- **cost**: {shown}" in list(markdown.markdown(page(told, Activity())))
