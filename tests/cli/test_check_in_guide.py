"""The files for CI are files of their systems; and the tables of the page on checks are whole."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from namel3ss_debug.analysis.checks.baselines import ASPECTS
from namel3ss_debug.analysis.checks.measures import MEASURES
from namel3ss_debug.analysis.checks.rules import KINDS
from namel3ss_debug.analysis.checks.states import STATES
from namel3ss_debug.cli.main import COMMANDS, debug

ROOT = Path(__file__).parents[2]
CHECKS = (ROOT / "docs" / "checks.md").read_text("utf-8")
CHAPTER = CHECKS.split("\n## Files for CI\n")[1].split("\n## ")[0]
FILES = {
    part.partition("\n")[0]: yaml.safe_load(fence[1])
    for part in CHAPTER.split("\n### ")
    if (fence := re.search(r"^```yaml\n(.*?)^```", part, re.MULTILINE | re.DOTALL))
}


def commands(value):
    """Every shell line in a file of CI."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in {"run", "entry"}:
                yield from item.splitlines()
            elif key == "script":
                yield from item
            else:
                yield from commands(item)
    elif isinstance(value, list):
        for item in value:
            yield from commands(item)


def test_there_is_a_file_for_each_system():
    """GitHub Actions, GitLab and pre-commit have one each, and it says what that system asks for."""
    assert set(FILES) == {"GitHub Actions", "GitLab", "pre-commit"}
    workflow = FILES["GitHub Actions"]
    assert True in workflow  # YAML 1.1 reads the key `on` so, and GitHub does not mind
    steps = workflow["jobs"]["agent"]["steps"]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    assert FILES["GitLab"]["agent"]["artifacts"]["reports"] == {
        "junit": "check.xml",
        "codequality": "quality.json",
    }
    for hook in FILES["pre-commit"]["repos"][0]["hooks"]:
        assert {"id", "name", "entry", "language"} <= hook.keys()
        re.compile(hook["files"])


@pytest.mark.parametrize(("system", "count"), [("GitHub Actions", 5), ("GitLab", 2), ("pre-commit", 2)])
def test_the_commands_in_a_file_are_there(system, count):
    """Every command of ours in it parses: the command exists, and so do its options."""
    found = [shlex.split(line) for line in commands(FILES[system])]
    ours = [words[2:] for words in found if words[:2] == ["namel3ss", "debug"]]
    assert len(ours) == count
    parent = click.Context(debug, info_name="debug", **debug.context_settings)
    for name, *words in ours:
        assert name in COMMANDS
        debug.get_command(parent, name).make_context(name, words, parent=parent)


def test_reports_that_are_uploaded_are_written():
    """What a file uploads is what its check writes."""
    for system, names in {"GitHub Actions": ["check.sarif"], "GitLab": ["check.xml", "quality.json"]}.items():
        words = [word for line in commands(FILES[system]) for word in shlex.split(line)]
        assert set(names) <= set(words)


def test_the_tables_name_everything_a_rule_can_say():
    """Kinds, measures, states and aspects stand in the tables of the page."""
    cells = " ".join(re.findall(r"^\|.*\|$", CHECKS, re.MULTILINE))
    for name in (*KINDS, *MEASURES, *STATES, *ASPECTS):
        assert f"`{name}`" in cells, name
