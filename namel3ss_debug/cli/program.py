"""Split a command line between the debugger and the traced program.

Before TARGET, every option is for the debugger. After it, our long options and exact short ones still are; any other
word, and everything after `--`, is for the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import click

from namel3ss_debug.cli.options import complete_files

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

ONLY_BEFORE = frozenset({"-m", "-c", "-x"})
"""Our short options that count only before TARGET, as for Python and pdb: programs have the same ones of their own."""


python_option = click.option(
    "--python", metavar="PATH", shell_complete=complete_files, help="The Python to run the program with."
)
run_args_option = click.option(
    "--run-args",
    metavar="JSON",
    help="Keyword arguments of a function, or the input of a flow, as one JSON object.",
)
flow_option = click.option(
    "--flow", metavar="NAME", help="Run this flow of a namel3ss app; the only one if left out."
)


class Split(NamedTuple):
    """The words of a command line: our options with their values, the target, and the program's arguments.

    `lacking` is an option of ours at the end without its value.
    """

    ours: list[str]
    target: str | None
    theirs: list[str]
    lacking: str | None = None


def split(
    words: Iterable[str], valued: frozenset[str], flags: frozenset[str], before_only: frozenset[str]
) -> Split:
    """Split the words of a command line.

    Args:
        words: the command line after the name of the command.
        valued: our options that take a value.
        flags: our options that take none.
        before_only: our options that are the program's after TARGET.
    """
    ours: list[str] = []
    theirs: list[str] = []
    target: str | None = None
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            if target is None and rest:
                target = rest.pop(0)
            return Split(ours, target, theirs + rest)
        name, _, attached = word.partition("=") if word.startswith("--") else (word, "", "")
        mine = name in valued or name in flags
        if target is None and not (word.startswith("-") and len(word) > 1):
            target = word
        elif target is not None and (not mine or name in before_only):
            theirs.append(word)
        else:
            ours.append(word)
            if name in valued and not attached and "=" not in word:
                if not rest:
                    return Split(ours, target, theirs, name)
                ours.append(rest.pop(0))
    return Split(ours, target, theirs)


class ProgramCommand(click.Command):
    """A click command with the arguments TARGET and ARGS, whose words `split` divides."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split the words, and let click parse ours."""
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        names = {True: set[str](), False: set[str]()}
        for option in options:
            names[option.is_flag or option.count or option.is_eager].update(
                option.opts, option.secondary_opts
            )
        sorted_out = split(args, frozenset(names[False]), frozenset(names[True]), ONLY_BEFORE)
        if sorted_out.lacking is not None and ctx.resilient_parsing:  # its value is being typed
            sorted_out = sorted_out._replace(ours=sorted_out.ours[:-1])
        elif sorted_out.lacking is not None:
            raise click.BadOptionUsage(
                sorted_out.lacking, f"Option {sorted_out.lacking!r} requires an argument.", ctx
            )
        ours = [] if sorted_out.target is None else ["--", sorted_out.target, *sorted_out.theirs]
        return super().parse_args(ctx, sorted_out.ours + ours)


def arguments(name: str) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds the two arguments of a `ProgramCommand`."""

    def decorate(function: Decorated) -> Decorated:
        function = click.argument(
            "args", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED, shell_complete=complete_files
        )(function)
        return click.argument("target", metavar=name, shell_complete=complete_files)(function)

    return decorate
