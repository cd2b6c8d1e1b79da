"""Propose remedies for a failure, and try each in a re-run: `debug suggest`.

The program runs once as it was recorded, to show that it fails again, and once with each remedy: offline, on the recorded answers,
without output, and with a copy of the settings. Only `--apply` changes the settings, and nothing changes the program.
"""

from __future__ import annotations

import difflib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import (
    find_trace_file,
    open_reference,
    quoted,
    reading,
    report_problems,
    settings,
    trace_argument,
)
from namel3ss_debug.cli.reporting import reporting
from namel3ss_debug.cli.rerun import RerunCommand
from namel3ss_debug.cli.rerun_options import OVERRIDE_OPTIONS, load_overrides, with_options
from namel3ss_debug.cli.trust import require_consent, trust_option
from namel3ss_debug.errors import DebugError, MockError, WrongUsageError
from namel3ss_debug.views.report import Report
from namel3ss_debug.wire import lenient

if TYPE_CHECKING:
    from namel3ss_debug.analysis.failures.remedies import AppliedRemedy, FailureCase, Remedy, Trial, TrialRun
    from namel3ss_debug.config import DebugConfiguration
    from namel3ss_debug.replay.overrides.faults import Fault
    from namel3ss_debug.replay.overrides.mocks import Mock
    from namel3ss_debug.traces.reader import Trace

FIRST = "first"
"""The value of `--apply` for the first remedy that helped."""


@dataclass(frozen=True)
class _Trials:
    """Runs the recorded program again, each time with other guards.

    Attributes:
        trace: the trace.
        config: the settings in force.
        folder: where the re-runs are recorded.
        overrides: the mocks and faults of the user.
        options: further fields of `RerunOptions`.
    """

    trace: Trace
    config: DebugConfiguration
    folder: Path
    overrides: tuple[Mock | Fault, ...]
    options: Mapping[str, Any]

    @property
    def has_answers(self) -> bool:
        """Whether the user names answers for this trace, in place of stand-ins."""
        from namel3ss_debug.replay.overrides.mocks import Mock

        return any(isinstance(each, Mock) and not each.optional for each in self.overrides)

    def run(self, remedy: Remedy | None = None) -> tuple[TrialRun, Path]:
        """Run the program again, without output, and return how it ended, and its trace.

        Raises:
            DebugError: the program cannot run again.
            KeyboardInterrupt: the user interrupted it.
        """
        from namel3ss_debug.analysis.failures.remedies import ACTS, TrialRun
        from namel3ss_debug.importers.opening import open_trace
        from namel3ss_debug.replay.overrides.mocks import parse_mock
        from namel3ss_debug.replay.rerun.preparation import RerunOptions, prepare
        from namel3ss_debug.replay.rerun.running import OutputEnds, rerun
        from namel3ss_debug.replay.rerun.unanswered import describe_unanswered

        overrides, guards = self.overrides, {}
        if remedy is not None:
            guards = dict(remedy.settings)
            if not self.has_answers:
                overrides = (*overrides, *map(parse_mock, remedy.mocks))
        notify(f"re-run {'as recorded' if remedy is None else f'with the remedy {remedy.name}'}")
        wanted = RerunOptions(overrides, guards=guards, **self.options)
        prepared = prepare(self.trace, wanted, self.config, self.folder)
        for note in prepared.notes if remedy is None else ():
            notify(note)
        with Path(os.devnull).open("wb") as nowhere:
            outcome = rerun(prepared, OutputEnds(nowhere.fileno(), nowhere.fileno()))
        if outcome.interrupted:
            raise KeyboardInterrupt
        stop, failures, acts = outcome.stop, [], 0
        if outcome.trace.exists():  # the program may remove it
            failures = _read_sections(open_trace(outcome.trace))[0]
            acts = sum(event["event_type"] in ACTS for event in open_trace(outcome.trace).events())
        stopped, is_past = outcome.problem, False
        if stop is not None:
            stopped = describe_unanswered(stop)
            metadata = lenient.mapping((stop.request.event or {}).get("metadata"))
            is_past = stop.kind == "new" and stop.recorded is None and "retry_of" not in metadata
        return TrialRun(failures, outcome.status, acts, stopped, is_past), outcome.trace


def _read_sections(trace: Trace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the failures of a trace, and the patterns that were found."""
    from namel3ss_debug.analysis.analyzer import analyze

    document = analyze(trace, ["errors", "patterns"])
    return document["errors"]["failures"], document["patterns"]["found"]


def _read_case(trace: Trace, number: int = 0, reference: str = "") -> FailureCase | None:
    from namel3ss_debug.analysis.failures.remedies import read_case

    return read_case(trace.events(), *_read_sections(trace), number, reference)


def _find_again(case: FailureCase, before: TrialRun, trace: Path) -> tuple[FailureCase, str]:
    """Return the failure as it happened again in the re-run without a remedy, and why nothing can be tried; "" if it can.

    Args:
        case: the failure in the trace.
        before: how the re-run ended.
        trace: its trace.
    """
    from namel3ss_debug.importers.opening import open_trace

    if any(row["fingerprint"] == case.failure["fingerprint"] for row in before.failures):
        return case, ""
    # A trace of another tool has other names and texts than the re-run, and another program has other lines.
    place = case.component, case.failure["category"]
    again = next((row for row in before.failures if (row["component"], row["category"]) == place), None)
    found = None if again is None else _read_case(open_trace(trace), int(again["number"]))
    if found is None:
        end = before.stopped or f"the program ended with status {before.status}"
        return case, f"the failure did not happen again in the re-run without a remedy: {end}"
    # The user knows the event numbers of the trace.
    numbers = {key: case.failure[key] for key in ("number", "end_number")}
    return replace(found, failure={**found.failure, **numbers}, reference=case.reference), ""


@click.command("suggest", cls=RerunCommand, options_metavar="[OPTIONS]")
@trace_argument
@click.option("--event", "number", type=click.IntRange(min=1), metavar="N",
              help="The event of the failure; the first one with a remedy if left out.")  # fmt: skip
@click.option("--apply", "wanted", is_flag=False, flag_value=FIRST, metavar="[REMEDY]",
              help="Write the first remedy that helped, or the one of this name, to .namel3ss/debug.json.")  # fmt: skip
@with_options(OVERRIDE_OPTIONS[:1])
@click.option("--python", metavar="PATH", help="The Python to run the program again with.")
@trust_option
@reporting()
def command(
    reference: str | None,
    *,
    number: int | None,
    wanted: str | None,
    mocks: Sequence[str],
    python: str | None,
    trust: bool,
    program: tuple[str, ...],
) -> Report:
    """Propose remedies for a failure, and show by re-runs whether it goes away.

    A remedy is a setting that fits the category of the failure: retries, limits, a circuit breaker. The program runs
    again offline, where the failure happens as it was recorded, once without a remedy and once with each. The outcome is
    that the failure went away, remains, that something else failed, or why it was not tried. What needs a live call is
    not tried.

    Nothing is changed without --apply, which writes one remedy to the settings and shows the difference. The status is 0 if
    a remedy helped, else 1.
    """
    from namel3ss_debug.analysis.failures.remedies import WENT_AWAY, propose
    from namel3ss_debug.views.suggest import suggest_blocks, suggest_document

    path = find_trace_file(reference)
    overrides = load_overrides(mocks, ())
    trace = open_reference(reference)
    with reading(trace):
        case = _read_case(trace, number or 0, quoted(reference or ""))
    if case is None:
        raise WrongUsageError(
            f"event {number} of {path} is no failure; analyze --errors lists them"
            if number
            else f"nothing failed in {path}, so there is nothing to suggest"
        )
    remedies = propose(case)
    if wanted is not None:
        _choose(wanted, remedies)
    with tempfile.TemporaryDirectory(prefix="namel3ss-suggest-") as folder:
        wishes = {"program": program, "python": python}
        trials = _Trials(trace, settings().config, Path(folder), overrides, wishes)
        tried = _try_all(case, remedies, trials, trust=trust)
    report_problems(trace)
    applied = None if wanted is None else _apply(wanted, tried)
    return Report(
        suggest_blocks(case, tried, applied, quoted(reference or "")),
        suggest_document(str(path), case, tried, applied),
        status=int(all(each.result.outcome != WENT_AWAY for each in tried)),
    )


def _try_all(case: FailureCase, remedies: Sequence[Remedy], trials: _Trials, *, trust: bool) -> list[Trial]:
    """Try those remedies that a re-run can decide about, after one without a remedy.

    Raises:
        MockError: an answer of the user does not fit.
    """
    from namel3ss_debug.analysis.failures.remedies import NOT_TRIED, Trial, TrialResult, propose

    why_not = {remedy.name: remedy.needs for remedy in remedies}
    if trials.has_answers:  # the user knows what the trace does not hold
        why_not |= {remedy.name: "" for remedy in remedies if remedy.settings}
    if all(why_not.values()):
        return [Trial(remedy, TrialResult(NOT_TRIED, remedy.needs)) for remedy in remedies]
    try:
        path, options = trials.trace.path, trials.options
        consent = require_consent(path, trust=trust, program=options["program"], python=options["python"])
        trials = replace(trials, options={**options, "consent": consent})
        before, recorded = trials.run()
        case, reason = _find_again(case, before, recorded)
    except MockError:
        raise
    except DebugError as problem:
        reason = str(problem)
    if reason:
        return [Trial(remedy, TrialResult(NOT_TRIED, remedy.needs or reason)) for remedy in remedies]
    return [
        Trial(remedy, TrialResult(NOT_TRIED, reason))
        if (reason := why_not.get(remedy.name, remedy.needs))
        else _try(remedy, case, before, trials)
        for remedy in propose(case)
    ]


def _try(remedy: Remedy, case: FailureCase, before: TrialRun, trials: _Trials) -> Trial:
    """Run the program again with a remedy, and keep the trace."""
    from namel3ss_debug.analysis.failures.remedies import NOT_TRIED, Trial, TrialResult, judge
    from namel3ss_debug.cli.doctor import keep

    try:
        after, trace = trials.run(remedy)
    except DebugError as problem:
        return Trial(remedy, TrialResult(NOT_TRIED, str(problem)))
    result = judge(str(case.failure["fingerprint"]), before, after)
    kept = keep([trace], Path(trials.config.trace_output_dir)) if trace.exists() else ()
    return Trial(remedy, result, *map(Path, kept))


def _choose(wanted: str, remedies: Sequence[Remedy]) -> None:
    """Refuse a remedy that cannot be applied, before anything runs.

    Raises:
        WrongUsageError: there is no such remedy, or it is no setting.
    """
    named = next((remedy for remedy in remedies if remedy.name == wanted), None)
    if wanted != FIRST and named is None:
        names = ", ".join(remedy.name for remedy in remedies if remedy.settings) or "none"
        raise WrongUsageError(
            f"--apply {wanted}: there is no such remedy for this failure; of those that are settings, there is {names}"
        )
    if named is not None and not named.settings:
        raise WrongUsageError(f"--apply {wanted}: this is a change of the program, which is yours to make")


def _apply(wanted: str, tried: Sequence[Trial]) -> AppliedRemedy | None:
    """Write the remedy of this name, or the first one that helped, to the settings; None if none did.

    Raises:
        WrongUsageError: the file cannot be written.
    """
    from namel3ss_debug.analysis.failures.remedies import WENT_AWAY, AppliedRemedy
    from namel3ss_debug.config import FILE_NAME, working_directory
    from namel3ss_debug.config.editing import set_members
    from namel3ss_debug.config.guarding import add_guards
    from namel3ss_debug.views.cleaning import shorter_path

    chosen = [each for each in tried if each.remedy.name == wanted or each.result.outcome == WENT_AWAY]
    chosen = [each for each in chosen if wanted in {FIRST, each.remedy.name}]
    if not chosen:
        notify("no remedy helped, so none is applied; --apply REMEDY applies one all the same")
        return None
    remedy = chosen[0].remedy
    loaded = settings()
    file = loaded.file or working_directory() / FILE_NAME
    old = file.read_bytes().decode() if loaded.file else ""
    present = json.loads(old.removeprefix("\ufeff") or "{}")
    new = set_members(old, add_guards(present, remedy.settings))
    if new != old:
        _replace_file(file, new)
    for key in remedy.settings:
        source = loaded.sources[key]
        if source not in {"default", str(loaded.file)}:
            notify(f"{source} is set, and wins over {key} in {file}")
    name = str(shorter_path(file))
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm="", n=1)
    return AppliedRemedy(remedy.name, file, tuple(lines))


def _replace_file(file: Path, text: str) -> None:
    """Write a file in one step, so that no program reads a part of it.

    Raises:
        WrongUsageError: it cannot be written.
    """
    target = file.resolve()  # a link stays one
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(text.encode())
        with suppress(FileNotFoundError):
            temporary.chmod(target.stat().st_mode & 0o777)
        temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise WrongUsageError(f"cannot write {file}: {error.strerror or error}") from None
