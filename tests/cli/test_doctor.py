"""The command `debug doctor` on small programs, each with one source of what cannot be repeated, beside the scripted model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from namel3ss_debug.cli.doctor import Files
from namel3ss_debug.traces.reader import open_trace

ASK = """
import os, urllib3
http = urllib3.PoolManager(maxsize=8)

def ask(text):
    body = {"model": "gpt-4o-mini", "temperature": 0.7, "messages": [{"role": "user", "content": text}]}
    answer = http.request("POST", os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body).json()
    return answer["choices"][0]["message"]["content"]
"""


def line_of(text, source):
    """The line of a program in which a text stands, as a place in it."""
    return f"app.py:{source[: source.index(text)].count(chr(10)) + 1}"


class Clinic:
    """A folder with a program, and the doctor for it."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment

    def run(self, *words, **given):
        """Run a command of the debugger in the folder."""
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        environment = self.environment | given.pop("variables", {})
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, timeout=120, check=False, **given
        )

    def examine(self, program, *options, **given):
        """The document on a program."""
        (self.folder / "app.py").write_text(program)
        done = self.run("doctor", "--format", "json", *options, "app.py", **given)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout) | {"returncode": done.returncode, "shown": done.stderr.decode()}


@pytest.fixture
def clinic(tmp_path, model_environment):
    """A folder, and an environment in which the scripted model is found."""
    return Clinic(tmp_path.resolve(), model_environment)


def found(document):
    """The findings in short: weight, source, place, and what they reach."""
    rows = document["findings"]
    return [(row["severity"], row["source"], row["call_site"], row["reaches"]) for row in rows]


DETERMINISTIC = ASK + "print(ask('hello there'))\nprint(sorted({'a', 'b', 'c'}))\n"


def test_a_deterministic_program_has_no_findings(clinic):
    """It is run twice, and what is answered by a model is told as an input."""
    document = clinic.examine(DETERMINISTIC, "--fail-on-findings")
    assert document["schema"] == "namel3ss-debug/doctor/2"
    assert (document["findings"], document["runs"], document["returncode"]) == ([], 2, 0)
    models = [row for row in document["inputs"] if row["source"] == "model"]
    assert [(row["call_site"], row["what"], row["times"]) for row in models] == [
        (line_of("answer = http", DETERMINISTIC), "gpt-4o-mini, temperature 0.7", 1)
    ]


CLOCK = (
    ASK
    + """
from datetime import datetime
quiet = datetime.now()
today = datetime.now()
print(len(ask(f"Today is {today:%Y-%m-%d}.")))
"""
)


def test_the_clock_in_a_prompt_is_named_with_the_line_that_reads_it(clinic):
    """A date is enough; a second read that reaches nothing is only an input."""
    document = clinic.examine(CLOCK)
    place = line_of("today = datetime", CLOCK)
    assert found(document) == [("warning", "clock", place, ["llm"])]
    (row,) = document["findings"]
    assert row["code"] == "today = datetime.now()"
    assert row["shown_at"] == [line_of("answer = http", CLOCK)]
    assert " -> " in row["example"]
    quiet = [row["call_site"] for row in document["inputs"] if row["source"] == "clock"]
    # The import reads it as well, because `logging` does.
    assert set(quiet) - {line_of("import os", CLOCK)} == {line_of("quiet = datetime", CLOCK)}


RANDOM = (
    ASK
    + """
import random, uuid
name = uuid.uuid4()
print(len(ask(f"Request {name}")))
"""
)


@pytest.mark.slow
def test_a_random_id_in_a_prompt_is_named_with_the_line_that_draws_it(clinic):
    """The lines of libraries that draw for themselves are not."""
    document = clinic.examine(RANDOM)
    assert found(document) == [("warning", "randomness", line_of("name = uuid", RANDOM), ["llm"])]


def test_a_seeded_generator_is_no_finding(clinic):
    """What the program has seeded itself comes out the same."""
    assert clinic.examine("import random\nrandom.seed(7)\nprint(random.random())\n")["findings"] == []


HASH = "words = {f'word{n}' for n in range(20)}\n\nprint(*words)\n"


def test_the_order_of_a_set_is_named_with_the_line_that_prints_it(clinic):
    """Where the user has fixed the hash seed, it is none."""
    assert found(clinic.examine(HASH)) == [("warning", "hash seed", "app.py:3", ["output"])]
    assert clinic.examine(HASH, variables={"PYTHONHASHSEED": "7"})["findings"] == []


RACE = """
import threading
with open("/dev/urandom", "rb") as source:  # as the scheduler would have it
    turns = sorted(range(12), key=lambda _: source.read(8))
doors = [threading.Semaphore(0) for _ in turns]

def work(number):
    doors[number].acquire()
    print("worker", number)
    at = turns.index(number) + 1
    if at < len(turns):
        doors[turns[at]].release()

threads = [threading.Thread(target=work, args=(number,)) for number in turns]
for thread in threads:
    thread.start()
doors[turns[0]].release()
for thread in threads:
    thread.join()
"""


@pytest.mark.slow
def test_threads_that_print_in_racing_order_are_an_error(clinic):
    """The same lines come in another order, which no recording gives back."""
    document = clinic.examine(RACE, "--fail-on-findings")
    assert found(document) == [("error", "order", line_of("print(", RACE), ["output"])]
    assert document["returncode"] == 1


PARALLEL = """
import asyncio, os
import aiohttp

async def ask(http, text):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    async with http.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body) as answer:
        return (await answer.json())["choices"][0]["message"]["content"]

async def work(http, name):
    await ask(http, f"describe {name}")
    log.append(name)

async def main():
    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(work(http, name) for name in ("Paris", "Rome", "Oslo")))
        print(len(await ask(http, "so far: " + ", ".join(log))))

log = []
asyncio.run(main())
"""


def test_the_order_of_parallel_answers_that_reaches_a_prompt_is_named(clinic):
    """The calls that were made in parallel are named, with the state; the first run and the one that differed are kept."""
    document = clinic.examine(PARALLEL)
    assert found(document) == [("warning", "order", line_of("async with http.post", PARALLEL), ["llm"])]
    finding = document["findings"][0]
    assert finding["times"] == 3
    assert re.fullmatch(
        rf"event {finding['request']} depends on the order of events .* and \d+: shared state `log`\?",
        finding["race"],
    )
    first, differing = (clinic.folder / path for path in document["traces"])
    events = list(open_trace(first).events())
    assert events[finding["request"] - 1]["event_type"] == "llm_call_start"
    assert next(open_trace(differing).events())["metadata"]["rerun"]["of"] == events[0]["execution_id"]


ENVIRONMENT = (
    ASK
    + "team = os.environ['TEAM_NAME']\nlevel = os.environ.get('LOG_LEVEL_X')\nprint(len(ask(f'We are {team}')))\n"
)


@pytest.mark.slow
def test_a_variable_whose_value_stands_in_a_prompt_is_named(clinic):
    """One that reaches nothing is an input."""
    document = clinic.examine(ENVIRONMENT, variables={"TEAM_NAME": "the blue ones", "LOG_LEVEL_X": "debug"})
    assert found(document) == [("warning", "environment", line_of("team =", ENVIRONMENT), ["llm"])]
    assert document["findings"][0]["what"] == "TEAM_NAME"
    assert document["runs"] == 2
    named = {row["what"] for row in document["inputs"] if row["source"] == "environment"}
    assert "LOG_LEVEL_X" in named


STATE = """
from pathlib import Path
path = Path("count.txt")
count = int(path.read_text()) if path.exists() else 0
path.write_text(str(count + 1))
print("this is run", count)
"""


def test_a_file_that_an_earlier_run_has_left_is_named(clinic):
    """It is an error, at the line that reads it."""
    (clinic.folder / "count.txt").write_text("0")
    document = clinic.examine(STATE)
    assert found(document) == [("error", "files", line_of("count = int", STATE), ["output"])]
    assert document["findings"][0]["what"] == "count.txt"


@pytest.mark.slow
def test_a_file_that_a_child_process_reads_is_named(clinic):
    """Files are followed in the processes that the program starts, too."""
    (clinic.folder / "count.txt").write_text("0")
    (clinic.folder / "child.py").write_text(STATE)
    program = "import subprocess, sys\nsubprocess.run([sys.executable, 'child.py'], check=True)\n"
    document = clinic.examine(program)
    place = line_of("count = int", STATE).replace("app.py", "child.py")
    assert found(document) == [("error", "files", place, ["output"])]


@pytest.mark.slow
def test_each_of_several_lines_that_draw_says_that_it_is_one_of_them(clinic):
    """Which of them reaches the output cannot be told, and is not claimed."""
    document = clinic.examine("import random\nnoise = random.random()\nprint(random.random())\n")
    assert [row["call_site"] for row in document["findings"]] == ["app.py:2", "app.py:3"]
    assert {row["what"] for row in document["findings"]} == {"one of 2 lines that draw"}


def test_an_exit_status_that_differs_is_a_finding(clinic):
    """It follows from something that is not recorded."""
    program = (
        "import os, sys\nprint('hello')\nos.mkdir('there') if not os.path.exists('there') else sys.exit(3)\n"
    )
    document = clinic.examine(program)
    assert found(document) == [("error", "unknown", "", ["status"])]
    assert document["findings"][0]["example"] == "0 -> 3"


@pytest.mark.slow
def test_a_connection_that_no_recording_answers_is_an_error(clinic):
    """The line that opens it is named."""
    program = "import socket\ntry:\n    socket.create_connection(('192.0.2.1', 80), 0.2)\nexcept OSError:\n    pass\n"
    assert found(clinic.examine(program)) == [("error", "network", "app.py:3", [])]


@pytest.mark.slow
def test_an_answer_that_cannot_be_given_back_is_an_error(clinic):
    """A tool that returns no plain data is named, and no further run is made."""
    program = ASK + (
        "import json\n"
        "class Time:\n    pass\n"
        "def get_time(zone):\n    return Time()\n"
        "tools = [{'type': 'function', 'function': {'name': 'get_time', 'parameters': {'type': 'object', 'properties': {}}}}]\n"
        "body = {'model': 'gpt-4o-mini', 'tools': tools, 'messages': [{'role': 'user', 'content': 'weather?'}]}\n"
        "http.request('POST', os.environ['OPENAI_BASE_URL'] + '/chat/completions', json=body)\n"
        "get_time('here')\n"
    )
    document = clinic.examine(program)
    assert [row["source"] for row in document["findings"]] == ["answer"]
    assert "--run-tools get_time" in document["findings"][0]["example"]
    assert clinic.examine(program, "--run-tools", "get_time")["findings"] == []


@pytest.mark.slow
def test_the_table_fits_the_screen_and_stdout_carries_it_alone(clinic):
    """What the program prints goes to stderr; the line that compares the runs that were kept can be pasted."""
    (clinic.folder / "app.py").write_text(CLOCK)
    done = clinic.run("doctor", "app.py", variables={"COLUMNS": "80"})
    *lines, kept = done.stdout.decode().splitlines()
    assert kept.startswith("kept: namel3ss debug diff ")
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["source", "where", "times", "reaches"]
    assert lines[1].startswith(f"warning  clock   {line_of('today = ', CLOCK)}")
    assert re.fullmatch(r"1 warning; run \d times", lines[-1])
    assert "run 2, on other inputs" in done.stderr.decode()


def test_the_program_has_its_arguments_and_its_input(clinic):
    """Both are the same in each run."""
    program = "import sys\nprint(sys.argv[1:], sys.stdin.readline())\n"
    (clinic.folder / "app.py").write_text(program)
    done = clinic.run("doctor", "app.py", "--count", "2", input=b"typed\n")
    assert (done.returncode, b"no findings" in done.stdout) == (0, True)
    assert b"['--count', '2'] typed" in done.stderr


def test_a_function_is_examined_with_its_arguments(clinic):
    """As `debug trace` runs one."""
    (clinic.folder / "app.py").write_text("def main(n):\n    print({str(i) for i in range(n)})\n")
    done = clinic.run("doctor", "--run-args", '{"n": 20}', "app:main")
    assert b"hash seed" in done.stdout


def test_a_program_that_is_not_there_is_told_in_one_line(clinic):
    """Nothing is run, and the status is 2."""
    done = clinic.run("doctor", "nowhere.py")
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)


def test_a_program_that_fails_the_same_way_each_time_is_reproducible(clinic):
    """Its exit status is told with the sum."""
    (clinic.folder / "app.py").write_text("raise SystemExit(5)\n")
    done = clinic.run("doctor", "--fail-on-findings", "app.py")
    assert done.returncode == 0
    assert done.stdout.decode().endswith("run 2 times, ended with status 5\n")


def test_an_interrupted_program_ends_the_command(clinic):
    """The status is that of Ctrl-C."""
    (clinic.folder / "app.py").write_text(
        f"import os\nos.kill(os.getpid(), {int(signal.SIGINT)})\nwhile True:\n    pass\n"
    )
    assert clinic.run("doctor", "app.py").returncode == 130


@pytest.mark.parametrize("options", [["--repeat", "3"]])
def test_it_is_run_on_other_inputs_as_often_as_asked(clinic, options):
    """A small set may come in the same order by chance."""
    assert clinic.examine("print('hello')\n", *options)["runs"] == 4


def test_a_file_that_every_run_writes_anew_is_no_cause(tmp_path):
    """One is that was written in the first run alone, got something else in it since, is gone, or was not there any more."""
    began = time.time_ns()
    later = began + 3600 * 10**9
    named = ("old", "first run", "again", "other", "gone since", "gone")
    paths = {name: tmp_path / name for name in named}
    for path in list(paths.values())[:-1]:
        path.write_text("one")
    os.utime(paths["old"], ns=(began - 10**9, began - 10**9))
    for name in named[1:-1]:
        os.utime(paths[name], ns=(began, began))
    files = Files(map(str, paths.values()), began)
    paths["other"].write_text("two")
    paths["gone since"].unlink()
    for name in ("again", "other"):
        os.utime(paths[name], ns=(later, later))
    assert files.changed() == tuple(
        sorted(str(paths[name]) for name in ("first run", "other", "gone since", "gone"))
    )
