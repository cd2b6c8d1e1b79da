"""Values of an app as its steps tell them."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.namel3ss.values import to_plain, variables


@given(st.decimals())
def test_a_decimal_becomes_a_number_only_where_it_is_the_same(value):
    """Nothing is rounded: what a float cannot hold stays a decimal."""
    shown = to_plain(value)
    if isinstance(shown, Decimal):
        assert shown is value
    else:
        assert Decimal(repr(shown)) == value


def test_values_inside_of_others_are_told_so_too():
    """Objects and lists of any depth, but not without end."""
    assert to_plain({"a": [Decimal(1), {"b": Decimal("1.5")}], "c": "x"}) == {"a": [1, {"b": 1.5}], "c": "x"}
    endless = []
    endless.append(endless)
    assert to_plain(endless)


def test_secrets_are_no_variables():
    """The locals of a flow hold them under a name of their own; a state is told where there is one."""
    assert variables({"secrets": {"key": "s"}, "n": Decimal(2)}, {}) == {"n": 2}
    assert variables({}, {"size": Decimal(1)}) == {"state": {"size": 1}}
