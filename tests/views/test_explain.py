from namel3ss_debug.views.explain import explain
from namel3ss_debug.views.renderers.markdown import markdown
from namel3ss_debug.views.renderers.screen import lines

STEP = {
    "number": 8,
    "component": "tool",
    "component_name": "track",
    "reason": "failed",
    "evidence": {"events": [9]},
    "others": [],
}
DOCUMENT = {
    "number": 9,
    "event_type": "tool_call_end",
    "component_name": "track",
    "failed": True,
    "category": "parameter",
    "error": "no van 'V-1'",
    "fingerprint": "0123456789abcdef",
    "resolution": "Check arguments before the call.",
    "chain": [
        STEP,
        STEP
        | {
            "number": 6,
            "component": "llm",
            "component_name": "gpt",
            "reason": "wrote van='V-1', which nothing that it had read holds at all",
            "evidence": {"events": [7, 8, 9, 10]},
            "others": [STEP],
        },
    ],
    "root": {"number": 2, "kind": "user", "words": "Where is it?"},
    "complete": False,
}


def test_the_error_is_shown_as_python_prints_it():
    """With its type, and below a mark of the run."""
    document = {
        "number": 8,
        "failed": True,
        "error_type": "KeyError",
        "error": "'city'",
        "mark": {"judgement": "bad", "why": "wrong", "event": 3, "when": 0.0},
    }
    shown = [line.plain for line in lines(explain(document), 80)]
    assert shown[1:3] == ["  KeyError: 'city'", "  run  marked bad: wrong (event 3)"]


def test_the_chain_is_a_table_with_its_evidence():
    """Long reasons go on below; the end of the chain and what is not known are told."""
    shown = [line.plain for line in lines(explain(DOCUMENT), 80)]
    assert shown == [
        "event 9  tool_call_end track  failed",
        "  no van 'V-1'",
        "  category  parameter",
        "",
        "Where it came from  each step from the one below it",
        "  n  step        what                                             evidence",
        "  8  tool track  failed                                           9",
        "  6  llm gpt     wrote van='V-1', which nothing that it had read  7, 8, 9, …",
        "                 holds at all",
        "                 or 8 tool track: failed",
        "  It ends with the user's message, read at 2: Where is it?",
        "  there may be more before it, which was not looked at",
        "  Check arguments before the call.",
        "  namel3ss debug inspect --event N shows a step",
    ]
    assert all(len(line) <= 80 for line in shown)


def test_a_weak_failure_says_how_sure_it_is():
    """It is no failure by the recording."""
    shown = [
        line.plain
        for line in lines(explain(DOCUMENT | {"failed": False, "weak": True, "confidence": 0.85}), 80)
    ]
    assert shown[0] == "event 9  tool_call_end track  claims success, failed with confidence 0.85"


def test_sentences_below_the_chain_fill_the_lines_that_there_are():
    """They are broken once, at the width of the terminal."""
    words = "Check arguments before the call and give the error back to the model; say in the schema what there is."
    shown = [line.plain for line in lines(explain(DOCUMENT | {"resolution": words}), 50)]
    assert shown[-4:-1] == [
        "  Check arguments before the call and give the",
        "  error back to the model; say in the schema what",
        "  there is.",
    ]


def test_signs_and_the_context_are_shown_where_there_are_any():
    """Handled exceptions and warnings with their lines, and the messages that filled the context."""
    message = {"message": 3, "role": "tool", "characters": 5000, "share": 0.986, "number": 7}
    document = DOCUMENT | {
        "signs": [
            {"number": 5, "what": "convert handled ValueError: x" + " y" * 30, "call_site": "rates.py:17"}
        ],
        "context": {
            "messages": 3,
            "characters": 5073,
            "largest": [message | {"component_name": "read_log", "begins": "mon 0: served"}],
            "calls_before": 2,
            "first_call": {"number": 1, "characters": 23, "messages": 1},
        },
    }
    shown = "\n".join(line.plain for line in lines(explain(document), 80))
    assert "Handled or logged on the way" in shown
    assert shown.count(" y") == 30
    assert "5,073 characters in 3 messages; the first call, 1, had 23 in 1 message" in shown
    assert "result of read_log" in shown


def test_a_page_keeps_a_reason_in_one_cell():
    """Only a screen has lines of a fixed length; a page breaks them itself."""
    signs = [{"number": 4, "what": ", ".join(["a warning of many words"] * 4), "call_site": "app.py:3"}]
    page = "\n".join(markdown(explain(DOCUMENT | {"signs": signs})))
    assert "which nothing that it had read holds at all |" in page
    assert page.count("a warning of many words") == 4
    assert "a warning of many words | app.py:3 |" in page
