"""Switching tracing on and off."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from namel3ss_debug.capture.core import switch
from namel3ss_debug.capture.launch.session import new_session
from namel3ss_debug.capture.launch.start import initialize_tracing, shutdown_tracing
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import SettingError, WrongUsageError
from namel3ss_debug.traces.events import FORMAT_VERSION
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.traces.store import find_trace

PROGRAMS = Path(__file__).parents[2] / "data" / "programs_sdk"


def run(program, folder, **environment):
    """Run Python code in a folder."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | environment,
        check=False,
        timeout=60,
    )


def test_shutdown_gives_the_path_and_switches_off(tracing):
    """After it nothing is recorded, and nothing of the patches is left."""
    start = threading.Thread.start
    tracing()
    assert threading.Thread.start is not start
    path = shutdown_tracing()
    assert path.exists()
    assert switch.ACTIVE is None
    assert threading.Thread.start is start
    assert shutdown_tracing() is None


def test_what_the_program_has_put_in_the_place_of_a_start_stays(tracing, monkeypatch):
    """As another tool that follows threads does, while a recording runs."""
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    tracing()
    recorded = threading.Thread.start

    def start(self):
        recorded(self)

    threading.Thread.start = start
    shutdown_tracing()
    assert threading.Thread.start is start


def test_a_thread_that_cannot_be_started_shows_no_frame_of_ours(tracer):
    """Here because it was started before; a system that has no room for it says so in the same way."""
    thread = threading.Thread()
    thread.start()
    thread.join()
    with pytest.raises(RuntimeError) as caught:
        thread.start()
    assert [entry.path for entry in caught.traceback] == [Path(__file__), Path(threading.__file__)]


def test_a_span_that_was_left_open_belongs_to_its_own_recording(tracing):
    """A later one in the same process begins outside of everything, though its ids are the same."""
    tracing().span("agent", "left").enter()
    shutdown_tracing()
    with tracing().span("tool", "first"):
        pass
    _start, first, _end, _trace_end = open_trace(shutdown_tracing()).events()
    assert (first["component_name"], first.get("parent_event_id")) == ("first", None)


def test_a_wrong_setting_given_by_the_program_is_its_error(tmp_path):
    """A keyword that is no setting is raised where it was written."""
    with pytest.raises(SettingError, match="unknown setting 'levle'"):
        initialize_tracing(trace_output_dir=str(tmp_path), levle="basic")
    assert switch.ACTIVE is None


def test_a_wrong_setting_in_the_file_is_one_warning(tmp_path):
    """The program runs on, with what it asked for itself, and with the settings that are right."""
    (tmp_path / ".namel3ss").mkdir()
    (tmp_path / ".namel3ss" / "debug.json").write_text('{"levle": 1, "trace_output_dir": "runs"}')
    done = run("import namel3ss_debug as n; n.initialize_tracing(); print(n.shutdown_tracing())", tmp_path)
    assert (done.stdout.startswith(f"{tmp_path}/runs/"), done.returncode) == (True, 0)
    assert done.stderr.count("\n") == 1
    assert "unknown setting 'levle'; did you mean level?; it is ignored" in done.stderr


@pytest.mark.parametrize(
    ("content", "environment"),
    [
        ('{"redact_patterns": {"ticket": "T-("}}', {}),
        ('{"redact_keys": ["email"],}', {}),
        ("{}", {"NAMEL3SS_DEBUG_REDACT_KEY": "email"}),
    ],
)
@pytest.mark.parametrize("start", ["import namel3ss_debug.auto", "n.initialize_tracing()"])
def test_where_it_is_not_known_what_is_secret_nothing_is_recorded(tmp_path, start, content, environment):
    """A mistake in what says what must not be written is one warning, and no file is made."""
    (tmp_path / ".namel3ss").mkdir()
    (tmp_path / ".namel3ss" / "debug.json").write_text(content)
    program = f"import namel3ss_debug as n; {start}; print(n.get_global_tracer().enabled)"
    done = run(program, tmp_path, NAMEL3SS_DEBUG_ENABLED="1", **environment)
    assert (done.stdout, done.returncode) == ("False\n", 0)
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("; nothing is recorded\n")
    assert not (tmp_path / "debug").exists()


def test_a_wrong_recording_to_join_in_the_environment_is_one_warning(tmp_path):
    """The program runs on without being recorded; what it gives itself is its error."""
    program = "import namel3ss_debug as n; n.initialize_tracing(); print(n.get_global_tracer().enabled)"
    done = run(program, tmp_path, NAMEL3SS_DEBUG_JOIN="notes.txt")
    assert (done.stdout, done.returncode) == ("False\n", 0)
    assert done.stderr.endswith("choose a file name that ends with .jsonl; nothing is recorded\n")
    with pytest.raises(WrongUsageError, match="cannot join"):
        initialize_tracing(trace_output_dir=str(tmp_path), join="notes.txt")


def test_auto_follows_the_configuration(tmp_path):
    """Importing `namel3ss_debug.auto` traces where `enabled` says so, and is silent where not."""
    program = "import namel3ss_debug.auto, namel3ss_debug as n; print(n.get_global_tracer().enabled)"
    assert run(program, tmp_path).stdout == "False\n"
    assert not (tmp_path / "debug").exists()
    assert run(program, tmp_path, NAMEL3SS_DEBUG_ENABLED="1").stdout == "True\n"
    events = list(open_trace(find_trace(None, tmp_path / "debug" / "traces")).events())
    assert [event["event_type"] for event in events] == ["trace_start", "trace_end"]


@pytest.mark.parametrize(
    "also", ["", "from tools_of_mine import get_weather, get_time\n"], ids=["here", "a module"]
)
def test_from_inside_the_tools_of_an_unmodified_program_are_seen(tmp_path, model_environment, also):
    """The functions that stand in the script itself, or in a module that it has imported before, are calls of tools."""
    program = (PROGRAMS / "anthropic_tools.py").read_text()
    if also:
        functions = program[program.index("def get_weather") : program.index("def main")]
        (tmp_path / "tools_of_mine.py").write_text(functions)
        program = program.replace(functions, "")
    (tmp_path / "agent.py").write_text(f"{also}import namel3ss_debug.auto\n{program}")
    environment = model_environment | {"NAMEL3SS_DEBUG_ENABLED": "1"}
    subprocess.run([sys.executable, "agent.py"], cwd=tmp_path, env=environment, check=True, timeout=60)
    events = list(open_trace(find_trace(None, tmp_path / "debug" / "traces")).events())
    calls = [e for e in events if e["event_type"] == "tool_call_start"]
    assert [e["component_name"] for e in calls] == ["get_weather", "get_weather", "get_time"]
    defined = [e["metadata"]["defined_at"].partition(":")[0] for e in calls]
    assert defined == ["tools_of_mine.py" if also else "agent.py"] * 3
    assert all(e["inputs"]["call_id"] for e in calls)


STARTING = """
import multiprocessing, os, subprocess, sys
import namel3ss_debug.auto
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def double(number):
    return 2 * number

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.map(double, [4])
    subprocess.run([sys.executable, "other.py"], check=True)
    namel3ss_debug.shutdown_tracing()
    subprocess.run([sys.executable, "other.py"], check=True)
    print(sorted(name for name in os.environ if name.startswith("NAMEL3SS") or name == "PYTHONPATH"))
"""
OTHER = """
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def triple(number):
    return 3 * number

triple(4)
"""


def test_processes_that_are_started_from_inside_go_on_with_the_recording(tmp_path):
    """Workers of multiprocessing and what `subprocess` starts, until the recording ends; the program's environment is its own."""
    (tmp_path / "app.py").write_text(STARTING)
    (tmp_path / "other.py").write_text(OTHER)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env=environment | {"NAMEL3SS_DEBUG_ENABLED": "1"},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "['NAMEL3SS_DEBUG_ENABLED']\n"
    events = list(open_trace(find_trace(None, tmp_path / "debug" / "traces")).events())
    calls = [e["component_name"] for e in events if e["event_type"] == "tool_call_end"]
    assert calls == ["double", "triple"]
    assert len({e["metadata"]["pid"] for e in events if e["event_type"] == "trace_start"}) == 3


def test_trace_start_tells_where_the_recording_was_made(tracing):
    """Versions, process, settings and packages stand in the first line."""
    tracing(level="basic", max_payload_size=100)
    metadata = next(iter(open_trace(shutdown_tracing()).events()))["metadata"]
    assert metadata["format"] == FORMAT_VERSION
    assert metadata["pid"] == os.getpid()
    assert metadata["settings"]["level"] == "basic"
    assert metadata["packages"]["orjson"]
    assert metadata["python"].count(".") == 2


def test_a_recording_is_written_over_and_anything_else_is_not(tmp_path):
    """With -o an older recording of ours makes room, segments and all; a foreign file is refused."""
    output = tmp_path / "run.jsonl"
    output.write_text('{"event_type":"trace_start","execution_id":"x"}\n')
    (tmp_path / "run.p1.jsonl").write_text('{"event_type":"trace_start","execution_id":"x"}\n')
    (tmp_path / "runner.jsonl").write_text("other")
    new_session(DebugConfiguration(), output=output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runner.jsonl"]
    output.write_text("precious")
    with pytest.raises(WrongUsageError, match="will not overwrite"):
        new_session(DebugConfiguration(), output=output)
    assert output.read_text() == "precious"
    with pytest.raises(WrongUsageError, match=r"ends with \.jsonl"):
        new_session(DebugConfiguration(), output=tmp_path / "run.txt")


def test_what_is_told_at_the_end_holds_nothing_that_a_terminal_obeys(tmp_path):
    """It may hold a name out of a recording; a very long one is cut."""
    program = "import namel3ss_debug as d; t = d.initialize_tracing(); t.emit('performance_marker', component='app'); "
    for name, told in (("\\x1b[31mRed", r"\x1b[31mRed"), ("é", "é")):
        ended = run(f"{program}t.problem('no {name}')", tmp_path)
        assert ended.stderr == f"namel3ss debug: while recording: no {told}\n"
    assert len(run(f"{program}t.problem('x' * 9999)", tmp_path).stderr) < 600


@pytest.mark.parametrize(
    ("words", "stdin", "target"),
    [
        (["agent.py", "x"], None, "agent.py"),
        (["-m", "agent"], None, "-m agent"),
        (["-m", "package"], None, "-m package"),
        (["folder"], None, "folder"),
        (["-c", "import agent"], None, ""),
        ([], "import agent", ""),
        (["-i"], "import agent", ""),
    ],
    ids=str,
)
def test_a_recording_from_inside_names_its_program(tmp_path, words, stdin, target):
    """As `debug trace` would be given it; what was typed or given as a text is none."""
    begin = "import namel3ss_debug\nnamel3ss_debug.initialize_tracing()\nnamel3ss_debug.shutdown_tracing()\n"
    for name in ("agent.py", "package/__main__.py", "folder/__main__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(begin)
    (tmp_path / "package" / "__init__.py").touch()
    subprocess.run([sys.executable, *words], input=stdin, text=True, cwd=tmp_path, check=True, timeout=60)
    first = next(open_trace(find_trace(None, tmp_path / "debug" / "traces")).events())
    assert first["metadata"]["target"] == target


def test_a_recording_of_a_notebook_names_its_file(tmp_path):
    """Jupyter and Visual Studio Code tell their kernels which notebook they run; a session of another kind has no file."""
    begin = "import namel3ss_debug; namel3ss_debug.initialize_tracing()"
    notebook = "/home/me/agent.ipynb"
    for told, variable, target in ((notebook, "", notebook), ("console-1", "", ""), ("", notebook, notebook)):
        program = f"__vsc_ipynb_file__ = {variable!r}; {begin}"
        assert run(program, tmp_path, JPY_SESSION_NAME=told).returncode == 0
        first = next(open_trace(find_trace(None, tmp_path / "debug" / "traces")).events())
        assert first["metadata"]["target"] == target


COUNT = """\
import multiprocessing
import sys


def work(names):
    names.put([*sys.modules])


if __name__ == "__main__":
    for name in sys.modules:
        print("main", name)
    spawning = multiprocessing.get_context("spawn")
    names = spawning.SimpleQueue()
    worker = spawning.Process(target=work, args=(names,))
    worker.start()
    for name in names.get():
        print("worker", name)
    worker.join()
"""
MORE_MODULES = {"main": 190, "worker": 165}
"""How many modules more than an untraced program has a traced one, and a worker that it spawns, which once had 257."""

LATE = {"asyncio", "email", "logging", "ssl", "wrapt", "traceback", "http", "concurrent.futures"} | {
    f"namel3ss_debug.{each}"
    for each in (
        *("wire.contract", "wire.values", "capture.frameworks.structure", "capture.seams.http.exchanges"),
        *("capture.seams.mcp.connections", "capture.seams.logs.loggers", "traces.redaction.growing"),
    )
}
"""What only programs need that use such a library, answer a call, or fail."""


def test_a_traced_program_and_its_workers_load_what_they_use(tmp_path):
    """The seams of libraries that are not imported stay on the disk, so a start and a worker cost little."""
    (tmp_path / "count.py").write_text(COUNT)
    trace = ["-c", "from namel3ss_debug.cli.main import debug; debug()", "trace"]
    modules = {}
    for how, before in (("plain", []), ("traced", trace)):
        ended = subprocess.run(
            [sys.executable, *before, "count.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        lines = [line.split() for line in ended.stdout.splitlines()]
        modules[how] = {where: {name for one, name in lines if one == where} for where in ("main", "worker")}
    more = {where: modules["traced"][where] - modules["plain"][where] for where in MORE_MODULES}
    assert {where: names & LATE for where, names in more.items()} == {"main": set(), "worker": set()}
    assert {where: len(names) for where, names in more.items() if len(names) > MORE_MODULES[where]} == {}


def test_the_seam_of_a_library_loads_with_the_library(tmp_path):
    """It records from the first request on, in whichever of two threads the library is imported."""
    program = (
        "import sys, threading\n"
        "seam = 'namel3ss_debug.capture.seams.http.exchanges'\n"
        "assert seam not in sys.modules\n"
        "threads = [threading.Thread(target=__import__, args=(name,)) for name in ('http.client', 'urllib3')]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "assert seam in sys.modules\n"
        "from namel3ss_debug.capture.core import switch\n"
        "print([each.__qualname__ for each in switch.ACTIVE.at_end].count('Exchanges.abandon'))\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [
        sys.executable,
        "-c",
        "from namel3ss_debug.cli.main import debug; debug()",
        "trace",
        "program.py",
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "1\n"
