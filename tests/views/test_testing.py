"""A recorded test that failed: the run as a tree, and the call that failed."""

import json

import pytest

from namel3ss_debug.views.testing import run_section

ATTEMPTS = [
    {"event_type": "llm_call_start", "event_id": "1"},
    {"event_type": "llm_call_end", "parent_event_id": "1", "status": "failed", "error": "rate limit"},
    {"event_type": "llm_call_start", "event_id": "3", "retry_count": 1, "metadata": {"retry_of": "1"}},
]


@pytest.mark.parametrize(
    ("status", "told"),
    [("completed", []), ("failed", ["failed: llm_call gpt-4o, event 3: the model is down"])],
)
def test_an_attempt_that_another_made_good_is_no_call_that_failed(tmp_path, status, told):
    """Only what failed for good is named below the tree; the attempts stand in it."""
    end = {"event_type": "llm_call_end", "parent_event_id": "3", "status": status}
    if status == "failed":
        end["error"] = "the model is down"
    path = tmp_path / "run.jsonl"
    rows = [
        {"event_id": str(number), "seq": number - 1, "timestamp": number, "execution_id": "ab12"}
        | {"component": "llm", "component_name": "gpt-4o"}
        | event
        for number, event in enumerate([*ATTEMPTS, end], 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = run_section(path).splitlines()
    assert [line for line in lines if line.startswith("failed: ")] == told
    assert sum("llm gpt-4o  " in line and "rate" in line for line in lines[1:3]) >= 1
