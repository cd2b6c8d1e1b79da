"""Rules on recordings that leave something out by their settings."""

import json

import pytest

from namel3ss_debug import check_trace


@pytest.fixture
def held(recording, tmp_path):
    """Holds a run with a model and a tool against one rule; gives why it was not checked, and how often it is broken.

    The tool's argument is `x`; the settings are those that the recording was made with, and leave out what they say.
    """

    def held(rule, **settings):
        recording.add("trace_start", 0, metadata={"settings": settings})
        payloads = settings.get("level") != "basic"
        wanted = settings.get("default_components") or ["llm", "tool"]
        if "llm" in wanted:
            recording.span("llm", "gpt", 1, 2, **({"outputs": {"text": "Yes."}} if payloads else {}))
        if "tool" in wanted:
            start = recording.start(
                "tool", "pay", 3, **({"inputs": {"arguments": {"to": "x"}}} if payloads else {})
            )
            recording.end(start, 4)
        recording.add("trace_end", 5)
        path = tmp_path / "run.jsonl"
        path.write_text("".join(json.dumps(event) + "\n" for event in recording.events))
        (result,) = check_trace(path, [rule]).rules
        return result.skipped, len(result.findings)

    return held


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        ({"forbid": "tool:refund"}, "tool"),
        ({"forbid": "refund"}, "agent, tool"),
        ({"forbid": "llm", "after": "tool:pay"}, "tool"),
        ({"calls": "tool:pay", "at_most": 0}, "tool"),
        ({"limit": "tool_calls < 1"}, "tool"),
        ("failures == 0", "tool"),
        ({"no": "failures"}, "tool"),
    ],
)
def test_a_rule_about_what_was_not_recorded_is_not_checked(held, rule, missing):
    """That a recording of models alone holds no tool does not say that none was called."""
    why = f"the trace was recorded with llm only, without {missing}"
    assert held(rule, default_components=["llm"]) == (why, 0)


@pytest.mark.parametrize(
    "rule",
    [
        {"no": "secrets"},
        {"no": "loops"},
        {"forbid": 'tool:pay if arguments.to == "x"'},
        {"assert": 'arguments.to != "x"', "on": "tool:pay"},
        {"assert": 'not contains(text(inputs), "x")', "on": "event"},
        {"schema": {"type": "string"}, "on": "llm if answered"},
    ],
)
def test_a_rule_about_payloads_is_not_checked_where_there_are_none(held, rule):
    """At the level basic nothing is known of arguments, results and texts."""
    why = "the trace was recorded at level basic, without arguments, results and texts"
    assert held(rule, level="basic") == (why, 0)


@pytest.mark.parametrize(
    ("rule", "settings", "broken"),
    [
        ({"forbid": "tool:refund"}, {"default_components": ["tool"]}, 0),
        ({"forbid": "tool:pay"}, {"default_components": ["tool"]}, 1),
        ({"limit": "llm_calls < 5"}, {"default_components": ["llm"]}, 0),
        ({"limit": "llm_calls < 5"}, {"default_components": ["LLM", "Tool"]}, 0),
        ({"calls": "tool:pay", "at_most": 0}, {"level": "basic"}, 1),
        ({"no": "secrets"}, {"level": "detailed", "default_components": []}, 0),
        ({"no": "open_spans"}, {"level": "basic"}, 0),
        ({"forbid": 'tool:pay if arguments.to == "x"'}, {}, 1),
    ],
)
def test_every_other_rule_is_checked(held, rule, settings, broken):
    """What the recording holds decides."""
    assert held(rule, **settings) == ("", broken)
