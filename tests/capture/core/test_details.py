"""What the level `comprehensive` adds to a recording."""

from __future__ import annotations

import io
from pathlib import Path

from namel3ss_debug.capture.core import details
from namel3ss_debug.capture.core.details import SAMPLE_SECONDS, Sampler
from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.traces.reader import open_trace


def recorded():
    """Stop tracing and give the events."""
    return list(open_trace(shutdown_tracing()).events())


def can_read(path):
    """Whether a file of the system can be opened here."""
    try:
        Path(path).open("rb").close()
    except OSError:
        return False
    return True


def test_samples_are_taken_when_events_are_recorded(tracing):
    """A sample of memory, CPU, threads and collections stands in the recording, without a thread of ours."""
    tracer = tracing(level="comprehensive")
    for _ in range(3):
        with tracer.span("tool", "t"):
            pass
    [sample] = [event for event in recorded() if event["event_type"] == "resource_sample"]
    assert sample["memory_usage_mb"] > 1
    assert sample["metadata"]["threads"] >= 1
    assert "call_site" not in sample
    if can_read("/proc/self/io"):
        assert set(sample["metadata"]["disk"]) == {"read_count", "write_count", "read_bytes", "write_bytes"}
        assert sample["metadata"]["disk"]["write_count"] > 0


def test_what_the_system_does_not_tell_is_left_out(monkeypatch):
    """Where reads and writes are not counted, a sample has no figures of the disk."""
    monkeypatch.setattr(details, "open", lambda *_, **__: io.BytesIO(b"rchar: 5\n"), raising=False)
    assert details.disk() == {}
    assert "disk" not in Sampler.sample()["metadata"]


def test_a_sample_is_due_once_in_a_while():
    """Two calls at once give one sample."""
    sampler = Sampler()
    assert sampler.due()
    assert not sampler.due()
    assert SAMPLE_SECONDS >= 1


def test_other_levels_record_neither(tracing):
    """Variables and samples cost time, so other levels leave them out."""
    with tracing().span("tool", "t"):
        pass
    events = recorded()
    assert not [event for event in events if event["event_type"] == "resource_sample"]
    assert "metadata" not in events[1]
