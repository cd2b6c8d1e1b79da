"""Re-runs of programs that run commands: they are answered from the trace, and nothing is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from namel3ss_debug.traces.reader import open_trace


class Bench:
    """A folder with a program that is recorded, and run again."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, text, name="app.py"):
        """Write a program."""
        (self.folder / name).write_text(f"import asyncio, os, subprocess, sys\n{text}")

    def run(self, *words, **variables):
        """Run a command of the debugger in the folder."""
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        environment = {**os.environ, "PYTHONUNBUFFERED": "", **variables}
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def record(self, text):
        """Record a program, and return what it printed."""
        self.write(text)
        done = self.run("trace", "-o", "run.jsonl", "app.py")
        assert "recorded" in done.stderr, done.stderr
        return done.stdout

    def rerun(self, *options):
        """Run the recorded program again."""
        return self.run("rerun", "run.jsonl", *options)

    def files(self):
        """The files in the folder, with their contents, without traces."""
        return {
            path.name: path.read_bytes()
            for path in self.folder.iterdir()
            if path.is_file() and path.suffix != ".jsonl"
        }


@pytest.fixture
def bench(tmp_path):
    """A folder of its own."""
    return Bench(tmp_path.resolve())


WHOLE = """
def show(call):
    try:
        print(repr(call()))
    except Exception as error:
        print(repr(error), getattr(error, "output", None), getattr(error, "filename", None))

run, PIPE = subprocess.run, subprocess.PIPE
run("echo there >> log; rm -f gone", shell=True, check=True)
show(lambda: run("echo out; echo err >&2; exit 3", shell=True, capture_output=True, text=True))
show(lambda: run("echo a; exit 2", shell=True, check=True, stdout=PIPE))
show(lambda: run(["no-such-program"], capture_output=True))
show(lambda: run(["true"], cwd="/no/such/folder"))
show(lambda: run("echo before; exec sleep 60", shell=True, stdout=PIPE, timeout=0.2))
show(lambda: run("kill -9 $$", shell=True, stdout=PIPE))
show(lambda: subprocess.check_output(["cat"], input=b"in \\xff\\x00 put"))
show(lambda: run("printf 'b\\\\na\\\\r\\\\n' | sort | head -1", shell=True, stdout=PIPE, text=True))
show(lambda: run(["printf", "\\\\351"], stdout=PIPE, encoding="ascii", errors="replace").stdout)
show(lambda: hash(subprocess.check_output("head -c 2000000 /dev/zero; echo x", shell=True)[-3:]))
show(lambda: subprocess.call("echo >> log; exit 5", shell=True))
show(lambda: (os.system("echo >> log; exit 6"), os.system("kill -15 $$")))
show(lambda: (os.popen("echo one; echo >> log").read(), os.popen("exit 2").close()))

def killed():
    process = subprocess.Popen("echo a; exec sleep 60", shell=True, stdout=PIPE, start_new_session=True)
    try:
        process.communicate(timeout=0.2)
    except subprocess.TimeoutExpired:
        os.killpg(os.getpgid(process.pid), 9)
        return process.communicate(), process.returncode, process.poll()
show(killed)

def polled():
    process = subprocess.Popen(["sleep", "0.1"])
    times = 0
    while process.poll() is None:
        times += 1
        os.system("sleep 0.05")
    return times, process.returncode
show(polled)

async def one(seconds):
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"sleep {seconds}; head -c 150000 /dev/zero; echo >> log", stdin=PIPE, stdout=PIPE
    )
    out, _ = await process.communicate(b"x")
    print(seconds, len(out), process.returncode)

async def expired():
    process = await asyncio.create_subprocess_shell("exec sleep 60", stdout=PIPE)
    try:
        await asyncio.wait_for(process.communicate(), 0.2)
    except asyncio.TimeoutError:
        process.kill()
        print(await process.wait())

async def expired_wait():
    process = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        print(await asyncio.wait_for(process.wait(), 0.2))
    except asyncio.TimeoutError:
        process.kill()
        print("killed", await process.wait())

async def patient():
    process = await asyncio.create_subprocess_exec("sleep", "0.5")
    for times in range(9):
        try:
            print(times > 0, await asyncio.wait_for(process.wait(), 0.2))
            break
        except asyncio.TimeoutError:
            print("still running")

async def watched(stop, *command):
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
    done, _ = await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=0.2)
    print(len(done), process.returncode)
    stop(process)
    print(await process.wait())

async def main():
    await asyncio.gather(one(0.3), one(0.1), one(0.2))
    await expired()
    await expired_wait()
    await patient()
    await watched(lambda process: process.kill(), "sleep", "60")
    await watched(lambda process: os.killpg(process.pid, 9), "sleep", "60")
    await watched(lambda process: process.terminate(), "sh", "-c", "trap 'exit 7' TERM; sleep 60 >/dev/null 2>&1 & wait")

asyncio.run(main())
"""


def test_recorded_commands_are_answered_and_nothing_is_started(bench):
    """Output, status, signals, timeouts and errors come back as recorded, and the folder stays as it is."""
    first = bench.record(WHOLE)
    before = bench.files()
    again = bench.rerun()
    assert (again.returncode, again.stdout) == (0, first), again.stderr
    assert "The re-run matches the trace." in again.stderr
    assert bench.files() == before
    [trace] = bench.folder.glob("trace_*.jsonl")
    ends = [event for event in open_trace(trace).events() if event["event_type"] == "command_end"]
    assert len(ends) > 20
    assert all(event["metadata"]["answered"] == "recording" for event in ends)


REFUSED = {
    "the program read its stdout by itself": """
with subprocess.Popen(["cat"], stdin=-1, stdout=-1, text=True, bufsize=1) as process:
    process.stdin.write("a\\n")
    print(process.stdout.readline())
""",
    "its stdout went to a file": """
with open("out", "w") as out:
    subprocess.run(["cat", "app.py"], stdout=out)
""",
    "its stdin came from a file or another command": """
with open("app.py") as source:
    print(subprocess.run(["cat"], stdin=source, stdout=-1).stdout)
""",
    "it had not ended when the trace ended": """
subprocess.Popen(["cat"], stdin=-1)
print("goes on")
subprocess.run(["true"], stdout=-1)
os._exit(0)
""",
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_command_that_is_not_recorded_whole_stops_the_re_run(bench, why):
    """The reason and the option that runs the command are named; with the option, it runs."""
    first = bench.record(REFUSED[why])
    again = bench.rerun()
    shown = " ".join(again.stderr.split())
    assert again.returncode == 2
    expected = f"runs cat as recorded at event N, but {why}: run the command with --run-commands cat"
    assert expected in re.sub(r"at event \d+", "at event N", shown)
    real = bench.rerun("--run-commands", "cat")
    assert (real.returncode, real.stdout) == (0, first), real.stderr


def test_another_command_gets_no_recorded_answer(bench):
    """A command of other arguments, or of another input, is a divergence, and is not started."""
    text = """
process = subprocess.Popen(["tee", "made"], stdin=-1, stdout=-1)
print(process.communicate(open("word", "rb").read()))
"""
    (bench.folder / "word").write_text("a")
    bench.record(text)
    (bench.folder / "word").write_text("other")
    again = bench.rerun()
    assert again.returncode == 1
    assert "the trace holds no answer for this call" in again.stderr
    bench.write(text.replace("made", "other"))
    again = bench.rerun()
    assert again.returncode == 1
    assert "arguments[1]" in again.stderr
    assert (bench.folder / "made").read_text() == "a"
    assert not (bench.folder / "other").exists()


def test_a_command_can_be_mocked(bench):
    """A mock answers a command by the name of its program, and `--run-commands` runs one for real."""
    bench.record('print(subprocess.run(["cat", "word"], capture_output=True, text=True))')
    mocked = bench.rerun("--mock", 'cat:{"status": 4, "stderr": "mocked"}')
    assert "returncode=4, stdout='', stderr='mocked'" in mocked.stdout
    assert mocked.returncode == 0
    (bench.folder / "word").write_text("now")
    real = bench.rerun("--run-commands")
    assert "stdout='now'" in real.stdout
    assert real.returncode == 1
    unknown = bench.rerun("--run-commands", "dog")
    assert "--run-commands dog: the trace holds no such command" in unknown.stderr


WORKERS = """
import multiprocessing
from openai import OpenAI

def work(numbers, answers):
    client = OpenAI(max_retries=0)
    for number in numbers:
        messages = [{"role": "user", "content": f"task {number}"}]
        answers.put(client.chat.completions.create(model="m", messages=messages).choices[0].message.content)

if __name__ == "__main__":
    split = int(open("split").read())
    for numbers in (range(split), range(split, 4)):
        if numbers:
            context = multiprocessing.get_context(sys.argv[1])
            answers = context.Queue()
            process = context.Process(target=work, args=(numbers, answers))
            process.start()
            for _ in numbers:
                print(answers.get())
            process.join()
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_what_a_library_runs_once_a_process_is_no_divergence(bench, scripted_model_module, method):
    """The SDK runs `uname -p` in each process that sends a request, and the scheduler chooses these processes."""
    bench.write(WORKERS)
    say = scripted_model_module.say
    script = lambda request: say("did " + request["messages"][0]["parts"][0]["content"])  # noqa: E731
    for then, now in (("4", "2"), ("2", "4")):
        (bench.folder / "split").write_text(then)
        with scripted_model_module.ScriptedModel(script) as model:
            variables = {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "unused"}
            first = bench.run("trace", "-o", f"run{then}.jsonl", "app.py", method, **variables)
        (bench.folder / "split").write_text(now)
        again = bench.run("rerun", f"run{then}.jsonl", **variables)
        assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr
        events = open_trace(bench.folder / f"run{then}.jsonl").events()
        marks = [
            event["metadata"]["background"] for event in events if event["event_type"] == "command_start"
        ]
        assert set(marks) == {True}
        assert "answered 4 as recorded" in " ".join(again.stderr.split())


def test_a_command_in_the_background_runs_if_its_words_are_the_librarys(bench):
    """One of a module that is imported runs; one in a thread of a library may be the program's, and is refused."""
    package = bench.folder / "site-packages"
    package.mkdir()
    (package / "acme_import.py").write_text('import subprocess\nsubprocess.run(["touch", "imported"])\n')
    (package / "acme_thread.py").write_text(
        "import subprocess, threading\n"
        "def run(words):\n    subprocess.run(words)\n"
        "def start(words):\n"
        "    thread = threading.Thread(target=run, args=(words,))\n    thread.start()\n    thread.join()\n"
    )
    first, second = "import acme_import\n", 'import acme_thread\nacme_thread.start(["touch", "threaded"])\n'
    for text, status in ((first, 0), (second, 1)):
        bench.write(f'if os.path.exists("now"):\n    {text.replace(chr(10), chr(10) + "    ")}')
        path = {"PYTHONPATH": str(package)}
        bench.run("trace", "-o", "run.jsonl", "app.py", **path)
        (bench.folder / "now").write_text("")
        again = bench.run("rerun", "run.jsonl", **path)
        assert again.returncode == status, again.stderr
        (bench.folder / "now").unlink()
    assert (bench.folder / "imported").exists()
    assert not (bench.folder / "threaded").exists()


SHELL = """
import json, select
from openai import OpenAI

class Shell:
    def __init__(self):
        self.process = subprocess.Popen(
            ["bash", "--norc"], stdin=-1, stdout=-1, bufsize=0, universal_newlines=True, start_new_session=True
        )
        self.output = self.process.stdout.fileno()

    def run(self, code):
        self.process.stdin.write(code + "\\necho END\\n")
        self.process.stdin.flush()
        found = ""
        while not found.endswith("END\\n"):
            select.select([self.output], [], [])
            data = os.read(self.output, 4096).decode()
            if not data:
                return "dead shell"
            found += data
        return found.removesuffix("END\\n")

    def close(self):
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()

def ask(items, **more):
    message = OpenAI(max_retries=0).chat.completions.create(model="m", messages=items, **more).choices[0].message
    items.append(message.model_dump(exclude_none=True))
    return message
"""
"""As gptme keeps one: `bash` over pipes, for all commands."""

AS_A_TOOL = """
shell = None

def execute_shell(code):
    global shell
    shell = shell or Shell()
    return shell.run(code)

schema = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
tools = [{"type": "function", "function": {"name": "execute_shell", "parameters": schema}}]
items = [{"role": "user", "content": "go"}]
while (message := ask(items, tools=tools)).tool_calls:
    for call in message.tool_calls:
        result = execute_shell(**json.loads(call.function.arguments))
        print(result)
        items.append({"role": "tool", "tool_call_id": call.id, "content": result})
if shell is not None:
    shell.close()
"""

FROM_TEXT = """
shell, items = Shell(), [{"role": "user", "content": "go"}]
while (text := ask(items).content) != "done":
    print(shell.run(text))
    items.append({"role": "user", "content": "next"})
shell.close()
"""

CODE = ("echo a >> log; echo a", "X=5; cd /", "echo $X; pwd")
CHILD = """
from openai import OpenAI
print(OpenAI(max_retries=0).embeddings.create(model="e", input="x").model)
"""


def record_shell(bench, module, program, script):
    """Record a program with a persistent shell."""
    bench.write(SHELL + program)
    with module.ScriptedModel(script) as model:
        variables = {"OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "unused"}
        bench.variables = variables | {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
        done = bench.run("trace", "-o", "run.jsonl", "app.py", **bench.variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_persistent_shell_inside_a_tool_is_not_started(bench, scripted_model_module):
    """The tool is answered, and the shell with it."""
    say, call = scripted_model_module.say, scripted_model_module.call
    script = [*(say("", call("execute_shell", code=each)) for each in CODE), say("done")]
    first = record_shell(bench, scripted_model_module, AS_A_TOOL, script)
    assert "5\n/\n" in first
    again = bench.run("rerun", "run.jsonl", **bench.variables)
    assert (again.returncode, again.stdout) == (0, first), again.stderr
    assert (bench.folder / "log").read_text() == "a\n"
    assert "started" not in again.stderr


@pytest.mark.parametrize("child", ["", "python child.py; echo c >> log"])
def test_a_persistent_shell_of_the_program_stops_the_re_run(bench, scripted_model_module, child):
    """It is not started, also if a process in it is a part of the trace: what the program writes to it would run again."""
    say = scripted_model_module.say
    (bench.folder / "child.py").write_text(CHILD)
    code = [*CODE, *filter(None, [child])]

    def answer(request):
        turn = sum(message["role"] == "assistant" for message in request["messages"])
        return say(code[turn] if turn < len(code) else "done")

    record_shell(bench, scripted_model_module, FROM_TEXT, answer)
    log = (bench.folder / "log").read_text()
    again = bench.run("rerun", "run.jsonl", **bench.variables)
    assert again.returncode == 2
    assert "the program wrote to its stdin by itself" in " ".join(again.stderr.split())
    assert "dead shell" not in again.stdout
    assert (bench.folder / "log").read_text() == log


def test_a_process_that_records_itself_starts_again(bench):
    """Its calls are answered and stay below the command; one that only computes its output is answered."""
    bench.write(
        "from namel3ss_debug.hooks import trace_tool_call\n"
        "@trace_tool_call\n"
        "def look():\n"
        '    open("ran", "a").write("x")\n'
        "    return 2\n"
        "print(look())\n",
        "child.py",
    )
    bench.write('open("computed", "a").write("x")\nprint(3)\n', "other.py")
    first = bench.record(
        'for name in ("child.py", "other.py"):\n'
        "    print(subprocess.check_output([sys.executable, name], text=True))"
    )
    again = bench.rerun()
    assert (again.returncode, again.stdout) == (0, first), again.stderr
    assert [(bench.folder / name).read_text() for name in ("ran", "computed")] == ["x", "x"]
    [trace] = [path for path in bench.folder.glob("trace_*.jsonl") if ".p1." not in path.name]
    events = {event["event_id"]: event for event in open_trace(trace).events()}
    [call] = [event for event in events.values() if event["event_type"] == "tool_call_start"]
    assert events[call["parent_event_id"]]["event_type"] == "command_start"


def test_a_file_that_an_answered_command_had_changed_is_not_verified(bench):
    """The re-run names the file and the command, and is unverified unless that is accepted."""
    bench.record('subprocess.run("echo a > made", shell=True, stdout=-1)\nprint(open("made").read())')
    again = bench.rerun()
    shown = " ".join(again.stderr.split())
    assert again.returncode == 1
    assert "The re-run is not verified: 1 changed file." in shown
    assert "made, which the program read later" in shown
    assert bench.rerun("--accept", "changed-files").returncode == 0


def test_a_file_of_the_kernel_is_changed_by_no_command(bench):
    """A program may read about itself after a command, and its re-run is verified."""
    bench.record(
        "import psutil\nsubprocess.run(['true'], capture_output=True)\nprint(psutil.Process().memory_info().rss > 0)"
    )
    done = bench.rerun()
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_an_answered_command_draws_no_number(bench):
    """Its output comes from a file whose name is not drawn at random, and which is not recorded as the program's."""
    printed = bench.record(
        """
import random, uuid
for _ in range(2):
    print(len(subprocess.check_output("head -c 200000 /dev/zero", shell=True)), uuid.uuid4(), random.Random().random())
"""
    )
    again = bench.rerun("--strict")
    assert (again.returncode, again.stdout) == (0, printed), again.stderr
    assert not [path for path in bench.folder.glob("trace_*.jsonl") if "/tmp/namel3ss-" in path.read_text()]


def test_output_that_the_program_inherits_is_reported_as_missing(bench):
    """Such a command is answered by its status, and the report says that its output is missing."""
    bench.record('sys.exit(os.system("echo shown"))')
    again = bench.rerun()
    assert (again.returncode, again.stdout) == (0, "")
    assert "What echo wrote to the program's own stdout is not in the trace" in " ".join(again.stderr.split())


def test_a_trace_without_commands_lets_none_run(bench):
    """What a trace lacks allows nothing: a command that it does not hold is refused."""
    bench.record('print(subprocess.check_output(["cat", "word"]) if os.path.exists("word") else "")')
    (bench.folder / "word").write_text("now")
    again = bench.rerun()
    assert (again.returncode, again.stdout) == (1, "")
    assert "runs cat, and the trace holds no answer for this call" in " ".join(again.stderr.split())
