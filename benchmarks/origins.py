"""How often the origins of a failure name the true step, on labelled runs: `python benchmarks/origins.py [FOLDER]...`.

Each run is known to have failed, and the failure of the span around it is explained. Beside it stands the floor: the
step of the first span that failed, and that of the first that failed or returned an error. Without folders, the runs in
tests/data/labelled.
"""

from __future__ import annotations

import sys
from pathlib import Path

LABELLED = Path(__file__).parents[1] / "tests" / "data" / "labelled"
sys.path.insert(0, str(LABELLED))

from labelled_runs import JUDGED, Run, ranked_steps, read  # type: ignore[import-not-found]  # noqa: E402

from namel3ss_debug.analysis.computing import analyze_events  # noqa: E402
from namel3ss_debug.analysis.failures.origins import make_step  # noqa: E402
from namel3ss_debug.traces.span_table import read_spans  # noqa: E402

FIRST = 3


def named_steps(run: Run) -> list[int]:
    """The steps that the origins of a run's failure name, best first."""
    failures = analyze_events(run.events, ["errors"])["errors"]["failures"]
    judged = next(failure for failure in failures if failure["error"] == JUDGED)
    return list(ranked_steps(run, judged["origins"]))


def floors(run: Run) -> tuple[int | None, int | None]:
    """The step of the first span that failed, and of the first that failed or returned an error."""
    spans = read_spans(run.events)
    event = [{}, *run.events].__getitem__
    steps = [
        make_step(spans, row, event(number) if end != number else {}, event(end))
        for row, (number, end) in enumerate(zip(spans.number, spans.end, strict=True))
        if number in run.steps
    ]
    steps.sort(key=lambda step: step.end_number)
    failed = next((run.steps[step.number] for step in steps if step.failed), None)
    weaker = next((run.steps[step.number] for step in steps if step.failed or step.claim), None)
    return failed, weaker


def main() -> None:
    """Print a line for each run, and what they come to for each folder."""
    folders = [Path(word) for word in sys.argv[1:]] or sorted(
        path for path in LABELLED.iterdir() if path.is_dir()
    )
    for folder in folders:
        runs = read(folder)
        hits = [0, 0, 0, 0]
        for run in runs:
            named, (failed, weaker) = named_steps(run), floors(run)
            true = run.true_step
            told = (named[:1] == [true], true in named[:FIRST], failed == true, weaker == true)
            hits = [one + other for one, other in zip(hits, told, strict=True)]
            print(
                f"  {run.name:42} true {true:>3}  origins {named}  first failed {failed}, or error {weaker}"
            )
        print(
            f"{folder.name}: {len(runs)} runs; true step first {hits[0]}, among the first {FIRST} {hits[1]}; "
            f"floor: first failed span {hits[2]}, first failed or returned error {hits[3]}"
        )


if __name__ == "__main__":
    main()
