import pytest


@pytest.fixture
def found(recording, analysed):
    """The decisions that always went one way."""
    return lambda: [
        each
        for each in analysed(recording.events, ["patterns"])["patterns"]["found"]
        if each["kind"] == "one way"
    ]


def decide(recording, at, chosen, **inputs):
    """Record a decision as a program does."""
    recording.add(
        "decision", at, component="agent", component_name="route", inputs=inputs, metadata={"chosen": chosen}
    )


def test_a_choice_that_is_always_the_same(recording, found):
    """What was chosen, how often, and how sure it is that it always will be."""
    for n in range(6):
        decide(recording, n, "cheap", question=n)
    (one_way,) = found()
    assert (one_way["chosen"], one_way["numbers"], one_way["confidence"]) == (
        "cheap",
        [1, 2, 3, 4, 5, 6],
        0.875,
    )


def test_a_choice_that_went_both_ways_once_is_none(recording, found):
    """One other outcome shows that there is another way."""
    for n in range(9):
        decide(recording, n, "dear" if n == 4 else "cheap", question=n)
    assert found() == []


def test_the_same_question_goes_the_same_way(recording, found):
    """A decision that is asked the same each time has no choice."""
    for n in range(6):
        decide(recording, n, "cheap", question="same")
    assert found() == []


def test_few_decisions_prove_nothing(recording, found):
    """Four times the same is no habit."""
    for n in range(4):
        decide(recording, n, "cheap", question=n)
    assert found() == []


def test_conditions_of_a_chain_are_decisions(recording, found):
    """A step that says it is a condition counts by what it gave."""
    for n in range(5):
        start = recording.start(
            "chain", "is it long?", n, kind="chain_step", inputs={"n": n}, step_type="condition"
        )
        recording.end(start, n + 0.5, outputs={"result": False})
    (one_way,) = found()
    assert (one_way["component"], one_way["chosen"]) == ("chain", {"result": False})
