from namel3ss_debug.analysis.failures.categories import CATEGORIES
from namel3ss_debug.analysis.failures.resolutions import BY_CATEGORY, BY_ORIGIN, resolution


def test_the_origin_says_more_than_the_category():
    """Where it is known where a failure began, help is about that; else about the category."""
    assert resolution("parameter", "empty_result") == BY_ORIGIN["empty_result"]
    assert resolution("parameter", "itself") == BY_CATEGORY["parameter"]
    assert resolution("unknown", "itself") is None


def test_only_categories_that_there_are_have_a_resolution():
    """A renamed category would leave its help behind."""
    assert set(BY_CATEGORY) <= set(CATEGORIES)
