"""`--install-completion` writes where each shell looks, once."""

import shutil
import subprocess

import pytest

from namel3ss_debug.cli.completion import PROGRAMS


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without anything in it."""
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR", "BASH_COMPLETION_USER_DIR"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


WHERE = {
    "bash": ".local/share/bash-completion/completions/{}",
    "zsh": ".zfunc/_{}",
    "fish": ".config/fish/completions/{}.fish",
}


@pytest.mark.parametrize("shell", WHERE)
def test_it_is_written_where_the_shell_looks(run, home, shell):
    """One script for each program, named in the output; a second time nothing changes."""
    first = run("--install-completion", shell)
    assert first.exit_code == 0, first.stderr
    files = [home / WHERE[shell].format(program) for program in PROGRAMS]
    for program, file in zip(PROGRAMS, files, strict=True):
        assert f"wrote {file}" in first.stdout
        assert f"_{program.replace('-', '_').upper()}_COMPLETE={shell}_complete" in file.read_text()
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    again = run("--install-completion", shell)
    assert "wrote" not in again.stdout
    assert "added" not in again.stdout
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_zsh_learns_the_folder_once_behind_what_is_there(run, home):
    """The user's own lines stay."""
    (home / ".zshrc").write_text("alias x=y")
    run("--install-completion", "zsh")
    lines = (home / ".zshrc").read_text().splitlines()
    assert lines[0] == "alias x=y"
    assert lines[2] == f'fpath=("{home}/.zfunc" $fpath)'


def test_the_shell_is_that_of_the_user(run, home, monkeypatch):
    """Without a name, $SHELL decides; an unknown one is one line and status 2."""
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert run("--install-completion").exit_code == 0
    assert (home / WHERE["fish"].format("namel3ss")).exists()
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    result = run("--install-completion")
    assert (result.exit_code, result.stderr.count("\n"), "'tcsh'" in result.stderr) == (2, 1, True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_accepts_the_script(run, home):
    """It parses, and registers the program."""
    run("--install-completion", "bash")
    file = home / WHERE["bash"].format("namel3ss-debug")
    script = f'source "{file}" && complete -p namel3ss-debug'
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert "namel3ss-debug" in shown.stdout
