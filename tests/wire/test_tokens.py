"""Token counts with and without what a cache read and wrote."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.wire.tokens import add_cache, subtract_cache

COUNTS = st.integers(0, 10**9)


@given(COUNTS, COUNTS, COUNTS | st.none(), COUNTS | st.none())
def test_counts_come_back_as_the_provider_told_them(given_now, output, read, written):
    """A law: the input of the event format includes the cache, and that of the provider is what is left without it."""
    usage = add_cache(given_now, output, read=read, written=written)
    assert usage["input_tokens"] == given_now + (read or 0) + (written or 0)
    assert subtract_cache(usage) == given_now


def test_what_is_no_count_is_left_out():
    """A provider that tells no input, or tells it as text, has none in the event."""
    assert add_cache("12", 3, read=None, written=-1) == {"output_tokens": 3}
    assert subtract_cache({"input_tokens": 1, "cache_read_tokens": 5}) == 0
