"""`debug list`: the traces in a directory, and how their runs ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import settings, trace_directory
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.errors import TraceNotFoundError, WrongUsageError
from namel3ss_debug.traces.marks import BAD, JUDGEMENTS
from namel3ss_debug.traces.outcomes import NOT_GOOD, OUTCOMES
from namel3ss_debug.views.report import Report

if TYPE_CHECKING:
    from namel3ss_debug.analysis.sections.listed import TraceSummary
    from namel3ss_debug.expressions import Expression
    from namel3ss_debug.traces.marks import Mark
    from namel3ss_debug.traces.store import TraceInfo
    from namel3ss_debug.views.blocks import Block

    _Row = tuple[TraceInfo, TraceSummary]

_NAMES = (*OUTCOMES, *JUDGEMENTS)
UNLIMITED = 1000
"""The width of output that has none."""


def marks_of(found: Sequence[TraceInfo]) -> dict[Path, Mark]:
    """Return the marks of traces, by path; print which ones have no effect."""
    from namel3ss_debug.traces.marks import find_mark

    marks = {}
    for info in found:
        mark = find_mark(info.path, info.execution_id)
        if isinstance(mark, str):
            notify(mark)
        elif mark is not None:
            marks[info.path] = mark
    return marks


class _Filters(NamedTuple):
    """What a run must have to be listed; empty for no condition."""

    outcomes: frozenset[str]
    models: tuple[str, ...]
    cost: Expression | None
    tags: tuple[str, ...]
    since: float | None
    texts: tuple[str, ...]

    def accept(self, info: TraceInfo, summary: TraceSummary, mark: Mark | None) -> bool:
        """Return whether a run has all of it; the texts are looked for last, because that reads the trace."""
        from namel3ss_debug.expressions import name_fits
        from namel3ss_debug.inspection.text_search import holds_text

        judged = mark is not None and mark.judgement in self.outcomes
        return (
            (not self.outcomes or summary.outcome in self.outcomes or judged)
            and (self.since is None or (info.started_at or info.modified_at) >= self.since)
            and all(any(name_fits(name, wanted) for name in summary.models) for wanted in self.models)
            and (self.cost is None or self.cost.evaluate({"cost_estimate": summary.cost}) is True)
            and all(_has_tag(summary.tags, wanted) for wanted in self.tags)
            and all(holds_text(info.path, text) for text in self.texts)
        )


def _has_tag(tags: Mapping[str, Sequence[str]], wanted: str) -> bool:
    """Return whether a run has a tag, as `user=42` or as `user` with any value; a value may have `*` and `?`."""
    from namel3ss_debug.expressions import name_fits

    name, has_value, value = wanted.partition("=")
    return name in tags and (not has_value or any(name_fits(each, value) for each in tags[name]))


def _compile_cost(text: str) -> Expression:
    """Return the comparison of a cost, such as `>0.05`, as an expression.

    Raises:
        WrongUsageError: it is no comparison.
    """
    from namel3ss_debug.expressions import compile_expression

    if text.strip()[:1] not in ("<", ">", "=", "!"):
        raise WrongUsageError(f"--cost {text}: not a comparison; write it as '>0.05' or '<= 1'")
    return compile_expression(f"cost_estimate {text}")


def _group_reruns(rows: Sequence[_Row]) -> list[tuple[_Row, int]]:
    """Return the runs, newest first, each followed by its re-runs, oldest first; the number is how deep a row stands."""
    by_execution = {info.execution_id: info for info, _ in rows if info.execution_id}
    below: dict[str, list[_Row]] = {}
    tops = []
    for row in rows:
        of = row[0].rerun_of
        if of and of in by_execution and of != row[0].execution_id:
            below.setdefault(of, []).insert(0, row)
        else:
            tops.append(row)
    arranged: list[tuple[_Row, int]] = []
    stack = [(row, 0) for row in reversed(tops)]
    while stack:
        row, depth = stack.pop()
        arranged.append((row, depth))
        stack += [(each, depth + 1) for each in reversed(below.pop(row[0].execution_id, []))]
    return arranged


@click.command("list")
@click.argument("directory", metavar="[DIRECTORY]", required=False, type=click.Path(path_type=Path))
@click.option("--failed", is_flag=True, help="Only runs that failed, were killed, or are marked bad.")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice(_NAMES),
    help="Only runs with this outcome, or marked good or bad; may be repeated.",
)
@click.option("--model", "models", multiple=True, metavar="M", help="Only runs that called this model; * and ? stand for anything.")  # fmt: skip
@click.option("--cost", metavar="CMP", help="Only runs whose cost in dollars compares so, such as '>0.05'.")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="Only runs with this text in a name, a payload or an error.")  # fmt: skip
@click.option("--tag", "tags", multiple=True, metavar="KEY[=VALUE]", help="Only runs with this tag: of the setting tags, or the metadata of a span.")  # fmt: skip
@click.option("--since", metavar="TIME", help="Only runs that began within this time, such as 12h, 1d or 2w.")
@reporting()
def command(
    directory: Path | None,
    *,
    failed: bool,
    outcomes: tuple[str, ...],
    cost: str | None,
    since: str | None,
    **names: tuple[str, ...],
) -> Report:
    """List the traces in DIRECTORY, the newest first; without it, those in trace_output_dir.

    Each has its outcome: completed, failed (by an exception or an exit status), killed, interrupted (by Ctrl-C), stopped
    (a server by SIGTERM, a program by the debugger) or running, and marked good or bad where you judged it; and its
    duration, cost and errors. Re-runs stand below their trace, with their verdict. Of several conditions, all must hold.
    """
    from namel3ss_debug.analysis.aggregate.windows import parse_seconds
    from namel3ss_debug.analysis.sections.listed import summarise, summarise_foreign
    from namel3ss_debug.cli.paths import report_left_out_files
    from namel3ss_debug.traces.lines import may_be_read
    from namel3ss_debug.traces.store import scan_directory, sort_by_age
    from namel3ss_debug.views.traces import list_document

    folder = directory or trace_directory()
    if not folder.is_dir() and (directory is not None or folder.exists()):
        what = "not a directory" if folder.exists() else "no such directory"
        raise TraceNotFoundError(f"{folder}: {what}; give one that holds traces")
    wanted = frozenset((*outcomes, *((*NOT_GOOD, BAD) if failed else ())))
    begin = None if since is None else time.time() - parse_seconds(since, "--since")
    filters = _Filters(
        wanted, names["models"], _compile_cost(cost) if cost else None, names["tags"], begin, names["texts"]
    )
    infos, others = scan_directory(folder)
    prices = settings().config.prices
    summaries = dict(zip(infos, summarise(infos, prices), strict=True))
    summaries |= summarise_foreign(folder, {path for info in infos for path in info.paths}, prices)
    infos = sort_by_age(summaries)
    unread = {path for path in others if not may_be_read(path)}
    report_left_out_files(str(folder), [path.name for path in unread], "that may not be read")
    marks = marks_of(infos)
    rows = [(info, summaries[info]) for info in infos]
    found = _group_reruns([row for row in rows if filters.accept(*row, marks.get(row[0].path))])

    def blocks() -> Iterator[Block]:
        from namel3ss_debug.views.blocks import ForWidth
        from namel3ss_debug.views.traces import list_blocks

        if not infos:
            notify(f"no traces in {folder}; make one with: namel3ss debug trace app.py")
        elif not found:
            names = ", ".join(name for name in _NAMES if name in wanted)
            others = filters._replace(outcomes=frozenset()) != _NO_FILTERS
            which = "that meet all conditions" if others else f"with the outcome {names}"
            notify(f"no traces in {folder} {which}")
        else:
            yield ForWidth(lambda width: list_blocks(found, folder, width or UNLIMITED, marks))

    listed = list_document([row for row, _ in found], marks)
    head = {"schema": "namel3ss-debug/list/1", "directory": str(folder)}
    return Report(blocks(), head | {"recordings": listed}, rows=listed)


_NO_FILTERS: Final = _Filters(frozenset(), (), None, (), None, ())
