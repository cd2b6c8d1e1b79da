"""What a recording has come to at one event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.traces.totals import Totals, is_failure


@given(st.lists(st.sampled_from([0.1, 0.25, 1e-9, None]), max_size=30), st.integers(0, 30))
def test_totals_do_not_depend_on_where_one_begins_to_add(costs, cut):
    """Totals taken up at any event and carried on are those of one pass, to the last digit."""
    events = [
        {"event_type": "llm_call_end", "component": "llm", "cost_estimate": c, "timestamp": 1.5}
        for c in costs
    ]
    whole = part = Totals()
    for event in events:
        whole = whole.add(event)
    for event in events[:cut]:
        part = part.add(event)
    for event in events[cut:]:
        part = Totals(*part).add(event)
    assert part == whole


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        ({"event_type": "tool_call_end", "status": "failed"}, True),
        ({"event_type": "tool_call_end", "status": "timeout"}, True),
        ({"event_type": "tool_call_end", "error": "x"}, True),
        ({"event_type": "tool_call_end", "status": "completed", "error": "x"}, False),
        ({"event_type": "error_occurred"}, True),
        ({"event_type": "tool_call_start", "status": "started"}, False),
    ],
)
def test_what_counts_as_a_failure(event, failure):
    """A failed end and a reported error are failures; a start is not."""
    assert is_failure(event) is failure


def test_containers_add_nothing_to_the_totals():
    """An agent that tells the sum of its calls does not make them count twice."""
    totals = Totals()
    for component in ("llm", "agent", "chain"):
        totals = totals.add(
            {"event_type": f"{component}_end", "component": component, "tokens_used": 5, "cost_estimate": 0.5}
        )
    totals = totals.add(
        {"event_type": "llm_call_end", "component": "llm", "usage": {"input_tokens": 2, "output_tokens": 1}}
    )
    assert totals.scope() == {"cost": 0.5, "tokens": 8, "errors": 0, "ms": 0.0}
