"""A program that records its inputs does what it would do without."""

from __future__ import annotations

import os
import pty
import select
import sys
from dataclasses import asdict
from shlex import quote

import pytest

from namel3ss_debug.capture.launch.parent import RUNNER, child_environment, resolve_target
from namel3ss_debug.capture.launch.session import new_session
from namel3ss_debug.config import load_configuration

SAME = {
    "an explicit seed": """
import random, threading, asyncio
random.seed(42)
print(random.random(), random.randint(1, 99), random.gauss(0, 1), random.gauss(0, 1), random.choice("abc"))
def work():
    print(random.random(), random.sample(range(9), 3), random.gauss(0, 1))
thread = threading.Thread(target=work); thread.start(); thread.join()
async def main():
    print(random.random(), random.gauss(0, 1))
asyncio.run(main())
print(random.Random(7).random(), random.Random("text").getrandbits(9))
""",
    "a state that is kept": """
import random, threading
def work():
    state = random.getstate()
    one = random.random(), random.gauss(0, 1)
    random.setstate(state)
    print(one == (random.random(), random.gauss(0, 1)))
thread = threading.Thread(target=work); thread.start(); thread.join()
work()
""",
    "an explicit seed and uuid1": """
import random, uuid
random.seed(1); uuid.uuid1(); print(random.random())
""",
    "copies of generators": """
import copy, pickle, random
random.seed(3)
print(pickle.loads(pickle.dumps(random.random))(), copy.deepcopy(random._inst).random(), random.random())
print(type(pickle.loads(pickle.dumps(random._inst))) is random.Random)
""",
    "the environment": """
import copy, os, sys
print(sorted(dict(os.environ)) == sorted(os.environ.copy()), os.environ.get("PYTHONHASHSEED"), type(os.environ).__name__)
print([name for name in os.environ if "NAMEL3SS" in name or name.startswith("PYTHON")], len(os.environ) == len(os.environb))
os.environ["A"] = "1"; os.environ.setdefault("A", "2"); print(os.environ.pop("A"), "A" in os.environ, os.environ.pop("A", 3))
try:
    os.environ["NOT_THERE"]
except KeyError as error:
    print(repr(error), error.__context__, error.__suppress_context__)
os.environ["B"] = "x"; os.system("echo $B $PYTHONHASHSEED"); print(copy.deepcopy(os.environ)["B"])
os.environ |= {"C": "y"}; print(os.environ["C"], sys.flags)
""",
    "types of the clock": """
import datetime, time
class Mine(datetime.datetime): pass
print(type(Mine.now()), type(Mine.today()), type(datetime.date.today()), type(time.time()), type(time.time_ns()))
print(datetime.datetime.now(datetime.UTC).tzinfo, datetime.datetime.now().tzinfo, time.gmtime(0), time.ctime(0), time.asctime(time.gmtime(0)))
before = time.time_ns(); middle = datetime.datetime.now().timestamp() * 1e9; print(before - 1000 <= middle <= time.time_ns() + 1000)
for wrong in (lambda: time.time(1), lambda: datetime.datetime.now(1), lambda: time.ctime("x"), lambda: time.strftime(1)):
    try: wrong()
    except TypeError as error: print(error)
""",
    "standard input": """
import io, sys
print(type(sys.stdin), type(sys.stdin.buffer), sys.stdin.name, sys.stdin.mode, sys.stdin.encoding, sys.stdin.errors, sys.stdin.fileno())
print(sys.stdin, sys.stdin is sys.__stdin__, sys.stdin.isatty(), isinstance(sys.stdin.buffer.raw, io.FileIO), sys.stdin.newlines)
print(repr(input()), [line for line in sys.stdin])
try: input()
except EOFError as error: print(repr(error))
""",
    "modules that stay unloaded": """
import sys
print("pytest" in sys.modules, "unittest" in sys.modules)
""",
    "an uncaught error": """
import random
random.seed(1)
random.choice([])
""",
    "a seed of a wrong type": """
import random
random.seed([])
""",
    "an error of input": """
import sys
sys.stdin.read()
input()
""",
    "an error while it reads": """
import os, signal, sys
def handler(number, frame):
    raise RuntimeError("late")
signal.signal(signal.SIGALRM, handler)
os.dup2(os.pipe()[0], 0)
signal.setitimer(signal.ITIMER_REAL, 0.01)
sys.stdin.readline()
""",
    "an argument that is refused": """
import os
os.urandom(-1)
""",
    "exit status": """
import sys, time
time.time(); sys.exit(7)
""",
}


@pytest.mark.parametrize("name", SAME)
def test_output_and_status_are_those_of_a_plain_run(programs, name):
    """Nothing that can be told apart is different, errors and their tracebacks included."""
    text = b"one\r\ntwo\xc3\xa9\nthree"
    plain = programs.plain(SAME[name], text)
    assert programs.record(SAME[name], text).seen == plain.seen


def test_processes_started_by_a_shell_draw_different_numbers(programs):
    """A shell may start several processes from one word of ours; none may repeat what another has drawn."""
    one = f"{quote(sys.executable)} -c 'import uuid; print(uuid.uuid4())'"
    program = f"""
import os, subprocess, uuid
os.system({f"{one}; {one}"!r})
print(subprocess.check_output({f"{one}; {one}"!r}, shell=True, text=True), uuid.uuid4())
"""
    identities = programs.record(program).stdout.split()
    assert len(identities) == len(set(identities)) == 5


def test_threads_that_threading_does_not_know_draw_different_numbers(programs):
    """Threads of C code have lines of work of their own."""
    program = """
import _thread, time, uuid
drawn = []
for _ in range(4):
    _thread.start_new_thread(lambda: drawn.append([uuid.uuid4() for _ in range(50)]), ())
while len(drawn) < 4: time.sleep(0.001)
print(len({i for some in drawn for i in some}))
"""
    assert programs.record(program).stdout == "200\n"


def test_a_program_may_use_time_machine_itself(programs):
    """The module loads when it is asked for, and its own travels go on top of ours."""
    program = """
import time, sys
now = time.time()
import time_machine
with time_machine.travel(0, tick=False):
    print(time.time())
    with time_machine.travel(100, tick=False):
        print(time.time())
print(now <= time.time() < now + 60, time_machine.travel.__module__)
"""
    first = programs.record(program)
    assert first.seen == programs.plain(program).seen
    assert programs.again(program, first).seen == first.seen


def test_a_program_may_run_pytest(programs):
    """Time-machine is a plugin of pytest, which does not complain that something of that name is there already."""
    program = """
import sys, pytest
open("test_one.py", "w").write("def test_one():\\n    import time_machine\\n    time_machine.travel(0)\\n")
strict = "error::pytest.PytestAssertRewriteWarning"
sys.exit(pytest.main(["-q", "-W", strict, "-p", "no:cacheprovider", "-p", "no:randomly", "test_one.py"]))
"""
    recorded = programs.record(program)
    assert (recorded.status, recorded.stderr) == (0, "")
    assert "warning" not in recorded.stdout


ASKING_TOOL = """
import sys
from namel3ss_debug.hooks import trace_tool_call

@trace_tool_call
def ask_name():
    return input("name? ")

print("hello", ask_name())
print(sys.stdin.readline())
"""


def at_a_terminal(command, folder, environment, keys):
    """What a program shows at a terminal where these keys are struck, and its exit status."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(command[0], command, environment)
    os.write(terminal, keys)
    shown = b""
    while select.select([terminal], [], [], 20)[0]:
        try:
            block = os.read(terminal, 4096)
        except OSError:
            break
        if not block:
            break
        shown += block
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def traced_at_a_terminal(programs, trace, keys):
    """The same of the program that was written last, recorded."""
    target = resolve_target(["app.py"], cwd=programs.folder)
    config = load_configuration(programs.folder, {}, {"record_randomness": True}).config
    session = new_session(config, root=target.root, output=trace)
    environment = child_environment(programs.environment({"TERM": "dumb"}), asdict(session))
    return at_a_terminal([sys.executable, str(RUNNER), *target.command()], programs.folder, environment, keys)


def test_input_at_a_terminal_is_recorded(programs, tmp_path):
    """At a terminal `input()` goes around `sys.stdin`, and is recorded all the same, with the tool that asks."""
    programs.write(ASKING_TOOL)
    status, shown = traced_at_a_terminal(programs, tmp_path / "t.jsonl", b"Bob\nmore\n")
    assert status == 0
    assert b"hello Bob" in shown
    from namel3ss_debug.traces.inputs import Recorded
    from namel3ss_debug.traces.reader import open_trace

    recorded = Recorded.of(open_trace(tmp_path / "t.jsonl").events())
    assert recorded.stdin_bytes == b"Bob\nmore\n"
    assert recorded.stdin_lines == {"0(ask_name 1)": 1}


REPLACED = """
import io, sys
first = input("first? ")
sys.stdin = io.StringIO("of the program\\n")
print(first, input("second? "))
sys.stdin = sys.__stdin__
out, sys.stdout = sys.stdout, io.StringIO()
third = input("third? ")
sys.stdout = out
print(third)
"""


def test_input_is_recorded_once_whichever_way_it_goes(programs, tmp_path):
    """A line of `input()` that comes by way of `sys.stdin`, or not from the terminal at all, is not recorded a second time."""
    programs.write(REPLACED)
    status, shown = traced_at_a_terminal(programs, tmp_path / "t.jsonl", b"Bob\nCarl\n")
    assert status == 0
    assert b"Bob of the program" in shown
    from namel3ss_debug.traces.inputs import Recorded
    from namel3ss_debug.traces.reader import open_trace

    assert Recorded.of(open_trace(tmp_path / "t.jsonl").events()).stdin_bytes == b"Bob\nCarl\n"


@pytest.mark.parametrize("call", ["input()", "input(1, 2)", "input(prompt='x')"])
def test_an_error_of_input_at_a_terminal_reads_as_without_us(programs, tmp_path, call):
    """The end of the input, and wrong arguments: the traceback has the frames of the program alone."""
    programs.write(f"def ask():\n    return {call}\n\nprint(input.__name__)\nask()\n")
    plain = at_a_terminal(
        [sys.executable, "app.py"], programs.folder, programs.environment({"TERM": "dumb"}), b"\x04"
    )
    traced = traced_at_a_terminal(programs, tmp_path / "t.jsonl", b"\x04")
    assert plain[0] == traced[0] == 1
    assert b"Error" in plain[1]
    assert traced[1] == plain[1]
