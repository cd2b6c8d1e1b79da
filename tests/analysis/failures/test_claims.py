import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.failures.claims import claimed_error, logged_error, may_claim


def end(result, component="tool", **outputs):
    """The end of a call that claims success."""
    given = {} if result is None else {"result": result}
    return {
        "event_type": "tool_call_end",
        "component": component,
        "status": "completed",
        "outputs": given | outputs,
    }


@pytest.mark.parametrize(
    ("result", "words", "kind", "confidence"),
    [
        ({"error": "no such city"}, "no such city", None, 0.9),
        (
            {"ok": False, "error": {"type": "SchemaError", "message": "id is missing"}},
            "id is missing",
            "SchemaError",
            0.95,
        ),
        ('{"error": {"message": "gone"}, "ok": false}', "gone", None, 0.95),
        ({"isError": True, "content": [{"type": "text", "text": "it broke"}]}, "it broke", None, 0.95),
        ("Error: user not found", "Error: user not found", None, 0.85),
        ("ValueError: bad date", "bad date", "ValueError", 0.9),
        ("Error: none of them answered", "Error: none of them answered", None, 0.85),
        ("Error: 0x80070005", "Error: 0x80070005", None, 0.85),
        ("Traceback (most recent call last):\n  File x\nKeyError: 'a'", "'a'", "KeyError", 0.9),
        ("sqlalchemy.exc.OperationalError: no such table", "no such table", "OperationalError", 0.9),
        ("json.decoder.JSONDecodeError: Expecting value", "Expecting value", "JSONDecodeError", 0.9),
        ("EXCEPTION: out of paper", "EXCEPTION: out of paper", None, 0.85),
        ("The build came back with Exit Status 2", "The build came back with Exit Status 2", None, 0.6),
        ({"exit_code": 2, "stderr": "no such file"}, "no such file", None, 0.9),
        ({"status_code": 503, "body": "busy"}, "busy", None, 0.85),
        ({"success": False, "message": "declined"}, "declined", None, 0.8),
        ({"status": "failed", "reason": "late"}, "late", None, 0.8),
        ({"errors": ["one", "two"]}, "one", None, 0.7),
        ("the command ended with exit code 3", "the command ended with exit code 3", None, 0.6),
        ([{"type": "text", "text": "x", "error": "y"}], "y", None, 0.9),
    ],
)
def test_an_output_that_reports_an_error_claims_one(result, words, kind, confidence):
    """Each sign has its words, the type it names, and its confidence."""
    event = end(result)
    assert may_claim(event["outputs"])
    claim = claimed_error(event)
    assert (claim.error, claim.error_type, claim.confidence, claim.source) == (
        words,
        kind,
        confidence,
        "output",
    )


@given(
    st.lists(st.sampled_from(["shop.", "orders.", "very_long_module_name.", " ", "\n", "- "]), max_size=6),
    st.sampled_from(
        [
            *("OrderError", "ConnectionResetError", "Exception", "SystemExit", "KeyboardInterrupt", "UserWarning"),
            *("error", "Fatal error", "tool error", "FAILED", "Failure", "exception", "all is well", "Exit code 3"),
            *('{"isError": true}', '{"returncode": 1}', '[{"error": "x"}]', "Traceback (most recent call last)"),
        ]
    ),
    st.sampled_from([str, str.upper, str.title]),
    st.sampled_from(["", ":", ": it broke", " it broke", " exit status 1", " : it broke", "\nOrderError: it broke"]),
)  # fmt: skip
def test_the_quick_look_rules_out_no_text_that_claims_an_error(before, words, spelt, behind):
    """A law: what it rules out claims nothing, in whatever case and behind whatever module it stands."""
    event = end("".join(before) + spelt(words) + behind)
    assert claimed_error(event) is None or may_claim(event["outputs"])


@pytest.mark.parametrize(
    "result",
    [
        *(
            {"error": None},
            {"error": ""},
            {"errors": []},
            {"ok": True},
            {"exit_code": 0},
            {"status_code": 200},
            {"status": "ok"},
        ),
        *(
            "No errors were found.",
            "",
            "errors of measurement are small",
            "exit code 0",
            [],
            0,
            False,
            {"error": False},
        ),
        *(
            "The report of the Error: none",
            "Failed: 0, passed: 10",
            "error: none",
            "UserWarning: this will go\n5 rows",
            '{"a": 1}',
            "{not json",
            ["a", "b"],
            {str(n): "error" for n in range(100)},
        ),
    ],
)
def test_an_output_that_only_speaks_of_errors_claims_none(result):
    """Success, empty fields and running text are no sign."""
    assert claimed_error(end(result)) is None


def test_a_model_claims_an_error_by_how_its_answer_ended_alone():
    """What a model writes of errors is its subject; a content filter is not."""
    assert claimed_error(end(None, "llm", text="Error: I could not find it")) is None
    claim = claimed_error(end(None, "llm", text="", finish_reason="content_filter"))
    assert claim.confidence == 0.8


@pytest.mark.parametrize("outputs", [{"passed": False}, {"verdict": "REJECTED", "reason": "no evidence"}])
def test_a_validation_that_says_no_is_a_weak_sign(outputs):
    """A guardrail did its work when it refused; what it refused did not."""
    assert claimed_error(end(None, "validation", **outputs)).confidence == 0.6


@pytest.mark.parametrize(
    ("metadata", "confidence"),
    [
        ({"level": "ERROR", "message": "it broke"}, 0.5),
        ({"levelname": "CRITICAL", "msg": "it broke"}, 0.7),
        ({"level": "error", "message": "it broke", "exc_info": "Traceback"}, 0.8),
        ({"level": "WARNING", "message": "it broke"}, None),
        ({}, None),
    ],
)
def test_a_log_record_of_an_error_is_a_weak_sign(metadata, confidence):
    """The level decides, and whether there was an exception."""
    claim = logged_error({"event_type": "log_record", "metadata": metadata})
    assert (claim and claim.confidence) == confidence
    assert claim is None or claim.error == "it broke"


@pytest.mark.parametrize("outputs", [None, [], "text", 4, {"result": {"a": {"b": "error"}}}])
def test_outputs_of_any_shape_are_looked_at(outputs):
    """A recording may hold anything; a payload that tells nothing is passed by."""
    assert claimed_error({"event_type": "tool_call_end", "component": "tool", "outputs": outputs}) is None
    assert may_claim(outputs) in {True, False}
