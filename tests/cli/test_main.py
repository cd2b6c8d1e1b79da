"""The groups of commands, and the boundary where failures become words."""

import gc
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from shlex import quote
from unittest import mock

import pytest
from click.testing import CliRunner

from namel3ss_debug import __version__
from namel3ss_debug.cli import boundary, main
from namel3ss_debug.cli.main import COMMANDS, GROUPS, namel3ss
from namel3ss_debug.views.formats import FORMATS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run, name):
    """Every command of the table is there, and has a help."""
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Usage: namel3ss debug " + name in result.stdout


def test_help_lists_the_commands_in_their_order(run):
    """The help shows every command with its line."""
    shown = run("--help").stdout
    places = [shown.index(f"  {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert all(text in shown for _, text in COMMANDS.values())


@pytest.mark.parametrize("words", [["debug"], []])
def test_without_a_command_the_help_stands_there_as_it_is(words):
    """A program that is called without a command shows its help in lines, as `--help` does."""
    result = CliRunner().invoke(namel3ss, words)
    assert result.output == CliRunner().invoke(namel3ss, [*words, "--help"]).output


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("analyze a", ["file,a"]),
        ("diff a.jsonl b", ["file,b"]),
        ("check --rules ", ["file,"]),
        ("trace ap", ["file,ap"]),
        ("trace -o ", ["file,"]),
        ("trace --level d", ["plain,detailed"]),
        ("trace app.py in", ["file,in"]),
        ("trace app.py --st", ["plain,--step"]),
        ("expl", ["plain,explain"]),
    ],
)
def test_the_shell_completes_commands_options_values_and_files(words, offered):
    """The Tab key in a shell offers what may stand there, also where an option of `trace` still lacks its value."""
    typed = f"namel3ss-debug {words}"
    environment = {
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
        "_NAMEL3SS_DEBUG_COMPLETE": "bash_complete",
    }
    done = CliRunner(env=environment).invoke(main.debug, prog_name="namel3ss-debug")
    assert (done.stdout.splitlines(), done.stderr) == (offered, "")


def test_help_imports_no_more_than_click():
    """The help stays quick: nothing that costs is imported for it."""
    code = (
        "import sys\nfrom namel3ss_debug.cli.main import namel3ss\n"
        "try: namel3ss(['debug', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'rich', 'orjson', 'psutil', 'prompt_toolkit', 'wrapt', 'asyncio', 'namel3ss_debug.traces.reader'}\n"
        "sys.exit(repr(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "[]\n"


def test_version(run):
    """The version is one line on stdout."""
    assert run("--version").stdout == f"namel3ss-debug {__version__}\n"


def test_namel3ss_has_debug_and_run(workspace):
    """`namel3ss debug` is the same program as `namel3ss-debug`."""
    del workspace
    result = CliRunner().invoke(namel3ss, ["debug", "list", "--format", "json"])
    assert json.loads(result.stdout)["recordings"] == []
    assert CliRunner().invoke(namel3ss, ["run", "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["anlyze"], "there is no command 'anlyze'; did you mean analyze? (see namel3ss debug --help)"),
        (["--bogus"], "there is no option --bogus (see namel3ss debug --help)"),
        (["list", "--format", "xml"], f"invalid value for '--format': 'xml' is not one of {', '.join(map(repr, FORMATS))} (see namel3ss debug list --help)"),
        (["trace"], "missing argument 'TARGET' (see namel3ss debug trace --help)"),
        (["inspect", "--evnt", "3"], "there is no option --evnt; did you mean --event? (see namel3ss debug inspect --help)"),
        (["inspect", "--event", "abc"], "invalid value for '--event': 'abc' is not a whole number (see namel3ss debug inspect --help)"),
        (["inspect", "--event"], "option '--event' requires an argument (see namel3ss debug inspect --help)"),
        (["inspect", "--jsonl"], "there is no option --jsonl; did you mean --format jsonl? (see namel3ss debug inspect --help)"),
        (["trace", "--json", "app.py"], "there is no option --json; did you mean --format json? (see namel3ss debug trace --help)"),
        (["clean", "--days", "x"], "invalid value for '--days': 'x' is not a number (see namel3ss debug clean --help)"),
        (["inspect", "--event", "0"], "invalid value for '--event': 0 is less than 1 (see namel3ss debug inspect --help)"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_status_2(run, words, message):
    """A mistake on the command line names itself and the help that says what is right."""
    result = run(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"namel3ss debug: {message}\n")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["debug", "tree", "latest"], "inspect --tree"),
        (["debug", "record", "app.py"], "trace"),
        (["debug", "app.py"], "trace app.py"),
        (["debug", "man", "trace"], "help"),
        (["trace", "app.py"], "debug trace"),
        (["tree"], "debug inspect --tree"),
        (["app.ai"], "debug trace app.ai"),
        (["help"], "debug help"),
    ],
)
def test_a_word_that_people_try_leads_to_what_they_mean(words, hint):
    """What another command does, a command of the other program, or a program itself is suggested as it is to be typed."""
    result = CliRunner().invoke(namel3ss, words)
    assert result.stderr.partition("; ")[2].partition(" (see")[0] == f"did you mean {hint}?"
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["analyze"], "debug/traces: no such directory; record a run with `namel3ss debug trace` (see namel3ss debug help trace-not-found)"),
        (["inspect", "nothing.jsonl"], "nothing.jsonl: no such trace; `namel3ss debug list` shows the traces (see namel3ss debug help trace-not-found)"),
        (["analyze", "folder"], "folder: no traces here; record a run with `namel3ss debug trace` (see namel3ss debug help trace-not-found)"),
        (["check", "tests", "--rule", "cost < 1"], "tests: no traces here; name the folders with some, such as tests/test_a (see namel3ss debug help trace-not-found)"),
        (["list", "file"], "file: not a directory; give one that holds traces (see namel3ss debug help trace-not-found)"),
        (["list", "missing"], "missing: no such directory; give one that holds traces (see namel3ss debug help trace-not-found)"),
    ],
)  # fmt: skip
def test_a_missing_recording_is_one_line_and_status_2(run, workspace, words, message):
    """What is not there is named, with what to do."""
    (workspace / "folder").mkdir()
    (workspace / "file").touch()
    (workspace / "tests" / "test_a").mkdir(parents=True)
    (workspace / "tests" / "test_a" / "one.jsonl").write_text(
        '{"event_type": "trace_start", "event_id": "1", "seq": 0}\n'
    )
    result = run(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"namel3ss debug: {message}\n")


@pytest.mark.parametrize("command", ["analyze", "inspect", "replay"])
@pytest.mark.parametrize("content", ["", "hello\nworld\n", "\x00" * 500, "[1, 2]\n", "{"])
def test_a_file_that_is_no_recording_is_one_line_and_status_2(run, workspace, command, content):
    """An empty file, and one that is not JSON, is named; nothing is printed on stdout."""
    (workspace / "a.jsonl").write_text(content)
    result = run(command, "a.jsonl")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("namel3ss debug: a.jsonl")
    assert result.stderr.endswith("(see namel3ss debug help unreadable-trace)\n")
    assert result.stderr.count("\n") == 1


def test_the_file_name_in_a_message_is_cleaned(run):
    """A name with escape sequences shows as text."""
    result = run("inspect", "\x1b[31m\u202e.jsonl")
    assert result.stderr.startswith("namel3ss debug: ^[[31m\\u202e.jsonl: no such trace")


def test_a_bug_leaves_a_report(run, workspace, monkeypatch, tmp_path):
    """What nobody expected is status 3 and one line that names a Markdown report."""
    monkeypatch.setattr("namel3ss_debug.cli.list.trace_directory", lambda: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["namel3ss-debug", "list", "\x1b"])
    result = run("list")
    assert result.exit_code == 3
    (report,) = (tmp_path / "cache/namel3ss-debug/reports").iterdir()
    assert result.stderr == (
        "namel3ss debug: this is a bug in the debugger: ZeroDivisionError: division by zero; "
        f"please attach {report} to an issue\n"
    )
    content = report.read_text()
    assert f"- version: {__version__}" in content
    assert "Traceback (most recent call last)" in content
    assert report.stat().st_mode & 0o777 == 0o600


def _in_the_way(_monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file is in the way")


def _no_home(monkeypatch, _tmp_path):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        "os.path.expanduser", lambda path: path
    )  # as for a user whom the system does not know


@pytest.mark.parametrize("place", [_in_the_way, _no_home])
def test_a_bug_without_a_place_for_the_report_shows_the_traceback(run, monkeypatch, tmp_path, place):
    """Where no report can be written, the traceback is on stderr."""
    place(monkeypatch, tmp_path)
    monkeypatch.setattr("namel3ss_debug.cli.list.trace_directory", lambda: 1 / 0)
    result = run("list")
    assert result.exit_code == 3
    assert "ZeroDivisionError" in result.stderr
    assert "the report could not be written" in result.stderr


def test_interruption_is_130(run, monkeypatch):
    """Ctrl-C ends a command quietly."""

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("namel3ss_debug.cli.list.trace_directory", interrupt)
    result = run("list")
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [["inspect"], ["inspect", "--format", "jsonl"], ["analyze", "--format", "json"], ["config"], ["--help"]],
)
def test_a_closed_pipe_is_quiet(trace, program, words):
    """A reader that goes away, as `head` does, leaves no traceback; the status is that of SIGPIPE in a shell."""
    with trace.open("a") as file:
        for number in range(9, 4000):
            event = {
                "event_type": "log_record",
                "event_id": str(number),
                "seq": number - 1,
                "timestamp": 1.8e9,
                "component": "log",
                "metadata": {"message": "x" * 60},
            }
            file.write(json.dumps(event) + "\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*program, *words], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    "words", ["--help", "config", "list", "list --format json", "inspect", "replay", "analyze --format json"]
)
def test_an_answer_for_which_there_is_no_room_is_one_line(trace, program, words):
    """A full disk is no bug of the debugger, at the first write or the last, and has a status that is not that of Python's flush."""
    assert trace.exists()
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*program, *words.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (
        2,
        "namel3ss debug: cannot write the answer: No space left on device\n",
    )


@pytest.mark.parametrize(("words", "status"), [("trace app.py", 0), ("inspect no.jsonl", 2)])
def test_a_stderr_without_room_changes_no_status(program, tmp_path, monkeypatch, words, status):
    """Where our line cannot be written, it is left out."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    (tmp_path / "app.py").write_text("print('hello')")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*program, *words.split()], stderr=full, cwd=tmp_path, check=False)
    assert done.returncode == status


def test_a_working_directory_that_is_gone_is_told(program, tmp_path):
    """What needs one says so, and reports no bug."""
    (tmp_path / "app.py").write_text("print('hello')")
    (tmp_path / "gone").mkdir()
    words = shlex.join([*program, "trace", str(tmp_path / "app.py")])
    done = subprocess.run(
        ["/bin/sh", "-c", f"rmdir ../gone; exec {words}"],
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "namel3ss debug: the working directory was removed; change to another\n",
    )


def test_a_bad_setting_is_one_line_and_status_2(run, workspace, monkeypatch):
    """The file, the key, what stands there and what is allowed are named."""
    (workspace / ".namel3ss").mkdir()
    file = workspace / ".namel3ss/debug.json"
    file.write_text('{"level": "loud"}')
    where = "(see namel3ss debug help bad-setting)"
    expected = (
        f'namel3ss debug: {file}: level is "loud", allowed is basic, detailed or comprehensive {where}\n'
    )
    result = run("config")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", expected)
    file.write_text('{"levle": "basic"}')
    assert (
        run("analyze").stderr
        == f"namel3ss debug: {file}: unknown setting 'levle'; did you mean level? {where}\n"
    )
    file.unlink()
    monkeypatch.setenv("NAMEL3SS_DEBUG_SLOW_MS", "soon")
    assert run("list").stderr == (
        'namel3ss debug: NAMEL3SS_DEBUG_SLOW_MS: slow_ms is "soon", '
        f"allowed is a number of milliseconds from 0 {where}\n"
    )


def test_the_package_and_the_table_agree():
    """Every entry of the table is a module of the package."""
    folder = Path(main.__file__).parent
    for target, _ in COMMANDS.values():
        assert (folder / (target.partition(":")[0].rpartition(".")[2] + ".py")).is_file()


def test_a_closed_stderr_changes_nothing_about_the_program(tmp_path):
    """Without a stderr our line is left out, and the program's output and status are its own."""
    program = tmp_path / "app.py"
    program.write_text("print('hello')")
    words = f"exec {quote(sys.executable)} -m namel3ss_debug trace -o t.jsonl app.py 2>&-"
    done = subprocess.run(
        ["/bin/sh", "-c", words], cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("hello\n", 0)


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_lead_nowhere(tmp_path, closed):
    """With stdout closed a command ends as it would, and nothing a program writes there gets into its recording."""
    program, trace = tmp_path / "app.py", tmp_path / "t.jsonl"
    program.write_text("import os\nprint('hello')\nos.write(1, b'hello')")
    for words, status in (
        ("trace -o t.jsonl app.py", 0),
        ("rerun t.jsonl", 0),
        ("analyze t.jsonl", 0),
        ("analyze no.jsonl", 2),
    ):
        command = f"exec {quote(sys.executable)} -m namel3ss_debug {words} {closed}"
        done = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (status, b"")
        assert b"Traceback" not in done.stderr
    types = [json.loads(line)["event_type"] for line in trace.read_text().splitlines()]
    assert [each for each in types if each != "output"] == ["trace_start", "trace_end"]


@pytest.mark.parametrize("fails", [False, True])
def test_garbage_is_looked_for_as_before_when_a_command_is_over(fails):
    """While it runs this is done seldom; whoever calls it from a program of theirs is left nothing of that."""
    before, meanwhile = gc.get_threshold(), []

    def command():
        meanwhile.append(gc.get_threshold())
        if fails:
            raise KeyboardInterrupt

    boundary.run(command)
    assert meanwhile[0][0] > before[0]
    assert gc.get_threshold() == before


@pytest.mark.parametrize(
    "words",
    ["analyze {}", "trace {}.py", "trace {}:main", "list {}", "doctor {}"],
)
def test_a_path_that_the_system_refuses_is_no_bug(run, words):
    """One line and status 2, whoever looks at it first."""
    result = run(*words.format("n" * 300).split())
    assert result.exit_code == 2
    if sys.version_info < (3, 14):  # from then on it is, for `pathlib`, one that is not there
        assert result.stderr.startswith("namel3ss debug: cannot use ")
        assert "File name too long (see namel3ss debug help wrong-usage)" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["latin-1", "ascii:surrogateescape"])
@pytest.mark.parametrize("words", ["report", "inspect", "list"])
def test_a_character_that_a_terminal_lacks_shows_its_number(trace, workspace, words, encoding):
    """Whatever its encoding is, and however it deals with what it lacks."""
    trace.write_text(
        trace.read_text().replace("the service is down", "the service is \u5931\u8d25 " + "x" * 90)
    )
    done = subprocess.run(
        [sys.executable, "-m", "namel3ss_debug", *words.split()],
        cwd=workspace, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert words != "report" or encoding != "latin-1" or b"is \\u5931\\u8d25" in done.stdout


def test_what_the_system_says_of_no_path_is_a_bug(monkeypatch, tmp_path, capsys):
    """As any failure that nobody expected, it leaves a report."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for error, status in (
        (PermissionError(13, "Permission denied", "/root/x"), 2),
        (OSError(13, "no"), 3),
        (FileNotFoundError(2, "no", "x"), 3),
    ):
        assert boundary.run(mock.Mock(side_effect=error)) == status
    assert capsys.readouterr().err.startswith("namel3ss debug: cannot use /root/x: Permission denied (see")


def test_the_help_groups_the_commands(run):
    """Each group begins with its first command in the table, so a new row belongs to the group around it."""
    rows = run("--help").stdout.splitlines()
    expected = {heading: rows[rows.index(f"{heading}:") + 1].split()[0] for heading in GROUPS.values()}
    assert expected == {heading: name for name, heading in GROUPS.items()}
    assert [name for name in COMMANDS if any(row.startswith(f"  {name} ") for row in rows)] == list(COMMANDS)
