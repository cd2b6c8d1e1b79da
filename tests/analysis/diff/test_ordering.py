"""A change of order is harmless between calls that ran side by side, and a difference everywhere else."""

import pytest


def lane(agent, task, first, second, parent=None):
    """The start and the end of a call of `fetch` and one of `store` in a task, as four functions that add them."""
    ids = {}

    def start(name, key, arguments):
        def add():
            ids[key] = agent.add(
                "tool_call_start", "tool", name, parent, task=task, inputs={"arguments": arguments}
            )

        return add

    def end(name, key, result):
        def add():
            agent.add(
                "tool_call_end",
                "tool",
                name,
                ids[key],
                task=task,
                status="completed",
                outputs={"result": result},
            )

        return add

    return (
        start("fetch", "fetch", first[0]),
        end("fetch", "fetch", first[1]),
        start("store", "store", second[0]),
        end("store", "store", second[1]),
    )


ONE = (
    ({"page": "solar panels"}, "prices of modules fell by a fifth"),
    (
        {"text": "prices of modules fell by a fifth"},
        "stored as N-10293",
    ),
)
TWO = (
    ({"page": "wind turbines"}, "permits take four years on average"),
    (
        {"text": "permits take four years on average"},
        "stored as N-55871",
    ),
)
NEEDS_ONE = (
    ({"page": "wind turbines", "after": "stored as N-10293"}, "permits take four years on average"),
    TWO[1],
)


@pytest.fixture
def runs(agent, compared):
    """Compares two orders of the eight events of two tasks: 0 to 3 of the first, 4 to 7 of the second."""

    def compare(before, after, one=ONE, two=TWO, tasks=("Task-1", "Task-2")):
        made = []
        for order in (before, after):
            agent.events = []
            steps = [*lane(agent, tasks[0], *one), *lane(agent, tasks[1], *two)]
            for step in order:
                steps[step]()
            made.append(agent.events)
        return compared(*made)

    return compare


def test_calls_that_ran_at_once_may_change_places(runs):
    """They overlapped, and neither was given what the other gave."""
    found = runs((0, 4, 1, 5, 2, 6, 3, 7), (4, 0, 5, 1, 6, 2, 7, 3))
    assert found.same
    assert found.reordered == 2


def test_calls_of_tasks_that_ran_at_once_may_change_places(runs):
    """They did not overlap, but each ran while the other's task was under way."""
    found = runs((0, 4, 1, 2, 3, 5, 6, 7), (0, 4, 5, 6, 7, 1, 2, 3))
    assert found.same
    assert found.reordered == 1


def test_calls_one_after_the_other_may_not_change_places(runs):
    """Nothing proves that the second did not wait for the first."""
    found = runs((0, 1, 2, 3, 4, 5, 6, 7), (4, 5, 6, 7, 0, 1, 2, 3))
    assert set(found.kinds) == {"order"}
    assert found.reordered == 0


def test_calls_of_one_task_one_after_the_other_may_not_change_places(runs):
    """Two tasks of the same name are one line of work."""
    found = runs((0, 1, 2, 3, 4, 5, 6, 7), (4, 5, 0, 1, 2, 3, 6, 7), tasks=("Task-1", "Task-1"))
    assert set(found.kinds) == {"order"}


def test_tasks_that_ran_one_after_the_other_in_one_run_may_not_change_places(runs):
    """In the first run the second task needed a value that the first one stored."""
    orders = (0, 1, 2, 3, 4, 5, 6, 7), (4, 5, 0, 1, 2, 3, 6, 7)
    assert set(runs(*orders, two=NEEDS_ONE).kinds) == {"order"}
