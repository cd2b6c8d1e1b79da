"""Edits planted in programs: does a re-run or a made test report success where the program behaves otherwise?

Each of eight programs is recorded once against a scripted model, and a test is made of the trace. Then the edits of
`planted_table.py` are planted, one at a time. The edited program runs live, untraced, against the same model: its requests, its output, the
files that it leaves and its end are compared with those of the program before the edit. Then the trace is re-run on
the edited program, and the test runs. A re-run or a test that succeeds where the live run differs is a miss. Some edits
change nothing that a program does: there the re-run has to match and the test has to pass. Unedited, every program and every
example has to match.

    python benchmarks/planted_edits.py
    python benchmarks/planted_edits.py --only support --only "local package" --no-tests
    python benchmarks/planted_edits.py --jobs 4 --json planted.json

The exit status is 1 if an edit was missed, or more false alarms were raised than the claims allow; 2 if the table is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from planted_table import CHANGING, EDITS, FILES, NEUTRAL, OUTPUT, Edit
from timing import holds

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
PROGRAMS = ROOT / "tests" / "data" / "programs_planted"
MOST_FALSE_ALARMS = 2
SECONDS = 120

START = {"ledger": "app"}
"""A program -> the folder from its own in which it starts; the others start in their own folder."""
NEEDS = {"graph": ("langgraph", "langchain_openai")}
"""A program -> the modules that it needs besides those of the examples."""
UNEDITED, EXAMPLE = "unedited", "example"
ALONE = {OUTPUT: "output", FILES: "files"}
"""A kind of edits -> the only thing in which the live run may differ."""


class Behaviour(NamedTuple):
    """What a user sees of a run, and what its model is sent; requests in no order, because threads send some."""

    requests: tuple[str, ...]
    output: tuple[str, str]
    files: dict[str, str]
    end: tuple[str, ...]

    def differs(self, other: Behaviour) -> tuple[str, ...]:
        """Return the names of what is not equal."""
        return tuple(name for name in self._fields if getattr(self, name) != getattr(other, name))


@dataclass(frozen=True)
class Tried:
    """How one edit was judged.

    Attributes:
        program: the name of the program.
        kind: the kind of the edit; UNEDITED or EXAMPLE where there is none.
        name: its name.
        differs: in what the live run is not as before the edit.
        verdict: that of the re-run; a line of its error output where it wrote no report.
        succeeded: whether the re-run ended with status 0.
        reasons: why it did not match.
        reached: whether the re-run or the test sent a request to the model.
        test: the status of pytest on the made test; None where it did not run.
        warned: whether a test that passed names code that it did not verify.
    """

    program: str
    kind: str
    name: str
    differs: tuple[str, ...] = ()
    verdict: str = ""
    succeeded: bool = False
    reasons: tuple[str, ...] = ()
    reached: bool = False
    test: int | None = None
    warned: bool = False

    @property
    def label(self) -> str:
        """Return the edit in words."""
        return f"{self.program}, {self.kind}: {self.name}"

    @property
    def missed(self) -> bool:
        """Return whether the re-run succeeded although the program behaves otherwise."""
        return bool(self.differs) and self.succeeded

    @property
    def missed_by_test(self) -> bool:
        """Return whether the made test passed although the program behaves otherwise."""
        return bool(self.differs) and self.test == 0

    @property
    def alarm(self) -> bool:
        """Return whether the re-run did not match although the program behaves as before."""
        return not self.differs and self.verdict != "matched"

    @property
    def alarm_of_test(self) -> bool:
        """Return whether the made test failed although the program behaves as before."""
        return not self.differs and self.test not in (0, None)


class Workshop:
    """A folder in which one program is recorded and edited."""

    def __init__(
        self, source: Path, folder: Path, model: Any, start: str = "", script: str = "agent.py"
    ) -> None:
        self.pristine = folder / "pristine"
        self.folder = folder / "program"
        self.start = self.folder / start
        self.script = script
        self.trace = folder / "traces" / "recorded.jsonl"
        self.model = model
        self.test = self.start / "test_recorded.py"
        shutil.copytree(source, self.pristine, ignore=shutil.ignore_patterns("__pycache__"))
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.environment = {
            **kept,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "NO_PROXY": "127.0.0.1",
            "OPENAI_API_KEY": "unused",
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "PYTHONPATH": str(self.folder / "libs"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # ours is named; the others take longer to load than a test
        }

    def restore(self, edit: Edit | None = None) -> None:
        """Make the folder as it was before the program ran, with the times of its files, and plant an edit."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.pristine, self.folder)
        if edit is not None:
            file = self.folder / edit.file
            file.write_text(file.read_text().replace(edit.old, edit.new))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the folder in which the program starts; what does not end counts as status 124, as with `timeout`."""
        command = (sys.executable, *words)
        try:
            return subprocess.run(
                command,
                cwd=self.start,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"did not end within {SECONDS} s")

    def debug(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the debugger."""
        return self.run("-m", "namel3ss_debug", *words)

    def record(self) -> None:
        """Record the program."""
        self.restore()
        done = self.debug("trace", "-o", str(self.trace), self.script)
        if not self.trace.exists():
            raise RuntimeError(f"{self.pristine}: nothing was recorded: {done.stderr[-1000:]}")

    def make_test(self) -> None:
        """Make a test of the trace; from now on it stands beside the program."""
        self.restore()
        done = self.debug("make-test", str(self.trace), "-o", str(self.test))
        if done.returncode:
            raise RuntimeError(f"{self.pristine}: no test was made: {done.stderr[-1000:]}")
        where = self.pristine / self.start.relative_to(self.folder)
        for made in self.start.glob("test_recorded*"):
            shutil.copy2(made, where)

    def live(self, edit: Edit | None = None) -> Behaviour:
        """Run the program untraced, with an edit, and return how it behaves."""
        self.restore(edit)
        requests, files = len(self.model.requests), self.files()
        done = self.run(self.script)
        sent = [json.dumps(request["body"], sort_keys=True) for request in self.model.requests[requests:]]
        written = {name: digest for name, digest in self.files().items() if files.get(name) != digest}
        errors, exception = self.split_traceback(done.stderr)
        end = (str(done.returncode), *exception)
        return Behaviour(tuple(sorted(sent)), (done.stdout, errors), written, end)

    def files(self) -> dict[str, str]:
        """Return the digest of each file in the folder but Python's own."""
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.suffix != ".pyc"
        }

    def split_traceback(self, errors: str) -> tuple[str, tuple[str, ...]]:
        """Return what a program wrote to stderr without a traceback, and of that what the end of a run is compared by.

        The numbers of lines do not count: the innermost own function and the text of its line do.
        """
        before, found, traceback = errors.rpartition("Traceback (most recent call last):\n")
        if not found:
            return errors, ()
        frames = re.findall(r'  File "(.*)", line \d+, in (.*)\n    (.*)\n', traceback)
        own = [frame[1:] for frame in frames if frame[0].startswith(str(self.folder))]
        message = re.sub(r"^ .*\n", "", traceback, flags=re.MULTILINE)
        return before, (message, *(own[-1] if own else ()))

    def try_edit(
        self, edit: Edit | None, label: tuple[str, str, str], before: Behaviour, *, tests: bool
    ) -> Tried:
        """Plant an edit, and return how it was judged."""
        differs = self.live(edit).differs(before)
        sent = len(self.model.requests)
        self.restore(edit)
        done = self.debug("rerun", str(self.trace), "--format", "jsonl")
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        last = rows[-1] if rows else {}
        verdict = last.get("verdict") or f"status {done.returncode}: {done.stderr.strip()[-200:]}"
        status, warned = None, False
        if tests:
            self.restore(edit)
            plugins = ("-p", "namel3ss_debug.pytest_plugin", "-p", "no:cacheprovider")
            tested = self.run("-m", "pytest", "-q", *plugins, str(self.test))
            status = tested.returncode
            warned = status == 0 and "not verified" in " ".join(tested.stdout.split())
        return Tried(
            *label,
            differs,
            verdict,
            done.returncode == 0,
            tuple(reason["text"] for reason in last.get("reasons", ())),
            len(self.model.requests) > sent,
            status,
            warned,
        )


def try_program(name: str, edits: Sequence[Edit], *, tests: bool) -> Iterator[Tried]:
    """Record a program, then plant its edits one after the other; the first result is that of the unedited program."""
    model = importlib.import_module("scripted_model").ScriptedModel(
        importlib.import_module("planted_models").MODELS[name]
    )
    with tempfile.TemporaryDirectory(prefix=f"planted-{name}-") as folder, model:
        shop = Workshop(PROGRAMS / name, Path(folder), model, START.get(name, ""))
        shop.record()
        before = shop.live()
        if tests:
            shop.make_test()
        yield shop.try_edit(None, (name, UNEDITED, "no edit"), before, tests=tests)
        for edit in edits:
            yield shop.try_edit(edit, (name, edit.kind, edit.name), before, tests=tests)


def try_example(name: str) -> Iterator[Tried]:
    """Record an example and re-run it unedited; its model is in itself."""
    model = importlib.import_module("scripted_model").ScriptedModel([])
    with tempfile.TemporaryDirectory(prefix="example-") as folder, model:
        shop = Workshop(EXAMPLES, Path(folder), model, script=f"{name}.py")
        shop.record()
        shop.restore()
        done = shop.debug("rerun", str(shop.trace), "--format", "jsonl")
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"schema"')]
        verdict = rows[-1]["verdict"] if rows else done.stderr.strip()[-200:]
        yield Tried(name, EXAMPLE, "no edit", (), verdict, done.returncode == 0)


def check_table(edits: Sequence[Edit]) -> None:
    """Refuse a table in which a text does not occur exactly once, or a name is not the only one."""
    wrong = []
    for edit in edits:
        found = (PROGRAMS / edit.program / edit.file).read_text().count(edit.old)
        if found != 1:
            wrong.append(f"{edit.program}/{edit.file}, {edit.name}: the old text occurs {found} times")
        if edit.kind not in (*CHANGING, *NEUTRAL):
            wrong.append(f"{edit.program}, {edit.name}: no kind {edit.kind!r}")
    names = [edit[:3] for edit in edits]
    wrong += [f"{', '.join(name)}: there twice" for name in set(names) if names.count(name) > 1]
    if wrong:
        raise SystemExit("\n".join(wrong))


def table(tried: Sequence[Tried], kinds: Sequence[str], *, neutral: bool) -> Iterator[str]:
    """Yield the rows of a Markdown table: of each kind how many edits there are, and how they were judged."""
    failed = "false alarms" if neutral else "missed"
    yield f"| kind of edit | edits | matched | unverified | diverged | incomplete | {failed} | {failed}, made tests |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for kind in (*kinds, "all"):
        own = [each for each in tried if each.kind in ((kind,) if kind != "all" else kinds)]
        verdicts = [
            sum(each.verdict.startswith(word) for each in own)
            for word in ("matched", "unverified", "diverged")
        ]
        if neutral:
            figures = (sum(each.alarm for each in own), sum(each.alarm_of_test for each in own))
        else:
            figures = (sum(each.missed for each in own), sum(each.missed_by_test for each in own))
        row = (len(own), *verdicts, len(own) - sum(verdicts), *figures)
        if own:
            yield f"| {kind} | {' | '.join(map(str, row))} |"


def report(tried: Sequence[Tried]) -> int:
    """Print the tables, each miss and each false alarm by its name, and a line for each claim; return the exit status."""
    changing = [each for each in tried if each.kind in CHANGING]
    neutral = [each for each in tried if each.kind in NEUTRAL]
    unedited = [each for each in tried if each.kind in (UNEDITED, EXAMPLE)]
    print("\n".join(table(changing, CHANGING, neutral=False)), end="\n\n")
    print("\n".join(table(neutral, NEUTRAL, neutral=True)), end="\n\n")
    for each in tried:
        if each.missed:
            print(f"missed: {each.label}; live {', '.join(each.differs)}; re-run {each.verdict}")
        if each.missed_by_test:
            warned = ", with a warning" if each.warned else ""
            print(f"missed by its test: {each.label}; live {', '.join(each.differs)}{warned}")
        if each.kind not in CHANGING and each.alarm:
            print(f"false alarm: {each.label}; re-run {each.verdict} {'; '.join(each.reasons)}".rstrip())
        if each.kind not in CHANGING and each.alarm_of_test:
            print(f"false alarm of its test: {each.label}")
        if each.reached:
            print(f"a request reached the model: {each.label}")
    void = [
        f"{each.label}; live {', '.join(each.differs) or 'equal'}"
        for each in tried
        if bool(each.differs) != (each.kind in CHANGING)
        or (each.kind in ALONE and each.differs != (ALONE[each.kind],))
    ]
    for label in void:
        print(f"the table is wrong: {label}")
    claims = (
        holds("misses of re-runs", sum(each.missed for each in tried), 0),
        holds("misses of made tests", sum(each.missed_by_test for each in tried), 0),
        holds(
            f"false alarms of re-runs, of {len(neutral)} edits",
            sum(each.alarm for each in neutral),
            MOST_FALSE_ALARMS,
        ),
        holds(
            f"false alarms of made tests, of {len(neutral)} edits",
            sum(each.alarm_of_test for each in neutral),
            MOST_FALSE_ALARMS,
        ),
        holds(
            "unedited programs and examples that do not match",
            sum(each.alarm or each.alarm_of_test for each in unedited),
            0,
        ),
        holds("re-runs and tests that reached the model", sum(each.reached for each in tried), 0),
    )
    return 2 if void else int(not all(claims))


def main() -> int:
    """Plant the edits, print how they were judged, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="KIND/PROGRAM",
        help="edits of this kind or program; may be repeated",
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many programs are worked on at once")
    parser.add_argument("--no-tests", action="store_true", help="leave out the made tests")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each result to this file")
    options = parser.parse_args()
    check_table(EDITS)
    chosen = [edit for edit in EDITS if not options.only or {edit.kind, edit.program} & set(options.only)]
    names = list(dict.fromkeys(edit.program for edit in chosen))
    for name in list(names):
        if missing := [module for module in NEEDS.get(name, ()) if importlib.util.find_spec(module) is None]:
            print(f"{name}: left out, {' and '.join(missing)} are not installed")
            names.remove(name)
    examples = sorted(path.stem for path in EXAMPLES.glob("*_agent.py"))
    if options.only and EXAMPLE not in options.only:
        examples = []
    sys.path.insert(0, str(EXAMPLES))  # the scripted model is one of the examples' files

    def work(name: str) -> list[Tried]:
        if name in examples:
            results = try_example(name)
        else:
            edits = [edit for edit in chosen if edit.program == name]
            results = try_program(name, edits, tests=not options.no_tests)
        found = []
        for tried in results:
            line = f"{tried.label}: live {', '.join(tried.differs) or 'equal'}; re-run {tried.verdict}; test {tried.test}"
            print(line, file=sys.stderr, flush=True)
            found.append(tried)
        return found

    with ThreadPoolExecutor(options.jobs) as pool:
        found = [tried for results in pool.map(work, (*names, *examples)) for tried in results]
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(tried) for tried in found], indent=1) + "\n")
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
