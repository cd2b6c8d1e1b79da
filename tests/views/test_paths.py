"""How places and programs are written in narrow columns."""

from pathlib import Path

import pytest

from namel3ss_debug.views.paths import command, short_site, whole_site


@pytest.mark.parametrize(
    ("site", "short"),
    [
        ("app.py:42", "app.py:42"),
        ("agents/app.py:42", "agents/app.py:42"),
        ("/srv/app.py:42", "/srv/app.py:42"),
        ("/home/me/work/agents/app.py:42", "…/agents/app.py:42"),
        ("-m package", "-m package"),
        ("/a/b/c/\0.py", "…/c/\0.py"),
        (["odd"], "['odd']"),
        ("", ""),
    ],
)
def test_a_place_is_short(site, short):
    """A place outside the working directory keeps its last folder; anything else stays as it is."""
    assert short_site(site) == short


def test_a_place_below_the_working_directory_is_relative(tmp_path, monkeypatch):
    """What lies below is written from here, whole or in a column."""
    monkeypatch.chdir(tmp_path)
    site = str(Path.cwd() / "deep/in/the/agents/app.py:42")
    assert whole_site(site) == short_site(site) == "deep/in/the/agents/app.py:42"


def test_a_program_that_has_no_name_is_shown_by_its_command_line():
    """Its file without the folders, and its arguments; nothing where there are none."""
    assert command(["/usr/lib/launcher.py", "-f", "/run/kernel.json"]) == "launcher.py -f /run/kernel.json"
    assert command([]) == ""
