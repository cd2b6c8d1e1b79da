"""The lines of a transcript."""

from __future__ import annotations

from namel3ss_debug.inspection.transcript import read_transcript
from namel3ss_debug.views.transcript import describe_plain


def test_model_call_that_fails_on_known_messages_shows_its_error():
    """A call with nothing new to read, as one that a limit refuses, is one line with its error."""
    message = {"role": "user", "parts": [{"type": "text", "content": "How do I catch a unicorn?"}]}
    call = {"component": "llm", "component_name": "gpt-4o"}
    events = []
    for number, end in enumerate(
        ({"outputs": {"text": "Later."}}, {"status": "failed", "error": "too much"})
    ):
        start = {"event_type": "llm_call_start", "event_id": f"{number}", "inputs": {"messages": [message]}}
        events += [start, {"event_type": "llm_call_end", "parent_event_id": f"{number}", **end}]
    steps = read_transcript([event | call for event in events]).steps
    assert [describe_plain(step) for step in steps[1:]] == ["writes  Later.", "fails  too much"]
