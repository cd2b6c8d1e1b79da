"""`debug trace` and `namel3ss run`: what they record, what they say, and how they end."""

import json
import os
import re
import subprocess
import sys
from shlex import quote

import pytest

PROGRAM = """
import sys
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def search(query):
    return {"found": query}

print("args", sys.argv[1:])
print("asked", sys.stdin.read())
search("refunds")
sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
"""


@pytest.fixture
def app(workspace):
    """A program with one traced tool."""
    (workspace / "app.py").write_text(PROGRAM)
    return workspace / "app.py"


def debug(program, *words, stdin="", **environment):
    """Run a command line as a process of its own."""
    return subprocess.run(
        [*program, *map(str, words)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        timeout=60,
    )


def events(path):
    """The events in a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_program_keeps_its_streams_and_its_status(program, app, workspace):
    """Arguments, stdin, stdout and exit status are the program's own; one line on stderr says what was recorded."""
    done = debug(program, "trace", "app.py", "3", "--mine", "-v", "--", "-o", "x", stdin="hello")
    assert done.stdout == "args ['3', '--mine', '-v', '-o', 'x']\nasked hello\n"
    assert done.returncode == 3
    (path,) = [file for file in (workspace / "debug/traces").glob("*.jsonl") if not file.is_symlink()]
    recorded = events(path)
    assert "tool_call_start" in [event["event_type"] for event in recorded]
    assert done.stderr == (
        f"namel3ss debug: recorded {len(recorded)} events in debug/traces/{path.name}; next: namel3ss debug analyze\n"
    )


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("sys.exit('no key')", ["no key"]),
        ("sys.exit(3)", []),
        ("sys.exit()", []),
        ("raise SystemExit(['x'])", []),
    ],
)
def test_the_words_that_a_program_exits_with_are_its_failure(program, workspace, end, told):
    """`sys.exit` with a text fails with that text, which Python prints; with a status, or nothing, it says no more than that."""
    (workspace / "app.py").write_text(f"import sys\n{end}\n")
    plain = subprocess.run([sys.executable, "app.py"], cwd=workspace, capture_output=True, check=False)
    done = debug(program, "trace", "-o", "a.jsonl", "app.py")
    assert done.returncode == plain.returncode
    assert done.stderr.startswith(plain.stderr.decode())
    failures = [event for event in events(workspace / "a.jsonl") if event["event_type"] == "error_occurred"]
    assert [event["error"] for event in failures] == told
    assert [event["call_site"] for event in failures] == ["app.py:2"] * len(told)
    listed = debug(program, "analyze", "--errors", "a.jsonl").stdout
    assert ("SystemExit: no key" in listed) is bool(told)


@pytest.mark.parametrize(
    ("code", "status"), [("True", 1), ("False", 0), ("-1", 255), ("256", 0), ("2.5", 1), ("None", 0)]
)
def test_the_status_is_recorded_as_the_system_takes_it(program, workspace, code, status):
    """What `sys.exit` is given need not be what the process ends with; a re-run ends with the same."""
    (workspace / "app.py").write_text(f"import sys\nsys.exit({code})\n")
    assert debug(program, "trace", "-o", "a.jsonl", "app.py").returncode == status
    recorded = events(workspace / "a.jsonl")[-1]["metadata"]["exit_status"]
    assert (recorded, type(recorded)) == (status, int)
    done = debug(program, "rerun", "a.jsonl")
    assert (done.returncode, f"status {status}, as recorded" in done.stdout + done.stderr) == (0, True)


@pytest.mark.parametrize(
    "leaves",
    ["os._exit(3)", "os.execv('/bin/sh', ['sh', '-c', 'exit 3'])", "os.fork() and os._exit(3)"],
)
def test_a_program_that_leaves_without_an_end_has_its_status(program, workspace, leaves):
    """By `os._exit`, as another program, or while a process of it goes on: it was not killed, and a re-run ends alike."""
    (workspace / "app.py").write_text(f"import logging, os\nlogging.warning('here')\n{leaves}\n")
    assert debug(program, "trace", "-o", "a.jsonl", "app.py").returncode == 3
    assert events(workspace / "a.jsonl")[-1]["metadata"] == {"exit_status": 3}
    assert debug(program, "check", "a.jsonl", "--rule", '{"no": "open_spans"}').returncode == 0
    shown = debug(program, "analyze", "--summary", "a.jsonl").stdout
    assert re.search(r"^  outcome +failed \(exit status 3\)$", shown, re.MULTILINE)
    assert "tracing took" not in shown
    done = debug(program, "rerun", "a.jsonl")
    assert (done.returncode, "status 3, as recorded" in done.stdout + done.stderr) == (0, True)


def test_a_program_may_trace_another(program, app, workspace):
    """A traced program that starts `debug trace` makes two traces; a re-run does not start the other, and says what is missing."""
    command = [*program, "trace", "-o", "inner.jsonl", "app.py", "4"]
    (workspace / "outer.py").write_text(
        f"import subprocess, sys\nsys.exit(subprocess.run({command!r}, stdin=subprocess.DEVNULL).returncode)\n"
    )
    done = debug(program, "trace", "-o", "outer.jsonl", "outer.py")
    assert (done.returncode, done.stderr.count("namel3ss debug: recorded ")) == (4, 2)
    assert b"tool_call_start" in (workspace / "inner.jsonl").read_bytes()
    again = debug(program, "rerun", "outer.jsonl")
    assert "The re-run matches the trace." in again.stderr
    assert "is missing" in " ".join(again.stderr.split())
    assert (again.returncode, again.stdout.count("asked")) == (0, 0)


def test_a_file_of_the_users_own(program, app, workspace):
    """-o names the file, before or after TARGET, and the hint names it too; --format json writes a document beside it."""
    done = debug(program, "trace", "app.py", "-o", "mine.jsonl", "--format", "json")
    assert done.stderr.endswith(" in mine.jsonl and mine.json; next: namel3ss debug show mine.jsonl\n")
    document = json.loads((workspace / "mine.json").read_text())
    assert list(document) == ["schema", "events"]
    assert document["events"] == events(workspace / "mine.jsonl")
    assert (workspace / "mine.json").stat().st_mode & 0o777 == 0o600


def test_options_become_settings(program, app, workspace):
    """The settings in force stand in the recording; this command keeps whole payloads by default."""
    debug(program, "trace", "-o", "a.jsonl", "-f", "llm", "--no-memory", "--level", "basic", "app.py")
    recorded = events(workspace / "a.jsonl")
    settings = recorded[0]["metadata"]["settings"]
    assert (settings["default_components"], settings["capture_memory"], settings["level"]) == (
        ["llm"],
        False,
        "basic",
    )
    assert (settings["max_payload_size"], settings["record_randomness"]) == (0, True)
    assert "tool_call_start" not in [event["event_type"] for event in recorded]


def test_the_hint_can_be_pasted_whatever_the_file_is_called(program, app):
    """A path with a space in it is quoted in the command that the last line suggests."""
    done = debug(program, "trace", "app.py", "-o", "my run.jsonl")
    assert done.stderr.endswith(" in my run.jsonl; next: namel3ss debug show 'my run.jsonl'\n")


@pytest.mark.parametrize(("active", "told"), [("theirs", True), ("", False), (sys.prefix, False)])
def test_a_module_that_the_active_environment_may_have(program, workspace, active, told):
    """A program that lacks a module under our interpreter is told how it runs under that of the active environment."""
    (workspace / "imports.py").write_text("import nowhere_to_be_found")
    python = workspace / "theirs/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    path = str(workspace / active) if told else active
    done = debug(program, "trace", "imports.py", VIRTUAL_ENV=path, CONDA_PREFIX="")
    assert done.returncode == 1
    assert (f"and use --python {quote(str(python))}\n" in done.stderr) is told


@pytest.mark.parametrize("given", [["-f", "llm,tool"], ["-f", "Tool"], ["-f", "llm", "-f", "TOOL"]])
def test_components_are_given_as_people_write_them(program, app, workspace, given):
    """One option may name several components, as the setting does, and capitals do not matter."""
    done = debug(program, "trace", *given, "-o", "a.jsonl", "app.py")
    assert "tool_call_start" in [event["event_type"] for event in events(workspace / "a.jsonl")]
    assert "nothing was recorded of" not in done.stderr


def test_components_of_which_there_is_nothing_are_told(program, app):
    """A recording that a mistyped filter left empty says so, with the component that may have been meant."""
    done = debug(program, "trace", "-f", "tools", "-o", "a.jsonl", "app.py")
    assert done.stderr.splitlines()[0] == (
        "namel3ss debug: nothing was recorded of tools; did you mean 'tool'?"
    )


@pytest.mark.parametrize("word", ["-o", "test_app.py", "tests/unit"])
def test_a_filter_that_is_a_word_of_the_program_is_refused(program, app, workspace, word):
    """An option of the program that is called -f, as of pytest or unittest, takes nothing away from it in silence."""
    done = debug(program, "trace", "app.py", "-f", word)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"-f is for a component such as llm, and {word} is none: put the program's own" in done.stderr
    assert debug(program, "trace", "app.py", "--", "-f", word).stdout.startswith(f"args ['-f', '{word}']")


@pytest.mark.parametrize(
    "word", ["127.0.0.1:8000", ":8000", "localhost:80", "[::]:80", "0.0.0.0", "unix:/tmp/s"]
)
def test_a_breakpoint_that_is_an_address_is_refused(program, app, word):
    """As gunicorn and hypercorn take one behind -b."""
    done = debug(program, "trace", "app.py", "-b", word)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"-b is for a breakpoint such as llm, and {word} is none: put the program's own" in done.stderr
    assert debug(program, "trace", "app.py", "--", "-b", word).stdout.startswith(f"args ['-b', '{word}']")


def test_a_setting_wins_over_the_default_of_the_command(program, app, workspace):
    """What file or environment say about payloads still holds."""
    debug(program, "trace", "-o", "a.jsonl", "app.py", NAMEL3SS_DEBUG_MAX_PAYLOAD_SIZE="5000")
    assert events(workspace / "a.jsonl")[0]["metadata"]["settings"]["max_payload_size"] == 5000


def test_live_shows_events_on_stderr(program, app):
    """With --live the events pass by on stderr, and stdout stays the program's."""
    done = debug(program, "trace", "--live", "app.py")
    assert done.stdout == "args []\nasked \n"
    assert "tool_call_start search" in done.stderr
    assert done.stderr.index("tool_call_start search") < done.stderr.index("tool_call_end search")


@pytest.mark.parametrize("end", ["", "os._exit(0)"])
def test_a_child_of_a_python_that_cannot_record_is_named_at_the_end(program, workspace, end):
    """In `trace_end` and on stderr; where the program ends without a word, on stderr all the same."""
    (workspace / "lacking").mkdir()
    (workspace / "lacking" / "orjson.py").write_text("raise ImportError('not here')")
    (workspace / "app.py").write_text(
        "import os, subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'pass'], env=os.environ | {'PYTHONPATH': 'lacking'}, check=True)\n"
        f"{end}\n"
    )
    done = debug(program, "trace", "-o", "t.jsonl", "app.py")
    told, recorded = done.stderr.splitlines()
    assert told.startswith("namel3ss debug: while recording: a process of ")
    assert told.endswith(
        " was not recorded (not here): install namel3ss-debug for it, on Python 3.11 or later"
    )
    assert recorded.startswith("namel3ss debug: recorded ")
    last = events(workspace / "t.jsonl")[-1]
    assert end or list(last["metadata"]["problems"]) == [
        told.removeprefix("namel3ss debug: while recording: ")
    ]


def test_what_replaces_a_process_is_recorded_though_the_program_set_its_own_path(program, workspace):
    """A program that gives Python other folders, as launchers of instrumentation do, is followed past `subprocess`."""
    (workspace / "marks.py").write_text(
        "import os\n"
        "from namel3ss_debug import performance_marker\n"
        "print(os.environ.get('PYTHONPATH'), flush=True)\n"
        "performance_marker('mark')\n"
    )
    (workspace / "app.py").write_text(
        "import os, sys\n"
        "os.environ['PYTHONPATH'] = '/theirs'\n"
        "os.system(repr(sys.executable) + ' marks.py')\n"
        "del os.environ['PYTHONPATH']\n"
        "os.execv(sys.executable, [sys.executable, 'marks.py'])\n"
    )
    done = debug(program, "trace", "-o", "t.jsonl", "app.py")
    assert (done.stdout, done.returncode) == ("/theirs\nNone\n", 0)
    children = [events(path) for path in sorted(workspace.glob("t.p*.jsonl"))]
    assert [[e["event_type"] for e in told].count("performance_marker") for told in children] == [1, 1]


def test_a_function_with_arguments(program, workspace):
    """module:function is called with --run-args."""
    (workspace / "jobs.py").write_text("def greet(name):\n    print('hello', name)\n")
    done = debug(program, "trace", "jobs:greet", "--run-args", '{"name": "Ada"}')
    assert (done.stdout, done.returncode) == ("hello Ada\n", 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope.py"], "there is no nope.py in {cwd} (see namel3ss debug help target-not-found)"),
        (["--bogus", "app.py"], "there is no option --bogus (see namel3ss debug trace --help)"),
        (["jobs:greet", "--run-args", "{"], "--run-args is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1); give one object such as '{{\"n\": 3}}' (see namel3ss debug help wrong-usage)"),
        (["jobs:greet", "--run-args", "[1]"], "--run-args must be one JSON object, the keyword arguments of a function or the input of a flow, such as '{{\"n\": 3}}' (see namel3ss debug help wrong-usage)"),
        (["x.py", "-o", "out.txt"], "cannot record to out.txt: choose a file name that ends with .jsonl (see namel3ss debug help wrong-usage)"),
        (["x.py", "-o", "x.py/out.jsonl"], "cannot record to {cwd}/x.py: it is no directory; give -o FILE, or set trace_output_dir (see namel3ss debug help wrong-usage)"),
        (["x.py", "-o", "x.py/a/out.jsonl"], "cannot record to {cwd}/x.py/a: {cwd}/x.py is no directory; give -o FILE, or set trace_output_dir (see namel3ss debug help wrong-usage)"),
        (["x.py", "--level", "loud"], "invalid value for '--level': 'loud' is not one of 'basic', 'detailed', 'comprehensive' (see namel3ss debug trace --help)"),
    ],
)  # fmt: skip
def test_our_failure_before_the_start_is_2(run, workspace, words, message):
    """What keeps the program from starting is one line, and status 2."""
    (workspace / "x.py").touch()
    result = run("trace", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"namel3ss debug: {message.format(cwd=workspace)}\n"


def test_a_recording_is_no_program(run, trace):
    """Its first line is an event: one line says so, and what may have been meant."""
    result = run("trace", str(trace))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"did you mean `namel3ss debug analyze {quote(str(trace))}`?" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_death_by_a_signal_is_ours_too(program, workspace):
    """A program that dies by a signal takes the command with it, as a shell would see it."""
    (workspace / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    done = debug(program, "trace", "dies.py")
    assert done.returncode == -15
    assert "; the program was killed by signal 15 (SIGTERM); next: namel3ss debug analyze" in done.stderr


def test_a_recording_that_the_program_removes_is_told(program, workspace):
    """The file is begun anew, with the end of the program, and one line says that events were lost."""
    (workspace / "tidy.py").write_text("import shutil\nshutil.rmtree('debug')\n")
    done = debug(program, "trace", "-o", "debug/one.jsonl", "tidy.py")
    assert (done.returncode, done.stdout) == (0, "")
    removed, recorded = done.stderr.splitlines()
    assert removed.startswith("namel3ss debug: the trace file was removed or replaced, which lost events: ")
    assert recorded.startswith("namel3ss debug: recorded 3 events in debug/one.jsonl")


def test_run_is_plain_where_nothing_says_record(program, app, workspace):
    """Without `enabled` the program runs as it is, no recording is made, and one line says how to make one."""
    done = debug(program, "run", "app.py", "4", "--mine", stdin="x")
    assert (done.stdout, done.returncode) == ("args ['4', '--mine']\nasked x\n", 4)
    (told,) = done.stderr.splitlines()
    assert told.startswith('namel3ss debug: nothing is recorded: set "enabled": true in .namel3ss/debug.json')
    chosen = debug(program, "run", "app.py", "4", stdin="x", NAMEL3SS_DEBUG_ENABLED="false")
    assert (chosen.stderr, chosen.returncode) == ("", 4)  # who has switched it off knows
    assert not (workspace / "debug").exists()


def test_run_records_where_enabled(program, app, workspace):
    """With `enabled` the same command records, under the configuration in force."""
    done = debug(program, "run", "app.py", "4", NAMEL3SS_DEBUG_ENABLED="true")
    assert done.returncode == 4
    (path,) = [file for file in (workspace / "debug/traces").glob("*.jsonl") if not file.is_symlink()]
    assert events(path)[0]["metadata"]["settings"]["max_payload_size"] == 16384
