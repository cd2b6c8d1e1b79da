import pytest

from namel3ss_debug.analysis.sections.bottlenecks import Effort, find_bottlenecks


def effort(component, self_ns=100, total=100, retried=0, cpu=0, measured=0):
    """What is known of an operation."""
    return Effort(component, "x", self_ns, total, retried, cpu, measured)


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (effort("llm"), "model"),
        (effort("tool"), "tool"),
        (effort("http"), "io"),
        (effort("memory"), "memory"),
        (effort("chain"), "unknown"),
        (effort("llm", retried=50), "retries"),
        (effort("tool", cpu=90, measured=100), "cpu"),
        (effort("chain", cpu=10, measured=100), "io"),
        (effort("chain", cpu=50, measured=100), "unknown"),
    ],
)
def test_each_operation_has_its_cause(found, cause):
    """Trying again and computing come before what the component says."""
    [row] = find_bottlenecks([found], 1000)
    assert row["cause"] == cause


def test_the_heaviest_come_first_and_the_light_are_left_out():
    """One in a hundred of the wall time is the least."""
    rows = find_bottlenecks([effort("tool", 9), effort("llm", 10), effort("agent", 500)], 1000)
    assert [(row["component"], row["share"]) for row in rows] == [("agent", 0.5), ("llm", 0.01)]
    assert find_bottlenecks([effort("tool")], None) == find_bottlenecks([effort("tool")], 0) == []


def test_waiting_is_known_where_cpu_time_is():
    """The time that is measured is that of computing and of waiting."""
    [row] = find_bottlenecks([effort("tool", 10**9, 10**9, cpu=3 * 10**8, measured=10**9)], 10**9)
    assert (row["working_ms"], row["waiting_ms"]) == (300, 700)
    [row] = find_bottlenecks([effort("tool", 10**9)], 10**9)
    assert (row["working_ms"], row["waiting_ms"]) == (None, None)
