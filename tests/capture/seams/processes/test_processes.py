"""Processes that a traced program starts know the span they were started in, and the program does not notice."""

import ast
import json
import multiprocessing.spawn
import os
import subprocess
import sys
from pathlib import Path

import pytest

from namel3ss_debug.capture.core.editing import edit_body
from namel3ss_debug.capture.launch import parent as launch
from namel3ss_debug.capture.seams.processes import processes
from namel3ss_debug.traces.unrecorded import take_marks

PROGRAMS = Path(__file__).resolve().parents[3] / "data" / "programs"
BOOT = os.fsencode(processes.BOOT)


@pytest.fixture
def seams(monkeypatch):
    """Hooks as in a traced process: a hidden session, and a current span that the test sets."""
    monkeypatch.setattr(processes, "_hidden", {b"NAMEL3SS_DEBUG_SESSION": b"{}"})
    span = {"id": "14"}
    uninstall = processes.install(lambda: span["id"])
    yield span
    uninstall()


def child(code, **options):
    """What a child process prints, as JSON."""
    return json.loads(subprocess.check_output([sys.executable, "-S", "-c", code], **options))


SEEN = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if 'NAMEL3SS' in k or k == 'PYTHONPATH'}))"


@pytest.mark.parametrize(
    "options", [{}, {"env": None}, {"close_fds": False}, {"env": "copy"}, {"start_new_session": True}]
)
def test_a_child_process_is_told_its_parent_and_its_recording(seams, monkeypatch, options):
    """Whichever way subprocess takes, the environment carries our variables, and os.environ does not."""
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    if options.get("env") == "copy":
        options = {"env": {**os.environ, "PYTHONPATH": "/changed"}}
    seen = child(SEEN, **options)
    paths = seen.pop("PYTHONPATH").split(os.pathsep)
    assert paths == [processes.BOOT, "/changed" if options.get("env") else "/theirs"]
    assert seen == {"NAMEL3SS_DEBUG_SESSION": "{}", "NAMEL3SS_DEBUG_PARENT": "14"}
    assert "NAMEL3SS_DEBUG_SESSION" not in os.environ


def test_a_session_of_its_own_is_kept(seams):
    """A `debug trace` that a traced program starts gives its own program a recording of its own."""
    own = {"NAMEL3SS_DEBUG_SESSION": '{"own": 1}'}
    assert child(SEEN, env={**os.environ, **own}) == own


def test_a_clean_environment_stays_clean(seams):
    """A program that chose each variable itself gets what it chose."""
    output = subprocess.check_output(["/usr/bin/env"], env={"A": "1", "B": "2"}, text=True)
    assert output.split() == ["A=1", "B=2"]


def test_the_environment_that_was_given_is_not_changed(seams):
    """The program's own mapping is as it was after the call."""
    given = dict(os.environ)
    before = dict(given)
    subprocess.run([sys.executable, "-S", "-c", ""], env=given, check=True, close_fds=False)
    assert given == before


def test_outside_a_span_the_parent_of_the_process_itself_is_passed_on(seams, monkeypatch):
    """Between spans a child belongs to the span that its own parent process was started in."""
    seams["id"] = None
    monkeypatch.setitem(processes._hidden, b"NAMEL3SS_DEBUG_PARENT", b"p2.7")
    assert child(SEEN)["NAMEL3SS_DEBUG_PARENT"] == "p2.7"


def test_a_span_that_cannot_be_told_is_left_out(monkeypatch):
    """An error in the tracer does not reach the program, and the child starts."""
    monkeypatch.setattr(processes, "_hidden", {b"NAMEL3SS_DEBUG_SESSION": b"{}"})

    def broken():
        raise RuntimeError("broken")

    uninstall = processes.install(broken)
    try:
        assert "NAMEL3SS_DEBUG_SESSION" not in child(SEEN)
    finally:
        uninstall()


def test_without_a_recording_nothing_is_added(monkeypatch):
    """A tracer in a process that no parent launched leaves the environment of children alone."""
    monkeypatch.setattr(processes, "_hidden", {})
    uninstall = processes.install(lambda: "14")
    try:
        given = [b"A=1"]
        assert processes._environment(given) is given
        assert processes._environment(None) is None
    finally:
        uninstall()


def test_our_variables_are_hidden_from_the_program_but_not_from_its_children(monkeypatch):
    """`os.environ` is free of them; what inherits the C environment still has them."""
    monkeypatch.setattr(processes, "_hidden", {})
    monkeypatch.setenv("NAMEL3SS_DEBUG_SESSION", '{"trace": "t"}')
    monkeypatch.setenv("NAMEL3SS_DEBUG_PARENT", "9")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([processes.BOOT, "/theirs"]))
    assert processes.parent_from_environment(os.environ) == "9"
    processes.hide()
    assert "NAMEL3SS_DEBUG_SESSION" not in os.environ
    assert os.environ["PYTHONPATH"] == "/theirs"
    assert processes.parent_from_environment(os.environ) == "9"
    reading, writing = os.pipe()
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], os.environ)
    os.waitpid(pid, 0)
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 1)
        os.execl("/usr/bin/env", "env")
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as output:
        seen = output.read()
    assert 'NAMEL3SS_DEBUG_SESSION={"trace": "t"}' in seen
    assert "NAMEL3SS_DEBUG_PARENT=9" in seen
    assert os.fsdecode(BOOT) in seen
    os.unsetenv("NAMEL3SS_DEBUG_SESSION")
    os.unsetenv("NAMEL3SS_DEBUG_PARENT")


def test_preparation_data_carries_the_span_and_prepare_reads_it(seams):
    """A process of the fork server, which is older than the span, is told with its preparation data."""
    adopted = []
    uninstall = processes.install(lambda: "p2.5", adopted.append)
    try:
        data = multiprocessing.spawn.get_preparation_data("worker")
        assert data["namel3ss_debug_parent"] == "p2.5"
        multiprocessing.spawn.prepare({"namel3ss_debug_parent": "p2.5"})
        multiprocessing.spawn.prepare({})
    finally:
        uninstall()
    assert adopted == ["p2.5"]


def test_the_edited_functions_are_the_same_functions(seams):
    """Name, lines, signature and variables of the standard library's functions stay."""
    for function in (
        subprocess.Popen._execute_child,
        subprocess.Popen._posix_spawn,
        multiprocessing.util.spawnv_passfds,
        multiprocessing.spawn.get_preparation_data,
        multiprocessing.spawn.prepare,
    ):
        code = function.__code__
        lines = Path(code.co_filename).read_text().splitlines()
        assert f"def {function.__name__}(" in lines[code.co_firstlineno - 1]
        assert function.__qualname__.endswith(code.co_qualname)
        assert any(name.startswith("_namel3ss_") for name in code.co_names), function


def test_a_function_whose_source_is_missing_is_left_alone():
    """Without a source that fits, nothing is edited."""
    namespace = {}
    exec(compile("def f():\n    return 1", "/no/such/file.py", "exec"), namespace)
    code = namespace["f"].__code__
    assert edit_body(namespace["f"], {}, ast.NodeTransformer()) is None
    assert namespace["f"].__code__ is code


WORKERS = f"""
import multiprocessing, os, sys
sys.path.insert(0, {str(launch.BOOT.parents[2])!r})
from namel3ss_debug.capture.seams.processes import processes
def end():
    os.write(1, b"end ")
processes.at_end_of_forked_workers(end)
def work():
    os.write(1, b"work ")
if __name__ == "__main__":
    worker = multiprocessing.get_context(sys.argv[1]).Process(target=work)
    worker.start()
    worker.join()
    os.write(1, b"done")
"""


@pytest.mark.parametrize(("method", "output"), [("fork", "work end done"), ("spawn", "work done")])
def test_the_end_of_a_forked_worker_is_told(tmp_path, method, output):
    """A forked worker ends without atexit and is told of; a spawned one has atexit."""
    program = tmp_path / "program.py"
    program.write_text(WORKERS)
    assert subprocess.check_output([sys.executable, str(program), method], text=True) == output


def launched(tmp_path, *words):
    """The notes of each process of a program that runs under the parent and the runner."""
    notes = tmp_path / "notes"
    session = {"trace": str(notes), "execution_id": "0", "settings": {}, "root": str(PROGRAMS)}
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from namel3ss_debug.capture.launch.parent import launch, leave, resolve_target\n"
        "leave(launch(resolve_target(sys.argv[3:]), session=json.loads(sys.argv[2])))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROGRAMS / "stand_in")}
    command = [sys.executable, "-c", code, str(launch.BOOT.parents[2]), json.dumps(session), *words]
    result = subprocess.run(
        command,
        cwd=PROGRAMS,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.stderr == ""
    return notes.read_text().splitlines()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["workers.py", "fork"], {"main None": 1}),
        (["workers.py", "spawn"], {"main None": 1, "grandchild 14": 3, "adopted 14": 3}),
        (["workers.py", "forkserver"], {"main None": 1, "grandchild 14": 1, "adopted 14": 3}),
        (["pool.py"], {"main None": 1, "grandchild 14": 1, "adopted 14": 1}),
        (["children.py"], {"main None": 1, "grandchild 14": 6}),
        (["children.py", "-I"], {"main None": 1, "grandchild 14": 1}),
        (["children.py", "-S"], {"main None": 1, "grandchild 14": 1}),
        (["children.py", "-E"], {"main None": 1, "grandchild 14": 1}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_python_process_starts_recording_in_its_span(tmp_path, words, expected):
    """Spawned, forkserver and subprocess children record under their parent; `-I -S -E` ones are let alone."""
    notes = launched(tmp_path, *words)
    assert {note: notes.count(note) for note in notes} == expected


@pytest.mark.parametrize(
    ("target", "sampled", "marks"), [("app.py", True, 1), ("app.py", False, 0), ("app.ai", True, 0)]
)
def test_a_python_without_our_dependencies_runs_silently_and_leaves_a_mark(tmp_path, target, sampled, marks):
    """What it lacks stands beside the recording, if there is one; tools of an app are never in it."""
    first = tmp_path / "t.jsonl"
    session = {"trace": str(first), "execution_id": "e1", "sampled": sampled, "target": target}
    environment = launch.child_environment(os.environ, session)
    command = [sys.executable, "-c", "print('runs')"]
    broken = tmp_path / "orjson.py"
    broken.write_text("raise ImportError('not for this Python')")
    environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "runs\n", "")
    told = f"a process of {sys.executable} was not recorded (not for this Python): "
    assert [text.startswith(told) for text in take_marks(first, "e1")] == [True] * marks


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("theirs = 1", "theirs 1"),
        (None, "none"),
        ("raise ValueError('wrong')", "none"),
        ("raise ImportError('x', name='sitecustomize')", "none"),
    ],
)
def test_a_sitecustomize_that_ours_hides_is_run(tmp_path, text, says):
    """The program finds its own `sitecustomize`, or none, and its errors are reported as `site` reports them."""
    if text is not None:
        (tmp_path / "sitecustomize.py").write_text(text)
    code = (
        "import sys\n"
        "try:\n  import sitecustomize\n  print('theirs', sitecustomize.theirs)\n"
        "except (ImportError, ValueError, AttributeError): print('none')"
    )
    outputs = []
    for first in ([], [processes.BOOT]):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*first, str(tmp_path)])}
        environment.pop("NAMEL3SS_DEBUG_SESSION", None)
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        outputs.append((result.stdout, result.stderr))
    assert outputs[0] == outputs[1]
    assert outputs[1][0] == f"{says}\n"
