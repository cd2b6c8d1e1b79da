"""Files with payloads are readable for their owner only."""

from __future__ import annotations

import stat

from click.testing import CliRunner

from namel3ss_debug.cli.main import debug
from namel3ss_debug.traces.folders import copy_private, open_private


def mode(path):
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_private_and_one_that_is_there_keeps_its_mode(tmp_path):
    """What the user has made readable for others stays so."""
    (tmp_path / "shared").touch(0o644)
    (tmp_path / "shared").chmod(0o644)
    for name, expected in {"new": 0o600, "shared": 0o644}.items():
        with open(tmp_path / name, "w", opener=open_private) as file:
            file.write("a payload")
        assert mode(tmp_path / name) == expected
    copy_private(tmp_path / "shared", tmp_path / "copy")
    assert ((tmp_path / "copy").read_text(), mode(tmp_path / "copy")) == ("a payload", 0o600)


def test_what_commands_write_is_private(tmp_path, monkeypatch):
    """Reports, findings, and the trace beside a generated test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent.py").write_text(
        "from namel3ss_debug import trace_tool_call\n@trace_tool_call\ndef add(a, b):\n    return a + b\nprint(add(1, 2))\n"
    )

    def run(*words):
        result = CliRunner().invoke(debug, [*words])
        assert result.exit_code in {0, 1}, result.output

    run("trace", "-o", "run.jsonl", "agent.py")
    run("report", "run.jsonl", "-o", "report.md")
    run("check", "run.jsonl", "--rule", "tokens < 1000", "--sarif", "a.sarif", "--junit", "a.xml")
    run("make-test", "run.jsonl", "-o", "test_agent.py")
    for name in ("run.jsonl", "report.md", "a.sarif", "a.xml", "test_agent.jsonl"):
        assert mode(tmp_path / name) == 0o600, name
