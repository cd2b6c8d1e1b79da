"""Programs run inside a process: what they see is as on a command line, and nothing of it stays."""

import atexit
import importlib.metadata
import os
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from namel3ss_debug.errors import RerunError
from namel3ss_debug.replay.rerun.programs import ProgramRunner

SCRIPT = """
import os, sys
import beside
print(__name__, sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals(), beside.COUNT)
beside.COUNT += 1
sys.stdout.write(sys.stdin.read())
sys.exit(int(sys.argv[1]) if sys.argv[1:] else None)
"""


@pytest.fixture
def programs():
    """Runs programs of no trace."""
    return with_recorded(None)


def with_recorded(recorded):
    """Runs programs of a trace with these surroundings."""

    @contextmanager
    def begin(_root):
        yield recorded

    return ProgramRunner(begin)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with programs, which is the working directory."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text(SCRIPT)
    (tmp_path / "app" / "beside.py").write_text("COUNT = 0\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").touch()
    (tmp_path / "pack" / "__main__.py").write_text("import sys\nprint(__name__, sys.argv, sys.path[0])\n")
    (tmp_path / "tools.py").write_text(
        "async def main(city):\n    return city.upper()\n\ndef plain():\n    return 1\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_stays():
    """The interpreter is after each test as it was before."""
    before = sys.argv, list(sys.path), sys.modules["__main__"], sys.stdin, list(sys.meta_path)
    yield
    assert (sys.argv, sys.path, sys.modules["__main__"], sys.stdin, sys.meta_path) == before
    assert not {"beside", "tools", "pack"} & set(sys.modules)


def test_a_script_runs_as_the_main_module(project, programs, capsys):
    """Arguments, search path, standard input and exit status are those of a command line, twice from the start."""
    for _ in range(2):
        assert programs.run_script("app/main.py", ["3"], "typed") == 3
        shown = f"__main__ ['app/main.py', '3'] {project}/app True 0\ntyped"
        assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [("None", 0, ""), ("256", 0, ""), ("True", 1, ""), ("'no key'", 1, "no key\n")],
)
def test_the_exit_status_is_that_of_the_system(code, status, words, project, programs, capsys):
    """The lowest eight bits of a number; a text is printed."""
    (project / "ends.py").write_text(f"import sys\nsys.exit({code})\n")
    assert programs.run_script("ends.py", [], None) == status
    assert capsys.readouterr().err == words


def test_an_exception_of_a_script_comes_through(project, programs):
    """The test sees it as it was raised."""
    (project / "fails.py").write_text("raise KeyError('city')\n")
    with pytest.raises(KeyError, match="city"):
        programs.run_script("fails.py", [], None)


def test_a_module_runs_as_with_m(project, programs, capsys):
    """`sys.argv[0]` is the file of the module, as Python makes it."""
    assert programs.run_module("pack", ["--city", "Oslo"], None) == 0
    file = project / "pack" / "__main__.py"
    assert capsys.readouterr().out == f"__main__ ['{file}', '--city', 'Oslo'] {project}\n"


def test_a_console_script_runs_by_its_entry_point(project, programs, monkeypatch, capsys):
    """`sys.argv[0]` is the path of the installed script; the result of the function is the exit status."""

    def command():
        print(sys.argv)
        return 4

    entry = SimpleNamespace(load=lambda: command)
    known = {"weather": [entry]}
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group, name: known.get(name, []))
    assert programs.run_command("weather", ["Oslo"], None) == 4
    assert capsys.readouterr().out == f"['{os.path.dirname(sys.executable)}/weather', 'Oslo']\n"
    with pytest.raises(LookupError, match="has a console script wether: install"):
        programs.run_command("wether", [], None)


def test_a_function_is_called_and_awaited(project, programs):
    """It is named as on a command line; its module is imported anew."""
    assert programs.run_function("tools:main", {"city": "Oslo"}) == "OSLO"
    assert programs.run_function("tools:plain", {}) == 1


def test_the_surroundings_are_those_of_the_trace(project, monkeypatch, capsys):
    """Standard input is served; variables that were not set are hidden, unless the test or the machine has set them."""
    for name in ("VERBOSE", "CI"):
        monkeypatch.setenv(name, "1")
    environment = dict.fromkeys(["VERBOSE", "CI", "MINE", "ABSENT"])
    programs = with_recorded(SimpleNamespace(environment=environment, stdin_bytes=b"Oslo\n", stdin_lines={}))
    monkeypatch.setenv("MINE", "1")
    (project / "reads.py").write_text(
        "import os\nprint(input(), [n for n in ('VERBOSE', 'CI', 'MINE') if n in os.environ])\n"
    )
    assert programs.run_script("reads.py", [], None) == 0
    assert capsys.readouterr().out == "Oslo ['CI', 'MINE']\n"
    assert os.environ["VERBOSE"] == "1"


@pytest.mark.parametrize(
    "code",
    [
        "os._exit(0)",
        "try:\n    os._exit(0)\nexcept BaseException:\n    pass",
        "worker = threading.Thread(target=os._exit, args=[0])\nworker.start()\nworker.join()",
    ],
    ids=["at once", "swallowed", "in a thread"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_program_that_calls_os_exit_fails_its_test_and_ends_nothing_else(project, programs, code):
    """Whatever it does with the exception, and in whichever thread; a forked child still ends by it."""
    (project / "ends.py").write_text(f"import os, threading\n{code}\n")
    before = os._exit
    with pytest.raises(RerunError, match=r"the program called os\._exit\(0\)"):
        programs.run_script("ends.py", [], None)
    assert os._exit is before
    (project / "forks.py").write_text(
        "import os, sys\nchild = os.fork()\nif not child:\n    os._exit(5)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert programs.run_script("forks.py", [], None) == 5


def test_functions_of_atexit_run_at_the_end_of_the_program(project, programs, capsys):
    """As the interpreter calls them, and only those of the program's own code; after `os._exit` none."""
    (project / "ends.py").write_text(
        "import atexit, sys\n"
        "def last(word):\n    print(word)\n"
        "@atexit.register\ndef fails():\n    raise OSError('no disk')\n"
        "atexit.register(last, 'bye')\natexit.register(print, 'not this')\natexit.unregister(print)\n"
        "print('hello')\nsys.exit(3)\n"
    )
    registered = atexit._ncallbacks()
    assert programs.run_script("ends.py", [], None) == 3
    shown = capsys.readouterr()
    assert shown.out == "hello\nbye\n"
    assert shown.err.endswith("raise OSError('no disk')\nOSError: no disk\n")
    assert "programs.py" not in shown.err
    assert atexit._ncallbacks() == registered
    (project / "ends.py").write_text("import atexit, os\natexit.register(print, 'bye')\nos._exit(0)\n")
    with pytest.raises(RerunError):
        programs.run_script("ends.py", [], None)
    assert capsys.readouterr().out == ""
