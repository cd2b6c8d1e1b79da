import pytest

from namel3ss_debug.traces.facts import token_parts, total_tokens


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"tokens_used": 7, "usage": {"input_tokens": 1}}, 7),
        ({"usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_tokens": 2}}, 7),
        ({"usage": {"input_tokens": "3", "output_tokens": 4.0}}, 4),
        ({}, 0),
    ],
)
def test_tokens_are_the_total_or_input_and_output(event, expected):
    """Cached tokens are part of the input and are not added to it."""
    assert total_tokens(event) == expected


@pytest.mark.parametrize("odd", ["12", None, -5, [1], True, 1e400])
def test_parts_that_are_no_counts_are_zero(odd):
    """A damaged usage says nothing and breaks nothing."""
    assert token_parts({"usage": {"input_tokens": odd, "output_tokens": 2}})[1] == 2
    assert token_parts({"usage": {"input_tokens": odd}})[0] in {0, 1}
