"""What a test may write while its trace answers."""

import os
import shutil
import subprocess
import sys

TEST = """
import pytest
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def double(number):
    return number * 2

@pytest.mark.agent_trace("kept.jsonl")
def test_it():
    import helpers
    assert double(helpers.NUMBER) == 6
"""


def test_what_pytest_compiles_may_be_written(tmp_path):
    """A module whose asserts pytest rewrites is compiled with its first import, which may be inside a test."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    (project / "helpers.py").write_text("NUMBER = 3\n")
    (project / "conftest.py").write_text("import pytest\npytest.register_assert_rewrite('helpers')\n")
    (project / "test_it.py").write_text(TEST)
    environment = {name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "-p",
        "no:xdist",
    ]

    def run():
        done = subprocess.run(
            command,
            cwd=project,
            env=environment | {"TMPDIR": str(elsewhere)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return project / "__pycache__"

    compiled = run()
    (project / "kept.jsonl").unlink()  # the next trace does not hold the folder, which is there
    run()
    assert "__pycache__" not in (project / "kept.jsonl").read_text()
    shutil.rmtree(compiled)
    run()
    assert [*compiled.glob("helpers.*-pytest-*.pyc")]
