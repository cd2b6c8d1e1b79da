"""Rules that a good run suggests: they hold for other good runs, and each kind of bad run breaks one."""

from __future__ import annotations

import json

import pytest

from namel3ss_debug import check_trace
from namel3ss_debug.analysis.checks.learning import has_side_effect, suggest_conduct
from namel3ss_debug.traces.reader import open_trace


class Shop:
    """A run of an agent that finds an order, pays it and mails a receipt."""

    def __init__(self, recording, path):
        self.recording, self.path, self.at = recording, path, 0.0

    def call(self, component, name, inputs, outputs):
        """One call."""
        start = self.recording.start(component, name, self.at, None, inputs=inputs)
        self.at += 1.0
        self.recording.end(start, self.at, outputs=outputs)

    def tool(self, name, result, **arguments):
        """One call of a tool."""
        self.call("tool", name, {"arguments": arguments}, {"result": result})

    def trace(self):
        """What was recorded so far, as a trace."""
        self.path.write_text("".join(json.dumps(event) + "\n" for event in self.recording.events))
        return open_trace(self.path)


def work(shop, *, order="A-17", price=40.0, paid=None, steps=("find", "pay", "mail"), end="stop"):
    """The steps of one run."""
    message = {"role": "user", "parts": [{"type": "text", "content": "Pay my lamp."}]}
    shop.call("llm", "m", {"messages": [message]}, {"text": "", "finish_reason": "tool_calls"})
    for step in steps:
        if step == "find":
            shop.tool("find_order", {"order": order, "price": price}, what="lamp")
        elif step == "pay":
            shop.tool("pay_order", "paid", order=paid or order, note="lamp")
        else:
            shop.tool("send_receipt", "sent", order=order)
    shop.call("llm", "m", {"messages": [message]}, {"text": "Paid.", "finish_reason": end})


@pytest.fixture
def shop(recording, tmp_path):
    """A run to be recorded."""
    return Shop(recording, tmp_path / "run.jsonl")


@pytest.fixture
def rules(shop):
    """The rules that a good run suggests; the recording is empty again."""
    work(shop)
    suggested = suggest_conduct(shop.trace())
    shop.recording.events.clear()
    return suggested


def test_the_rules_of_a_good_run(rules):
    """What answers end with, what tools return, how often side effects happen, in which order, and what arguments are taken from."""
    assert {
        rule["name"]: {key: value for key, value in rule.items() if key not in ("name", "message")}
        for rule in rules
    } == {
        "answers-end": {
            "assert": 'outputs.finish_reason is null or outputs.finish_reason in ["tool_calls","stop","function_call"]',
            "on": "llm if not failed",
        },
        "results-of-find_order": {
            "shape": "tool:find_order",
            "of": {"order": "text", "price": "number 0.8 to 2000"},
        },
        "results-of-pay_order": {"shape": "tool:pay_order", "of": "text"},
        "results-of-send_receipt": {"shape": "tool:send_receipt", "of": "text"},
        "at-most-pay_order": {"calls": "tool:pay_order", "at_most": 1},
        "at-most-send_receipt": {"calls": "tool:send_receipt", "at_most": 1},
        "order-pay_order-send_receipt": {"forbid": "tool:send_receipt", "before": "tool:pay_order"},
        "sources-of-pay_order": {"taken": "tool:pay_order", "arguments": ["order"]},
        "sources-of-send_receipt": {"taken": "tool:send_receipt", "arguments": ["order"]},
    }


@pytest.mark.parametrize(
    ("run", "broken"),
    [
        ({}, []),
        ({"order": "B-99", "price": 1200}, []),
        ({"steps": ("find",)}, []),
        ({"steps": ("find", "find", "pay")}, []),
        ({"price": 4000}, ["results-of-find_order"]),
        ({"price": "40"}, ["results-of-find_order"]),
        ({"paid": "A-18"}, ["sources-of-pay_order"]),
        ({"steps": ("find", "mail", "pay")}, ["order-pay_order-send_receipt"]),
        ({"steps": ("find", "mail")}, ["order-pay_order-send_receipt"]),
        ({"steps": ("find", "pay", "pay", "mail")}, ["at-most-pay_order"]),
        ({"steps": ("pay", "find")}, ["sources-of-pay_order"]),
        ({"end": "length"}, ["answers-end"]),
    ],
)
def test_good_runs_keep_them_and_each_bad_one_breaks_the_one_about_its_fault(shop, rules, run, broken):
    """Other orders, fewer steps and more reading are good."""
    work(shop, **run)
    report = check_trace(shop.trace().path, rules)
    assert [rule.rule for rule in report.rules if rule.findings] == broken


@pytest.mark.parametrize("name", ["send_mail", "sendMail", "create_order", "book_flight", "db_update_row"])
def test_a_name_with_a_verb_of_change_has_a_side_effect(name):
    """In any usual spelling."""
    assert has_side_effect(name)


@pytest.mark.parametrize(
    "name", ["get_order", "refund_policy", "search", "list_bookings", "order_status", ""]
)
def test_a_name_that_only_reads_has_none(name):
    """Even with a word of change in it."""
    assert not has_side_effect(name)
