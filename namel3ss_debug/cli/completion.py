"""`--install-completion`: completion by the Tab key for bash, zsh and fish, written where the shell looks for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from namel3ss_debug.errors import WrongUsageError

SHELLS = ("bash", "zsh", "fish")
PROGRAMS = ("namel3ss", "namel3ss-debug")
_MARK = "# completion of namel3ss-debug"


def install_for(shell: str, command: click.Command) -> list[str]:
    """Install the completion for a shell, by default that of `$SHELL`, and return what was done as lines.

    Raises:
        WrongUsageError: there is no completion for this shell, or a file cannot be written.
    """
    name = shell or Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        what = f"there is no completion for {name!r}" if name else "the variable SHELL names no shell"
        raise WrongUsageError(f"{what}; use --install-completion bash, zsh or fish")
    try:
        lines = [
            _write(find_file(name, program), make_script(name, program, command)) for program in PROGRAMS
        ]
        if name == "zsh":
            lines.append(_extend_zshrc(find_file(name, PROGRAMS[0]).parent))
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        reason = error.strerror if isinstance(error, OSError) else error
        raise WrongUsageError(f"cannot install the completion: {reason}") from None
    needed = " (it needs the package bash-completion)" if name == "bash" else ""
    return [*lines, f"open a new {name} to use it{needed}"]


def make_script(shell: str, program: str, command: click.Command) -> str:
    """Return the completion script of one program."""
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    completion: Any = get_completion_class(shell)
    return str(completion(command, {}, program, variable).source()).lstrip("\n")


def find_file(shell: str, program: str) -> Path:
    """Return where a shell looks for the completion of a program."""
    if shell == "bash":
        user = os.environ.get("BASH_COMPLETION_USER_DIR")
        folder = Path(user) if user else _xdg("XDG_DATA_HOME", ".local/share") / "bash-completion"
        return folder / "completions" / program
    if shell == "fish":
        return _xdg("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / f"{program}.fish"
    return _zsh_folder() / ".zfunc" / f"_{program}"


def _xdg(variable: str, default: str) -> Path:
    folder = os.environ.get(variable, "")
    return Path(folder) if Path(folder).is_absolute() else Path.home() / default


def _zsh_folder() -> Path:
    return Path(os.environ.get("ZDOTDIR") or Path.home())


def _write(path: Path, content: str) -> str:
    if path.is_file() and path.read_text("utf-8", "replace") == content:
        return f"{path} is up to date"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return f"wrote {path}"


def _extend_zshrc(folder: Path) -> str:
    """Let zsh look into the folder: unlike the other shells, it has no folder of the user by default."""
    path = _zsh_folder() / ".zshrc"
    before = path.read_text("utf-8", "surrogateescape") if path.is_file() else ""
    if _MARK in before:
        return f"{path} is up to date"
    separator = "" if not before or before.endswith("\n") else "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(f'{separator}{_MARK}\nfpath=("{folder}" $fpath)\nautoload -Uz compinit && compinit\n')
    return f"added {folder} to the completions in {path}"
