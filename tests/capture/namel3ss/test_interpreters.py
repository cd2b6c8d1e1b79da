"""The Python that has the language."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import venv

import pytest

from namel3ss_debug.capture.core import stacks
from namel3ss_debug.capture.namel3ss import interpreters
from namel3ss_debug.capture.namel3ss.interpreters import can_sample, find_interpreter, shared_modules
from namel3ss_debug.errors import MissingExtraError, TargetError


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A world where this Python does not have the language, and one that says what it is told to is there."""

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    interpreters._check_interpreter.cache_clear()

    def python(*answer, named="python-there"):
        path = tmp_path / named
        path.write_text(f"#!/bin/sh\nprintf '%s' '{json.dumps(answer)}'\n")
        path.chmod(0o700)
        return str(path)

    yield python
    interpreters._check_interpreter.cache_clear()


def command(folder, first):
    """A command `n3` with this first line."""
    path = folder / "n3"
    path.write_text(f"{first}\nimport sys\n")
    path.chmod(0o700)


def test_without_the_language_the_message_says_how_to_get_it(elsewhere):
    """It names the version that runs on every Python."""
    with pytest.raises(TargetError, match=r"pip install namel3ss==0\.1\.0a13, or give --python PATH"):
        find_interpreter(None, "app.ai")


def test_this_python_is_taken_where_it_has_the_language(monkeypatch):
    """No other is looked for then."""
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "0.1.0a13")
    assert find_interpreter(None, "app.ai") == sys.executable


@pytest.mark.parametrize(
    "first",
    ["#!{}", "#!/usr/bin/env {}", "#!/bin/sh\n'''exec' \"{}\" \"$0\" \"$@\"\n' '''"],
    ids=["itself", "env", "shell"],
)
def test_the_python_of_the_command_is_found(elsewhere, tmp_path, first):
    """The first line of `n3` names it, by itself or through `env`; of a path with a space, the second."""
    python = elsewhere(True, [], True, named="python there" if "exec" in first else "python-there")
    command(tmp_path, first.format(python))
    assert find_interpreter(None, "app.ai") == python


@pytest.mark.parametrize("second", ["'echo' ready", "'''exec' \"unfinished"])
def test_another_command_of_the_shell_names_no_python(elsewhere, tmp_path, second):
    """Only what installers write there is read."""
    elsewhere(True, [], True)
    command(tmp_path, f"#!/bin/sh\n{second}")
    with pytest.raises(TargetError, match="the language is not installed here"):
        find_interpreter(None, "app.ai")


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        ((True, [], False), "does not have the language"),
        ((True, ["orjson"], True), r"cannot record \(No module named 'orjson'\): pip install namel3ss-debug"),
        ((False, [], True), r"cannot record \(Python 3.11\)"),
    ],
)
def test_what_a_python_lacks_is_one_line(elsewhere, answer, what):
    """The language, the modules for recording, or a recent version."""
    with pytest.raises(TargetError, match=what):
        find_interpreter(elsewhere(*answer), "app.ai")


def test_what_is_no_python_is_one_line(elsewhere, tmp_path):
    """A path where nothing is, and a program that is something else."""
    with pytest.raises(TargetError, match="there is no Python at /nowhere/python"):
        find_interpreter("/nowhere/python", "app.ai")
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho hello\n")
    other.chmod(0o700)
    with pytest.raises(TargetError, match="does not run as a Python"):
        find_interpreter(str(other), "app.ai")


def test_the_look_says_what_this_python_has():
    """It runs in any Python and answers in JSON; what is lent counts where the version is the same."""
    look = [sys.executable, "-I", "-c", interpreters._CHECK, json.dumps(shared_modules())]
    recent, lacks, _has_language = json.loads(subprocess.run(look, capture_output=True, check=True).stdout)
    assert (recent, lacks) == (True, [])


def test_the_sampler_of_this_python_is_lent_to_one_without_it(tmp_path):
    """An environment of the same version that has nothing of its own can sample the app that it runs."""
    pytest.importorskip("pyinstrument")
    venv.create(tmp_path / "bare", symlinks=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    assert can_sample(python)
    stacks.check(python, app=True)
    with pytest.raises(MissingExtraError):
        stacks.check(python)
