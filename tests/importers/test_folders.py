"""Sessions of coding agents in a list: found below the folders where the agents keep them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from namel3ss_debug.cli.main import debug
from namel3ss_debug.importers import folders
from namel3ss_debug.importers.folders import find_any, find_foreign

DATA = Path(__file__).parent.parent / "data/imports"


@pytest.fixture
def projects(tmp_path, monkeypatch):
    """Return a folder as `~/.claude/projects`: a folder for each project, subagents beside the sessions or below."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "projects"
    for name in ("short", "subagent", "agent-afc096d"):
        (folder / "-home-dev-a").mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / f"claude-code/{name}.jsonl", folder / "-home-dev-a")
    below = folder / "-home-dev-a/short/subagents"
    below.mkdir(parents=True)
    shutil.copy(DATA / "claude-code/agent-a2898e3.jsonl", below)
    return folder


def run(*words):
    """Run a command."""
    result = CliRunner().invoke(debug, words, prog_name="namel3ss debug", input="")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_sessions_are_listed_with_title_time_duration_tokens_cost_and_outcome(projects):
    """Subagents count with their sessions and are not listed."""
    newest, oldest = json.loads(run("list", str(projects), "--format", "json"))["recordings"]
    assert [newest["title"], oldest["title"]] == [
        "create the beads",
        "mix phx.server doesnt seem to start",
    ]
    assert (oldest["tokens"], oldest["errors"], oldest["outcome"]) == (25366 + 675602, 2 + 8, "completed")
    assert oldest["duration_ms"] > 0
    assert oldest["cost"] > 0
    assert "700,968" in run("list", str(projects))


def test_the_latest_session_is_the_one_that_began_last(projects, monkeypatch):
    """In a folder that is named, and in trace_output_dir."""
    assert find_any(str(projects), Path()).name == "subagent.jsonl"
    monkeypatch.setenv("NAMEL3SS_DEBUG_TRACE_OUTPUT_DIR", str(projects))
    assert "Write" in run("show", "latest")


def test_a_folder_of_codex_is_searched_down_to_its_days(tmp_path, monkeypatch):
    """The title is what the user asked first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    day = tmp_path / "sessions/2026/03/30"
    day.mkdir(parents=True)
    shutil.copy(DATA / "codex/tool-calls.jsonl", day / "rollout-1.jsonl")
    (info,) = find_foreign(tmp_path / "sessions", ())
    assert info.title == "create one focused commit"


def test_a_file_is_read_again_only_after_it_changed(projects, monkeypatch):
    """What the list needs is kept."""
    first = find_foreign(projects, ())
    monkeypatch.setattr(folders, "_describe", lambda path: pytest.fail(f"{path} is read again"))
    assert find_foreign(projects, ()) == first
    monkeypatch.undo()
    session = projects / "-home-dev-a/short.jsonl"
    session.write_text(session.read_text() + '{"type": "summary", "summary": "A title", "leafUuid": "u"}\n')
    assert "A title" in {info.title for info in find_foreign(projects, ())}


def test_a_secret_in_a_title_is_not_listed(projects):
    """The payloads of a listed file are not redacted, because nothing of them is kept; what is kept is."""
    session = projects / "-home-dev-a/short.jsonl"
    row = {"type": "custom-title", "customTitle": f"use sk-ant-api03-{'aB3' * 31}", "sessionId": "s"}
    session.write_text(session.read_text() + json.dumps(row) + "\n")
    listed = run("list", str(projects), "--format", "json")
    assert "use " in listed
    assert "aB3aB3" not in listed
