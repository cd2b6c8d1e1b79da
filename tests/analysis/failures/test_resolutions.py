import pytest

from namel3ss_debug.analysis.failures.categories import CATEGORIES
from namel3ss_debug.analysis.failures.resolutions import BY_CATEGORY, BY_ORIGIN, resolution
from namel3ss_debug.analysis.failures.suspects import SuspectedCause


def test_the_origin_says_more_than_the_category():
    """Where it is known where a failure began, help is about that; else about the category."""
    empty, itself = (
        SuspectedCause(1, "tool", "find", kind, "", (), ()) for kind in ("empty_result", "itself")
    )
    assert resolution("parameter", "tool", [empty]) == BY_ORIGIN["empty_result"]
    assert resolution("parameter", "tool", [itself]) == BY_CATEGORY["parameter"]
    assert resolution("unknown", "tool", [itself]) is None


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_call_that_may_have_taken_effect_is_not_to_be_made_again(category):
    """A card may have been charged before the connection broke; a model is asked again without harm."""
    charge = SuspectedCause(1, "tool", "charge_card", "itself", "", (), ())
    for origins in ([], [charge]):
        assert "try again" not in (resolution(category, "tool", origins) or "").lower()
    assert resolution("network", "agent", [charge._replace(component="llm")]) == BY_CATEGORY["network"]


def test_only_categories_that_there_are_have_a_resolution():
    """A renamed category would leave its help behind."""
    assert set(BY_CATEGORY) <= set(CATEGORIES)
