from namel3ss_debug.views.errors import errors
from namel3ss_debug.views.renderers.markdown import markdown
from namel3ss_debug.views.renderers.screen import lines

TOOL = {"component": "tool", "component_name": "order"}
ORIGIN = {
    "number": 9,
    "component": "tool",
    "component_name": "find",
    "kind": "empty_result",
    "reason": "returned nothing",
}
FAILURE = {
    "number": 25,
    **TOOL,
    "category": "parameter",
    "error_type": "ValueError",
    "error": "no supplier 'S-00'",
    "attempts": [25],
}
SECTION = {
    "total_errors": 1,
    "error_categories": {"parameter": 1},
    "severity": 0.75,
    "first_failure_ms": 1110.0,
    "retry_cost": {"spans": 2, "duration_ms": 30.0, "tokens": 12, "cost": 0.5},
    "failures": [FAILURE | {"origins": [ORIGIN]}],
    "weak_errors": 1,
    "weak_failures": [
        {
            "number": 5,
            **TOOL,
            "confidence": 0.85,
            "error_type": None,
            "error": "Error: gone",
            "origins": [ORIGIN | {"number": 5}],
        }
    ],
}


def shown(section):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(errors(section), 80)]


def test_the_most_frequent_category_is_told_first():
    """Also where recordings were put together in another order."""
    told = {"total_errors": 6, "error_categories": {"timeout": 1, "tool": 4, "network": 1}, "failures": []}
    assert "  categories  tool 4, network 1, timeout 1" in shown(told)


def test_a_failure_stands_above_where_it_began():
    """Weaker signs have a table of their own."""
    assert shown(SECTION) == [
        "1 error",
        "  first    1.11 s into the run",
        "  retries  2 calls made again, 30.0 ms, 12 tokens, $0.5000",
        "",
        "   n  where       category    error",
        "  25  tool order  parameter   ValueError: no supplier 'S-00'",
        "   9  tool find   began here  returned nothing",
        "  how it came to the first of them: namel3ss debug explain 25",
        "",
        "1 weaker sign of failure  in an output or a log record; no span failed",
        "  n  where       what it says",
        "  5  tool order  Error: gone",
    ]


def test_nothing_fails_to_show():
    """A run without failures says nothing; unknown origins are left out; markdown has the same rows."""
    assert shown({"total_errors": 0}) == []
    assert shown({"total_errors": 1, "failures": [FAILURE | {"origins": None}]})[-2:] == [
        "  25  tool order  parameter  ValueError: no supplier 'S-00'",
        "  how it came to the first of them: namel3ss debug explain 25",
    ]
    assert "| 9 | tool find | began here | returned nothing |" in "\n".join(markdown(errors(SECTION)))


def test_attempts_made_good_have_a_heading_of_their_own():
    """With what they cost."""
    assert shown({"recovered_errors": 2, "total_errors": 0, "retry_cost": SECTION["retry_cost"]})[0] == (
        "2 failed attempts  recovered by another"
    )
