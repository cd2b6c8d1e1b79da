"""`namel3ss run`: an app under the configuration in force, traced only if that enables it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, NoReturn

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import settings
from namel3ss_debug.cli.program import (
    ProgramCommand,
    arguments,
    flow_option,
    python_option,
    run_args_option,
)
from namel3ss_debug.errors import TargetError

NOT_RECORDED: Final = (
    'nothing is recorded: set "enabled": true in .namel3ss/debug.json or NAMEL3SS_DEBUG_ENABLED=true, '
    "or run it with `namel3ss debug trace`"
)
"""The notice for a user who has not set `enabled`; a user who has set it to false needs none."""


def run(
    words: Sequence[str],
    *,
    module: bool,
    run_args: str | None,
    flow: str | None,
    python: str | None,
) -> int:
    """Run a program, recorded if `enabled` is set, and unrecorded otherwise.

    Args:
        words: the target and the program's own arguments.
        module: whether the target is the name of a module.
        run_args: keyword arguments of a function, or the input of a flow, as a JSON object.
        flow: which flow of a namel3ss app.
        python: the interpreter to run the program with.

    Returns:
        The exit status of the program, or the negative number of the signal it died by.

    Raises:
        DebugError: the program, a setting or the file cannot be used.
    """
    from namel3ss_debug.capture.launch.parent import find_python, launch, resolve_target
    from namel3ss_debug.capture.launch.session import new_session
    from namel3ss_debug.cli.trace import describe_target, read_run_args, report, write_missing_end

    loaded = settings()
    config = loaded.config
    target = resolve_target(words, module=module, run_args=read_run_args(run_args), flow=flow)
    if not config.enabled and loaded.sources["enabled"] == "default":
        notify(NOT_RECORDED)
    if not config.enabled and target.kind in {"script", "module"}:
        switch = ["-m"] if target.kind == "module" else []
        replace_process(python or sys.executable, [*switch, target.value, *target.argv])
    session = new_session(config, **describe_target(target))
    if not config.enabled:
        # A function or an app needs our runner to be called; an execution that is not sampled is not recorded.
        interpreter = find_python(python, target) if target.kind == "app" else python
        return launch(target, session=asdict(session) | {"sampled": False}, python=interpreter)
    status = launch(target, session=asdict(session), python=find_python(python, target))
    write_missing_end(session, status)
    report(session, "jsonl", status)
    return status


def replace_process(python: str, words: Sequence[str]) -> NoReturn:
    """Become the program: nothing of ours is left around it.

    Raises:
        TargetError: the interpreter cannot be started.
    """
    from namel3ss_debug.config import TRUST_KEY_VARIABLE

    os.environ.pop(TRUST_KEY_VARIABLE, None)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(python, [python, *words])  # noqa: S606  (running the user's program is the point)
    except OSError as error:
        raise TargetError(
            f"cannot start {python}: {error.strerror}; give an interpreter to --python"
        ) from error


@click.command("run", cls=ProgramCommand)
@arguments("APP")
@click.option("-m", "module", is_flag=True, help="APP is a module or package, as with python -m.")
@run_args_option
@flow_option
@python_option
def command(target: str, args: tuple[str, ...], **options: Any) -> None:
    """Run an app under the configuration in force.

    It is recorded if the setting `enabled` is true (.namel3ss/debug.json or NAMEL3SS_DEBUG_ENABLED=true), and runs
    unrecorded otherwise; one line on stderr reports that if the setting is not made. ARGS are the program's own, as with `namel3ss debug trace`.
    """
    from namel3ss_debug.capture.launch.parent import leave

    leave(run([target, *args], **options))
