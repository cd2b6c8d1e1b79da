"""Tests of a re-run of programs that print: what is noise, and what is a difference."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from textwrap import dedent

import pytest

NOISY = {
    "tqdm": """
        import time
        from tqdm import tqdm
        for _ in tqdm(range(40)):
            time.sleep(0.004)
        print("done")
        """,
    "tqdm that prints beside its bar": """
        import time
        from tqdm import tqdm, trange
        for number in trange(20, desc="items"):
            time.sleep(0.01)
            if number % 7 == 0:
                tqdm.write(f"item {number}")
        """,
    "rich.live": """
        import time
        from rich.console import Console
        from rich.live import Live
        from rich.table import Table
        with Live(console=Console(force_terminal=True, width=60), refresh_per_second=50) as live:
            for rows in range(1, 6):
                table = Table("row")
                for row in range(rows):
                    table.add_row(str(row))
                live.update(table)
                time.sleep(0.03)
        print("done")
        """,
    "rich.progress": """
        import time
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
        with Progress(*columns, console=Console(force_terminal=True, width=80), refresh_per_second=40) as progress:
            first, second = progress.add_task("one", total=8), progress.add_task("two", total=4)
            for number in range(8):
                progress.advance(first)
                progress.advance(second, 0.5)
                progress.console.print("step", number)
                time.sleep(0.02)
        """,
    "rich.status": """
        import time
        from rich.console import Console
        console = Console(force_terminal=True, width=80)
        with console.status("thinking"):
            time.sleep(0.2)
            console.print("found")
        console.print("[bold red]done[/]")
        """,
    "logging to stderr with times": """
        import logging, time
        logging.basicConfig(format="%(asctime)s.%(msecs)03d %(process)d %(thread)d %(name)s:%(lineno)d %(message)s", level=10)
        for number in range(5):
            logging.getLogger("work").info("step %d", number)
            time.sleep(0.003)
        """,
    "threads": """
        import random, threading, time
        def work(name):
            for number in range(20):
                print(name, number, threading.get_ident(), threading.get_native_id())
                time.sleep(random.SystemRandom().random() / 500)
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """,
    "a pool of threads": """
        import time
        from concurrent.futures import ThreadPoolExecutor
        def work(number):
            started = time.perf_counter()
            time.sleep(0.01 * (number % 3))
            print(f"job {number} took {time.perf_counter() - started:.3f} s")
            return number
        with ThreadPoolExecutor(4) as pool:
            print(sum(pool.map(work, range(12))))
        """,
    "asyncio tasks": """
        import asyncio, secrets
        async def work(name):
            for number in range(5):
                await asyncio.sleep(secrets.SystemRandom().random() / 200)
                print(name, number)
        async def main():
            await asyncio.gather(*(work(name) for name in "abc"))
            print("done")
        asyncio.run(main())
        """,
    "a pool of processes": """
        import multiprocessing, os
        def work(number):
            print("worker", os.getpid(), number, flush=True)
            return number * 2
        if __name__ == "__main__":
            with multiprocessing.get_context("fork").Pool(1) as pool:
                print(pool.map(work, range(3)))
        """,
    "temporary files": """
        import os, tempfile
        with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "x.txt"), "w") as file:
            file.write("text")
            print("wrote", file.name)
        handle, path = tempfile.mkstemp(suffix=".log")
        os.write(handle, b"log")
        os.close(handle)
        print(path)
        os.unlink(path)
        """,
    "addresses of objects": """
        import functools
        class Thing: pass
        print(Thing(), [Thing()], functools.partial(print, Thing()), lambda: None)
        print("id", id(Thing()), hex(id(Thing())))
        """,
    "ids of processes": """
        import os, subprocess, sys
        print("pid", os.getpid(), "parent", os.getppid(), f"[{os.getpid()}] ready")
        """,
    "elapsed times": """
        import time
        started = time.perf_counter()
        sum(range(300_000))
        elapsed = time.perf_counter() - started
        print(f"took {elapsed:.4f}s", f"elapsed: {elapsed * 1000:.0f} ms", f"({elapsed * 1e6:.1f} µs)")
        print("clock", time.time(), time.strftime("%H:%M:%S"))
        """,
    "pprint of sets and ids": """
        import pprint, random, uuid
        pprint.pprint({"set": {"a", "b", "c"}, "id": uuid.uuid4(), "time": uuid.uuid1(), "number": random.random()})
        """,
    "warnings": """
        import warnings
        def old():
            warnings.warn("do not call this", DeprecationWarning, stacklevel=2)
        warnings.simplefilter("always")
        old()
        """,
    "tracebacks": """
        import sys, traceback
        try:
            {}["key"]
        except KeyError:
            traceback.print_exc()
            traceback.print_exc(file=sys.stdout)
        """,
    "input": """
        name = input("name? ")
        print("hello", name)
        print(len(open(0).read()) if False else "end")
        """,
    "bytes": """
        import os, sys
        sys.stdout.buffer.write(b"raw \\xff\\xfe bytes\\n")
        sys.stdout.write("text ")
        sys.stdout.flush()
        os.write(1, "os ä\\n".encode())
        os.write(sys.stderr.fileno(), b"to stderr\\n")
        sys.stdout.writelines(["one\\n", "two\\n"])
        print(sys.stdout.isatty(), sys.stdout.fileno(), sys.stdout.encoding, type(sys.stdout).__name__)
        """,
    "pieces of lines and colours": """
        for token in "a streamed answer in pieces".split():
            print(token, end=" ", flush=True)
        print("\\x1b[32mgreen\\x1b[0m", "日本語 🎉 é", sep="|", end="")
        """,
    "much output": """
        import os
        for number in range(10_000_000, 10_025_000):
            print(f"line {number} of process {os.getpid()} {object()}")
        """,
    "redirected and replaced streams": """
        import contextlib, io, sys
        held = io.StringIO()
        with contextlib.redirect_stdout(held):
            print("captured", object())
        print(len(held.getvalue()) > 5)
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", write_through=True)
        print("through another wrapper")
        class Tee:
            def write(self, text):
                sys.__stderr__.write(text)
                return len(text)
            def flush(self): pass
        print("to a tee", file=Tee())
        """,
    "a file of its own log": """
        import logging, os
        logging.basicConfig(filename="app.log", format="%(asctime)s %(process)d %(message)s", level=20)
        logging.info("started %s", object())
        with open("report.txt", "w") as file:
            print("pid", os.getpid(), file=file)
        """,
    "an exception": """
        import os
        def fail():
            raise ValueError(f"of {object()} in {os.getpid()}")
        fail()
        """,
    "os._exit": """
        import os, sys
        print("before", flush=True)
        sys.stderr.write("no line feed")
        os._exit(3)
        """,
}
"""What programs print that is not the same in each run, by what it is; none of these is edited."""

TOGETHER = {
    "progress bars": ("tqdm", "tqdm that prints beside its bar", "rich.live", "rich.progress", "rich.status"),
    "concurrent work": ("threads", "a pool of threads", "asyncio tasks"),
    "values": (
        *("temporary files", "addresses of objects", "ids of processes", "elapsed times"),
        *("pprint of sets and ids", "warnings", "tracebacks", "bytes", "pieces of lines and colours"),
    ),
}
"""Programs that run as one, one after the other: what differs is named by its line, so one process tells as much."""

PROGRAMS = {name: "".join(dedent(NOISY[each]) for each in parts) for name, parts in TOGETHER.items()} | {
    name: source for name, source in NOISY.items() if not any(name in parts for parts in TOGETHER.values())
}


class Folder:
    """A program in a folder of its own, which is recorded and run again."""

    def __init__(self, path):
        self.path = path
        self.environ = {**os.environ, "PYTHONUNBUFFERED": "", "COLUMNS": "100"}

    def write(self, source):
        """Write the program."""
        (self.path / "app.py").write_text(dedent(source))

    def run(self, *words, stdin=b""):
        """Run a command of the debugger."""
        command = [sys.executable, "-m", "namel3ss_debug", *words]
        return subprocess.run(
            command, cwd=self.path, env=self.environ, input=stdin, capture_output=True, check=False
        )

    def record(self, source, *words):
        """Write the program and record it."""
        self.write(source)
        return self.run("trace", *words, "-o", "run.jsonl", "app.py", stdin=b"Ada\n")

    def again(self, *words):
        """Run it again; the divergences and the outcome."""
        ended = self.run("rerun", "run.jsonl", "--format", "jsonl", *words)
        rows = [json.loads(line) for line in ended.stdout.splitlines()]
        return rows[:-1], rows[-1]


@pytest.fixture
def folder(tmp_path):
    """A folder for a program."""
    return Folder(tmp_path)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Returns the folder of the recorded `PROGRAM`, each time as the recorded run left it."""
    folder = Folder(tmp_path_factory.mktemp("recorded") / "work")
    folder.path.mkdir()
    folder.record(PROGRAM)
    kept = folder.path.with_name("kept")
    shutil.copytree(folder.path, kept)

    def restore():
        shutil.rmtree(folder.path)
        shutil.copytree(kept, folder.path)
        return folder

    return restore


def places(rows):
    """The kind of each divergence, with its places."""
    return [(row["kind"], [each["path"] for each in row["paths"]]) for row in rows]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_not_edited_matches_whatever_noise_it_prints(folder, name):
    """Times, ids, addresses, frames and the order of threads are no differences."""
    folder.record(PROGRAMS[name])
    rows, outcome = folder.again()
    assert (places(rows), outcome["verdict"], outcome["not_compared"]) == ([], "matched", [])


PROGRAM = """
    import os, sys, threading, urllib.request
    print("one")
    print("two", file=sys.stderr)
    os.write(1, b"three\\n")
    sys.stdout.buffer.write(b"four\\n")
    def work():
        print("five")
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    with open("log.txt", "a") as file:
        file.write("six\\n")
    with open("new.part", "w") as file:
        file.write("seven\\nseven more\\n")
    os.replace("new.part", "new.txt")
    kept = open("kept.txt", "w")
    kept.write("eight\\n")
    def end():
        raise ValueError("nine")
    end()
    """


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ('"one"', '"uno"', ["output"]),
        ('"two"', '"dos"', ["output"]),
        ('b"three', 'b"tres', ["output"]),
        ('b"four', 'b"cuatro', ["output"]),
        ('"five"', '"cinco"', ["output"]),
        ('print("one")', "pass", ["output"]),
        ('"six', '"seis', ["files"]),
        ("seven more", "siete", ["files"]),
        ('"eight', '"ocho', ["files"]),
        ('kept = open("kept.txt", "w")\n    kept.write("eight\\n")', "pass", ["files"]),
        ('"nine"', '"nueve"', ["end", "output"]),
        ("raise ValueError", "raise KeyError", ["end", "output"]),
        ("    end()\n", "    sys.exit(0)\n", ["end", "output"]),
        ("import os, sys", "# a line more\n    import os, sys", []),
    ],
)
def test_an_edit_of_what_the_program_does_by_itself_is_a_difference(recorded, old, new, kinds):
    """Printed lines, written files and the exception that ends it are compared; a moved line is no difference."""
    folder = recorded()
    assert PROGRAM.count(old) == 1
    folder.write(PROGRAM.replace(old, new))
    rows, outcome = folder.again()
    assert sorted({row["kind"] for row in rows}) == kinds
    assert outcome["verdict"] == ("diverged" if kinds else "matched")


def test_the_first_line_that_differs_is_shown(folder):
    """With what the trace and the re-run have there."""
    folder.record("for number in range(5):\n    print('line', number)\n")
    folder.write("for number in range(6):\n    print('line' if number != 3 else 'LINE', number)\n")
    rows, _outcome = folder.again()
    change = {"path": "stdout line 4", "kind": "changed", "old": "line 3", "new": "LINE 3"}
    assert [row["paths"] for row in rows] == [[change]]
    shown = folder.run("rerun", "run.jsonl").stderr.decode()
    assert "~ stdout line 4\n    - line 3\n    + LINE 3\n" in shown
    assert "The re-run diverges from the trace: output." in shown


def test_an_exit_status_is_a_difference_without_a_word_printed(folder):
    """The ends of two runs differ by their status alone."""
    folder.record("import sys\nsys.exit(3)\n")
    folder.write("import sys\nsys.exit(4)\n")
    rows, outcome = folder.again()
    assert (rows, outcome["verdict"], outcome["exit_status"]) == ([], "diverged", 1)


def test_what_is_not_compared_stands_in_the_verdict(folder):
    """The output of a command that inherits the stream, and a database."""
    folder.record(
        "import sqlite3, subprocess\nsubprocess.run(['echo', 'hello'])\n"
        "base = sqlite3.connect('base.db')\nbase.execute('create table if not exists t (x)')\nbase.close()\n"
    )
    ended = folder.run("rerun", "run.jsonl")
    verdict = " ".join(ended.stderr.decode().partition("\n  program")[0].split())
    assert (ended.returncode, verdict) == (
        0,
        "The re-run matches the trace. Not compared: base.db; the output of echo.",
    )


FURTHER = {
    "open(1)": "out = open(1, 'w', closefd=False)",
    "/dev/stdout": "out = open('/dev/stdout', 'a')",
    "os.dup": "out = os.fdopen(os.dup(2), 'w')",
}


@pytest.mark.parametrize("how", FURTHER)
def test_a_further_stream_to_the_output_is_named(folder, how):
    """What is written to it is not seen; it is a difference if only one of the runs opens it."""
    source = f"import os\nprint('one', flush=True)\n{FURTHER[how]}\nout.write('two')\nout.close()\n"
    folder.record(source)
    outcome = folder.again()[1]
    shown = "/dev/stdout" if how == "/dev/stdout" else "a further stream"
    assert (outcome["verdict"], outcome["not_compared"]) == ("matched", [f"output through {shown}"])
    folder.write("print('one')\n")
    rows, outcome = folder.again()
    assert (places(rows), outcome["verdict"]) == ([("output", [f"output through {shown}"])], "diverged")


@pytest.mark.parametrize("how", ["option", "setting"])
def test_a_pattern_names_what_is_not_compared(folder, how):
    """Of the output, as an option or a setting."""
    folder.record("print('build 12')\n")
    folder.write("print('build 13')\n")
    assert folder.again()[1]["verdict"] == "diverged"
    options = ["--ignore", r"build \d+"] if how == "option" else []
    if how == "setting":
        folder.environ["NAMEL3SS_DEBUG_RERUN_IGNORE"] = json.dumps([r"build \d+"])
    assert folder.again(*options)[1]["verdict"] == "matched"
    wrong = folder.run("rerun", "run.jsonl", "--ignore", "(")
    assert wrong.returncode == 2
    assert b"--ignore (: missing ), unterminated subpattern" in wrong.stderr


def test_a_killed_run_is_compared_up_to_its_last_event(folder):
    """What it would have printed later is no change."""
    source = "import os, signal, subprocess\nprint('one')\nsubprocess.run(['true'])\n{}\nprint('two')\n"
    folder.record(source.format("os.kill(os.getpid(), signal.SIGKILL)"))
    folder.write(source.format("pass"))
    rows, outcome = folder.again()
    assert (rows, outcome["verdict"]) == ([], "matched")
    folder.write(source.format("pass").replace("one", "uno"))
    assert places(folder.again()[0]) == [("output", ["stdout line 1"])]


def test_secrets_in_the_output_are_not_written(folder):
    """Also where a key is printed in pieces, with a call between them."""
    key = "sk-proj-" + "a1B2c3D4" * 6
    folder.record(
        "import subprocess\nkey = 'sk-proj-' + 'a1B2c3D4' * 6\nprint('key', key[:20], end='')\n"
        "subprocess.run(['true'])\nprint(key[20:])\nprint(key)\n"
    )
    written = (folder.path / "run.jsonl").read_text()
    assert key not in written
    assert key[20:] not in written
    assert folder.again()[1]["verdict"] == "matched"
