"""Stacks that a traced program prints: to the byte those of plain Python, without frames of the recorder."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import traceback

import pytest

from namel3ss_debug.capture.core import outer_frames

PROGRAM = """
import asyncio, inspect, logging, sys, threading, traceback

logging.basicConfig(level="INFO", format="%(message)s")

def show(name):
    logging.info("%d", name)
    logging.info(name, stack_info=True)
    traceback.print_stack()
    print([frame.function for frame in inspect.stack()], file=sys.stderr)
    print(traceback.format_stack(limit=-1), traceback.extract_stack(limit=1), file=sys.stderr)

async def inside():
    show("task")

show("main")
asyncio.run(inside())
thread = threading.Thread(target=show, args=("thread",))
thread.start()
thread.join()
"""


LOGURU = """
import threading
from loguru import logger

@logger.catch
def fail():
    raise KeyError("k")

def inside():
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception("boom")
    fail()

inside()
thread = threading.Thread(target=inside)
thread.start()
thread.join()
"""


def printed(folder, program):
    """What a program prints on stderr by itself, and what it prints when it is traced."""
    (folder / "app.py").write_text(program)
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NAMEL3SS_", "PYTHON", "COV"))
    }
    starter = "from namel3ss_debug.cli.main import debug; debug(prog_name='namel3ss debug')"
    commands = (["app.py"], ["-c", starter, "trace", "-o", "run.jsonl", "app.py"])
    return [
        subprocess.run(
            [sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True, check=True
        ).stderr
        for words in commands
    ]


def test_a_traced_program_prints_the_stacks_of_plain_python(tmp_path):
    """Records that cannot be formatted, `stack_info`, `print_stack` and `inspect.stack`, wherever they are made."""
    plain, traced = printed(tmp_path, PROGRAM)
    *lines, ours = traced.splitlines(keepends=True)
    assert "".join(lines) == plain
    assert ours.startswith("namel3ss debug: recorded ")
    assert plain.count("Call stack:") == 3


def test_loguru_prints_the_frames_and_values_of_the_program_alone(tmp_path):
    """What it catches is shown with the frames around, and the local values of each: as without us."""
    pytest.importorskip("loguru")
    plain, traced = (
        [line for line in text.splitlines() if line.startswith(("  File", "> File", "Traceback"))]
        for text in printed(tmp_path, LOGURU)
    )
    assert traced == plain
    assert sum(line.startswith("> File") for line in plain) == 4


def walked():
    """The functions on the stack from here on, as either walk tells them."""
    inwards = [each.name for each in traceback.extract_stack()]
    return inwards[::-1], [frame.function for frame in inspect.stack()]


def test_the_walks_are_as_before_when_it_is_taken_back():
    """The bodies of the standard library are put back; while they are changed, frames between others are passed over."""
    this = "test_the_walks_are_as_before_when_it_is_taken_back"
    before = traceback.walk_stack.__code__, inspect.getouterframes.__code__
    undo = outer_frames.install()
    try:
        assert traceback.walk_stack.__code__ is not before[0]
        namespace = {}
        exec(compile("def ours(call):\n    return call()\n", outer_frames.__file__, "exec"), namespace)
        walks = namespace["ours"](walked)
    finally:
        undo()
    assert [names[:2] for names in walks] == [[walked.__name__, this]] * 2
    assert (traceback.walk_stack.__code__, inspect.getouterframes.__code__) == before
