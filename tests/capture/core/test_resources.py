"""What the process uses: its own figures, also after a fork, and from a file that the program may have closed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from namel3ss_debug.capture.core import resources

FORK = """
import os
from namel3ss_debug.capture.core.resources import memory_mb

before = memory_mb()
if os.fork() == 0:
    held = b"x" * (64 << 20)
    os._exit(memory_mb() < before + 32)
print(os.waitstatus_to_exitcode(os.wait()[1]), memory_mb() < before + 32)
"""
CLOSED = """
import os
from namel3ss_debug.capture.core.resources import _kept, memory_mb

memory_mb()
ours = _kept[0]
here, there = os.pipe()
os.dup2(there, ours)
print(memory_mb() > 1)
if os.fork() == 0:
    os.write(ours, b"open")
    os._exit(0)
os.wait()
print(os.read(here, 9))
"""


SHARED = """
from namel3ss_debug.capture.core import resources

figures = iter(range(1, 9))
resources.memory_mb = lambda: float(next(figures))
ms = 1_000_000
ends = [(10, 1), (12, 1), (14, 4), (16, 1), (17, 900), (19, 900), (19, 1), (30, 20)]
print([resources.memory_mb_of_span(ended * ms, lasted * ms) for ended, lasted in ends])
"""


def printed(program):
    """What a program prints."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_spans_that_end_together_share_a_reading():
    """Short ones within 5 ms, any within 2; what took longer than that has a reading of its own."""
    assert printed(SHARED) == "[1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0]\n"


def test_the_memory_of_a_forked_process_is_its_own():
    """The file of the parent is not asked again in the child."""
    assert printed(FORK) == "0 True\n"


def test_what_the_program_puts_in_place_of_the_file_is_its_own():
    """A program that closes every file loses no figure, and what has the number then is not closed after a fork."""
    resources.memory_mb()
    if not resources._kept:
        pytest.skip("no file is kept open where /proc is missing")
    assert printed(CLOSED) == "True\nb'open'\n"
