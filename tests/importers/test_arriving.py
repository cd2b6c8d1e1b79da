"""Spans that arrive over OTLP are traces of ours, whatever the order of their arrival."""

from __future__ import annotations

import pytest

from namel3ss_debug.importers.arriving import SILENCE, Recordings
from namel3ss_debug.importers.opening import load_spans
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.traces.store import Kept, clean, list_traces

RUN = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def recordings(tmp_path):
    """Return recordings in a folder, at a time of the test."""
    found = Recordings(tmp_path, Redactor((), {}), lambda *_: None, clock=lambda: found.now)
    found.now = 0.0
    return found


def span(number, parent=None, *, name="", tokens=0, flags=0, **attributes):
    """Return a span; one with tokens is a call of a model."""
    kind = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": tokens}
    attributes |= kind if tokens else {}
    return {
        "name": name or f"span {number}",
        "traceId": RUN,
        "spanId": f"{number:016x}",
        **({} if parent is None else {"parentSpanId": f"{parent:016x}"}),
        "startTimeUnixNano": str(10**18 + number * 10**6),
        "endTimeUnixNano": str(10**18 + 10**9 - number * 10**6),
        "flags": flags,
        "attributes": [
            {"key": key, "value": {"intValue": str(each)} if isinstance(each, int) else {"stringValue": each}}
            for key, each in attributes.items()
        ],
    }


def send(recordings, *spans, service="shop"):
    """Hand over a request with spans of one resource."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return recordings.take(
        {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}, 1000
    )


def rows(folder):
    """Return the name of each span of the latest trace, that of its parent, and its tokens."""
    table = load_spans(list_traces(folder)[0].path)
    return [
        (
            table.name(row),
            table.name(parent) if (parent := table.parent[row]) >= 0 else None,
            table.tokens[row],
        )
        for row in range(len(table))
    ]


def test_a_run_is_written_in_order_when_its_root_has_arrived(recordings, tmp_path):
    """Exporters send a span when it has ended: the innermost first, in requests of its own."""
    send(recordings, span(3, 2, tokens=7))
    send(recordings, span(2, 1))
    assert not list_traces(tmp_path)
    send(recordings, span(1))
    assert rows(tmp_path) == [("span 1", None, 0), ("span 2", "span 1", 0), ("m", "span 2", 7)]
    send(recordings, span(4, 2, tokens=5))
    assert rows(tmp_path)[3:] == [("m", "span 2", 5)]


def test_a_call_that_two_instrumentations_saw_counts_once(recordings, tmp_path):
    """Also where they are sent apart: the Vercel AI SDK has a span of a model around those of its steps."""
    for number in (2, 3):
        send(recordings, span(number, 1, tokens=number))
    send(recordings, span(1, tokens=5))
    assert [tokens for _, _, tokens in rows(tmp_path)] == [0, 2, 3]


def test_a_span_that_is_sent_again_is_there_once(recordings, tmp_path):
    """An exporter sends a request again whose answer it did not get; the span waits, or is written."""
    for each in (span(2, 1), span(2, 1), span(1), span(1), span(2, 1)):
        send(recordings, each)
    assert rows(tmp_path) == [("span 1", None, 0), ("span 2", "span 1", 0)]


def test_a_parent_in_another_program_is_not_waited_for(recordings, tmp_path):
    """The flags of the span show that it is one."""
    send(recordings, span(3, 2), span(2, 1, flags=0x300))
    assert rows(tmp_path) == [("span 2", None, 0), ("span 3", "span 2", 0)]


def test_what_waits_is_written_when_the_resource_is_silent(recordings, tmp_path):
    """Then its trace has ended, and what it sends later begins another one."""
    send(recordings, span(2, 1), span(3))
    recordings.now = SILENCE - 1
    recordings.close_silent()
    assert list_traces(tmp_path)[0].status == "open"
    recordings.now = SILENCE
    recordings.close_silent()
    assert list_traces(tmp_path)[0].status == "finished"
    assert rows(tmp_path) == [("span 3", None, 0), ("span 2", None, 0)]
    send(recordings, span(1))
    assert len(list_traces(tmp_path)) == 2


def test_each_resource_has_a_trace_that_clean_removes(recordings, tmp_path):
    """Those that end are removed as our own."""
    for number, service in enumerate(("shop", "bank", "shop"), 1):
        send(recordings, span(number), service=service)
    assert sorted(info.events for info in list_traces(tmp_path)) == [3, 5]
    assert not clean(tmp_path, keep=lambda _: Kept(0), max_bytes=None, now=0)
    recordings.close()
    assert len(clean(tmp_path, keep=lambda _: Kept(0), max_bytes=None, now=0)) == 2


def test_secrets_do_not_reach_the_disk(recordings, tmp_path):
    """Neither those of spans nor those of the resource."""
    key = "sk-proj-" + "aB3dE5gH7jK9mN2pQ4sT6vW8xY" * 2
    send(recordings, span(1, **{"input.value": key, "other": key}), service=key)
    recordings.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"[REDACTED:" in written
    assert key.encode() not in written


def test_a_span_without_an_id_is_refused(recordings):
    """The others of its request are taken."""
    assert send(recordings, {**span(1), "spanId": ""}, span(2)) == 1
    assert recordings.spans == 1
