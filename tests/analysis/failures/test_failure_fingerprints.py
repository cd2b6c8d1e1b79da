import pytest

from namel3ss_debug.analysis.failures.failure_fingerprints import compute_fingerprint, normal_words, site

FIRST = (
    "tool",
    "search",
    "timeout",
    "TimeoutError",
    "no answer from 10.0.0.7:5432 after 3.02 s",
    "/app/src/tools.py:42",
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("no answer after 3.02 s", "no answer after 11 s"),
        (
            "order 6f9619ff-8b86-d011-b42d-00c04fc964ff is gone",
            "order 7a9619ff-8b86-d011-b42d-00c04fc964aa is gone",
        ),
        ("call_eL9qRShPO6BQUhtX failed", "call_Mk90OBuBdQqpWYbZ failed"),
        ("<object at 0x7f3a10>", "<object at 0x55aa01>"),
        ("cannot open /tmp/run-1/a/data.json", "cannot open /home/me/data.json"),
        ("at 2026-11-21T12:00:01Z it broke", "at 2027-01-02 03:04:05 it broke"),
        ("there is no supplier 'S-00'", "there is no supplier 'S-17'"),
        ("commit 5789a88 is bad", "commit 34af9b2 is bad"),
        ("too   many\nitems: 4", "too many items: 5"),
    ],
)
def test_what_differs_between_two_runs_does_not_count(before, after):
    """Numbers, ids, addresses, times, folders and quoted values leave the words the same."""
    assert normal_words(before) == normal_words(after)


@pytest.mark.parametrize("place", range(5))
def test_another_failure_has_another_fingerprint(place):
    """Component, name, category, type and words all count."""
    other = list(FIRST)
    other[place] = "else"
    assert compute_fingerprint(*FIRST) != compute_fingerprint(*other)


def test_words_that_differ_are_kept_apart():
    """A quoted name without a digit in it is part of the words."""
    assert normal_words("no field 'city'") != normal_words("no field 'street'")


def test_the_line_and_the_folder_of_a_call_site_do_not_count():
    """Code moves up and down and lies elsewhere in another checkout; the file and the function stay."""
    assert site("/app/src/tools.py:42") == site("C:\\work\\tools.py:7") == "tools.py"
    assert site("tools.py:42 search") == "tools.py search"
    assert compute_fingerprint(*FIRST) == compute_fingerprint(*FIRST[:5], "tools.py:1")


def test_a_fingerprint_is_sixteen_digits_and_stays_the_same():
    """The figure is part of what CI compares, so it must not change between versions."""
    assert (
        compute_fingerprint("tool", "search", "timeout", "TimeoutError", "late", None) == "fda35589181e3dc4"
    )
    assert compute_fingerprint("", None, "unknown", None, None) == compute_fingerprint(
        "", "", "unknown", "", ""
    )
