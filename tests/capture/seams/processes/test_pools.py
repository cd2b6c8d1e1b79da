"""What is kept of the jobs that executors are given."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.seams.processes import pools

PROGRAM = """
import gc, multiprocessing, os, weakref
from concurrent.futures import ProcessPoolExecutor
from namel3ss_debug.capture.core.context import CURRENT, Remote

class Id(str):
    pass

def wait(fd, why=None):
    os.read(fd, 1)

if __name__ == "__main__":
    told, tell = os.pipe()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        jobs, spans = [], []
        for number in range(9):
            span = Id(f"9.{number}")
            spans.append(weakref.ref(span))
            CURRENT.set(Remote(span))
            jobs.append(pool.submit(wait, told, why="nothing"))
        CURRENT.set(None)
        assert any([job.cancel() for job in jobs])
        os.write(tell, b"1" * 9)
    del pool, jobs, span
    gc.collect()
    print(sum(span() is not None for span in spans))
"""


@pytest.mark.parametrize("parts", [("fn", "args"), ("future", "task"), ("future", "thing")], ids=str)
def test_a_work_item_of_another_python_costs_the_recording_and_never_the_program(parts):
    """Function and arguments stand beside each other or, since 3.14, in one tuple; where they are is asked once."""
    item = SimpleNamespace(fn=len, args=([],), task=(len, ([],), {}))
    if "thing" in parts:
        with pytest.raises(AttributeError, match="neither fn nor task"):
            pools._call_getter(parts)
    else:
        assert pools._call_getter(parts)(item) == (len, ([],))


def printed(program, folder):
    """What a program prints while it is recorded."""
    (folder / "program.py").write_text(program)
    words = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "t.jsonl", "program.py"]
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=60).stdout


def test_nothing_is_kept_of_a_job_for_another_process_that_is_cancelled(tmp_path):
    """One that no worker has taken is forgotten with its future."""
    assert printed(PROGRAM, tmp_path) == b"0\n"


FAILING = """
import gc, weakref
from concurrent.futures import ThreadPoolExecutor

class Refused(Exception):
    pass

def fail():
    raise Refused

gc.disable()
with ThreadPoolExecutor(1) as pool:
    job = pool.submit(fail)
    error = weakref.ref(job.exception())
    del job
print(error())
"""


def test_the_exception_of_a_job_is_freed_with_its_future(tmp_path):
    """It is in no circle that only the collection of garbage finds, as without us."""
    assert printed(FAILING, tmp_path) == b"None\n"
