"""Edits planted in programs: does a re-run, a check or a generated test report success where the program behaves otherwise?

Programs are recorded once. Then edits are planted, one at a time: constants, operators and texts in tools, in functions
that tools call, in module constants, prompts and a project module. Each edited program runs live against the scripted
model server. Where its calls, the results of its tools or its exit status differ from the recorded run, no re-run,
`check` of the re-run or generated test may succeed, unless it reports the tool as not verified. Other edits change
comments, docstrings, formatting and code that nothing runs; where the program behaves as before, the re-run has to match.
The edits are made from the syntax tree with a fixed seed.

    python benchmarks/planted_edits.py                      # five frameworks, each in an environment of its own, and the examples
    python benchmarks/planted_edits.py --examples-only
    python benchmarks/planted_edits.py --edits 20 --tests   # with generated tests

The exit status is 1 if an edit was missed, or more than 2 of 100 false alarms were raised.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from namel3ss_debug import check_trace

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
PLANTED = ROOT / "tests" / "data" / "programs_planted"
SEED = 23
MOST_FALSE_ALARMS = 0.02
SECONDS = 120

TOOL, CALLED, CONSTANT, PROMPT, MODULE = (
    "tool body",
    "called by a tool",
    "module constant",
    "prompt",
    "project module",
)
COMMENT, DOCSTRING, FORMATTING, UNRELATED = "comment", "docstring", "formatting", "unrelated code"
NEUTRAL = (COMMENT, DOCSTRING, FORMATTING, UNRELATED)
OTHER_PYTHON, COVERAGE = "another Python", "under coverage"


@dataclass(frozen=True)
class Program:
    """A program in which edits are planted.

    Attributes:
        name: its name in the table.
        source: its file.
        packages: what it needs besides this project; () for what this environment has.
        tools: the names of its tool functions, or of their classes.
        called: the functions that these call.
        prompts: the names of constants that are prompts.
        skip: names of what is no part of the agent, such as the script of the model.
        module: the file of the project module; None for none.
        serves: whether it has its model server in itself.
    """

    name: str
    source: Path
    packages: tuple[str, ...] = ()
    tools: frozenset[str] = frozenset()
    called: frozenset[str] = frozenset()
    prompts: frozenset[str] = frozenset({"PROMPT", "QUESTION"})
    skip: frozenset[str] = frozenset()
    module: Path | None = PLANTED / "climate.py"
    serves: bool = False


def _framework(name: str, packages: tuple[str, ...], tools: str, called: str = "") -> Program:
    return Program(
        name, PLANTED / f"{name}.py", packages, frozenset(tools.split()), frozenset(called.split())
    )


def _example(name: str, tools: str, called: str = "", prompts: str = "QUESTION") -> Program:
    skip = frozenset({"SCRIPT", "script", "main", "answer", "synthesis"})
    return Program(
        name,
        EXAMPLES / f"{name}.py",
        (),
        frozenset(tools.split()),
        frozenset(called.split()),
        frozenset(prompts.split()),
        skip,
        None,
        serves=True,
    )


PROGRAMS = (
    _example("weather_agent", "get_weather", "forecast"),
    _example("support_agent", "lookup_order refund_policy"),
    _example("research_agent", "search_notes", "research", "TOPICS"),
    _framework("openai-agents", ("openai-agents",), "weather", "described"),
    _framework(
        "pydantic-ai", ("pydantic-ai-slim", "pydantic-ai-slim[openai]"), "get_weather", "observed Weather"
    ),
    _framework(
        "langgraph", ("langgraph", "langchain", "langchain-openai"), "get_weather", "_calibrated Station"
    ),
    _framework("smolagents", ("smolagents", "smolagents[openai]"), "forward", "fahrenheit remark"),
    _framework("strands", ("strands-agents", "strands-agents[openai]"), "weather", "shown thermometer"),
)
"""The programs, in the order of the table."""


# --- edits


class Edit(NamedTuple):
    """An edit: its kind, the file, what is changed in a few words, and the text of the file with it."""

    kind: str
    file: str
    what: str
    text: str


_OPERATORS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+")}
_COMPARISONS = {ast.Lt: ("<", ">="), ast.Gt: (">", "<=")}


def planted(program: Program) -> Iterator[Edit]:
    """Every edit of constants, texts and operators that can be planted in a program."""
    yield from _edits_of(program.source, lambda around: _kind_in_program(program, around))
    if program.module is not None:
        yield from _edits_of(program.module, lambda around: None if "warmest" in around else MODULE)


def _kind_in_program(program: Program, around: Sequence[str]) -> str | None:
    names = set(around)
    if names & program.skip:
        return None
    if names & program.tools:
        return TOOL
    if names & program.called:
        return CALLED
    if names & program.prompts:
        return PROMPT
    return CONSTANT if around and around[0].isupper() else None


def _edits_of(path: Path, kind_of: Any) -> Iterator[Edit]:
    source = path.read_text()
    tree = ast.parse(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    raw = source.encode()
    for node, around in _nodes(tree, ()):
        kind = kind_of(around)
        if (
            kind is None
            or not isinstance(node, ast.expr)
            or node.end_lineno is None
            or node.end_col_offset is None
        ):
            continue
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        old = raw[begin:end].decode()
        for new in _changed(node, old):
            text = (raw[:begin] + new.encode() + raw[end:]).decode()
            try:
                ast.parse(text)
            except SyntaxError:
                continue
            yield Edit(kind, path.name, f"line {node.lineno}: {old[:30]} -> {new[:30]}", text)


def _nodes(node: ast.AST, around: tuple[str, ...]) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    """The nodes below a node, each with the names of the functions, classes and constants around it, without docstrings."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        around = (*around, node.name)
    elif isinstance(node, ast.Assign | ast.AnnAssign) and not around:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        around = tuple(target.id for target in targets if isinstance(target, ast.Name))
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if not isinstance(
            child, ast.JoinedStr
        ):  # parts of f-strings have no places of their own before Python 3.12
            yield child, around
            yield from _nodes(child, around)


def _changed(node: ast.AST, old: str) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            yield str(not value)
        elif isinstance(value, int | float):
            yield repr(value + 1)
        elif isinstance(value, str) and old[:1] in "\"'" and not old.startswith(('"""', "'''")):
            yield old[:-1] + "x" + old[-1]
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        sign, other = _OPERATORS[type(node.op)]
        if old.count(f" {sign} ") == 1:
            yield old.replace(f" {sign} ", f" {other} ")
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARISONS:
        sign, other = _COMPARISONS[type(node.ops[0])]
        if old.count(f" {sign} ") == 1:
            yield old.replace(f" {sign} ", f" {other} ")
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "round":
        yield f"abs({old})"


def neutral(program: Program) -> Iterator[Edit]:
    """Edits that leave the program as it is, or change what nothing runs."""
    for path in filter(None, (program.source, program.module)):
        source, name = path.read_text(), path.name
        lines = source.splitlines(keepends=True)
        for number, line in enumerate(lines):
            if re.match(r" *(return|def|async def|[A-Z]+ = )", line):
                indent = " " * (len(line) - len(line.lstrip()))
                behind = "" if line.rstrip().endswith(("{", "[", "(", ",")) else "  # a remark"
                commented = [*lines[:number], f"{indent}# as agreed\n", *lines[number:]]
                yield Edit(COMMENT, name, f"before line {number + 1}", "".join(commented))
                if behind:
                    trailing = line.rstrip("\n") + behind + "\n"
                    yield Edit(
                        COMMENT,
                        name,
                        f"in line {number + 1}",
                        "".join([*lines[:number], trailing, *lines[number + 1 :]]),
                    )
                spaced = [*lines[:number], "\n", *lines[number:]]
                yield Edit(FORMATTING, name, f"blank line {number + 1}", "".join(spaced))
        for number, line in enumerate(lines):
            if re.match(r' +"""[^"]+"""$', line.rstrip()):
                other = line.replace('."""', ', as it is known."""')
                yield Edit(
                    DOCSTRING,
                    name,
                    f"line {number + 1}",
                    "".join([*lines[:number], other, *lines[number + 1 :]]),
                )
        yield Edit(FORMATTING, name, "ast.unparse", ast.unparse(ast.parse(source)) + "\n")
        yield Edit(FORMATTING, name, "single quotes", re.sub(r'(?<!["\\])"(\w+)"(?!")', r"'\1'", source))
        new = "\n\ndef added(value):\n    return value * 7\n\n\nADDED = {0}\n"
        head, _, rest = source.partition("\n\n\n")
        for number in range(3):
            yield Edit(UNRELATED, name, "a new function", f"{head}\n{new.format(number)}\n\n{rest}")
        for old, other in (("* 3", "* 4"), ("> 5", "> 6")):
            if old in source:
                yield Edit(UNRELATED, name, f"{old} -> {other}", source.replace(old, other))


def chosen(programs: Sequence[Program], edits: int, kinds: str) -> list[tuple[Program, Edit]]:
    """So many edits, as evenly as possible from all programs and kinds."""
    chance = random.Random(SEED)
    pools: dict[tuple[str, str], list[tuple[Program, Edit]]] = {}
    for program in programs:
        for edit in planted(program) if kinds == "planted" else neutral(program):
            pools.setdefault((program.name, edit.kind), []).append((program, edit))
    for pool in pools.values():
        chance.shuffle(pool)
    found: list[tuple[Program, Edit]] = []
    while len(found) < edits and any(pools.values()):
        for pool in list(pools.values()):
            if pool and len(found) < edits:
                found.append(pool.pop())
    return found


# --- running programs


class Behaviour(NamedTuple):
    """What a program did: its requests to models, its calls of tools with their results, its exit status."""

    requests: tuple[str, ...]
    tools: tuple[str, ...]
    status: int


@dataclass
class Tried:
    """What became of one edit.

    Attributes:
        program: the name of the program.
        edit: the edit.
        differs: whether the program behaved otherwise; looked at where it decides whether what was said is right.
        verdict: that of the re-run.
        not_verified: whether the re-run reports something as not verified.
        check: 1 where `check` of the re-run found something, else 0; None where there was no trace of it.
        test: the exit status of the generated test; None where there is none.
    """

    program: str
    edit: Edit
    differs: bool = False
    verdict: str = ""
    not_verified: bool = False
    check: int | None = None
    test: int | None = None

    @property
    def says_the_same(self) -> bool:
        """Whether the re-run, its check or the test say that the program does what it did."""
        return self.verdict.startswith("matched") or 0 in (self.check, self.test)

    @property
    def missed(self) -> str:
        """What reported a success although the program behaves otherwise; "" for nothing."""
        if not self.differs or self.not_verified:
            return ""
        wrong = [
            "re-run" if self.verdict in ("matched", "matched_with_overrides") else "",
            "check" if self.check == 0 else "",
            "test" if self.test == 0 else "",
        ]
        return ", ".join(filter(None, wrong))

    @property
    def false_alarm(self) -> bool:
        """Whether something was reported although the program behaves as before."""
        neutral = self.edit.kind in (*NEUTRAL, OTHER_PYTHON, COVERAGE)
        return neutral and not self.differs and (self.verdict != "matched" or self.check not in (0, None))


@dataclass
class Workshop:
    """A folder in which one program is recorded and edited."""

    program: Program
    folder: Path
    python: str
    url: str
    original: dict[str, str] = field(default_factory=dict)
    trace: Path = Path()
    behaviour: Behaviour | None = None
    test: Path | None = None
    further: dict[str, str] = field(default_factory=dict)

    def begin(self, *, tests: bool) -> None:
        """Record the program, and write a test where that is wanted."""
        files = [self.program.source, *([self.program.module] if self.program.module else [])]
        if self.program.serves:
            files.append(EXAMPLES / "scripted_model.py")
        for path in files:
            # Under its own name the file of a framework's program would hide the package.
            name = "program.py" if path == self.program.source else path.name
            self.original[name] = path.read_text()
            (self.folder / name).write_text(self.original[name])
        self.behaviour, self.trace = self.live("recorded")
        if tests:
            self.test = self.folder / "test_program.py"
            done = self.debug("make-test", str(self.trace), "-o", str(self.test))
            if done.returncode:
                self.test = None

    def name_of(self, edit: Edit) -> str:
        """The file that an edit is for, as it is called here."""
        return "program.py" if edit.file == self.program.source.name else edit.file

    def environment(self) -> dict[str, str]:
        """The environment in which the program finds the model."""
        kept = ("HOME", "PATH", "LANG", "TMPDIR")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "OPENAI_API_KEY": "unused",
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.further,
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder."""
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    def debug(self, *words: str, python: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of the debugger."""
        return self.run(python or self.python, "-m", "namel3ss_debug", *words)

    def live(self, name: str) -> tuple[Behaviour, Path]:
        """Run the program as it is now, and say what it did."""
        trace = self.folder / "traces" / f"{name}.jsonl"
        trace.unlink(missing_ok=True)
        done = self.debug("trace", "-o", str(trace), "program.py")
        if not trace.exists():
            raise RuntimeError(f"{self.program.name}: nothing was recorded: {done.stderr[-500:]}")
        return behaviour_of(trace, done.returncode), trace

    def try_edit(self, edit: Edit) -> Tried:
        """Plant an edit, and see what is said of it."""
        file = self.folder / self.name_of(edit)
        tried = Tried(self.program.name, edit)
        file.write_text(edit.text)
        try:
            self.judge(tried, "rerun", str(self.trace), "--format", "jsonl")
            if self.test is not None:
                done = self.run(self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(self.test))
                # A test that passes with a warning has said what it did not verify.
                warned = "its code is not verified" in " ".join(done.stdout.split())
                tried.test = None if warned and not done.returncode else done.returncode
            # Of what was reported, the run would only say that it was right.
            if tried.says_the_same == (edit.kind not in NEUTRAL):
                tried.differs = self.live("edited")[0] != self.behaviour
        finally:
            file.write_text(self.original[self.name_of(edit)])
        return tried

    def judge(self, tried: Tried, *words: str) -> None:
        """Run the program again, and check the trace of that."""
        done = self.debug(*words)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if not rows:
            tried.verdict = f"no report: {done.stderr.strip()[-200:]}"
            return
        tried.verdict, tried.not_verified = rows[-1]["verdict"], bool(rows[-1]["not_verified"])
        trace = Path(rows[-1]["trace"])
        if trace.exists():
            tried.check = int(bool(check_trace(trace, ["calls >= 0"]).findings))


def behaviour_of(trace: Path, status: int) -> Behaviour:
    """What a traced program did; what is asked at once is in no order."""
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    starts = {event["event_id"]: event for event in events if event["event_type"].endswith("_start")}
    requests, tools = [], []
    for event in events:
        inputs = event.get("inputs") or {}
        if event["event_type"] == "llm_call_start":
            requests.append(
                json.dumps([inputs.get(name) for name in ("model", "messages", "tools")], sort_keys=True)
            )
        elif event["event_type"] == "tool_call_end":
            start = starts.get(event.get("parent_event_id"), {})
            asked = (start.get("inputs") or {}).get("arguments")
            told = [start.get("component_name"), asked, event.get("outputs"), event.get("error")]
            tools.append(json.dumps(told, sort_keys=True, default=str))
    # The ids of calls are made of what was asked before; the calls themselves are compared.
    plain = sorted(re.sub(r"call_[0-9a-f]{6}", "call_", text) for text in requests)
    return Behaviour(tuple(plain), tuple(sorted(tools)), status)


def make_environment(folder: Path, packages: Sequence[str], python: str = sys.executable) -> str:
    """A virtual environment with these packages and this project; its Python."""
    own = folder / "bin" / "python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
        pip = [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages, "pytest", "coverage", "-e", str(ROOT)], check=True)
    return str(own)


# --- the report


def table(all_tried: Sequence[Tried]) -> Iterator[str]:
    """The rows of a Markdown table: of each kind, how many edits there were, and what was said of them."""
    yield "| kind of edit | edits | reported | no difference | not verified | missed | false alarms |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for kind in [*dict.fromkeys(each.edit.kind for each in all_tried), "all"]:
        own = [each for each in all_tried if kind in ("all", each.edit.kind)]
        reported = sum(not each.says_the_same for each in own)
        silent = [each for each in own if each.says_the_same]
        missed = sum(bool(each.missed) for each in own)
        covered = sum(each.differs and not each.missed for each in silent)
        figures = (
            reported,
            len(silent) - missed - covered,
            covered,
            missed,
            sum(each.false_alarm for each in own),
        )
        yield f"| {kind} | {len(own)} | {' | '.join(map(str, figures))} |"


def other_ways(shop: Workshop, pythons: Sequence[str]) -> Iterator[Tried]:
    """The unchanged program, run again by other Pythons and under coverage."""
    for python in pythons:
        tried = Tried(shop.program.name, Edit(OTHER_PYTHON, "program.py", python, ""))
        shop.judge(tried, "rerun", str(shop.trace), "--format", "jsonl", "--python", python)
        yield tried
    tried = Tried(shop.program.name, Edit(COVERAGE, "program.py", "", ""))
    # As test runners do it for the processes that they start: the program itself is the same.
    (shop.folder / ".coveragerc").write_text("[run]\nparallel = true\n")
    shop.further = {"COVERAGE_PROCESS_START": str(shop.folder / ".coveragerc")}
    shop.judge(tried, "rerun", str(shop.trace), "--format", "jsonl")
    yield tried


def main() -> int:
    """Plant the edits, print what was said of them, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples-only", action="store_true", help="leave out the frameworks")
    parser.add_argument("--program", action="append", default=[], help="plant the edits of this program only")
    parser.add_argument("--edits", type=int, default=100, help="how many edits of each of the two sorts")
    parser.add_argument("--tests", action="store_true", help="run a generated test on each edit as well")
    parser.add_argument(
        "--environments", type=Path, help="keep the environments in this folder, or use those that it has"
    )
    parser.add_argument(
        "--python", action="append", default=[], help="another Python to run the examples again with"
    )
    options = parser.parse_args()
    programs = [each for each in PROGRAMS if each.serves or not options.examples_only]
    todo: dict[str, list[Edit]] = {}
    for kinds in ("planted", "neutral"):
        for program, edit in chosen(programs, options.edits, kinds):
            todo.setdefault(program.name, []).append(edit)
    sys.path[:0] = [str(EXAMPLES), str(ROOT / "tests" / "data" / "programs_frameworks")]
    answer = importlib.import_module("script").answer  # where they are found is known by now
    scripted_model = importlib.import_module("scripted_model").ScriptedModel(answer)

    found: list[Tried] = []
    with tempfile.TemporaryDirectory(prefix="planted-") as name, scripted_model as model:
        environments = options.environments or Path(name) / "environments"
        for program in (each for each in programs if not options.program or each.name in options.program):
            python = sys.executable
            if program.packages:
                python = make_environment(environments / program.name, program.packages)
            folder = Path(name) / program.name
            (folder / "traces").mkdir(parents=True)
            shop = Workshop(program, folder, python, model.url)
            shop.begin(tests=options.tests)
            for edit in todo.get(program.name, []):
                tried = shop.try_edit(edit)
                found.append(tried)
                print(
                    program.name,
                    edit.kind,
                    edit.what,
                    tried.verdict,
                    tried.differs,
                    file=sys.stderr,
                    flush=True,
                )
                if tried.missed or tried.false_alarm:
                    what = f"missed by {tried.missed}" if tried.missed else f"false alarm, {tried.verdict}"
                    print(f"{program.name}, {edit.kind}, {edit.file} {edit.what}: {what}", flush=True)
            found += other_ways(shop, options.python if program.serves else ())
            print(f"{program.name}: {len(todo.get(program.name, []))} edits", file=sys.stderr, flush=True)
            shutil.rmtree(folder)
    print("\n".join(table(found)))
    missed = [each for each in found if each.missed]
    quiet = [each for each in found if each.edit.kind in NEUTRAL and not each.differs]
    alarms = [each for each in found if each.false_alarm]
    other = [each for each in alarms if each.edit.kind in (OTHER_PYTHON, COVERAGE)]
    within = sum(each.edit.kind in NEUTRAL for each in alarms) <= MOST_FALSE_ALARMS * max(len(quiet), 1)
    for each in other:
        print(f"{each.program}, {each.edit.kind} {each.edit.what}: {each.verdict}")
    print(f"{'PASS' if not missed else 'over'} edits that were missed: {len(missed)}, at most 0")
    print(
        f"{'PASS' if within else 'over'} false alarms: {len(alarms)} of {len(quiet)} edits, at most 2 of 100"
    )
    print(
        f"{'PASS' if not other else 'over'} false alarms of other Pythons and coverage: {len(other)}, at most 0"
    )
    return int(bool(missed or other) or not within)


if __name__ == "__main__":
    sys.exit(main())
