"""Evaluate rules: one trace and some rules in, one report out, for the command and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from namel3ss_debug.analysis.analyzer import analyze
from namel3ss_debug.analysis.checks import budgets
from namel3ss_debug.analysis.checks.baselines import make_baseline
from namel3ss_debug.analysis.checks.conduct import Watcher
from namel3ss_debug.analysis.checks.coverage import describe_unseen, parse_coverage
from namel3ss_debug.analysis.checks.findings import CheckReport, RuleResult, make_findings
from namel3ss_debug.analysis.checks.measures import Baseline, CheckedRun, Measured
from namel3ss_debug.analysis.checks.rules import CheckContext, CheckRule, RuleSource, read_file, read_rules
from namel3ss_debug.analysis.checks.subjects import SeenSpan, SpanReader
from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.errors import RuleError
from namel3ss_debug.importers.opening import open_nonempty_trace
from namel3ss_debug.traces.reader import Trace
from namel3ss_debug.traces.redaction.redactor import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping
from collections.abc import Iterator, Mapping
from typing import Final

from namel3ss_debug.analysis.checks.conduct import BaseWatcher
from namel3ss_debug.analysis.checks.coverage import Needs
from namel3ss_debug.analysis.checks.findings import Violation
from namel3ss_debug.traces.events import Event
from namel3ss_debug.traces.late_ends import PENDING, VERDICT
from namel3ss_debug.wire import lenient

NO_BASELINE = "there is no baseline to compare with; give --baseline"


def check_trace(
    path: str | Path,
    rules: str | Path | Sequence[object],
    *,
    baseline: str | Path | Sequence[str | Path] = (),
) -> CheckReport:
    """Check one trace against rules, as `debug check` does.

    Args:
        path: any file of the trace.
        rules: a file of rules, or rules as such a file has them: objects, and expressions that must be true of the run.
        baseline: traces of earlier runs, for rules of the kind `baseline`.

    Raises:
        RuleError: a rule is not valid.
        MissingExtraError: a rule needs a package that is not installed.
        TraceNotFoundError: a trace is not there.
        UnreadableTraceError: there is no event in a trace.
    """
    source = read_file(Path(rules)) if isinstance(rules, str | Path) else RuleSource("rules", list(rules))
    parsed = read_rules([source])
    earlier = [baseline] if isinstance(baseline, str | Path) else baseline
    baseline_of_runs = read_baseline([open_nonempty_trace(run) for run in earlier])
    return evaluate(open_nonempty_trace(path), parsed, baseline=baseline_of_runs)


def evaluate(
    trace: Trace,
    rules: Sequence[CheckRule],
    *,
    baseline: Baseline | None = None,
    redaction: Mapping[str, Any] | None = None,
    ignore: Iterable[str] = (),
    options: Options | None = None,
) -> CheckReport:
    """Check a trace against rules.

    Args:
        trace: an opened trace.
        rules: the rules.
        baseline: the figures of earlier runs; without it, rules of the kind `baseline` are skipped.
        ignore: keys and paths that are not compared with a baseline.
        redaction: `keys` and `patterns` of secrets, besides the known ones.
        options: the user's options for the analyses.

    Raises:
        RuleError: a rule cannot be evaluated.
        MissingExtraError: a rule needs a package that is not installed.
    """
    redactor = Redactor(**(redaction or {}))
    context = CheckContext(redactor, trace, tuple(ignore))
    used = [rule for rule in rules if rule.kind != "baseline" or baseline is not None]
    first = next(iter(trace.events()), {})
    own = [VERDICT_RULE] if has_verdict(first) else []
    watchers = [(rule, rule.watch(context)) for rule in (*own, *used)]
    coverage = parse_coverage(first)
    run, report_fields = observe(trace, watchers, options, baseline)
    results = []
    working = {rule.name: watcher for rule, watcher in watchers}
    for rule in (*own, *rules):
        watcher = working.get(rule.name)
        if watcher is None:
            results.append(RuleResult(rule.name, rule.level, rule.describes, skipped=NO_BASELINE))
            continue
        try:
            findings = make_findings(
                rule.name, rule.level, rule.message, watcher.find_violations(run), report_fields["cwd"]
            )
        except RuleError as error:
            raise RuleError(f"rule {rule.name}: {error}") from None
        idle = "" if findings else describe_unseen(rule.needs, coverage) or watcher.describe_idle(run)
        results.append(RuleResult(rule.name, rule.level, rule.describes, findings, idle))
    return CheckReport(
        trace=str(trace.path),
        files=len(trace.files),
        events=run.document["trace"]["events"],
        execution_id=run.document["trace"]["execution_id"],
        rules=tuple(results),
        **report_fields,
    )


def read_baseline(traces: Iterable[Trace]) -> Baseline | None:
    """Return the baseline of some earlier runs; None where there are none."""
    runs = [(str(trace.path), observe(trace, [], None, None, always=True)[0]) for trace in traces]
    return make_baseline(runs) if runs else None


def observe(
    trace: Trace,
    watchers: Sequence[tuple[CheckRule, Watcher]],
    options: Options | None,
    baseline: Baseline | None,
    *,
    always: bool = False,
) -> tuple[CheckedRun, dict[str, Any]]:
    """Read a trace: analyze it, measure its subjects, and show its events and spans to the watchers.

    Returns:
        The run, and the fields of its report.
    """
    sections = {"execution_overview", *(section for rule, _ in watchers for section in rule.sections)}
    if always:
        sections |= set(budgets.SECTIONS)
    document = analyze(trace, sections, trace.progress, options)
    overview = document["execution_overview"]
    report_fields = {
        "cwd": overview["cwd"] if isinstance(overview["cwd"], str) else None,
        "started_at": overview["started_at"],
        "duration_ms": overview["duration_ms"],
        "target": overview["target"] if isinstance(overview["target"], str) else None,
    }
    measured: dict[str, dict[str, Measured]] = {"run": {"": Measured()}, "agent": {}, "tool": {}, "model": {}}
    if always or any(rule.spans or rule.events for rule, _ in watchers):
        _watch(trace, watchers, measured)
    return CheckedRun(document, measured, baseline), report_fields


def _watch(
    trace: Trace, watchers: Sequence[tuple[CheckRule, Watcher]], measured: dict[str, dict[str, Measured]]
) -> None:
    """Show the events and spans of a trace to the watchers, in one pass."""
    spans = SpanReader()
    event_handlers = [watcher.event for rule, watcher in watchers if rule.events]
    span_handlers = [watcher.span for rule, watcher in watchers if rule.spans]
    for number, event in enumerate(trace.events(), 1):
        for handle_event in event_handlers:
            handle_event(number, event)
        span = spans.feed(number, event)
        if span is not None:
            add_to_measures(span, measured)
            for handle_span in span_handlers:
                handle_span(span)
    for span in spans.iter_unfinished():
        add_to_measures(span, measured)
        for handle_span in span_handlers:
            handle_span(span)


def add_to_measures(span: SeenSpan, measured: dict[str, dict[str, Measured]]) -> None:
    """Add a span to the run, to the agent it belongs to, and to its tool or model."""
    called = span.component in {"llm", "tool"}
    measured["run"][""].add(span, timed=called)
    if span.owner:
        is_agent = span.component == "agent" and not span.is_turn
        measured["agent"].setdefault(span.owner, Measured()).add(span, timed=is_agent)
    if called:
        by = "model" if span.component == "llm" else "tool"
        measured[by].setdefault(span.name, Measured()).add(span, timed=True)


_VERIFIED: Final = frozenset({"matched", "matched_with_overrides", "changed"})


def has_verdict(first: Event) -> bool:
    """Return whether a trace is that of a re-run whose `trace_end` is to hold its verdict.

    Args:
        first: the first event of the trace.
    """
    metadata = lenient.mapping(first.get("metadata"))
    return lenient.mapping(metadata.get("rerun")).get("verdict") == PENDING


class VerdictWatcher(BaseWatcher):
    """Find what a re-run did not verify."""

    def __init__(self) -> None:
        self._verdict: Mapping[str, Any] = {}
        self._number = 0

    def event(self, number: int, event: Event) -> None:
        """Take the verdict."""
        if event["event_type"] == "trace_end":
            verdict = lenient.mapping(lenient.mapping(event.get("metadata")).get(VERDICT))
            if verdict:
                self._verdict, self._number = verdict, number

    def find_violations(self, run: CheckedRun) -> Iterator[Violation]:
        """Return the reasons for which the re-run is not verified, each with its events."""
        del run
        verdict = lenient.string(self._verdict.get("verdict"))
        if verdict in _VERIFIED:
            return
        numbers = [self._number] if self._number else []
        if verdict is None:
            yield Violation(
                "run", "not verified: the re-run ended without a verdict", numbers, detail="no verdict"
            )
        elif verdict == "diverged":
            kinds = lenient.mapping(self._verdict.get("divergences"))
            counts = ", ".join(f"{times} {kind}" for kind, times in kinds.items())
            what = f"the re-run diverged from its trace{f': {counts}' if counts else ''}"
            yield Violation("run", what, numbers, detail=verdict)
        elif verdict == "incomplete":
            yield Violation("run", "not verified: the re-run is incomplete", numbers, detail=verdict)
        for reason in lenient.mappings(self._verdict.get("reasons")):
            if reason.get("accepted") is not True:
                events = [each for each in lenient.sequence(reason.get("events")) if isinstance(each, int)]
                tool = lenient.string(reason.get("tool"))
                subject = f"tool:{tool}" if tool else "run"
                what = f"not verified: {lenient.string(reason.get('text')) or 'a recorded answer may differ now'}"
                yield Violation(
                    subject, what, events or numbers, detail=lenient.string(reason.get("kind")) or ""
                )


VERDICT_RULE: Final = CheckRule(
    name="re-run verified",
    level="error",
    message="",
    describes="a re-run is matched, matched_with_overrides, or changed by its live part",
    kind="verdict",
    sections=(),
    spans=False,
    events=True,
    needs=Needs(),
    watch=lambda _context: VerdictWatcher(),
)
"""Added by itself where the trace is that of a re-run."""
