"""The functions in which slow spans spent their time, by operation, from what was sampled."""

from __future__ import annotations

import pytest

from namel3ss_debug.views.analysis import section_blocks
from namel3ss_debug.views.blocks import Heading


def sample(recording, at, name, elapsed, *functions, memory=None):
    """A sample of a span of the tool `name`; `functions` are pairs of function and milliseconds."""
    rows = [
        {"function": function, "at": "app.py:7", "self_ms": took, "samples": 1}
        for function, took in functions
    ]
    metadata = {"elapsed_ms": elapsed, "sampled_ms": sum(took for _, took in functions), "functions": rows}
    if memory is not None:
        metadata["memory"] = dict(zip(("first_mb", "peak_mb", "last_mb"), memory, strict=True))
    return recording.add("stack_sample", at, component="tool", component_name=name, metadata=metadata)


def test_slow_spans_of_an_operation_are_added_up(recording, analysed):
    """The heaviest function first, with its share; the slowest span is named by its number."""
    sample(recording, 1, "search", 1500.0, ("json.loads", 900.0), ("a.b", 100.0), memory=(10.0, 40.5, 12.0))
    sample(
        recording,
        2,
        "search",
        2500.0,
        ("json.loads", 600.0),
        ("time.sleep", 400.0),
        memory=(20.0, 21.0, 20.0),
    )
    sample(recording, 3, "quick", 10.0, ("a.b", 10.0))
    found = analysed(recording.events, ["performance"])["performance"]["hot_functions"]
    assert found == [
        {
            "component": "tool",
            "component_name": "search",
            "spans": 2,
            "slowest_number": 2,
            "sampled_ms": 2000.0,
            "memory_growth_mb": 30.5,
            "functions": [
                {"function": "json.loads", "at": "app.py:7", "self_ms": 1500.0, "share": 0.75},
                {"function": "time.sleep", "at": "app.py:7", "self_ms": 400.0, "share": 0.2},
                {"function": "a.b", "at": "app.py:7", "self_ms": 100.0, "share": 0.05},
            ],
        }
    ]


def test_a_function_is_one_in_the_program_and_in_its_spawned_children(recording, analysed):
    """A spawned child calls the file of the program otherwise; its time is added, and other modules keep their names."""
    sample(recording, 1, "search", 2000.0, ("__main__.burn", 1500.0), ("__mp_main__x.burn", 100.0))
    sample(recording, 2, "search", 2000.0, ("__mp_main__.burn", 1500.0), ("__mp_main__.A.turn", 200.0))
    (row,) = analysed(recording.events, ["performance"])["performance"]["hot_functions"]
    assert [(function["function"], function["self_ms"]) for function in row["functions"]] == [
        ("__main__.burn", 3000.0),
        ("__main__.A.turn", 200.0),
        ("__mp_main__x.burn", 100.0),
    ]


def test_what_is_slow_is_what_the_user_says(recording, analysed):
    """With a lower limit more operations are told."""
    sample(recording, 1, "quick", 10.0, ("a.b", 10.0))
    assert "hot_functions" not in analysed(recording.events, ["performance"])["performance"]
    (row,) = analysed(recording.events, ["performance"], slow_ms=5)["performance"]["hot_functions"]
    assert (row["component_name"], row["memory_growth_mb"]) == ("quick", None)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "text",
        {"elapsed_ms": "long"},
        {"elapsed_ms": 5000.0, "functions": "none", "memory": [1]},
        {"elapsed_ms": 5000.0, "sampled_ms": -1, "functions": [None, {"function": 3}, {"function": "f"}]},
        {"elapsed_ms": 5000.0, "memory": {"first_mb": "1", "peak_mb": 1e300}},
    ],
)
def test_samples_of_another_shape_are_borne(recording, analysed, metadata):
    """A trace is foreign data: nothing in it raises, and nothing is made up."""
    recording.add("stack_sample", 1, component="tool", component_name="t", metadata=metadata)
    for row in analysed(recording.events, ["performance"])["performance"].get("hot_functions", []):
        assert row["sampled_ms"] == 0
        assert row["memory_growth_mb"] is None
        assert all(function["share"] is None for function in row["functions"])


def test_the_table_names_an_operation_once(recording, analysed):
    """Its functions stand below each other; what is less than a hundredth is left to the JSON."""
    sample(recording, 1, "search", 1500.0, ("json.loads", 900.0), ("a.b", 600.0), ("tiny", 0.1))
    blocks = list(section_blocks("performance", analysed(recording.events, ["performance"])["performance"]))
    titles = [block.title if isinstance(block, Heading) else "" for block in blocks]
    table = blocks[titles.index("Hot functions") + 1]
    shown = [[str(cell) for cell in row] for row in table.rows]
    assert shown == [
        ["tool search", "json.loads", "app.py:7", "900", "60 %"],
        ["", "a.b", "app.py:7", "600", "40 %"],
    ]
