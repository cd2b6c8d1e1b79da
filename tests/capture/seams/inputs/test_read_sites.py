"""How the places of a program are numbered."""

from __future__ import annotations

import sys
from threading import Barrier, Thread

import pytest

from namel3ss_debug.capture.core.callsite import CallSites
from namel3ss_debug.capture.seams.inputs.read_sites import ReadSites

THREADS, LINES = 8, 3000


@pytest.fixture
def switching():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("switching")
def test_places_that_threads_make_at_once_have_numbers_of_their_own(tmp_path):
    """No two lines of code share one."""
    places = ReadSites(CallSites(str(tmp_path), str(tmp_path)))
    ready = Barrier(THREADS)
    numbers = []

    def make(thread):
        ready.wait()
        numbers.extend([places._place(f"app.py:{thread}.{line}", None).number for line in range(LINES)])

    threads = [Thread(target=make, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == len(numbers) == THREADS * LINES
