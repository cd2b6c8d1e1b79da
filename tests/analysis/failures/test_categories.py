import pytest

from namel3ss_debug.analysis.failures.categories import (
    CATEGORIES,
    STATUSES,
    TYPES,
    WORDS,
    categorise,
    http_status,
)

CASES = [
    ("timeout", {"error_type": "TimeoutError"}),
    ("timeout", {"error_type": "httpx.ReadTimeout"}),
    ("timeout", {"error_type": "X", "status": "timeout"}),
    ("timeout", {"error_type": "APIStatusError", "http_status": 504}),
    ("cancelled", {"error_type": "asyncio.exceptions.CancelledError"}),
    ("cancelled", {"status": "cancelled", "error": "out of memory"}),
    ("rate_limit", {"error_type": "openai.RateLimitError", "http_status": 429}),
    ("rate_limit", {"error_type": "APIStatusError", "http_status": 429, "error": "connection error"}),
    ("rate_limit", {"error_type": "429", "error": "Provider returned error", "http_status": 200}),
    ("rate_limit", {"error_type": "rate_limit_exceeded", "error": "slow down", "http_status": 200}),
    ("authentication", {"error_type": "APIStatusError", "http_status": 401}),
    ("authentication", {"error": "Incorrect API key provided"}),
    ("context_overflow", {"http_status": 400, "error": "maximum context length is 8192 tokens"}),
    ("parameter", {"http_status": 400, "error": "temperature: no", "error_type": "BadRequestError"}),
    ("dependency", {"http_status": 503, "error_type": "APIStatusError"}),
    ("dependency", {"error_type": "502", "error": "Upstream error", "http_status": 200}),
    ("dependency", {"error_type": "server_error", "error": "The model broke", "http_status": 200}),
    ("timeout", {"error_type": "api_error", "error": "the model timed out", "http_status": 200}),
    ("dependency", {"error_type": "ModuleNotFoundError"}),
    ("network", {"error_type": "httpx.ConnectError"}),
    ("network", {"error_type": "socket.gaierror"}),
    ("network", {"error_type": "Exception", "error": "connection refused"}),
    ("resource", {"error_type": "MemoryError"}),
    ("resource", {"error_type": "PermissionError", "error": "[Errno 13] Permission denied: '/etc/shadow'"}),
    ("tool", {"error_type": "PermissionError", "error": "tenant us-7 may not refund", "component": "tool"}),
    ("step_limit", {"error_type": "langgraph.errors.GraphRecursionError"}),
    ("step_limit", {"error_type": "agents.exceptions.MaxTurnsExceeded", "error": "Max turns (10) exceeded"}),
    ("step_limit", {"error": "Agent stopped due to iteration limit or time limit."}),
    ("resource", {"error_type": "OSError", "error": "[Errno 28] No space left on device"}),
    ("malformed_output", {"error_type": "json.decoder.JSONDecodeError"}),
    ("malformed_output", {"error_type": "pydantic_core.ValidationError", "component": "llm"}),
    ("parameter", {"error_type": "pydantic_core.ValidationError", "component": "tool"}),
    ("parameter", {"error_type": "ValueError", "error": "bad day", "component": "tool"}),
    ("model_refusal", {"error_type": "ContentFilterFinishReasonError"}),
    ("tool", {"error_type": "SearchFailed", "component": "tool"}),
    ("logic", {"error_type": "ZeroDivisionError", "component": "agent"}),
    ("logic", {"error": "'NoneType' object has no attribute 'split'"}),
    ("unknown", {"error_type": "ValueError", "component": "agent"}),
    ("unknown", {}),
]


@pytest.mark.parametrize(("category", "failure"), CASES)
def test_a_failure_has_the_category_of_what_is_surest(category, failure):
    """Status before type, type before words, the component last."""
    given = {"error_type": None, "error": None} | failure
    assert categorise(given.pop("error_type"), given.pop("error"), **given) == category


def test_the_tables_know_no_other_categories_and_leave_none_out():
    """Every category is in the list, and every one of the list can be reached."""
    named = {*STATUSES.values(), *(rule.category for rule in TYPES + WORDS)}
    assert named <= set(CATEGORIES)
    assert {category for category, _ in CASES} == set(CATEGORIES)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"metadata": {"exchange": {"status": 429}}}, 429),
        ({"metadata": {"status_code": 500, "exchange": "?"}}, 500),
        ({"metadata": {"status": "failed"}}, None),
        ({}, None),
    ],
)
def test_the_http_status_is_found_where_it_is_written(event, expected):
    """In the metadata or its exchange, and only if it is one."""
    assert http_status(event) == expected
