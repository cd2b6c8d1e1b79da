"""`debug mcp`: the commands that only read traces, as tools of an MCP server, so that a coding agent can ask why a run failed.

Each tool is one command of `debug` in a process of its own, with its output as a person reads it. No tool runs a program, answers
a re-run, or writes a file, and a client can only give values: an option, or a path outside of what a command reads,
cannot be passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Final

import click

from namel3ss_debug.errors import WrongUsageError

LONGEST: Final = 12_000
"""Characters of a result; what is longer is cut, and the next call named."""

SECONDS: Final = 120
COLUMNS: Final = 120
_COMMAND: Final = "from namel3ss_debug.cli.main import debug; debug()"

INSTRUCTIONS: Final = """Traces of AI-agent runs, read-only. Begin with `list_traces`, or with `show` of the latest run. After a failure
call `explain`. `trace` is a path, the first letters of an execution id, or "latest"; files of other tools (OTLP, Claude Code,
Langfuse and others) are opened too. Numbers such as 26 or #26 are events: give one to `inspect_event` or `explain`."""


def ask(command: str, *options: str | None, traces: tuple[str, ...] = (), next_call: str = "") -> str:
    """Return what a command prints.

    Args:
        command: one of the commands that only read.
        options: its options, each in one word with its value; None is left out.
        traces: what stands for the traces; a word that begins with a dash is no option here.
        next_call: what to call next, named below the result.

    Raises:
        WrongUsageError: what is wrong with the command; the server answers with an error.
    """
    words = [command, *(option for option in options if option is not None), "--", *traces]
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    environment |= {"NO_COLOR": "1", "COLUMNS": str(COLUMNS), "PAGER": "cat"}
    try:
        done = subprocess.run(  # noqa: S603  (it is our own command)
            [sys.executable, "-c", _COMMAND, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WrongUsageError(
            f"{command} took longer than {SECONDS} s; ask for less, such as one event"
        ) from None
    text = done.stdout.strip() or done.stderr.strip()
    if len(text) > LONGEST:
        cut = text[:LONGEST].rpartition("\n")[0]
        text = f"{cut}\n... {len(text) - len(cut)} further characters; ask for less"
    if done.returncode not in (0, 1):  # 1: something was found, as grep says it
        raise WrongUsageError(text)
    return f"{text}\n\nNext: {next_call}" if next_call else text


Trace = Annotated[str, "a path, the first letters of an execution id, or latest"]


def list_traces(directory: str = "", failed_only: bool = False) -> str:
    """List the recorded runs with their outcomes, the newest first."""
    folder = (directory,) if directory else ()
    return ask(
        "list",
        "--failed" if failed_only else None,
        traces=folder,
        next_call="show(trace), or explain(trace) of a failed one",
    )


def show(
    trace: Trace = "latest",
    agent: str = "",
    first_event: int = 1,
    errors_only: bool = False,
    full: bool = False,
) -> str:
    """Show a run as a conversation: what each model read that is new, wrote and called, and what each tool returned."""
    return ask(
        "show",
        f"--agent={agent}" if agent else None,
        f"--from={int(first_event)}",
        "--errors" if errors_only else None,
        "--full" if full else None,
        traces=(trace,),
        next_call="inspect_event(trace, event) for the whole of one event, explain(trace, event) for its causes",
    )


def analyze(trace: Trace = "latest") -> str:
    """Show what a run did wrong, each finding with its event, what it cost and where the time went."""
    return ask("analyze", traces=(trace,), next_call="explain(trace, event) of the first finding")


def explain(trace: Trace = "latest", event: int = 0) -> str:
    """Show the chain of causes behind an event; without one, behind the first failure or the answer that was marked bad."""
    about = (str(int(event)), trace) if event else (trace,)
    return ask("explain", traces=about, next_call="inspect_event(trace, event) of the origin")


def inspect_event(event: int, trace: Trace = "latest") -> str:
    """Show one event whole: of a model call the conversation, of a tool its arguments and result."""
    return ask(
        "inspect", f"--event={int(event)}", traces=(trace,), next_call="explain(trace, event) for its causes"
    )


def tree(trace: Trace = "latest") -> str:
    """Show which call happened inside which."""
    return ask("inspect", "--tree", traces=(trace,), next_call="inspect_event(trace, event)")


def search(where: str, trace: Trace = "latest") -> str:
    """Find events by an expression, such as `tool == "search" and duration_ms > 500`, or `"Oslo" in text(outputs)`."""
    return ask("inspect", f"--where={where}", traces=(trace,), next_call="inspect_event(trace, event)")


def activity(name: str, trace: Trace = "latest") -> str:
    """Show what one agent, tool or component did, in order."""
    return ask("activity", traces=(name, trace), next_call="inspect_event(trace, event)")


def diff(before: str, after: str = "latest") -> str:
    """Find where two runs diverge: the first difference, and what follows from it."""
    return ask("diff", traces=(before, after), next_call="inspect_event(trace, event) in each of the two")


TOOLS: Final = (list_traces, show, analyze, explain, inspect_event, tree, search, activity, diff)
"""The tools, in the order in which a client lists them."""


@click.command("mcp")
def command() -> None:
    """Serve the commands that read traces to a coding agent, as an MCP server on standard input and output.

    It is read-only: no tool runs a program or writes a file. In a client, give the command `namel3ss debug mcp`.
    """
    make_server().run()


def make_server() -> Any:
    """Return the server with all tools.

    Raises:
        WrongUsageError: the SDK of MCP is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
        from mcp.types import ToolAnnotations
    except ImportError:
        raise WrongUsageError("mcp needs the SDK of MCP: pip install 'namel3ss-debug[mcp]'") from None
    server = MCPServer("namel3ss-debug", instructions=INSTRUCTIONS)

    def reporting(tool: Callable[..., str]) -> Callable[..., str]:
        @wraps(tool)
        def call(*args: Any, **kwargs: Any) -> str:
            try:
                return tool(*args, **kwargs)
            except WrongUsageError as error:  # of any other exception the SDK keeps the text from the client
                raise ToolError(str(error)) from None

        return call

    for tool in TOOLS:
        server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))(reporting(tool))
    return server
