"""A program runs under the parent and the runner as it runs under plain `python`."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest

from namel3ss_debug.capture.launch import parent as launch
from namel3ss_debug.capture.launch.parent import resolve_target
from namel3ss_debug.errors import TargetError

ROOT = Path(launch.__file__).resolve().parents[3]
PROGRAMS = Path(__file__).resolve().parents[2] / "data" / "programs"

PARENT = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
from namel3ss_debug.capture.launch.parent import launch, leave, resolve_target
session, module, words = json.loads(sys.argv[1]), sys.argv[2] == "-m", sys.argv[3:]
target = resolve_target(words, module=module, run_args=session.pop("run_args", None))
session["root"] = str(target.root)
leave(launch(target, session=session))
"""


@pytest.fixture
def notes(tmp_path):
    """The file where the stand-in for recording notes each process that it was started in."""
    return tmp_path / "notes"


def environment(**more):
    """The environment of both runs: with the stand-in, and without colours in tracebacks."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "NAMEL3SS", "COV", "PYTEST"))}
    return {**kept, "PYTHONPATH": str(PROGRAMS / "stand_in"), "PYTHON_COLORS": "0", **more}


def plain_command(*words, module=False):
    """The command line of plain Python."""
    return [sys.executable, *(["-m"] if module else []), *words]


def traced_command(notes, *words, module=False, **session):
    """The command line of a parent that launches the program."""
    text = json.dumps({"trace": str(notes), "execution_id": "0", "settings": {}, **session})
    return [sys.executable, "-c", PARENT, text, "-m" if module else "", *words]


def wait_until_it_waits(line):
    """Return when the process that wrote `ready PID` sleeps in the call it was about to make."""
    process = psutil.Process(int(line.removeprefix("ready ")))
    while process.status() != psutil.STATUS_SLEEPING:
        os.sched_yield()


def run(command, *, stdin="", cwd=PROGRAMS, **env):
    """Status, stdout and stderr of a command."""
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment(**env), input=stdin, check=False
    )
    return result.returncode, result.stdout, result.stderr


def run_both(notes, *words, module=False, **options):
    """The same program, plain and traced."""
    return (
        run(plain_command(*words, module=module), **options),
        run(traced_command(notes, *words, module=module), **options),
    )


@pytest.mark.parametrize(
    ("words", "returncode"),
    [
        (["exit3.py"], 3),
        (["exit_message.py"], 1),
        (["raises.py"], 1),
        (["./raises.py"], 1),
        (["../programs/raises.py"], 1),
        (["recursion.py"], 0),
        (["os_exit.py"], 4),
        (["workers.py", "fork"], 0),
        (["workers.py", "spawn"], 0),
        (["workers.py", "forkserver"], 0),
        (["pool.py"], 0),
        (["-m", "pkg", "one", "--two"], 0),
        (["-m", "pkg", "fail"], 1),
        (["-m", "no_such_module"], 1),
        (["folder", "x"], 1),
        (["click_app.py", "greet", "you", "--times", "2"], 0),
        (["click_app.py", "greet", "nobody"], 1),
        (["click_app.py", "--nonsense"], 2),
        (["aio_exit.py"], 6),
        (["source.py"], 0),
        (["reads.py"], 0),
        (["children.py"], 9),
        (["children.py", "-I"], 9),
        (["popen_fails.py"], 0),
        (["namespace.py", "a", "-b"], 0),
        (["syntax_error.py"], 1),
        (["imports_bad.py"], 1),
        (["hooks.py", "own"], 1),
        (["hooks.py", "broken"], 1),
        (["hooks.py", "leaving"], 11),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_program_writes_and_ends_as_under_plain_python(notes, words, returncode):
    """stdout, stderr and the exit status are those of plain Python, to the byte."""
    module = words[0] == "-m"
    plain, traced = run_both(notes, *words[module:], module=module, stdin="one\ntwo\n")
    assert plain[0] == returncode
    assert traced == plain
    assert notes.read_text().startswith("main None\n")


def test_a_spawned_process_without_a_guard_fails_as_under_plain_python(notes):
    """The traceback of the error that beginners make shows none of our frames."""
    plain, traced = run_both(notes, "unguarded.py")
    assert "bootstrapping phase" in plain[2]
    assert traced == plain


def test_a_safe_path_is_respected(notes):
    """With PYTHONSAFEPATH no folder is put on sys.path."""
    plain, traced = run_both(notes, "namespace.py", PYTHONSAFEPATH="1")
    assert traced == plain


def test_an_archive_runs(notes, tmp_path):
    """A zip file with __main__.py runs, and its traceback is that of plain Python."""
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        for name in ("__main__.py", "near.py"):
            archive.write(PROGRAMS / "folder" / name, name)
    plain, traced = run_both(notes, str(tmp_path / "app.pyz"))
    assert plain[0] == 1
    assert traced == plain


def test_a_link_to_a_script_finds_the_modules_beside_the_script(notes, tmp_path):
    """sys.path[0] is the folder of the file, not of the link."""
    (tmp_path / "link.py").symlink_to(PROGRAMS / "imports_bad.py")
    plain, traced = run_both(notes, "link.py", cwd=tmp_path)
    assert "bad_module.py" in plain[2]
    assert traced == plain


@pytest.mark.parametrize(
    ("words", "to_group", "number"),
    [
        (["waits.py"], True, signal.SIGINT),
        (["waits.py"], False, signal.SIGTERM),
        (["waits.py"], True, signal.SIGTERM),
        (["waits.py"], False, signal.SIGHUP),
        (["waits.py"], False, signal.SIGUSR1),
        (["waits.py"], True, signal.SIGQUIT),
        (["waits.py", "handle"], False, signal.SIGTERM),
        (["aio_waits.py"], True, signal.SIGINT),
    ],
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_a_signal_does_what_it_does_under_plain_python(notes, words, to_group, number):
    """A signal to the parent, or to the group as the terminal sends it, gives the same output and end."""

    def interrupted(command):
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROGRAMS,
            env=environment(),
            start_new_session=True,
        ) as process:
            wait_until_it_waits(process.stdout.readline())
            (os.killpg if to_group else os.kill)(process.pid, number)
            out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    plain = interrupted(plain_command(*words))
    assert plain[0] == (7 if "handle" in words else -number)
    assert interrupted(traced_command(notes, *words)) == plain


def test_a_signal_that_the_shell_ignores_stays_ignored(notes):
    """Under nohup the program ignores SIGHUP, traced or not."""
    text = "import signal, sys; sys.stdout.write(str(signal.getsignal(signal.SIGHUP)))"
    program = notes.parent / "program.py"
    program.write_text(text)
    outer = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    plain = run([sys.executable, "-c", outer, *plain_command(str(program))])
    assert plain == (0, str(signal.SIG_IGN), "")
    assert run([sys.executable, "-c", outer, *traced_command(notes, str(program))]) == plain


def test_ctrl_c_at_a_terminal_reaches_the_program_once(notes):
    """On a terminal the program sees the terminal, reads from it, and is interrupted by Ctrl-C."""

    def talk(command):
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(PROGRAMS)
            os.execve(command[0], command, environment())
        seen = b""

        def expect(text):
            nonlocal seen
            while text not in seen:
                assert select.select([terminal], [], [], 60)[0], seen
                seen += os.read(terminal, 4096)

        expect(b"name? ")
        os.write(terminal, b"Ada\n")
        expect(b"more? ")
        wait_until_it_waits(seen.decode().splitlines()[0])
        os.write(terminal, b"\x03")
        expect(b"interrupted")
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        return os.waitstatus_to_exitcode(status), seen.rstrip().splitlines()[1:]

    plain = talk(plain_command("terminal.py"))
    assert plain[0] == 5
    assert talk(traced_command(notes, "terminal.py")) == plain


def test_descriptors_that_the_shell_opened_stay_open(notes):
    """A descriptor that is inherited by plain Python is inherited by the traced program."""

    def read(command):
        reading, writing = os.pipe()
        os.write(writing, b"through a pipe")
        os.close(writing)
        words = [*command, f"/dev/fd/{reading}"]
        result = subprocess.run(
            words, capture_output=True, cwd=PROGRAMS, env=environment(), pass_fds=[reading], check=False
        )
        os.close(reading)
        return result.returncode, result.stdout, result.stderr

    plain = read(plain_command("descriptors.py"))
    assert b"through a pipe" in plain[1]
    assert read(traced_command(notes, "descriptors.py")) == plain


def test_a_failure_to_record_is_one_line_and_the_program_runs(notes):
    """Recording that cannot start changes nothing but one line on stderr."""
    status, out, err = run(traced_command(notes, "exit3.py", settings={"broken": True}))
    assert (status, out) == (3, "before\n")
    assert err == "namel3ss debug: not recording: RuntimeError: no recording today\n"


def test_a_failure_to_record_ends_a_program_that_was_to_run_on_a_recording(notes):
    """Nothing would answer its calls, so they would be made for real."""
    status, out, err = run(traced_command(notes, "exit3.py", settings={"broken": True}, offline=True))
    assert (status, out) == (1, "")
    assert err == "namel3ss debug: not recording: RuntimeError: no recording today\n"


@pytest.mark.parametrize(
    ("word", "run_args", "status", "out"),
    [
        ("functions:add", {"a": 1}, 0, "3\n"),
        ("functions:later", {"text": "soon"}, 0, "later soon\n"),
        ("functions:leaves", None, 8, ""),
        ("pkg.helper:agreet", None, 0, "hello nobody\n"),
    ],
)
def test_a_function_is_called_with_the_arguments_given(notes, word, run_args, status, out):
    """`module:function` calls a plain or an async function, and its result is no exit status."""
    assert run(traced_command(notes, word, run_args=run_args)) == (status, out, "")


def test_a_function_that_raises_shows_its_own_frames_only(notes):
    """The traceback of a function begins in the function."""
    status, _, err = run(traced_command(notes, "functions:fails"))
    assert status == 1
    assert err.splitlines()[1].startswith(f'  File "{PROGRAMS / "functions.py"}"')
    assert err.endswith("ValueError: no\n")


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("nowhere:f", "there is no module nowhere for nowhere:f: run from the folder that holds it"),
        ("functions:ad", "functions has no function ad; did you mean add?"),
        ("functions:nothing", "functions has no function nothing; it has add, fails, later, leaves"),
        ("functions:__name__", "__name__ of functions is no function, it is of type str"),
    ],
)
def test_a_function_that_is_not_there_is_one_line(notes, word, what):
    """A missing module or function ends with status 2 and says so."""
    assert run(traced_command(notes, word)) == (2, "", f"namel3ss debug: {what}\n")


@pytest.fixture
def project(tmp_path):
    """A folder with one program of each kind."""
    for name in (
        "app.py",
        "flow.ai",
        "both.py",
        "both.ai",
        "tool/__init__.py",
        "run/__main__.py",
        "sub/deep.py",
        "notes.ipynb",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (tmp_path / "bare").mkdir()
    return tmp_path.resolve()


@pytest.mark.parametrize(
    ("words", "module", "kind", "value", "root"),
    [
        (["app.py", "x"], False, "script", "app.py", "."),
        (["app"], False, "script", "app.py", "."),
        (["both"], False, "script", "both.py", "."),
        (["flow"], False, "app", "flow.ai", "."),
        (["both.ai"], False, "app", "both.ai", "."),
        (["tool"], False, "module", "tool", "."),
        (["run"], False, "script", "run", "."),
        (["sub/deep.py"], False, "script", "sub/deep.py", "."),
        (["tool.x"], True, "module", "tool.x", "."),
        (["tool.x:Agent.run"], False, "function", "tool.x:Agent.run", "."),
    ],
    ids=str,
)
def test_a_target_is_what_it_looks_like(project, words, module, kind, value, root):
    """A file, a folder, a bare name, a module and a function are told apart; the rest is the program's."""
    target = resolve_target(words, module=module, cwd=project)
    assert (target.kind, target.value, target.argv) == (kind, value, tuple(words[1:]))
    assert target.root == (project / root).resolve()


@pytest.mark.parametrize("word", ["{}/app.py", "../app.py", "../flow.ai", "{}/flow.ai"])
def test_a_script_elsewhere_has_its_own_root(project, word):
    """For a script or an app outside the working directory the user's code is what lies beside it."""
    target = resolve_target([word.format(project)], cwd=project / "sub")
    assert target.root == project


def test_an_installed_command_runs_the_code_of_the_working_directory(project):
    """A command in the `bin` of an environment holds nothing of the user's, unlike a script in a folder of that name."""
    folder = project / "environment" / "bin"
    folder.mkdir(parents=True)
    for name in ("my-agent", "agent.py"):
        (folder / name).touch()
    here = project / "sub"
    assert resolve_target([str(folder / "my-agent")], cwd=here).root == here.resolve()
    assert resolve_target([str(folder / "agent.py")], cwd=here).root == folder.resolve()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no program: name a file, -m package, or module:function"),
        (["ap.py"], "there is no ap.py in {}; did you mean app.py?"),
        (["ap"], "there is no ap in {}; did you mean app.py?"),
        (["zzz"], "there is no zzz in {}"),
        (["zzz.py"], "there is no zzz.py in {}"),
        (["/nowhere/zzz.py"], "there is no /nowhere/zzz.py"),
        (["sub/dep.py"], "there is no sub/dep.py in {}; did you mean sub/deep.py?"),
        (
            ["python3", "app.py"],
            "python3 is an interpreter: leave it out and name the program alone; --python PATH chooses another one",
        ),
        (
            ["sub/deep.py:main"],
            "sub/deep.py:main names a function by its file; a function is named as module:function, so did you mean sub.deep:main?",
        ),
        (
            ["app.py:Agent.run"],
            "app.py:Agent.run names a function by its file; a function is named as module:function, so did you mean app:Agent.run?",
        ),
        (
            ["flow", "x"],
            "flow.ai is a namel3ss app, which has no arguments (x): give its flow an input with --run-args",
        ),
        (
            ["notes.ipynb"],
            "notes.ipynb is a notebook, which Python cannot run: trace what runs it, as with -m jupyter execute notes.ipynb",
        ),
        (["bare"], "bare is a folder without __main__.py: name the file to run in it"),
    ],
    ids=str,
)
def test_a_target_that_is_not_there_is_one_line(project, words, message):
    """The message says what, where, and the nearest name there is."""
    with pytest.raises(TargetError) as error:
        resolve_target(words, cwd=project)
    assert str(error.value) == message.format(project)


def test_an_installed_command_is_a_target(project, monkeypatch):
    """A command is found by its name if it is a Python script, and nothing in the folder has the name."""
    commands = project / "bin"
    commands.mkdir()
    for name, head in (
        ("serve", "#!/usr/bin/env python3\n"),
        ("shell", "#!/bin/sh\n"),
        ("app", "#!python3\n"),
    ):
        (commands / name).write_text(head)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(commands))
    (project / "serve").mkdir()  # holds no program
    target = resolve_target(["serve", "app:app"], cwd=project)
    assert (target.kind, target.value, target.argv) == ("script", f"{commands}/serve", ("app:app",))
    assert target.root == project
    assert resolve_target(["app"], cwd=project).value == "app.py"
    with pytest.raises(TargetError, match=r"^shell is no Python program; trace runs Python: a file, "):
        resolve_target(["shell"], cwd=project)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["node", "x.js"], "node is no Python program; "),
        (["x.js"], "x.js is no Python program; "),
        (["ls"], "ls is no Python program; "),
        ([sys.executable], f"{sys.executable} is a binary, and no Python program; "),
    ],
    ids=["node", "a script", "a command", "a binary"],
)
def test_a_program_of_another_language_is_not_run_as_python(project, words, message):
    """The message says what can be traced."""
    (project / "x.js").write_text("console.log(1)\n")
    with pytest.raises(TargetError) as error:
        resolve_target(words, cwd=project)
    assert str(error.value).startswith(message)
    assert str(error.value).endswith(
        "trace runs Python: a file, -m MODULE, module:function, an installed Python command, or a namel3ss app (.ai)"
    )


@pytest.mark.parametrize("shebang", [b"", b"#!/usr/bin/env python3\n"])
def test_an_archive_is_no_binary(project, shebang):
    """Python runs archives, also behind a first line for the shell, and compiled modules."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("__main__.py", "print(1)")
    (project / "archive").write_bytes(shebang + content.getvalue())
    assert resolve_target(["archive"], cwd=project).kind == "script"
    (project / "tool.pyc").write_bytes(b"\0\0")
    assert resolve_target(["tool.pyc"], cwd=project).kind == "script"


HEADS = (
    "#!{}\n",
    "#!/bin/sh\n'''exec' {} \"$0\" \"$@\"\n' '''\n",
    "#!/bin/sh\n'''exec' \"{}\" \"$0\" \"$@\"\n' '''\n",
)


@pytest.mark.parametrize("head", HEADS)
def test_a_command_of_another_interpreter_names_it(head, project, monkeypatch):
    """What it imports is installed there; --python chooses it."""
    other = project / "env" / "bin"
    other.mkdir(parents=True)
    (other / "python3").symlink_to(sys.executable)
    (other / "serve").write_text(head.format(other / "python3"))
    (other / "serve").chmod(0o755)
    monkeypatch.setenv("PATH", str(other))
    target = resolve_target(["serve"], cwd=project)
    with pytest.raises(
        TargetError, match=f"is installed for {other}/python3: .* give --python {other}/python3$"
    ):
        launch.find_python(None, target)


def test_run_args_without_a_function_are_an_error(project):
    """Keyword arguments only make sense for a function."""
    with pytest.raises(TargetError, match="leave them out"):
        resolve_target(["app.py"], cwd=project, run_args={"a": 1})


def test_an_interpreter_that_is_not_there_is_one_line():
    """A wrong --python is said before anything runs."""
    with pytest.raises(TargetError, match="there is no Python at /no/such/python"):
        launch.find_python("/no/such/python")


def test_an_interpreter_that_cannot_record_is_one_line(tmp_path):
    """A Python without our dependencies is said before anything runs, with what it lacks."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    with pytest.raises(TargetError, match=r"cannot record \(No module named '\w+'.*\): install"):
        launch.find_python(str(python))


def test_an_interpreter_that_does_not_start_says_why_in_its_first_line(tmp_path):
    """What is no traceback of Python says first what is wrong, as the stand-ins of pyenv do."""
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\necho '  Note: more' >&2\nexit 127\n"
    )
    python.chmod(0o755)
    with pytest.raises(TargetError, match=r"cannot record \(pyenv: python3.12: command not found\)"):
        launch.find_python(str(python))


def test_an_interpreter_that_writes_no_text_is_one_line(tmp_path):
    """What is no UTF-8 in its message is told as well as it can be."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nprintf 'fran\\347ais' >&2\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(TargetError, match=r"cannot record \(fran\ufffdais\)"):
        launch.find_python(str(python))


def test_the_environment_of_the_child_gets_the_hook_and_the_session():
    """PYTHONPATH keeps the user's folders behind ours, and nothing else changes without being asked for."""
    environ = {"PYTHONPATH": "/theirs", "A": "1", "NAMEL3SS_DEBUG_PARENT": "9"}
    made = launch.child_environment(environ, {"trace": "t"})
    assert made == {
        "PYTHONPATH": os.pathsep.join([str(launch.BOOT), "/theirs"]),
        "A": "1",
        "NAMEL3SS_DEBUG_SESSION": '{"trace": "t"}',
    }
    session = {"sampled": True, "randomness": {"hash_seed": 5}}
    assert launch.child_environment({}, session)["PYTHONHASHSEED"] == "5"
