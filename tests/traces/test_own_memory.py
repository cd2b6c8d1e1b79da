"""What other processes see of this one: neither a secret of its environment nor the program on its command line."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

PROGRAM = """
import os, sys
from namel3ss_debug.traces.own_memory import blank_command_line, blank_variable
print(os.getpid(), flush=True)
sys.stdin.readline()
blank_variable("SECRET")
blank_command_line()
print(os.environ["SECRET"], sys.argv[1:], flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="only Linux shows the memory of a process")
def test_other_processes_see_neither_secret_nor_command_line():
    """The process itself keeps both, and the rest of its environment stays."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "app.py", "--once"],
        env={**os.environ, "SECRET": "hunter2", "TOWN": "Oslo"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        other = psutil.Process(int(child.stdout.readline()))
        before = other.environ()
        assert "app.py" in other.cmdline()
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "hunter2 ['app.py', '--once']\n"
        assert other.cmdline() == ["namel3ss-debug"]
        assert before.pop("SECRET") == "hunter2"
        now = other.environ()
        assert now.pop("SECRET").strip() == ""
        assert now == before
        child.stdin.close()
