"""The documents: what they say of the program is what the program says, and their examples run."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import namel3ss_debug
from namel3ss_debug import errors
from namel3ss_debug.cli.main import COMMANDS, debug
from namel3ss_debug.config import SETTINGS, DebugConfiguration, load_configuration
from namel3ss_debug.replay.debugger import split_commands
from namel3ss_debug.replay.given.faults import parse_fault
from namel3ss_debug.replay.given.mocks import parse_mock
from namel3ss_debug.replay.rerunning import divergences
from namel3ss_debug.replay.walking.commands import COMMANDS as DEBUGGER_COMMANDS
from namel3ss_debug.replay.walking.commands import parse_command
from namel3ss_debug.traces.events import EVENT_TYPES, FIELDS
from namel3ss_debug.wire.faults import KINDS

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "DEBUGGING_GUIDE.md", "CHANGELOG.md", "examples/README.md")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PARTS = re.compile(r"<!-- generated: debugger (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
PROMPT = r"^\(debug \d+/\d+\) (.+)$"


def load(name):
    """Import a script of the folder docs."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate():
    """The script that writes the generated parts; with it `runs` is imported."""
    before = list(sys.path)
    yield load("generate")
    sys.path[:] = before
    for name in ("generate", "runs"):
        sys.modules.pop(name, None)


def page(name):
    """The text of a page."""
    return (ROOT / name).read_text("utf-8")


def fences(name, language):
    """The code blocks of a language in a page."""
    return [text for kind, text in FENCE.findall(page(name)) if kind == language]


def anchors(name):
    """The anchors of the headings of a page, as GitHub makes them."""
    prose = FENCE.sub("", page(name))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def run_parts(generate):
    """The parts of real runs on all pages, by the name of the run."""
    found = (part for name in generate.PAGES for part in generate.PART.finditer(page(name)))
    return {part["name"].removeprefix("run "): part for part in found if part["name"].startswith("run ")}


def test_the_generated_parts_are_what_the_program_says(generate):
    """Help, settings, fields and names stand in the pages to the letter; else run python docs/generate.py."""
    assert generate.stale() == {}


def test_every_part_that_can_be_generated_stands_on_a_page(generate):
    """No part is left over, and none is asked for that is not made."""
    asked = {part["name"] for name in generate.PAGES for part in generate.PART.finditer(page(name))}
    assert asked == {*generate.BLOCKS, *(f"run {name}" for name in generate.runs.RUNS)}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("  took  1.21 s", "  took  903 ms", True),
        (" 6  tool_call lookup  0.1 ms  what stands h…", " 6  tool_call lookup  10.1 ms  what st…", True),
        ("in trace_20261121_134006_93b5a94b.jsonl", "in trace_20261122_134006_ba73f0ee.jsonl", True),
        ("  over time  ▁▇██▇▅▃", "  over time  ▃▇█▇▅▃▃▂", True),
        ("  status  completed", "  status  failed", False),
        ("a\nb", "a", False),
        ("what stands h…", "what else st…", False),
    ],
)
def test_two_runs_are_compared_but_for_numbers_and_cuts(generate, old, new, expected):
    """Times may differ between runs, and with them where a line was cut; words may not."""
    assert generate.runs.same(old, new) is expected


def test_lines_of_what_ran_at_once_may_change_places(generate):
    """The rows of a timeline stand by when they began, which a busy machine decides."""
    old, new = " 9  search  51 ms\n12  haiku  362 ms", " 9  haiku  324 ms\n12  search  49 ms"
    assert generate.runs.same(old, new, in_order=False)
    assert not generate.runs.same(old, new)
    assert not generate.runs.same(old, old.replace("search", "lookup"), in_order=False)


def test_a_part_is_stale_where_it_differs_in_every_run(generate, monkeypatch, capsys):
    """A page whose run came otherwise once is as it should be; runs are real ones each time."""
    good = {name: part["body"] for name, part in run_parts(generate).items()}
    outcomes = [good | {"list": "otherwise", "tree": "otherwise"}, good | {"list": "otherwise"}, good]
    monkeypatch.setattr(generate.runs, "all_runs", lambda: outcomes.pop(0))
    assert generate.main(["--check"]) == 0
    assert outcomes == []
    monkeypatch.setattr(generate.runs, "all_runs", lambda: good | {"list": "otherwise"})
    assert generate.main(["--check"]) == 1
    assert "1 parts differ" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_guide(name):
    """The guide holds each command with each of its options."""
    guide = page("DEBUGGING_GUIDE.md")
    command = debug.get_command(click.Context(debug), name)
    assert f"### namel3ss debug {name}\n" in guide
    for option in command.params:
        if isinstance(option, click.Option):
            assert all(word in guide for word in (*option.opts, *option.secondary_opts))


@pytest.mark.parametrize("command", DEBUGGER_COMMANDS, ids=lambda command: command.name)
def test_every_command_of_the_debugger_is_in_the_guide(command):
    """The table of its group holds it with each of its aliases and the line that help shows."""
    table = next(part for part in PARTS.finditer(page("DEBUGGING_GUIDE.md")) if part[1] == command.group)[2]
    row = next(row for row in table.splitlines() if re.match(rf"\| `{re.escape(command.name)}[ `]", row))
    assert all(f"`{alias}`" in row for alias in command.aliases)
    assert command.help in row


def test_stale_tables_of_the_debugger_are_found(generate, monkeypatch, tmp_path):
    """A guide that lacks a command of each table, or tells of it otherwise, is not as it should be there."""
    for other in generate.PAGES:
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text(page(other), "utf-8")
    (tmp_path / "docs").mkdir(exist_ok=True)
    shutil.copy(ROOT / "docs/frameworks.json", tmp_path / "docs/frameworks.json")
    first_of_each = {command.group: command for command in reversed(DEBUGGER_COMMANDS)}
    lacking = otherwise = page("DEBUGGING_GUIDE.md")
    for command in first_of_each.values():
        lacking = re.sub(rf"^\| `{command.name}[ `].*\n", "", lacking, flags=re.MULTILINE)
        otherwise = otherwise.replace(command.help, "something else")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    for changed in (lacking, otherwise):
        (tmp_path / "DEBUGGING_GUIDE.md").write_text(changed, "utf-8")
        assert set(generate.stale()) == {("DEBUGGING_GUIDE.md", f"debugger {name}") for name in first_of_each}


@pytest.mark.parametrize("name", PAGES)
def test_what_sessions_type_are_commands_of_the_debugger(name):
    """Every line behind a prompt of the debugger is made of commands there are."""
    typed = [line for text in fences(name, "console") for line in re.findall(PROMPT, text, re.MULTILINE)]
    assert typed or name == "CHANGELOG.md"
    for words in typed:
        for part in split_commands(words):
            parse_command(part)


@pytest.mark.parametrize(
    "word",
    [
        *(setting.key for setting in SETTINGS),
        *(variable for setting in SETTINGS for variable in setting.variables),
        *(field.name for field in FIELDS),
        *EVENT_TYPES,
        *sorted(set(namel3ss_debug.__all__) - {"__version__"}),
    ],
)
def test_every_name_is_in_the_guide(word):
    """Settings, their variables, fields, event types and public names each stand in the guide as code."""
    assert f"`{word}`" in page("DEBUGGING_GUIDE.md")


def forms(first, second):
    """The texts in the first cells of the table of the guide with these heads."""
    table = re.search(
        rf"^\| {first} \| {second} \|\n\| --- .*\n((?:\|.*\n)+)", page("DEBUGGING_GUIDE.md"), re.MULTILINE
    )
    return [text for row in table[1].splitlines() for text in re.findall("`([^`]+)`", row.split(" | ")[0])]


def test_every_kind_of_fault_is_in_the_guide():
    """The forms in the table of faults are understood, and they are of every kind there is."""
    assert {parse_fault(text).kind for text in forms("form", "what happens")} == set(KINDS)


def test_the_forms_of_mocks_in_the_guide_are_understood(tmp_path):
    """Each form in the table of mocks parses."""
    (tmp_path / "answer.json").write_text("{}", "utf-8")
    texts = forms("form", "what it gives")
    assert texts
    for text in texts:
        assert parse_mock(text, tmp_path).text == text


def test_every_kind_of_divergence_is_in_the_guide():
    """The table of kinds holds those that a report names."""
    kinds = {getattr(divergences, name) for name in ("CHANGED", "NEW", "MISSING", "ORDER", "RESULT")}
    assert set(forms("kind", "meaning")) == kinds


def test_every_error_leads_to_a_heading():
    """The slug that a message ends with is an anchor of the guide."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert {kind.slug for kind in kinds} <= anchors("DEBUGGING_GUIDE.md")


@pytest.mark.parametrize("name", PAGES)
def test_every_link_inside_the_repository_leads_somewhere(name):
    """Files that are linked to exist, and so do their headings."""
    for link in LINK.findall(FENCE.sub("", page(name))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.relative_to(ROOT).as_posix()), link


def test_the_python_examples_of_the_guide_run(tmp_path):
    """They run one after the other in one folder, and their own asserts hold."""
    examples = fences("DEBUGGING_GUIDE.md", "python")
    assert examples
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NAMEL3SS")}
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            check=False,
            cwd=tmp_path,
            env=kept,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, ""), example


@pytest.mark.parametrize("name", PAGES)
def test_the_json_examples_are_json(name):
    """Each block of JSON parses, and one of settings holds settings that are allowed."""
    for text in fences(name, "json"):
        value = json.loads(text)
        if set(value) & {setting.key for setting in SETTINGS}:
            load_configuration(Path("/nonexistent"), {}, value)
    assert fences("DEBUGGING_GUIDE.md", "json")


def commands_of(name):
    """The commands of ours in the shell examples of a page, as words behind `namel3ss debug`."""
    typed = [("", text) for text in fences(name, "bash")] + [
        (r"\$ ", text) for text in fences(name, "console")
    ]
    for prompt, text in typed:
        for line in re.findall(rf"^{prompt}(?:\w+=\S+ )*(.*?namel3ss debug .*)$", text, re.MULTILINE):
            reader = shlex.shlex(line, posix=True, punctuation_chars=True)
            reader.whitespace_split, reader.commenters = True, "#"
            words = list(reader)
            for start, word in enumerate(words):
                if word == "namel3ss" and words[start + 1 : start + 2] == ["debug"]:
                    rest = words[start + 2 :]
                    end = next((n for n, w in enumerate(rest) if re.fullmatch(r"[|&;>]+|\d(?=>)", w)), None)
                    yield [w for w in rest[:end] if w != "2"]


@pytest.mark.parametrize("name", PAGES)
def test_the_command_lines_are_ones_we_understand(name):
    """Every `namel3ss debug ...` in a shell example parses: the command is there, and so are its options."""
    for words in commands_of(name):
        if words[0] in COMMANDS:  # a line of output may begin so too
            debug.get_command(click.Context(debug), words[0]).make_context(words[0], words[1:])
    assert list(commands_of("DEBUGGING_GUIDE.md"))


def test_the_set_up_lines_are_those_that_are_tried():
    """The README names the two lines that .ci/run executes in a fresh environment."""
    lines = "".join(fences("README.md", "bash"))
    assert lines == (
        "pip install '.[examples]' && namel3ss debug trace examples/support_agent.py && namel3ss debug analyze\n"
        "pip install '.[dev]' && pytest\n"
    )


def test_the_sample_configuration_loads():
    """The file in the repository is found from inside it, and every key of it counts."""
    loaded = load_configuration(ROOT / "examples", {})
    file = ROOT / ".namel3ss" / "debug.json"
    assert loaded.file == file
    assert {key for key, source in loaded.sources.items() if source == str(file)} == set(
        json.loads(file.read_text())
    )
    assert loaded.config != DebugConfiguration()


def test_the_picture_is_one_file_that_asks_for_nothing():
    """The picture of the README is an SVG without anything to fetch."""
    picture = page("docs/terminal.svg")
    assert picture.startswith("<svg")
    assert "url(http" not in picture
    assert "href" not in picture
