"""Chunks of streamed answers, folded into their calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.inspection import ChunkCounter, StreamedAnswer, streams

CALLS = st.sampled_from(["a", "b", "c", None])


def chunk(call):
    """A chunk of the call with this id."""
    return {"event_type": "stream_chunk", "component": "llm"} | (
        {} if call is None else {"parent_event_id": call}
    )


def end(call, **metadata):
    """The end of the call with this id."""
    return {"event_type": "llm_call_end", "parent_event_id": call, "metadata": metadata}


def test_an_end_tells_of_the_chunks_of_its_call():
    """Chunks of several calls at once are counted apart; the time of the first token is what the end says."""
    counted = ChunkCounter()
    assert [counted.count_chunk(chunk(call)) for call in "abab"] == [True] * 4
    assert counted.count_chunk(chunk("a"), wanted=False)
    assert counted.pop_answer(end("a", time_to_first_token_ms=12.5)) == StreamedAnswer(3, 2, 12.5)
    assert counted.count_so_far("b") == 2
    assert counted.pop_answer(end("b", time_to_first_token_ms="soon")) == StreamedAnswer(2, 2, None)
    assert counted.pop_answer(end("b")) is None
    assert counted.count_unfinished() == 0


def test_a_process_that_ends_inside_a_call_takes_none_of_its_chunks():
    """Its end has the call as its parent, and is not the end of it."""
    counted = ChunkCounter()
    assert counted.count_chunk(chunk("a"))
    assert counted.pop_answer({"event_type": "trace_end", "parent_event_id": "a"}) is None
    assert counted.pop_answer(end("a")) == StreamedAnswer(1, 1, None)


def test_only_chunks_of_a_call_fold():
    """A chunk without a call, and any other event, stands for itself."""
    counted = ChunkCounter()
    assert not counted.count_chunk(chunk(None))
    assert not counted.count_chunk({"event_type": "log_record", "parent_event_id": "a"})
    assert not counted.count_chunk({"event_type": "stream_chunk", "parent_event_id": ["a"]})
    assert counted.pop_answer({"event_type": "llm_call_start", "parent_event_id": "a"}) is None


@given(st.lists(st.tuples(CALLS, st.booleans(), st.booleans())))
def test_no_chunk_is_lost(steps):
    """What the ends tell of, what is left and what stands for itself are together all chunks that came."""
    counted = ChunkCounter()
    alone = told = came = 0
    for call, wanted, ends in steps:
        if ends and call is not None:
            streamed = counted.pop_answer(end(call))
            told += streamed.wanted if streamed is not None else 0
        else:
            came += wanted
            alone += wanted and not counted.count_chunk(chunk(call), wanted=wanted)
            if not wanted:
                counted.count_chunk(chunk(call), wanted=False)
    assert alone + told + counted.count_unfinished() == came


def test_very_many_calls_that_never_end_take_little_memory(monkeypatch):
    """Beyond the bound the oldest calls are no longer waited for; their chunks stay counted."""
    monkeypatch.setattr(streams, "_MOST_CALLS", 3)
    counted = ChunkCounter()
    for call in "abcde":
        counted.count_chunk(chunk(call))
    assert counted.pop_answer(end("a")) is None
    assert counted.pop_answer(end("e")) == StreamedAnswer(1, 1)
    assert counted.count_unfinished() == 4
