"""Tests of a program that is started ahead of its re-run, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys

import orjson
import psutil
import pytest

from namel3ss_debug.capture.launch.parent import resolve_target
from namel3ss_debug.replay.rerun.starting import interpreter_of
from namel3ss_debug.traces import signing

WITNESS = """\
import os, sys
if "runner.py" in "".join(sys.orig_argv):
    print("the interpreter has started", flush=True)
    with open("started", "a") as file:
        file.write(f"{os.getpid()}\\n")
"""
PROGRAM = """\
import sys
open("run", "w").close()
print("run with", sys.argv[1:], sys.stdin.read(), flush=True)
"""


class Folder:
    """A folder with a program, its recording, and a witness that tells of every interpreter that starts for a program."""

    def __init__(self, path):
        self.path = path
        (path / "app.py").write_text(PROGRAM)
        (path / "sitecustomize.py").write_text(WITNESS)
        self.record()

    def record(self, *more, **metadata):
        """Write the recording of a program that asks nothing."""
        start = {
            "format": 2,
            "process": 0,
            "target": "app.py",
            "argv": ["app.py", "x y"],
            "cwd": str(self.path),
        }
        randomness = {
            "seed": "00" * 16,
            "hash_seed": 7,
            "process": "0",
            "interpreter": {},
        }
        events = [
            {"event_type": "trace_start", "metadata": start | {"randomness": randomness} | metadata},
            *more,
            {"event_type": "trace_end", "metadata": {"exit_status": 0}},
        ]
        frame = {"timestamp": 4e9, "execution_id": "ab", "component": "app"}
        numbered = [
            {"event_id": str(number + 1), "seq": number} | frame | event
            for number, event in enumerate(events)
        ]
        key = signing.execution_key(signing.key_file_for("ab", running=True), "ab")
        sign = signing.line_signer(key, 0, 0)
        (self.path / "run.jsonl").write_bytes(
            b"".join(sign(orjson.dumps(event) + b"\n") for event in numbered)
        )

    def rerun(self, *options, **variables):
        """Run the command on the recording."""
        environment = (
            os.environ | {"PYTHONPATH": os.pathsep.join([str(self.path), *sys.path[1:]])} | variables
        )
        return subprocess.run(
            [sys.executable, "-m", "namel3ss_debug", "rerun", "run.jsonl", *options],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def started(self):
        """The processes of the interpreters that were started for the program."""
        file = self.path / "started"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    @property
    def has_run(self):
        """Whether a line of the program has run."""
        return (self.path / "run").exists()


@pytest.fixture
def folder(tmp_path):
    """A folder with a recorded program."""
    return Folder(tmp_path.resolve())


@pytest.mark.parametrize(
    ("metadata", "options", "words"),
    [
        ({"settings": {"level": "basic"}}, (), "was recorded at level basic"),
        ({}, ("--live-from", "9"), "the trace has 2 events"),
        ({}, ("--mock", "search"), "search"),
    ],
)
def test_a_refused_re_run_runs_no_line_of_the_program(folder, metadata, options, words):
    """The process that was started ahead has ended, and nothing that it printed is shown."""
    folder.record(**metadata)
    done = folder.rerun(*options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("namel3ss debug: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not folder.has_run
    assert folder.started == []


def test_a_program_that_read_the_environment_otherwise_is_started_anew(folder):
    """What the rest of the recording says counts: the process that was started without is ended unseen."""
    (folder.path / "app.py").write_text("import os\nprint(os.environ['CITY'])\nopen('run', 'a').write('x')\n")
    environment = {"environment": {"CITY": {"value": "Bern", "call_site": "app.py:2"}}, "process": "0"}
    folder.record({"event_type": "inputs_read", "metadata": environment})
    done = folder.rerun(CITY="Basel")
    assert done.stdout == "the interpreter has started\nBern\n"
    assert (folder.path / "run").read_text() == "x"
    assert len(folder.started) == 1
    assert not any(map(psutil.pid_exists, folder.started))


def test_a_command_without_a_standard_input_runs_the_program(folder):
    """The descriptors of the streams are the program's, whatever is free."""
    command = f"exec '{sys.executable}' -m namel3ss_debug rerun run.jsonl <&-"
    done = subprocess.run(["sh", "-c", command], cwd=folder.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "run with ['x y'] \n"


def test_another_name_of_the_same_interpreter_is_no_other_one(tmp_path):
    """`python3` beside `python` runs the same environment; a link from elsewhere may be of another one."""
    (tmp_path / "app.py").touch()
    target = resolve_target(["app.py"], cwd=tmp_path)
    folder, name = os.path.split(sys.executable)
    beside = next(each for each in ("python", "python3") if each != name)
    elsewhere = tmp_path / name
    elsewhere.symlink_to(sys.executable)
    python, notes = interpreter_of(None, {"executable": os.path.join(folder, beside)}, target)
    assert (python, notes) == (sys.executable, ())
    (note,) = interpreter_of(None, {"executable": str(elsewhere)}, target)[1]
    assert note == f"recorded with {elsewhere}, run again with {sys.executable}: --python chooses another"
