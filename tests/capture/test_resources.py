"""What the process uses: its own figures, also after a fork, and from a file that the program may have closed."""

from __future__ import annotations

import subprocess
import sys

FORK = """
import os
from namel3ss_debug.capture.resources import memory_mb

before = memory_mb()
if os.fork() == 0:
    held = b"x" * (64 << 20)
    os._exit(memory_mb() < before + 32)
print(os.waitstatus_to_exitcode(os.wait()[1]), memory_mb() < before + 32)
"""
CLOSED = """
import os
from namel3ss_debug.capture.resources import _kept, memory_mb

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


def printed(program):
    """What a program prints."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_the_memory_of_a_forked_process_is_its_own():
    """The file of the parent is not asked again in the child."""
    assert printed(FORK) == "0 True\n"


def test_what_the_program_puts_in_place_of_the_file_is_its_own():
    """A program that closes every file loses no figure, and what has the number then is not closed after a fork."""
    assert printed(CLOSED) == "True\nb'open'\n"
