"""Chunks of streamed answers, folded into their calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.inspection import ChunkCounter, StreamedAnswer
from namel3ss_debug.traces.span_table import EventPlace

CHUNK = {"event_type": "stream_chunk", "component": "llm"}


def inside(call):
    """The place of an event directly inside a call."""
    return EventPlace(-1, call)


def end(**metadata):
    """The end of a call."""
    return {"event_type": "llm_call_end", "component": "llm", "metadata": metadata}


def test_an_end_reports_the_chunks_of_its_call():
    """Chunks of several calls at once are counted apart; the time of the first token is that in the end."""
    counted = ChunkCounter()
    assert [counted.count_chunk(CHUNK, inside(call)) for call in (0, 1, 0, 1)] == [True] * 4
    assert counted.count_chunk(CHUNK, inside(0), wanted=False)
    first = counted.pop_answer(end(time_to_first_token_ms=12.5), EventPlace(0, 0))
    assert first == StreamedAnswer(3, 2, 12.5)
    second = counted.pop_answer(end(time_to_first_token_ms="soon"), EventPlace(1, 1))
    assert second == StreamedAnswer(2, 2, None)
    assert counted.pop_answer(end(), EventPlace(1, 1)) is None
    assert counted.count_unfinished() == 0


def test_only_chunks_of_a_call_fold():
    """A chunk without a call, and any other event, has a line of its own."""
    counted = ChunkCounter()
    assert not counted.count_chunk(CHUNK, inside(-1))
    assert not counted.count_chunk({"event_type": "log_record", "component": "log"}, inside(0))
    assert counted.pop_answer({"event_type": "trace_end", "component": "app"}, inside(0)) is None


@given(st.lists(st.tuples(st.integers(-1, 2), st.booleans(), st.booleans())))
def test_no_chunk_is_lost(steps):
    """The chunks of the ends, those that are left and those with lines of their own are all chunks together."""
    counted = ChunkCounter()
    alone = reported = total = 0
    for call, wanted, ends in steps:
        if ends and call >= 0:
            streamed = counted.pop_answer(end(), EventPlace(call, call))
            reported += streamed.wanted if streamed is not None else 0
        else:
            total += wanted
            folded = counted.count_chunk(CHUNK, inside(call), wanted=wanted)
            alone += wanted and not folded
    assert alone + reported + counted.count_unfinished() == total
