"""Numbers read one way everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.views import quantities


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, ""),
        (0, "0 ms"),
        (0.04, "0.04 ms"),
        (1.234, "1.23 ms"),
        (9.996, "10.0 ms"),
        (12.34, "12.3 ms"),
        (99.96, "100 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (1240, "1.24 s"),
        (12_340, "12.3 s"),
        (59_996, "1 m 00 s"),
        (125_000, "2 m 05 s"),
        (3_725_000, "1 h 02 m"),
        (-1500, "-1.50 s"),
        ("soon", "soon"),
        (float("nan"), "nan"),
        (True, "True"),
    ],
)
def test_durations(milliseconds, shown):
    """A duration has the unit and the digits its size asks for; what is no number shows as it is."""
    assert quantities.duration(milliseconds) == shown


@given(st.floats() | st.integers() | st.none() | st.booleans() | st.text())
def test_every_quantity_takes_anything(value):
    """No value of a trace breaks a number; what comes out is printable."""
    for show in (
        quantities.duration,
        quantities.milliseconds,
        quantities.money,
        quantities.tokens,
        quantities.bytes_text,
        quantities.megabytes,
        quantities.percent,
        quantities.moment,
        quantities.day_and_minute,
    ):
        assert show(value).isprintable()


@pytest.mark.parametrize(
    ("dollars", "shown"),
    [
        (None, ""),
        (0, "$0"),
        (0.00042, "$0.00042"),
        (0.0123, "$0.0123"),
        (0.5, "$0.5000"),
        (12.345, "$12.35"),
        (1234.5, "$1,234.50"),
        (1e-12, "$0.000000000"),
        (-0.25, "-$0.2500"),
    ],
)
def test_money(dollars, shown):
    """Small amounts keep two digits that say something."""
    assert quantities.money(dollars) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (512, "512 B"),
        (1024, "1 KB"),
        (1536, "1.5 KB"),
        (16384, "16 KB"),
        (3_565_158, "3.4 MB"),
        (2**50, "1,024.0 TB"),
    ],
)
def test_sizes(number, shown):
    """Sizes are in units of 1024, as in the settings."""
    assert quantities.bytes_text(number) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.923, "92.3 %"), (0.99999, "> 99.9 %"), (0.00001, "< 0.1 %")],
)
def test_shares(share, shown):
    """All and nothing are shown only where they are exact."""
    assert quantities.percent(share) == shown


def test_moments_and_counts():
    """Times are UTC; a noun agrees with its number."""
    assert quantities.moment(1763726400.1239) == "2025-11-21 12:00:00.123"
    assert quantities.day_and_minute(1763726400.1) == "2025-11-21 12:00"
    assert quantities.moment(1e300) == "1e+300"
    assert quantities.count(1, "event") == "1 event"
    assert quantities.count(2000, "retry", "retries") == "2,000 retries"
