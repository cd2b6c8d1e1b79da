"""The columns of a page: what is cut in long runs, and what is thinned out."""

from namel3ss_debug.views.page import page_data


def many(count):
    """Calls of a tool that each read memory."""
    yield {"event_type": "trace_start", "component": "app", "metadata": {"format": 2}}
    for number in range(count):
        start = 2 * number + 2
        yield {
            "event_type": "tool_call_start",
            "component": "tool",
            "component_name": "t",
            "inputs": {"arguments": "a" * 200},
        }
        yield {"event_type": "tool_call_end", "component": "tool", "component_name": "t", "parent_event_id": str(start),
               "status": "completed", "outputs": {"result": "r" * 200}, "memory_usage_mb": 10.0 + (number == 5)}  # fmt: skip


def test_readings_are_thinned_out_but_for_peaks(tmp_path, make_page, write_trace, monkeypatch):
    """A curve has no more points than a screen, and the highest reading is one of them."""
    monkeypatch.setattr(page_data, "SAMPLES", 4)
    samples = make_page(write_trace(tmp_path / "trace.jsonl", many(10))).columns["samples"]
    assert samples["memory_mb"] == [10.0, 11.0, 10.0, 10.0]
    assert samples["process"] == ["main"] * 4
    assert samples["number"] == sorted(samples["number"])


def test_the_lines_of_a_long_run_are_short(tmp_path, make_page, write_trace, monkeypatch):
    """They would be half of the page; those of a usual run are as `show` has them."""
    trace = write_trace(tmp_path / "trace.jsonl", many(3))
    (line,) = set(make_page(trace).texts("transcript", "text"))
    assert line.count("a") > 100
    monkeypatch.setattr(page_data, "LONG_RUN", 3)
    (short,) = set(make_page(trace).texts("transcript", "text"))
    assert short == line[: page_data.GIST]


def test_a_trace_without_a_span_has_a_page(tmp_path, make_page, write_trace):
    """All tables are empty but that of the points."""
    page = make_page(write_trace(tmp_path / "trace.jsonl", [next(many(0))]))
    assert page.columns["spans"]["number"] == []
    assert page.texts("points", "type") == ["trace_start"]
    assert page.trace["first"] == 1


def test_an_open_span_and_a_child_process_are_named(tmp_path, make_page, write_trace):
    """A span that never ended has the end 0; a span of a child process has the index of its process."""
    events = [
        next(many(0)),
        {"event_type": "tool_call_start", "component": "tool", "component_name": "sleep"},
        {"event_type": "tool_call_start", "event_id": "p2.1", "component": "tool", "component_name": "work"},
        {"event_type": "tool_call_end", "event_id": "p2.2", "parent_event_id": "p2.1", "component": "tool", "status": "completed"},
    ]  # fmt: skip
    page = make_page(write_trace(tmp_path / "trace.jsonl", events))
    assert page.columns["spans"]["end"] == [0, 4]
    assert page.columns["processes"] == ["main", "p2"]
    assert page.columns["spans"]["process"] == [0, 1]


def test_the_stacks_of_an_operation_are_added_up(tmp_path, make_page, write_trace):
    """Two spans of one tool are one root; what is no stack counts for nothing."""
    stack = {"functions": ["app.search", "time.sleep"], "self_ms": 1.5}
    samples = [
        {
            "event_type": "stack_sample",
            "component": "tool",
            "component_name": "t",
            "metadata": {"stacks": stacks},
        }
        for stacks in ([stack], [stack, {"functions": ["app.search"], "self_ms": 2}], "x", [3, {}])
    ]
    flame = make_page(write_trace(tmp_path / "trace.jsonl", [next(many(0)), *samples])).columns["flame"]
    named = {
        " > ".join(flame["frames"][frame] for frame in stack): weight
        for stack, weight in zip(flame["stacks"], flame["weights"], strict=True)
    }
    assert named == {"tool t > app.search > time.sleep": 3000, "tool t > app.search": 2000, "tool t": 0}
