"""What is masked before two values are compared, and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.diff.masks import Masks

SAME = (
    ("3f2a1b00-1111-4222-8333-abcdefabcdef", "99999999-aaaa-4bbb-8ccc-123456789abc"),
    ("made at 2025-01-03T10:20:30.5Z", "made at 2026-11-21 18:00:00+01:00"),
    ("Sat, 21 Nov 2026 18:36:27 GMT", "Sun, 22 Nov 2026 07:00:00 GMT"),
    ("see call_d16766_0", "see call_489d0d_0"),
    ("toolu_01A09q90qw90lq917835lq9", "toolu_01T1x1fJ34qAmk2tNTrN7Up6"),
    ("<Order object at 0x7f0c2b5e4d90>", "<Order object at 0x7fa0aa5e1150>"),
    ("http://127.0.0.1:39233/v1", "http://127.0.0.1:46409/v1"),
    ("/tmp/tmpab12cd34/x.csv", "/tmp/tmpzz98_xy1/x.csv"),
    ({"created": 1735689600}, {"created": 1767225600}),
    *(
        ({"created_at": 1735689600 * unit}, {"created_at": 1767225600 * unit})
        for unit in (10**3, 10**6, 10**9)
    ),
    ({"timestamp": 1735689600.5}, {"timestamp": 1767225600}),
    ({"duration_ms": 12}, {"duration_ms": 9.5}),
    ({"latency": 1.5}, {"latency": 2}),
    ({"call_id": "a"}, {"call_id": "b"}),
    ({"call_id": 1}, {"call_id": 2}),
    ({"type": "tool_call", "id": "1", "name": "f"}, {"type": "tool_call", "id": "2", "name": "f"}),
    ({"id": "c1", "name": "f", "arguments": {}}, {"id": "c2", "name": "f", "arguments": {}}),
)
OTHER = (
    ("2025-01-03", "2025-01-04"),
    ("call_taxi", "call_doctor"),
    ("call_customer_service", "call_customer_support"),
    ("run_1_analysis", "run_2_analysis"),
    ("port 80", "port 8080"),
    ({"id": "A-1001"}, {"id": "A-1002"}),
    ({"created": 5}, {"created": 6}),
    ({"latency": "high"}, {"latency": "low"}),
    ({"call_id": ["a"]}, {"call_id": ["b"]}),
    ({"type": "order", "id": "1"}, {"type": "order", "id": "2"}),
    ({"id": "1", "name": "f"}, {"id": "2", "name": "f"}),
    ({"id": "1", "arguments": {}}, {"id": "2", "arguments": {}}),
    ({"created": "yesterday"}, {"created": "today"}),
    ("3f2a1b00-1111-4222-8333-abcdefabcdef", "none"),
    ({"run_id": "a"}, {"run_id": "b"}),
    (1735689600, 1735689601),
    (1, 1.0),
    (True, 1),
    (None, ""),
)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_ids_and_times_are_masked_on_both_sides(one, other):
    """The two are equal, here and anywhere inside a value."""
    masks = Masks()
    assert masks.digest(one, "outputs") == masks.digest(other, "outputs")
    assert masks.digest({"a": [one]}, "outputs") == masks.digest({"a": [other]}, "outputs")


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_data_is_not_masked(one, other):
    """A date, the name of a function, an order number, and an id beside something that is none."""
    masks = Masks()
    assert masks.digest(one, "outputs") != masks.digest(other, "outputs")


def test_log_records_tell_measured_times():
    """`took 3.2 ms` says nothing there."""
    masks = Masks()
    assert masks.mask_text("took 3.2 ms", timed=True) == masks.mask_text("took 41 ms", timed=True)
    assert masks.mask_text("took 3.2 ms") != masks.mask_text("took 41 ms")


def test_what_is_ignored_is_a_key_or_a_path():
    """A key stands for itself anywhere, a path for one place; places in lists are left out of a path."""
    value = {"request": {"seed": 1, "at": [{"seed": 2}]}}
    ignored = {
        "seed": 2,
        "outputs.request.at.seed": 1,
        "outputs.*.seed": 1,
        "outputs.**.seed": 2,
        "**.seed": 2,
        "at.seed": 0,
    }
    for pattern, times in ignored.items():
        masked = repr(Masks([pattern]).mask(value, "outputs"))
        assert masked.count("<ignored>") == times, pattern
    every = Masks(["seed", "request.none", "at"]).mask(value, "outputs")
    assert every == {"request": {"seed": "<ignored>", "at": "<ignored>"}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, st.sampled_from([(), ("a",), ("**.b",)]))
def test_masking_is_done_once_and_for_all(value, ignored):
    """A masked value masked again is itself, the value is left as it was, and `digest_repeated` says what `digest` says."""
    masks = Masks(ignored)
    before = repr(value)
    masked = masks.mask(value, "inputs")
    assert masks.mask(masked, "inputs") == masked
    assert repr(value) == before
    assert value is None or masks.digest_repeated(value, "inputs") == masks.digest(value, "inputs")
