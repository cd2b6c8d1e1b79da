"""What is drawn from a seed: the same for each line of work, whatever was made ready before."""

from __future__ import annotations

import os
from hashlib import shake_256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.determinism import lineage
from namel3ss_debug.capture.determinism.randomness import Randomness

SEED = "00112233445566778899aabbccddeeff"


@pytest.fixture(scope="module", autouse=True)
def line_of_work():
    """The running thread has a name."""
    lineage.begin(lineage.FIRST)
    yield
    lineage.end()


def as_recordings_rely_on(number, size):
    """A draw by itself, as every version has made it."""
    return shake_256(bytes.fromhex(SEED) + b":urandom:0:%d" % number).digest(size)


@given(sizes=st.lists(st.sampled_from([0, 1, 8, 16, 32, 33, 4096]), max_size=60))
def test_a_draw_follows_from_its_number_and_size_alone(sizes):
    """Whether some were made ready before, and for which size, makes no difference."""
    lineage.begin(lineage.FIRST)
    urandom = Randomness(SEED).urandom(os.urandom)
    drawn = [urandom(size) for size in sizes]
    assert drawn == [as_recordings_rely_on(number, size) for number, size in enumerate(sizes)]
