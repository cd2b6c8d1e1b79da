"""Record the program of a made test again, for real, and show the difference: `debug make-test --update`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from namel3ss_debug.cli.boundary import notify
from namel3ss_debug.cli.options import open_trace_file
from namel3ss_debug.cli.trust import require_consent
from namel3ss_debug.errors import RerunError, WrongUsageError

if TYPE_CHECKING:
    from namel3ss_debug.config import DebugConfiguration


def find_test(reference: str | None) -> tuple[Path, Path]:
    """Return the file of a made test and its trace.

    Raises:
        WrongUsageError: there is no such test, or no trace beside it.
    """
    if reference is None:
        raise WrongUsageError(
            "make-test --update takes the file of the test, as in: make-test --update test_app.py"
        )
    test = Path(reference).with_suffix(".py")
    trace = test.with_suffix(".jsonl")
    for path in (test, trace):
        if not path.exists():
            raise WrongUsageError(
                f"there is no {path}: --update takes the file of a test that make-test has made"
            )
    return test, trace


def record_again(trace: Path, config: DebugConfiguration, *, trust: bool, yes: bool) -> Path | None:
    """Run a recorded program for real from its first call on, and return the new trace; None if nothing differs.

    It is a re-run that is live from the beginning: the program gets its recorded arguments, input and variables, and a
    trace of somebody else can name no address that gets the user's key.

    Raises:
        DebugError: it is not allowed, or cannot be run.
    """
    from namel3ss_debug.cli.live import compare_live, confirm_live, print_diff
    from namel3ss_debug.cli.rerun import prepared_again, report, run_again
    from namel3ss_debug.replay.rerun.preparation import RerunOptions

    consent = require_consent(trace, trust=trust)
    wanted = RerunOptions(live_from=1, consent=consent)
    prepared = prepared_again(open_trace_file(trace), wanted, config, Path(config.trace_output_dir))
    confirm_live(prepared, yes=yes, asked_by="make-test --update")
    outcome, found = compare_live(run_again(prepared, jsonl=False))
    if found is None or outcome.not_done or outcome.interrupted:
        report(outcome, jsonl=False)
        raise RerunError("the program was not recorded again, so the test stays as it is")
    if found.same:
        notify("nothing differs: the test stays as it is")
        return None
    print_diff(found)
    return outcome.trace
