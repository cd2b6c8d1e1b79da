"""The documents: what they say of the program is what the program says, and their examples run."""

from __future__ import annotations

import builtins
import copy
import importlib
import importlib.util
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from unittest import mock

import click
import pytest

from namel3ss_debug import errors
from namel3ss_debug.analysis import contract
from namel3ss_debug.cli.help import PAGES_FOLDER, TOPICS, anchor_of
from namel3ss_debug.cli.main import COMMANDS, debug
from namel3ss_debug.config import SETTINGS, DebugConfiguration, load_configuration
from namel3ss_debug.replay.debugger.commands import COMMANDS as DEBUGGER_COMMANDS
from namel3ss_debug.replay.debugger.commands import parse_command
from namel3ss_debug.replay.debugger.interpreter import split_commands
from namel3ss_debug.replay.overrides.faults import parse_fault
from namel3ss_debug.replay.overrides.mocks import parse_mock
from namel3ss_debug.replay.rerun import divergences
from namel3ss_debug.wire.faults import KINDS

ROOT = Path(__file__).parents[1]
REFERENCE = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
PAGES = (
    "README.md",
    "DEBUGGING_GUIDE.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "examples/README.md",
    *REFERENCE,
)
MOST_LINES = {"README.md": 120, "DEBUGGING_GUIDE.md": 700, "ARCHITECTURE.md": 250}
EXAMPLES_IN_ORDER = (
    "docs/recording.md",
    "docs/library.md",
    "docs/debugger.md",
    "DEBUGGING_GUIDE.md",
    "docs/limits.md",
)
"""The pages whose Python examples run, in the order in which they need each other's traces."""
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
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


def headings(name):
    """The headings of a page; lines in code blocks are none."""
    return re.findall(r"^#+ (.+)$", FENCE.sub("", page(name)), re.MULTILINE)


def anchors(name):
    """The anchors of the headings of a page, as GitHub makes them."""
    return {anchor_of(heading) for heading in headings(name)}


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
    outcomes = [good | {"check": "otherwise", "tree": "otherwise"}, good | {"check": "otherwise"}, good]
    monkeypatch.setattr(generate.runs, "all_runs", lambda: outcomes.pop(0))
    assert generate.main(["--check"]) == 0
    assert outcomes == []
    monkeypatch.setattr(generate.runs, "all_runs", lambda: good | {"check": "otherwise"})
    assert generate.main(["--check"]) == 1
    assert "1 parts differ" in capsys.readouterr().out


def test_runs_are_kept_until_something_changes(generate, monkeypatch, tmp_path):
    """Without a change the output of the last runs is used again; a change of an example makes them anew."""
    runs = generate.runs
    outcomes = [{"list": "first"}, {"list": "second"}]
    monkeypatch.setattr(runs, "all_runs", lambda: outcomes.pop(0))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for folder in ("docs", "examples", "namel3ss_debug"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "docs" / "runs.py"))
    (tmp_path / "docs" / "runs.py").write_text("")
    assert [runs.latest_runs(), runs.latest_runs()] == [{"list": "first"}] * 2
    (tmp_path / "examples" / "agent.py").write_text("print(1)")
    assert runs.latest_runs() == {"list": "second"}


def test_stale_tables_of_the_debugger_are_found(generate, monkeypatch, tmp_path):
    """A page that lacks a command of each table, or describes it differently, is stale there."""
    name = "docs/debugger.md"
    (tmp_path / "docs").mkdir()
    first_of_each = {command.group: command for command in reversed(DEBUGGER_COMMANDS)}
    lacking = different = page(name)
    for command in first_of_each.values():
        lacking = re.sub(rf"^\| `{command.name}[ `].*\n", "", lacking, flags=re.MULTILINE)
        different = different.replace(command.help, "something else")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "PAGES", (name,))
    for changed in (lacking, different):
        (tmp_path / name).write_text(changed, "utf-8")
        assert set(generate.stale()) == {(name, f"debugger {group}") for group in first_of_each}


@pytest.mark.parametrize("name", PAGES)
def test_what_sessions_type_are_commands_of_the_debugger(name):
    """Every line behind a prompt of the debugger is made of commands there are."""
    typed = [line for text in fences(name, "console") for line in re.findall(PROMPT, text, re.MULTILINE)]
    assert typed or name not in {"docs/debugger.md", "examples/README.md"}
    for words in typed:
        for part in split_commands(words):
            parse_command(part)


def forms(name, first, second):
    """The texts in the first cells of the table of a page with these heads."""
    table = re.search(rf"^\| {first} \| {second} \|\n\| --- .*\n((?:\|.*\n)+)", page(name), re.MULTILINE)
    return [text for row in table[1].splitlines() for text in re.findall("`([^`]+)`", row.split(" | ")[0])]


def test_every_kind_of_fault_is_in_the_reference():
    """The forms in the table of faults are understood, and they are of every kind there is."""
    assert {parse_fault(text).kind for text in forms("docs/syntax.md", "form", "what happens")} == set(KINDS)


def test_the_forms_of_mocks_in_the_reference_are_understood(tmp_path):
    """Each form in the table of mocks parses."""
    (tmp_path / "answer.json").write_text("{}", "utf-8")
    texts = forms("docs/syntax.md", "form", "what it gives")
    assert texts
    for text in texts:
        assert parse_mock(text, tmp_path).text == text


def test_every_kind_of_divergence_is_in_the_reference():
    """The table of kinds holds those that a report names."""
    assert set(forms("docs/re-runs.md", "kind", "meaning")) == set(divergences.KINDS)


def test_every_error_leads_to_a_heading():
    """The topic that a message names is a heading of the page of errors."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert {kind.slug for kind in kinds if hasattr(kind, "slug")} <= anchors("docs/errors.md")


@pytest.mark.parametrize("name", PAGES)
def test_headings_of_a_page_differ(name):
    """Each heading has an anchor of its own."""
    if name != "CHANGELOG.md":
        assert len(anchors(name)) == len(headings(name))


@pytest.mark.parametrize(("name", "most"), MOST_LINES.items())
def test_a_page_for_readers_stays_short(name, most):
    """README, guide and ARCHITECTURE can be read in one go; details belong to the reference."""
    assert len(page(name).splitlines()) <= most


def test_the_wheel_holds_every_page_of_the_help():
    """Each page of the table of topics is copied to where `debug help` looks for it, and each reference page is a topic."""
    build = tomllib.loads(page("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    paths = {path for path, _ in TOPICS.values()}
    assert build["force-include"] == {path: f"namel3ss_debug/{PAGES_FOLDER}/{path}" for path in paths}
    assert paths == {"DEBUGGING_GUIDE.md", *REFERENCE}


TABLES = {
    added: (table, path)
    for added, table, path in re.findall(
        r"^\| an? (.+?) \| .* \| `(\w+)` in `(namel3ss_debug/[\w/]+\.py)` \|$",
        page("ARCHITECTURE.md"),
        re.MULTILINE,
    )
}
"""What can be added -> the table for it and its file, as the page on the architecture has them."""

EXAMPLES = {
    name: re.search(r"```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)[1]
    for name, part in re.findall(
        r"^### Add an? (.+?)\n(.*?)(?=^##)", page("ARCHITECTURE.md"), re.MULTILINE | re.DOTALL
    )
}
"""What can be added -> the worked example for it."""


class Names(dict):
    """The names that an example finds: those of the module of its table, and a stand-in for any other."""

    def __missing__(self, name):
        if hasattr(builtins, name):
            raise KeyError(name)
        return mock.MagicMock(name=name)


def test_everything_that_can_be_added_has_an_example():
    """Only the exporter of findings and the help page have none of their own."""
    assert len(EXAMPLES) == 9
    assert set(TABLES) - set(EXAMPLES) == {"exporter of findings", "help page"}


@pytest.mark.parametrize("added", TABLES)
def test_an_example_of_the_architecture_makes_a_row(added):
    """The table is where the page says, and the row in the example can be made as it stands there."""
    table, path = TABLES[added]
    module = importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    names = Names(vars(contract) if added == "section" else {})
    names.update(vars(module) | {table: copy.copy(getattr(module, table))})
    exec(compile(EXAMPLES.get(added, ""), path, "exec"), {}, names)


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


def test_the_python_examples_run(tmp_path):
    """They run one after the other in one folder, and their own asserts hold."""
    examples = [example for name in EXAMPLES_IN_ORDER for example in fences(name, "python")]
    assert not any(fences(name, "python") for name in {*REFERENCE} - {*EXAMPLES_IN_ORDER})
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
    assert fences("docs/checks.md", "json")


def commands_of(name):
    """The commands of ours in the shell examples and in the text of a page, as words after `namel3ss debug`."""
    text = page(name)
    lines = [line for block in fences(name, "bash") for line in block.splitlines()]
    lines += [
        line[2:] for block in fences(name, "console") for line in block.splitlines() if line.startswith("$ ")
    ]
    if name != "CHANGELOG.md":  # it describes options in place of naming them
        lines += re.findall(r"`(namel3ss debug [^`\n]+)`", FENCE.sub("", text))
    for line in lines:
        reader = shlex.shlex(line, posix=True, punctuation_chars=True)
        reader.whitespace_split, reader.commenters = True, "#"
        words = list(reader)
        for start, word in enumerate(words):
            if word == "namel3ss" and words[start + 1 : start + 2] == ["debug"]:
                rest = words[start + 2 :]
                end = next((n for n, w in enumerate(rest) if re.fullmatch(r"[|&;>()]+|\d(?=>)", w)), None)
                yield [w for w in rest[:end] if w != "2"]


@pytest.mark.parametrize("name", PAGES)
def test_the_command_lines_are_ones_we_understand(name):
    """Every `namel3ss debug ...` in an example or in the text parses: the command exists, and so do its options."""
    found = [
        words
        for words in commands_of(name)
        if words[0] != "COMMAND" and not {words[0], words[-1]} & {"--help", "--install-completion"}
    ]
    # A command keeps the help option of its first context, so this one has the settings of the program.
    parent = click.Context(debug, info_name="debug", **debug.context_settings)
    for words in found:
        assert words[0] in COMMANDS, words
        command = debug.get_command(parent, words[0])
        with suppress(click.MissingParameter):  # the text names a command without its arguments
            command.make_context(words[0], words[1:], parent=parent)
    assert found or name not in {"README.md", "DEBUGGING_GUIDE.md"}


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


def test_pictures_of_the_page_are_shown_and_small():
    """Each picture stands in docs/page.md, and none is larger than a page of text should load."""
    pictures = {path.name: path.stat().st_size for path in (ROOT / "docs").glob("*.png")}
    assert pictures.keys() == {link for link in LINK.findall(page("docs/page.md")) if link.endswith(".png")}
    assert max(pictures.values()) < 150_000


def test_the_picture_is_one_file_that_asks_for_nothing():
    """The picture of the README is an SVG without anything to fetch."""
    picture = page("docs/terminal.svg")
    assert picture.startswith("<svg")
    assert "url(http" not in picture
    assert "href" not in picture
