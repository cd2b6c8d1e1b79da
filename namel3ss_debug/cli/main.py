"""The two programs of the command line, `namel3ss` and `namel3ss-debug`, and the table of their commands.

A command is imported when it runs: `namel3ss debug --help` needs click and this table only.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

import click

from namel3ss_debug.cli import boundary
from namel3ss_debug.version import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "trace": ("namel3ss_debug.cli.trace:command", "Run a program and record what its agents do."),
    "run": ("namel3ss_debug.cli.run:command", "Run an app under the configuration in force."),
    "show": ("namel3ss_debug.cli.show:command", "Show a run as a conversation."),
    "view": ("namel3ss_debug.cli.view:command", "Show a trace as a page in the browser."),
    "analyze": ("namel3ss_debug.cli.analyze:command", "Show what was found: failures, time and cost."),
    "explain": ("namel3ss_debug.cli.explain:command", "Show the chain of causes behind an event."),
    "inspect": ("namel3ss_debug.cli.inspect:command", "Show the events of a trace."),
    "activity": ("namel3ss_debug.cli.activity:command", "Show what one agent or component did, in order."),
    "replay": ("namel3ss_debug.cli.replay:command", "Step through a trace, forwards and backwards."),
    "logs": ("namel3ss_debug.cli.logs:command", "Show the log records of a trace."),
    "monitor": ("namel3ss_debug.cli.monitor:command", "Watch running programs: figures and alerts."),
    "report": ("namel3ss_debug.cli.report:command", "Write one page about a failure, for an issue."),
    "mcp": ("namel3ss_debug.cli.mcp:command", "Let a coding agent read traces, as an MCP server."),
    "rerun": ("namel3ss_debug.cli.rerun:command", "Run a recorded program again on its recorded answers."),
    "resend": (
        "namel3ss_debug.cli.resend:command",
        "Send one recorded model call again, edited or as it was.",
    ),
    "suggest": (
        "namel3ss_debug.cli.suggest:command",
        "Propose remedies for a failure, and try them.",
    ),
    "doctor": ("namel3ss_debug.cli.doctor:command", "Find what makes a program non-deterministic."),
    "trust": ("namel3ss_debug.cli.trust:command", "Allow re-runs of the traces below a folder."),
    "diff": ("namel3ss_debug.cli.diff:command", "Find where two runs diverge."),
    "check": ("namel3ss_debug.cli.check:command", "Check traces against rules."),
    "mark": ("namel3ss_debug.cli.mark:command", "Mark a run good or bad, and why."),
    "make-test": ("namel3ss_debug.cli.make_test:command", "Write a pytest test from a trace."),
    "list": ("namel3ss_debug.cli.list:command", "List traces and their outcomes."),
    "import": ("namel3ss_debug.cli.importing:command", "Convert files of other tools to traces."),
    "export": ("namel3ss_debug.cli.export:command", "Write a trace in the format of another tool."),
    "clean": ("namel3ss_debug.cli.clean:command", "Remove old traces."),
    "config": ("namel3ss_debug.cli.config:command", "Show every setting, its value and its source."),
    "help": ("namel3ss_debug.cli.help:command", "Show the guide and the reference."),
}
"""Name of a command of `debug` -> its module and attribute, and its line in the help; those of a group stand together."""

GROUPS = {"trace": "Record", "show": "Look", "rerun": "Re-run", "diff": "Judge", "list": "Keep"}
"""First command of a group -> the heading of the group in the help."""

MEANT = {
    "docs": "help",
    "errors": "analyze --errors",
    "fix": "suggest",
    "guide": "help guide",
    "ls": "list",
    "man": "help",
    "open": "view",
    "record": "trace",
    "rm": "clean",
    "step": "replay --step",
    "summary": "analyze --summary",
    "timeline": "inspect --timeline",
    "top": "monitor",
    "watch": "monitor",
    "tree": "inspect --tree",
    "ui": "view",
}
"""Word that people try -> the command that does what they mean."""


_SENDING = frozenset({"export", "trace"})
"""The commands that send by themselves what waits for `export_url`."""


def _send_pending() -> None:
    """Send what a program recorded that had no parent of ours, if the setting `export_url` wants it."""
    if "namel3ss_debug.config" not in sys.modules:  # the command needed no setting, such as `help`
        return
    from namel3ss_debug.cli.options import settings, trace_directory

    if settings().config.export_url:
        from namel3ss_debug.exporters.pending import start_sending

        start_sending(trace_directory())


class CommandGroup(click.Group):
    """A click group over a literal table, which imports a command when it is called, inside the error boundary."""

    def __init__(self, table: Mapping[str, tuple[str, str]], **attributes: Any) -> None:
        super().__init__(**attributes)
        self.table = table

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run as a program: whatever goes wrong ends in `boundary.run`."""
        extra["standalone_mode"] = False
        raise SystemExit(boundary.run(lambda: super(CommandGroup, self).main(*args, **extra)))

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command line; help and version print here already."""
        with boundary.closed_pipe():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a closed pipe passes by click, which would end it with a status of its own."""
        with boundary.closed_pipe():
            try:
                result = super().invoke(ctx)
                if self.table is COMMANDS and ctx.invoked_subcommand not in _SENDING:
                    _send_pending()
                return result
            except click.UsageError as error:
                # Of an option without its value click says nothing about the command, whose help the message names.
                name = ctx.invoked_subcommand
                command = self.get_command(ctx, name) if error.ctx is None and name else None
                if command is not None:
                    error.ctx = click.Context(command, info_name=name, parent=ctx)
                raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the table, in its order."""
        del ctx
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        del ctx
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command a user named.

        Raises:
            click.UsageError: there is none of that name; the nearest is suggested.
        """
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            raise click.UsageError(f"there is no command {name!r}; {self._hint(name)}", ctx)
        return super().resolve_command(ctx, args)

    def _hint(self, word: str) -> str:
        """Return what the user may have meant by a word that is no command."""
        import difflib

        inside = "debug " if self.table is not COMMANDS else ""  # where the commands of debug are from here
        near = difflib.get_close_matches(word, self.table, 1)
        if word in MEANT or word in COMMANDS:
            meant = inside + MEANT.get(word, word)
        elif word.endswith((".py", ".ai")):
            meant = f"{inside}trace {word}"
        elif near:
            meant = near[0]
        else:
            return f"the commands are {', '.join(self.table)}"
        return f"did you mean {meant}?"

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, without importing what stands in it."""
        del ctx
        groups: dict[str, list[tuple[str, str]]] = {}
        group = "Commands"
        for name, (_, text) in self.table.items():
            group = GROUPS.get(name, group) if self.table is COMMANDS else group
            groups.setdefault(group, []).append((name, text))
        width = max(map(len, self.table))
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in rows])


def install_completion(program: click.Command) -> None:
    """Add `--install-completion` to one of the two programs."""

    def install(context: click.Context, parameter: click.Parameter, shell: str | None) -> None:
        del parameter
        if shell is not None and not context.resilient_parsing:
            from namel3ss_debug.cli.completion import install_for

            for message in install_for(shell, context.find_root().command):
                click.echo(message)
            context.exit()

    click.option(
        "--install-completion",
        "shell",
        is_flag=False,
        flag_value="",
        expose_value=False,
        is_eager=True,
        metavar="[SHELL]",
        callback=install,
        help="Install completion for bash, zsh or fish, and exit.",
    )(program)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

debug = CommandGroup(
    COMMANDS,
    name="debug",
    context_settings=_CONTEXT,
    help="""Record AI-agent programs, and inspect, step through and analyze their traces.

\b
  namel3ss debug trace app.py     record a program
  namel3ss debug show             what was said, read, called and returned
  namel3ss debug analyze          the findings, where the time went, what it cost
  namel3ss debug replay --step    step through it, forwards and backwards

TRACE is a file, a directory, the first letters of an execution id, or latest; left out, it is latest.""",
)
click.version_option(__version__, prog_name="namel3ss-debug", message="%(prog)s %(version)s")(debug)
install_completion(debug)

namel3ss = CommandGroup(
    {
        "debug": ("namel3ss_debug.cli.main:debug", "Record, step through and analyze agent programs."),
        "run": COMMANDS["run"],
    },
    name="namel3ss",
    context_settings=_CONTEXT,
    help="Run agent programs, and debug them.",
)
click.version_option(__version__, prog_name="namel3ss-debug", message="%(prog)s %(version)s")(namel3ss)
install_completion(namel3ss)
