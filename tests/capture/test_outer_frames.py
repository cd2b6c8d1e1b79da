"""Stacks that a traced program prints: to the byte those of plain Python, without frames of the recorder."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import traceback

from namel3ss_debug.capture import outer_frames

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


def test_a_traced_program_prints_the_stacks_of_plain_python(tmp_path):
    """Records that cannot be formatted, `stack_info`, `print_stack` and `inspect.stack`, wherever they are made."""
    (tmp_path / "app.py").write_text(PROGRAM)
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NAMEL3SS_", "PYTHON", "COV"))
    }
    starter = "from namel3ss_debug.cli.main import debug; debug(prog_name='namel3ss debug')"
    commands = (["app.py"], ["-c", starter, "trace", "-o", "run.jsonl", "app.py"])
    plain, traced = (
        subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
        ).stderr
        for words in commands
    )
    *lines, ours = traced.splitlines(keepends=True)
    assert "".join(lines) == plain
    assert ours.startswith("namel3ss debug: recorded ")
    assert plain.count("Call stack:") == 3


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
