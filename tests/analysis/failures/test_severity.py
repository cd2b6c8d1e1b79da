import pytest

from namel3ss_debug.analysis.failures.categories import CATEGORIES
from namel3ss_debug.analysis.failures.severity import WEIGHTS, run_severity, severity


def test_every_category_has_a_weight():
    """Nothing falls back to another's weight by oversight."""
    assert set(WEIGHTS) == set(CATEGORIES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_further_a_failure_went_the_worse_it_is(category):
    """Weak, contained, passed on and at the top rise in this order, within 0 and 1."""
    weak = severity(category, passed_on=False, at_top=False, confidence=0.5)
    contained = severity(category, passed_on=False, at_top=False)
    passed_on = severity(category, passed_on=True, at_top=False)
    at_top = severity(category, passed_on=True, at_top=True)
    assert 0 < weak < contained < passed_on < at_top < 1


def test_a_run_is_as_bad_as_its_worst_failure_at_the_top():
    """Contained ones count by the square root of the share of spans that failed."""
    assert run_severity([0.75], [0.9], 0.0) == 0.75
    assert run_severity([], [0.5, 0.3], 0.01) == pytest.approx(0.05)
    assert run_severity([], [], 0.5) == 0.0
