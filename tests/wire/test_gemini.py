"""Gemini: what its counts mean."""

from __future__ import annotations

import pytest

from namel3ss_debug.wire.gemini import decode_usage


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"promptTokenCount": 4, "totalTokenCount": 4}, {"input_tokens": 4, "output_tokens": 0}),
        (
            {"promptTokenCount": 4, "toolUsePromptTokenCount": 3, "totalTokenCount": 7},
            {"input_tokens": 7, "output_tokens": 0},
        ),
        ({"prompt_token_count": 4, "total_token_count": 9}, {"input_tokens": 4}),
        ({"promptTokenCount": 4}, {"input_tokens": 4}),
    ],
)
def test_a_count_of_nothing_is_left_out_and_known_by_the_total(usage, told):
    """As of a prompt that was blocked: nothing was made, where the input is all there is."""
    assert decode_usage(usage) == told
