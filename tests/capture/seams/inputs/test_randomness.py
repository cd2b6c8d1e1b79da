"""What is drawn from a seed: the same for each line of work, whatever was made ready before."""

from __future__ import annotations

import importlib
import os
import random
import sys
from hashlib import shake_256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.capture.core import task_paths
from namel3ss_debug.capture.seams.inputs import randomness
from namel3ss_debug.capture.seams.inputs.randomness import Randomness

SEED = "00112233445566778899aabbccddeeff"


@pytest.fixture(scope="module", autouse=True)
def line_of_work():
    """The running thread has a name."""
    task_paths.begin(task_paths.FIRST)
    yield
    task_paths.end()


def as_recordings_rely_on(number, size):
    """A draw by itself, as every version has made it."""
    return shake_256(bytes.fromhex(SEED) + b":urandom:0:%d" % number).digest(size)


@given(sizes=st.lists(st.sampled_from([0, 1, 8, 16, 32, 33, 4096]), max_size=60))
def test_a_draw_follows_from_its_number_and_size_alone(sizes):
    """Whether some were made ready before, and for which size, makes no difference."""
    task_paths.begin(task_paths.FIRST)
    urandom = Randomness(SEED).urandom(os.urandom)
    drawn = [urandom(size) for size in sizes]
    assert drawn == [as_recordings_rely_on(number, size) for number, size in enumerate(sizes)]


def test_what_a_module_draws_while_it_is_imported_moves_nothing_else(tmp_path, monkeypatch):
    """A test finds the module imported already, and draws the same numbers behind it."""
    (tmp_path / "drawing_module.py").write_text(
        "import os, random\nos.urandom(4), random.random(), random.Random()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def draws(*, first):
        monkeypatch.delitem(sys.modules, "drawing_module", raising=False)
        task_paths.begin("0")
        undo = randomness.install(randomness.Randomness("00" * 16), print, fresh=True)
        try:
            if first:
                importlib.import_module("drawing_module")
            return os.urandom(8), random.random(), random.Random().random()
        finally:
            for put_back in reversed(undo):
                put_back()
            task_paths.end()

    assert draws(first=True) == draws(first=False)
    task_paths.begin(task_paths.FIRST)
