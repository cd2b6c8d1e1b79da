"""`debug make-test`: a test made from a trace passes as it is, and holds nothing of the recording but literals."""

import ast
import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.inspection.calls import ModelCall, RecordedRun, RecordedToolCall
from namel3ss_debug.views.generated_tests import WIDTH, ProgramUnderTest, Tools, format_test, literal, quoted

ROOT = Path(__file__).parents[2]
INSTALLED = any(each.name == "namel3ss_debug" for each in importlib.metadata.entry_points(group="pytest11"))
PLUGIN = () if INSTALLED else ("-p", "namel3ss_debug.pytest_plugin")

TOOLS = """
import os
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call("double")
async def double(number):
    print("doubled for real")
    return number * 2

@trace_tool_call("halve")
def halve(number):
    print("halved for real")
    return number / 2

async def main(number, why):
    return halve(await double(number)), os.environ["LIMIT"]
"""


def command(*words, cwd, **environ):
    """Run a program of this environment."""
    import os

    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


PRICED = """
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def price(item):
    return {"price": 40}

print(price("lamp"))
"""


def test_an_update_records_the_program_again_and_shows_the_difference(tmp_path):
    """The test is made again; one that was edited stays, and gets the new trace."""
    (tmp_path / "app.py").write_text(PRICED)
    command("namel3ss_debug", "trace", "-o", "run.jsonl", "app.py", cwd=tmp_path)
    command("namel3ss_debug", "make-test", "run.jsonl", cwd=tmp_path)
    test = tmp_path / "test_app.py"
    before = test.read_text()
    (tmp_path / "app.py").write_text(PRICED.replace("40", "4000"))
    update = ("namel3ss_debug", "make-test", "--update", "test_app.py")
    asked = command(*update, cwd=tmp_path)
    assert asked.returncode == 2
    assert (
        "make-test --update runs for real: tools: price. Nobody can be asked here: add --yes" in asked.stderr
    )
    assert test.read_text() == before
    done = command(*update, "--yes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "result.price 40 -> 4000" in done.stderr
    assert "4000" in (tmp_path / "test_app.jsonl").read_text()
    test.write_text(f"{test.read_text()}# mine\n")
    (tmp_path / "app.py").write_text(PRICED.replace("40", "7"))
    kept = command(*update, "--yes", cwd=tmp_path)
    assert "test_app.py was edited, so it stays" in kept.stdout
    assert test.read_text().endswith("# mine\n")
    assert command(*update, "--yes", cwd=tmp_path).stderr.endswith(
        "nothing differs: the test stays as it is\n"
    )


DATED = """
import datetime, uuid
import urllib.request  # draws while it is imported, which pytest may have done
from multiprocessing import process
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def note(text):
    return f"{text}!"

def main():
    text = f"{datetime.datetime.now()} {uuid.uuid4()}"
    assert note(text) == f"{text}!"
    print(text)

main()
"""


def test_the_clock_and_the_random_numbers_of_a_made_test_are_those_of_the_trace(tmp_path):
    """The tool finds its answer although the time and an id are in its arguments, also where modules are imported already."""
    (tmp_path / "app.py").write_text(DATED)
    recorded = command("namel3ss_debug", "trace", "-o", "run.jsonl", "app.py", cwd=tmp_path)
    made = command("namel3ss_debug", "make-test", "run.jsonl", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    for words in ((), ("-p", "multiprocessing.process")):
        run = command("pytest", *PLUGIN, *words, "-q", "-s", "--rootdir", ".", "test_app.py", cwd=tmp_path)
        assert "1 passed" in run.stdout, run.stdout + run.stderr
        assert recorded.stdout in run.stdout


TRIED = """
import os, socket, sqlite3, subprocess
from pathlib import Path
from namel3ss_debug.hooks import trace_tool_call

def helper(number):
    return number * 2

@trace_tool_call
def double(number):
    return helper(number)

@trace_tool_call
def save(text):
    Path("saved.txt").write_text(text)
    return "saved"

@trace_tool_call
def quiet():
    try:
        subprocess.run(["true"])
    except Exception:
        pass
    return "done"

@trace_tool_call
def database(name):
    return sqlite3.connect(name).execute("select 1").fetchone()[0]

@trace_tool_call
def memory():
    return sqlite3.connect(":memory:").execute("select 1").fetchone()[0]

@trace_tool_call
def process():
    return os.getpid()

@trace_tool_call
def fetch():
    try:
        socket.create_connection(("127.0.0.1", 9))
    except OSError:
        return "down"

Path("log.txt").write_text("the program itself writes")
print(double(4), save("x"), quiet(), database("x.db"), memory(), process() > 0, fetch())
"""


@pytest.fixture
def tried(tmp_path):
    """A recorded program with tools of several kinds, and a function that runs its test."""
    (tmp_path / "app.py").write_text(TRIED)
    command("namel3ss_debug", "trace", "-o", "run.jsonl", "app.py", cwd=tmp_path)
    for name in ("saved.txt", "x.db"):
        (tmp_path / name).unlink()

    def run():
        return command("pytest", *PLUGIN, "-q", "--rootdir", ".", "test_app.py", cwd=tmp_path)

    run.path = tmp_path
    return run


def test_tools_are_tried_without_side_effects(tried):
    """Those that give their recorded results run; the others are answered, and the test says why."""
    made = command("namel3ss_debug", "make-test", "--try-tools", "run.jsonl", cwd=tried.path)
    assert made.returncode == 0, made.stderr
    assert not (tried.path / "saved.txt").exists()
    assert not (tried.path / "x.db").exists()
    text = (tried.path / "test_app.py").read_text()
    assert 'run_tools=["double", "memory"]' in text
    for row in (
        "save: it opens a file for writing (app.py:15)",
        "quiet: it starts a process (app.py:21)",
        "database: it opens a database (app.py:28)",
        "process: its result differs from the recorded one",
        "fetch: it opens a socket (app.py:41)",
    ):
        assert f"#   {row}" in text
    assert "1 passed" in tried().stdout
    assert not (tried.path / "saved.txt").exists()
    ruff = command("ruff", "format", "--isolated", "--check", "test_app.py", cwd=tried.path)
    assert ruff.returncode == 0, ruff.stdout


ATOMIC = """
import os, pathlib, shutil, tempfile
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def count(number):
    return number + 1

os.makedirs("out/deep", exist_ok=True)
with tempfile.NamedTemporaryFile("w", dir="out", delete=False) as file:
    file.write(f"total {count(1)}")
os.replace(file.name, "out/report.txt")
pathlib.Path("out/x").write_text("x")
os.rename("out/x", "out/y")
os.remove("out/y")
shutil.rmtree("out/deep")
"""


def test_a_program_that_writes_through_another_name_passes_its_made_test(tmp_path):
    """It makes folders, renames and removes outside of the temporary folder; a path that is not in its trace is refused."""
    folder, scratch = tmp_path / "program", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    environ = {"TMPDIR": str(scratch)}
    (folder / "app.py").write_text(ATOMIC)
    command("namel3ss_debug", "trace", "-o", "run.jsonl", "app.py", cwd=folder, **environ)
    made = command("namel3ss_debug", "make-test", "run.jsonl", cwd=folder, **environ)
    assert (made.returncode, made.stderr) == (0, "")
    for name, passes in (("y", True), ("z", False)):
        shutil.rmtree(folder / "out")
        (folder / "app.py").write_text(ATOMIC.replace('"out/y"', f'"out/{name}"'))
        run = command("pytest", *PLUGIN, "-q", "--rootdir", ".", "test_app.py", cwd=folder, **environ)
        assert ("1 passed" in run.stdout) is passes, run.stdout
        assert ("out/z would be written (os.rename)" in run.stdout) is not passes


READER = """
from pathlib import Path
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def rate(currency):
    return Path("rates.txt").read_text()

print(rate("USD"))
Path("out.txt").write_text("first line\\nsecond")
"""


def test_files_are_compared_where_the_key_of_the_user_is_not(tmp_path):
    """On another machine: data of the same size, and the files that the program writes."""
    (tmp_path / "app.py").write_text(READER)
    (tmp_path / "rates.txt").write_text("1.08")
    here, there = ({"XDG_CONFIG_HOME": str(tmp_path / name)} for name in ("here", "there"))
    command("namel3ss_debug", "trace", "-o", "run.jsonl", "app.py", cwd=tmp_path, **here)
    command("namel3ss_debug", "make-test", "run.jsonl", cwd=tmp_path, **here)

    def run():
        (tmp_path / "out.txt").unlink(missing_ok=True)
        return command("pytest", *PLUGIN, "-q", "--rootdir", ".", "test_app.py", cwd=tmp_path, **there).stdout

    assert "1 passed" in run()
    (tmp_path / "rates.txt").write_text("1.09")
    assert f"{tmp_path}/rates.txt has changed" in " ".join(run().split())
    (tmp_path / "rates.txt").write_text("1.08")
    (tmp_path / "app.py").write_text(READER.replace("second", "third!"))
    assert "out.txt line 2" in run()


UNITS = """
from pathlib import Path
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def unit():
    return (Path(__file__).parents[1] / "shared" / "unit.txt").read_text()

print(unit())
"""


def test_files_are_compared_in_another_checkout(tmp_path):
    """Data files that the program names by absolute paths, below its folder and beside it."""
    here, there = (tmp_path / name / "project" for name in ("here", "there"))
    (here / "app").mkdir(parents=True)
    (here / "shared").mkdir()
    program = READER.replace('Path("rates.txt")', '(Path(__file__).parent / "rates.txt")')
    (here / "app" / "app.py").write_text(program + "import units\n")
    (here / "app" / "units.py").write_text(UNITS)
    (here / "app" / "rates.txt").write_text("1.08")
    (here / "shared" / "unit.txt").write_text("EUR")
    command("namel3ss_debug", "trace", "-o", "run.jsonl", "app.py", cwd=here / "app")
    command("namel3ss_debug", "make-test", "run.jsonl", cwd=here / "app")
    shutil.copytree(here, there)
    shutil.rmtree(here)

    def run():
        (there / "app" / "out.txt").unlink(missing_ok=True)
        return command("pytest", *PLUGIN, "-q", "--rootdir", ".", "test_app.py", cwd=there / "app").stdout

    assert "1 passed in" in (shown := run()), shown
    for name, old, new in (("app/rates.txt", "1.08", "1.09"), ("shared/unit.txt", "EUR", "euros")):
        (there / name).write_text(new)
        assert f"{there / name} has changed" in " ".join(run().split())
        (there / name).write_text(old)


def test_a_change_of_a_tool_fails_the_made_test(tried):
    """A tool that runs fails it by another result, an answered one by other code; what changes nothing does not."""
    (tried.path / ".namel3ss").mkdir()
    (tried.path / ".namel3ss" / "debug.json").write_text('{"tools": {"dou*": "run", "memory": "answer"}}')
    command("namel3ss_debug", "make-test", "run.jsonl", cwd=tried.path)
    text = (tried.path / "test_app.py").read_text()
    assert 'run_tools=["double"]' in text
    assert '#   memory: the setting tools is "answer"' in text
    app = tried.path / "app.py"
    for old, new, shown in (
        ("    return number * 2", "    # twice\n    return number + number", "1 passed"),
        ("number * 2", "number * 3", "AssertionError: assert '8 saved"),
        (
            'return "saved"',
            'return "kept"',
            "save has changed since the trace was recorded: app.py:save has changed: re-record",
        ),
    ):
        app.write_text(TRIED.replace(old, new))
        assert shown in tried().stdout


POOLED = """
from concurrent.futures import ThreadPoolExecutor
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def first():
    return 1

@trace_tool_call
def second():
    return 2

with ThreadPoolExecutor(1) as pool:
    print([pool.submit(each).result() for each in (first, second)])
"""


@pytest.mark.parametrize("threads", [True, False])
def test_the_order_of_tools_that_ran_in_threads_is_not_asserted(threads, tmp_path):
    """They may begin in another order in the next run; those of the main thread may not."""
    text = POOLED if threads else POOLED.replace("pool.submit(each).result()", "each()")
    (tmp_path / "app.py").write_text(text)
    command("namel3ss_debug", "trace", "-o", "run.jsonl", "app.py", cwd=tmp_path)
    made = command("namel3ss_debug", "make-test", "run.jsonl", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert ("assert_order" in (tmp_path / "test_app.py").read_text()) is not threads


@pytest.mark.parametrize(
    "target",
    [
        ("--run-args", '{"number": 4, "why": "it\'s \\"so\\""}', "tools:main"),
        pytest.param(("app/weather_agent.py",), marks=pytest.mark.slow),
    ],
    ids=["function", "script"],
)
def test_the_written_test_is_laid_out_and_passes_as_it_is(target, tmp_path):
    """The test of an asynchronous function, or of a script with a model, passes without a tool being called."""
    (tmp_path / "app").mkdir()
    (tmp_path / "tests").mkdir()
    for name in ("weather_agent.py", "scripted_model.py"):
        shutil.copyfile(ROOT / "examples" / name, tmp_path / "app" / name)
    (tmp_path / "tools.py").write_text(TOOLS)
    recorded = command("namel3ss_debug", "trace", "-o", "run.jsonl", *target, cwd=tmp_path, LIMIT="9")
    assert recorded.returncode == 0, recorded.stderr
    written = command("namel3ss_debug", "make-test", "run.jsonl", "-o", "tests/test_app.py", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    text = (tmp_path / "tests" / "test_app.py").read_text()
    assert ('monkeypatch.setenv("LIMIT", "9")' in text) == (target[-1] == "tools:main")
    ruff = command("ruff", "format", "--isolated", "--check", "tests", cwd=tmp_path)
    assert ruff.returncode == 0, ruff.stdout
    run = command("pytest", *PLUGIN, "-q", "-rP", "--rootdir", ".", "tests", cwd=tmp_path)
    assert "1 passed" in run.stdout, run.stdout + run.stderr
    assert "for real" not in run.stdout


NESTED = """
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def find(word):
    return [input("find what? "), word]

@trace_tool_call
def cheapest(word):
    return find(word)[0]

if __name__ == "__main__":
    print(cheapest("lamp"), input())
"""


def test_of_a_tool_inside_an_answered_one_nothing_is_asserted(tmp_path):
    """It does not run in the test; nor does it read: the lines that were typed for it are passed over."""
    (tmp_path / "nested.py").write_text(NESTED)
    words = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", "run.jsonl", "nested.py"]
    subprocess.run(words, cwd=tmp_path, input=b"desk\nmine\n", check=True, timeout=120)
    written = command("namel3ss_debug", "make-test", "run.jsonl", "-o", "test_nested.py", cwd=tmp_path)
    assert written.stderr == ""
    text = (tmp_path / "test_nested.py").read_text()
    assert ('assert_called("cheapest", times=1' in text, '"find"' in text) == (True, False)
    assert "desk" in text.partition("agent_trace.output")[0]
    run = command("pytest", *PLUGIN, "-q", "-rP", "--rootdir", ".", "test_nested.py", cwd=tmp_path)
    assert "1 passed" in run.stdout, run.stdout + run.stderr
    assert "desk mine" in run.stdout


def test_what_cannot_be_written_is_refused(run, trace, trusting):
    """A recording of nothing that a test can run, and a name that no test can have, are told in one line."""
    for words, told in (
        ((str(trace),), "which a test cannot run"),
        ((str(trace), "-o", "x.txt"), "give a name like test_app.py with -o"),
    ):
        result = run("make-test", *words)
        assert result.exit_code == 2
        assert told in result.stderr
    assert not list(Path.cwd().glob("test_*"))


def test_no_file_is_overwritten(run, trace, trusting):
    """A test or a recording that is there already stays as it is."""
    first, rest = trace.read_text().split("\n", 1)
    place = first.replace('"process": 0', f'"process": 0, "cwd": "{Path.cwd()}"')
    trace.write_text(f"{place}\n{rest}")
    assert run("make-test", str(trace)).exit_code == 0
    before = Path("test_app.py").read_bytes()
    compile(before, "test_app.py", "exec")
    result = run("make-test", str(trace))
    assert result.exit_code == 2
    assert "test_app.py exists already" in result.stderr
    assert Path("test_app.py").read_bytes() == before
    written = run("make-test", str(trace), "-o", "my tests/test_app.py").stdout
    assert written.endswith(": pytest 'my tests/test_app.py'\n")


TEXTS = st.text(max_size=120)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_a_value_is_a_literal_on_one_line(value):
    """What is written of a value of the recording is read back as that value, and breaks no line."""
    written = literal(value)
    assert ast.literal_eval(written) == value
    assert written.isprintable()


@given(st.lists(TEXTS, max_size=3), st.dictionaries(TEXTS, VALUES, max_size=2), TEXTS, TEXTS)
def test_nothing_of_a_recording_becomes_code(names, arguments, said, folder):
    """Whatever tools, arguments and answers are called, the test has the same statements and no line that need be shorter."""
    calls = [
        RecordedToolCall(name, arguments, None, None, None, "completed", None, None, number)
        for number, name in enumerate(names)
    ]
    answer = ModelCall("m", [], said, [], "stop", None, None, None, None, "completed", None, 9)
    program = ProgramUnderTest(
        "script", "app.py", [said, *names], folder=folder or ".", variables=dict.fromkeys(["A"], said)
    )
    tools = Tools(names, dict.fromkeys(names, said))
    text = format_test("app", "x.jsonl", program, tools, RecordedRun(calls, [answer]))
    (function,) = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    kinds = {ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
    allowed = "monkeypatch. agent_trace. pytest. os."
    assert all(name.startswith(tuple(allowed.split())) for name in kinds)
    for row in text.splitlines():
        assert len(row) <= WIDTH or row.strip().endswith(("',", '",', "],", "'", '"', ")"))


def test_quotes_are_those_that_need_fewer_escapes():
    """A string stands in double quotes, unless it has some itself."""
    assert [quoted(text) for text in ("a", "it's", 'say "a"', "\n")] == [
        '"a"',
        '"it\'s"',
        "'say \"a\"'",
        '"\\n"',
    ]


def test_an_app_is_refused_with_what_runs_it_again(run, trace, trusting):
    """A test would have to start the app in a process of its own, as a re-run does."""
    trace.write_text(trace.read_text().replace('"app.py"', '"app.ai"'))
    result = run("make-test", str(trace))
    assert result.exit_code == 2
    assert "is of app.ai, which a test cannot run" in result.stderr
    assert "; an app is run again by debug rerun (see" in result.stderr
