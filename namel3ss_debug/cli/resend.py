"""`debug resend N`: one recorded model call sent again, as it was or changed, beside its recorded answer."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from namel3ss_debug.cli.options import (
    find_trace_file,
    open_reference,
    reading,
    report_problems,
    trace_argument,
)
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from namel3ss_debug.replay.resend import ResendRequest
    from namel3ss_debug.views.blocks import Block

_MOST_SAMPLES = 100


@click.command("resend")
@click.argument("number", metavar="N", type=click.IntRange(min=1))
@trace_argument
@click.option("--edit", is_flag=True, help="Edit the messages in $EDITOR first.")
@click.option("--model", metavar="NAME", help="Send it to this model.")
@click.option("--system", metavar="TEXT", help="Replace the system prompt.")
@click.option(
    "--temperature", type=click.FloatRange(min=0), metavar="T", help="Send it with this temperature."
)
@click.option("--samples", type=click.IntRange(1, _MOST_SAMPLES), default=1, show_default=True, metavar="K",
              help="Send it K times; asks first, with the cost.")  # fmt: skip
@click.option("--key", metavar="VARIABLE", default="",
              help="The environment variable with the API key, for a server of your own.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@reporting()
def command(
    number: int,
    reference: str | None,
    *,
    edit: bool,
    model: str | None,
    system: str | None,
    temperature: float | None,
    samples: int,
    key: str,
    yes: bool,
) -> Report:
    """Send one recorded model call again, and show the answer beside the recorded one.

    N is the event of a model call. The request is that of the trace; --edit, --model, --system and --temperature change
    it. The program does not run, and its tools do not either. The key comes from the environment (OPENAI_API_KEY,
    ANTHROPIC_API_KEY, ...), and goes to the provider that it belongs to, or to the address in OPENAI_BASE_URL or
    ANTHROPIC_BASE_URL. Words that only one answer has are marked.
    """
    from namel3ss_debug.replay.resend import SCHEMA, change_request, read_request, send
    from namel3ss_debug.views.blocks import ForWidth
    from namel3ss_debug.views.resend import resend_blocks

    path = find_trace_file(reference)
    trace = open_reference(reference)
    is_own = is_own_trace(path)
    with reading(trace):
        recorded = read_request(trace, number, os.environ, is_own=is_own, key=key)
    report_problems(trace)
    request = change_request(recorded, model=model, system=system, temperature=temperature)
    if edit:
        request = edit_messages(request)
    if samples > 1 or not is_own:
        confirm_samples(request, samples, yes=yes)
    answers = [send(request) for _ in range(samples)]

    def build(width: int | None) -> Iterable[Block]:
        return resend_blocks(request, answers, width)

    document = {
        "schema": SCHEMA,
        "trace": str(path),
        "event": request.number,
        "url": request.url,
        "model": request.inputs["model"],
        "request_changed": request.inputs != recorded.inputs,
        "notes": list(request.notes),
        "recorded": request.end.get("outputs"),
        "answers": [answer._asdict() for answer in answers],
    }
    return Report([ForWidth(build)], document)


def is_own_trace(path: Path) -> bool:
    """Return whether this user recorded a trace, and nobody changed it."""
    from namel3ss_debug.traces.signing import load_key
    from namel3ss_debug.traces.store import trace_files
    from namel3ss_debug.traces.verification import verify

    return verify(trace_files(path), load_key()).is_own


def edit_messages(request: ResendRequest) -> ResendRequest:
    """Let the user edit the messages, and return the request with them.

    Raises:
        WrongUsageError: there is no terminal, the editor failed, or the text cannot be read.
    """
    from namel3ss_debug.replay.conversation_text import read_messages, write_messages

    messages = request.inputs["messages"]
    try:
        text = click.edit(write_messages(messages), require_save=False)
    except click.ClickException as error:
        raise WrongUsageError(f"--edit: {error.format_message()}; set EDITOR to the one to use") from None
    if text is None:
        raise WrongUsageError("the editor left no text, so nothing was sent")
    return replace(request, inputs={**request.inputs, "messages": read_messages(text, messages)})


def confirm_samples(request: ResendRequest, samples: int, *, yes: bool) -> None:
    """Show what will be sent, how often and at what cost, and ask.

    Raises:
        WrongUsageError: nobody can be asked, or the user declined.
    """
    from namel3ss_debug.views.cleaning import clean
    from namel3ss_debug.views.quantities import count, money

    each = request.estimate_cost()
    cost = "its cost is not known" if each is None else f"about {money(each * samples)}"
    what = f"{count(samples, 'request')} to {clean(request.inputs['model'])} at {clean(request.url, 200)}, {cost}"
    is_terminal = sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()
    if not yes and not is_terminal:
        raise WrongUsageError(f"resend would send {what}: add --yes")
    click.echo(what, err=True)
    if not yes and not click.confirm("Send?", default=False, err=True):
        raise WrongUsageError("nothing was sent")
