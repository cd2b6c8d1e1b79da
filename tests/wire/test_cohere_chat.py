"""Cohere's chat: what its counts mean."""

from __future__ import annotations

import pytest

from namel3ss_debug.wire.cohere_chat import decode_usage

COUNTED = {"input_tokens": 186, "output_tokens": 93}


@pytest.mark.parametrize(
    ("usage", "cached"),
    [
        (
            {
                "billed_units": {"input_tokens": 21.0, "output_tokens": 93},
                "tokens": COUNTED,
                "cached_tokens": 160,
            },
            21,
        ),
        ({"billed_units": {"input_tokens": 21, "output_tokens": 93}, "cached_tokens": 16}, 16),
        ({"tokens": COUNTED, "cached_tokens": 160}, 160),
        ({"tokens": COUNTED}, None),
    ],
)
def test_no_more_is_read_from_the_cache_than_was_given(usage, cached):
    """What Cohere adds to a prompt is cached and not billed: with it, the counts would contradict each other."""
    assert decode_usage(usage).get("cache_read_tokens") == cached
    assert decode_usage(usage)["output_tokens"] == 93
