"""One page about a failure, as a report: the user's words, the failure, its origin, what led to it, how to rerun it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from namel3ss_debug.inspection.activity import Activity
from namel3ss_debug.traces.marks import BAD, mark_from_json
from namel3ss_debug.views import health, usage
from namel3ss_debug.views.activity import steps
from namel3ss_debug.views.blocks import Block, Facts, Heading, Note, Points, Quote, Table
from namel3ss_debug.views.paths import short_site
from namel3ss_debug.views.quantities import count, duration, moment, tokens
from namel3ss_debug.views.tables import Column, number, prose
from namel3ss_debug.views.terminal import text
from namel3ss_debug.views.usage import Section, failure_words, operation

_LONGEST_TITLE = 100
_LONGEST_VALUE = 600


def page(document: Section, before: Activity | None) -> Iterator[Block]:
    """Yield the blocks of the page.

    Args:
        document: the result of `issue`.
        before: the events before the failure; None where nothing failed.
    """
    failure = document.get("failure")
    yield Heading(_title(document, failure))
    if document.get("words"):
        yield Quote(str(document["words"]))
        if document.get("chosen_by") == "severity":
            yield Note("No failure matches these words; this is the most severe.")
    yield from _failure(document, failure)
    if failure is None and document.get("findings"):
        yield from health.matters(document["findings"], _reference(document))
    yield from _origin(document.get("origin") or {})
    if before is not None and before.steps:
        left = before.total - len(before.steps)
        yield Heading("How it came to it", f"the last {count(len(before.steps), 'step')}" if left else "")
        yield steps(before)
    yield from _again(document, failure)
    yield from _environment(document)


def _title(document: Section, failure: Section | None) -> str:
    if failure is None:
        mark = document.get("mark")
        if mark and mark["judgement"] == BAD:
            return _capitalised(text(mark_from_json(mark).describe(), limit=_LONGEST_TITLE).plain)
        status_document = document.get("status") or {}
        status = status_document.get("status")
        if status == "killed":
            return "The program never ended"
        if status == "open":
            return _open_title(status_document, document.get("open_spans") or [])
        ended = f"the run was {status}; " if status in {"interrupted", "stopped"} else ""
        return _capitalised(
            ended + str(status_document.get("statement") or "no errors seen; outcome not judged")
        )
    error = failure.get("error") or failure.get("status") or ""
    kind = failure.get("error_type")
    return text(f"{operation(failure)}: {f'{kind}: ' if kind else ''}{error}", limit=_LONGEST_TITLE).plain


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]


def _open_title(status: Section, open_spans: list[Section]) -> str:
    """Return what had not ended, where nobody was killed: the program, or in one that has ended a span or another process."""
    if status.get("exit_status") is None and status.get("processes_without_end") != 0:
        return "The program had not ended yet"
    if not open_spans:
        return "A process of the program had not ended yet"
    return text(f"{operation(open_spans[0])} never ended", limit=_LONGEST_TITLE).plain


def _failure(document: Section, failure: Section | None) -> Iterator[Block]:
    status = document.get("status") or {}
    mark = document.get("mark")
    rows: list[tuple[str, Any]] = [
        ("run", _run(status)),
        ("mark", text(mark_from_json(mark).describe(), limit=_LONGEST_VALUE) if mark else ""),
    ]
    if failure is not None:
        impact = failure.get("impact") or {}
        repeated, others = impact.get("repeated"), document.get("other_failures")
        weak = failure.get("confidence")
        rows += [
            ("error", text(failure_words(failure), limit=_LONGEST_VALUE)),
            ("weak", "nothing failed, but the output or the log reports an error" if weak else ""),
            ("category", str(failure.get("category"))),
            ("event", f"{failure.get('number')}, {duration(failure.get('after_ms'))} into the run"),
            ("call site", text(short_site(failure.get("call_site") or ""), limit=120)),
            ("attempts", tokens(impact.get("attempts")) if (impact.get("attempts") or 0) > 1 else ""),
            ("came again", count(repeated, "time") if repeated else ""),
            ("fingerprint", str(failure.get("fingerprint") or "")),
            ("besides", count(others, "other failure") if others else ""),
        ]
    for row in (document.get("open_spans") or ())[:1]:
        more = len(document["open_spans"]) - 1
        rows.append(
            (
                "open",
                text(
                    f"{operation(row)}, event {row.get('number')}, never ended"
                    + (f", and {more} more" if more else ""),
                    limit=200,
                ),
            )
        )
    yield Heading("What happened")
    yield Facts(rows)
    if document.get("stack_trace"):
        yield Quote(str(document["stack_trace"]), is_code=True)


def _run(status: Section) -> str:
    started, ended = moment(status.get("started_at")), status.get("exit_status")
    parts = [str(status.get("status") or ""), f"exit status {ended}" if ended else ""]
    return ", ".join(filter(None, (*parts, f"began {started} UTC" if started else "")))


def _origin(origin: Section) -> Iterator[Block]:
    """Yield the chain of causes, each with the events that prove it."""
    chain = origin.get("chain") or []
    if len(chain) > 1:
        yield Heading("Where it began", "each step from the one below it")
        yield Table(
            (number("n"), Column("step"), prose("what", 20), Column("evidence")),
            [
                (
                    str(row.get("number")),
                    text(operation(row), limit=80),
                    text(row.get("reason") or "", limit=300),
                    ", ".join(map(str, (row.get("evidence") or {}).get("events") or ())),
                )
                for row in chain
            ],
        )
        root = origin.get("root") or {}
        if root.get("words"):
            yield Note(f"read at {root.get('number')}: {text(root['words'], limit=300).plain}")
    if origin.get("resolution"):
        yield Note(f"What usually helps: {origin['resolution']}")


def _again(document: Section, failure: Section | None) -> Iterator[Block]:
    """Yield the commands that show the failure and run the program again, with the trace beside the page."""
    name = _reference(document)
    rows = []
    about = document.get("origin") if failure is None else failure
    if about:
        at = about.get("number")
        rows.append(("step up to it in the trace", f"namel3ss debug replay {name} --step -b {at}"))
        rows.append(("every cause with its evidence", f"namel3ss debug explain {at} {name}"))
    if document.get("can_run_again"):
        environment = document.get("environment") or {}
        target = text(environment.get("target") or "a program", limit=80).plain
        foreign = f"; this starts {target} for a trace that is not signed by you, after you agree"
        rows.append(
            (
                "run the program again, offline, on its recorded answers"
                + ("" if document.get("signed", True) else foreign),
                f"namel3ss debug rerun {name}",
            )
        )
        mock = document.get("mock")
        if mock:
            answer = shlex.quote(f"{mock}:@answer.json")
            rows.append(
                (
                    f"the same with another answer of {mock}",
                    f"namel3ss debug rerun {name} --mock {answer}",
                )
            )
    yield Heading("How to look at it again", "with the trace beside this page")
    yield Points(rows or [("the events", f"namel3ss debug inspect {name}")])


def _environment(document: Section) -> Iterator[Block]:
    environment, spent = document.get("environment") or {}, document.get("cost") or {}
    commit = environment.get("git_commit")
    packages = ", ".join(f"{name} {version}" for name, version in (environment.get("packages") or {}).items())
    python, platform = environment.get("python"), environment.get("platform")
    calls = ", ".join(
        f"{tokens(spent[key])} {noun}"
        for key, noun in (("llm_calls", "LLM"), ("tool_calls", "tool"))
        if spent.get(key)
    )
    yield Heading("Environment and cost")
    yield Facts(
        [
            (
                "program",
                text(
                    " ".join(map(str, environment.get("argv") or ())) or environment.get("target") or "",
                    limit=200,
                ),
            ),
            ("python", text(" on ".join(str(part) for part in (python, platform) if part), limit=80)),
            ("packages", text(packages, limit=_LONGEST_VALUE)),
            ("commit", text(commit or "", limit=40)),
            ("environment", text(environment.get("environment") or "", limit=80)),
            ("agent version", text(environment.get("agent_version") or "", limit=80)),
            ("took", duration(spent.get("duration_ms"))),
            ("calls", calls),
            ("retries", tokens(spent.get("retries")) if spent.get("retries") else ""),
            ("tokens", tokens(spent.get("tokens")) if spent.get("tokens") else ""),
            ("cost", usage.spent(spent.get("cost"), int(spent.get("calls_without_price") or 0))),
            ("trace", text((document.get("trace") or {}).get("file") or "", limit=200)),
        ]
    )


def _reference(document: Section) -> str:
    return shlex.quote(str((document.get("trace") or {}).get("file") or "latest"))
