"""The verdicts of `debug rerun` on a program whose tools are edited: what was answered although its code has changed is said."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys

import pytest

PROGRAM = '''
import json, os, sys, urllib3
import shop

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
         for name in ("get_weather", "get_time")]
http = urllib3.PoolManager()

def get_weather(city):
    """The weather."""
    return {"city": city, "temp_c": shop.corrected(20)}

def get_time(zone):
    return f"12:00 {zone}"

def send(messages):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    body = {"model": "gpt-4o-mini", "messages": messages, "tools": TOOLS}
    return http.request("POST", url, json=body, retries=False).json()["choices"][0]["message"]

messages = [{"role": "user", "content": "weather?"}]
first = send(messages)
messages.append(first)
for call in first["tool_calls"]:
    result = globals()[call["function"]["name"]](**json.loads(call["function"]["arguments"]))
    messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)})
print(send(messages)["content"], *sys.argv[1:])
'''
SHOP = """
OFFSET = 1

def corrected(degrees):
    return degrees + OFFSET
"""


@pytest.fixture
def bench(tmp_path, model_environment):
    """A folder with the program, recorded; `run` runs a command of the debugger, and returns status, report and stderr."""

    class Bench:
        folder = tmp_path.resolve()

        def run(self, *words):
            command = [sys.executable, "-m", "namel3ss_debug", *words]
            given = {"cwd": self.folder, "env": model_environment, "capture_output": True, "text": True}
            done = subprocess.run(command, check=False, timeout=200, **given)
            self.err = done.stderr
            lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
            return done.returncode, json.loads(lines[-1]) if lines else {}

        def rerun(self, *words):
            return self.run("rerun", "run.jsonl", "--format", "jsonl", *words)

        def edit(self, name, old, new):
            path = self.folder / name
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new))

    made = Bench()
    (made.folder / "app.py").write_text(PROGRAM)
    (made.folder / "shop.py").write_text(SHOP)
    status, _ = made.run("trace", "-o", "run.jsonl", "app.py")
    assert status == 0, made.err
    return made


def test_a_tool_whose_code_has_changed_is_not_verified_until_it_is_run(bench):
    """A comment changes nothing; a constant in another module does. Its trace fails a check; the setting decides what runs."""
    bench.edit("shop.py", "def corrected", "# as agreed\n\ndef corrected")
    bench.edit("app.py", '"""The weather."""', '"""How the weather is."""')
    status, report = bench.rerun()
    assert (status, report["verdict"], report["reasons"]) == (0, "matched", [])
    assert bench.run("check", report["trace"], "--rule", "calls >= 0")[0] == 0

    bench.edit("shop.py", "OFFSET = 1", "OFFSET = 2")
    status, report = bench.rerun()
    assert (status, report["verdict"]) == (1, "unverified")
    (reason,) = report["reasons"]
    assert (reason["kind"], reason["tool"]) == ("stale-tools", "get_weather")
    assert "shop.py:OFFSET has changed" in reason["text"]
    assert bench.run("check", report["trace"], "--rule", "calls >= 0")[0] == 1

    status, report = bench.rerun("--accept", "stale-tools")
    assert (status, report["verdict"], report["reasons"][0]["accepted"]) == (
        0,
        "matched_with_overrides",
        True,
    )

    status, report = bench.rerun("--run-changed-tools")
    assert (status, report["verdict"]) == (1, "diverged")
    assert (report["divergences"], report["real"]) == ({"result": 2}, 2)

    settings = bench.folder / ".namel3ss" / "debug.json"
    settings.parent.mkdir()
    settings.write_text('{"tools": {"get_w*": "run"}}')
    assert bench.rerun()[1]["verdict"] == "diverged"
    settings.write_text('{"tools": {"get_weather": "answer", "*": "run"}}')
    status, report = bench.rerun("--run-changed-tools")
    assert (status, report["verdict"]) == (1, "unverified")
    assert report["reasons"][0]["verify"] == "--run-tools get_weather"


def test_a_tool_that_a_change_could_reach_is_not_verified(bench):
    """Where nothing has changed it is; else an option or a setting accepts it, and `--run-changed-tools` runs it."""
    bench.edit("app.py", "shop.corrected(20)", 'getattr(shop, "".join(["corr", "ected"]))(20)')
    assert bench.run("trace", "-o", "new.jsonl", "app.py")[0] == 0
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl")
    assert (status, report["verdict"]) == (0, "matched")
    bench.edit("shop.py", "OFFSET = 1", "OFFSET = 2")
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl")
    assert (status, report["verdict"]) == (1, "unverified")
    (reason,) = report["reasons"]
    assert (reason["kind"], reason["tool"], reason["verify"]) == (
        "unknown-code",
        "get_weather",
        "--run-changed-tools",
    )
    assert "shop.py:OFFSET has changed" in reason["text"]
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl", "--accept", "unknown-code")
    assert (status, report["verdict"]) == (0, "matched_with_overrides")
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl", "--run-changed-tools")
    assert (status, report["verdict"], report["divergences"]) == (1, "diverged", {"result": 2})
    settings = bench.folder / ".namel3ss" / "debug.json"
    settings.parent.mkdir()
    settings.write_text('{"accept": ["unknown-code"]}')
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl")
    assert (status, report["verdict"]) == (0, "matched_with_overrides")
    settings.write_text('{"accept": ["everything"]}')
    status, _ = bench.run("rerun", "new.jsonl")
    assert (status, "accept is" in bench.err) == (2, True)


READS = {
    "json": 'json.load(open("prices.json"))["tea"]',
    "sqlite": 'sqlite3.connect("prices.db").execute("select price from prices").fetchone()[0]',
    "text": 'open("prices.txt").read()',
    "source": 'open("prices.py").read()',
    "at import": "shop.LOADED",
    "script of a command": 'subprocess.run([sys.executable, "prices.py"], capture_output=True, text=True).stdout',
}


def write_data(folder, price):
    """Write the files that the tools of `READS` read."""
    (folder / "prices.json").write_text(json.dumps({"tea": price}))
    (folder / "prices.txt").write_text(str(price))
    (folder / "prices.py").write_text(f"TEA = {price}")
    (folder / "loaded.txt").write_text(str(price))
    with contextlib.closing(sqlite3.connect(folder / "prices.db")) as database, database:
        database.execute("create table if not exists prices (price)")
        database.execute("delete from prices")
        database.execute("insert into prices values (?)", (price,))


@pytest.mark.parametrize("how", READS)
def test_data_that_a_tool_reads_count_as_its_code(bench, how):
    """A file that it opens, whatever it holds, or that a module read for it; a file of another tool does not count."""
    (bench.folder / "shop.py").write_text(SHOP + 'LOADED = open("loaded.txt").read()\n')
    write_data(bench.folder, 2)
    bench.edit("app.py", "import json, os", "import json, sqlite3, subprocess, os")
    bench.edit("app.py", "shop.corrected(20)", READS[how])
    (bench.folder / "zones.txt").write_text("UTC")
    bench.edit("app.py", 'f"12:00 {zone}"', 'open("zones.txt").read()')
    assert bench.run("trace", "-o", "new.jsonl", "app.py")[0] == 0
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl")
    assert (status, report["verdict"]) == (0, "matched")
    for path in bench.folder.glob("prices.*"):  # written again with the same contents
        path.write_bytes(path.read_bytes())
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl")
    assert (status, report["verdict"]) == (0, "matched")
    write_data(bench.folder, 3)
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl")
    assert (status, report["verdict"]) == (1, "unverified")
    assert [each["tool"] for each in report["reasons"]] == ["get_weather"]


def test_a_package_that_is_installed_from_a_folder_is_code_of_the_user(bench, model_environment):
    """Its version stays the same while it is edited; a package from an index is known by its version."""
    site = bench.folder.with_name("elsewhere") / "site-packages"
    for name in ("ours", "theirs"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("def price():\n    return 2\n")
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(f"{name}/__init__.py,,\n{name}-1.0.dist-info/RECORD,,\n")
    (site / "ours-1.0.dist-info" / "direct_url.json").write_text(
        '{"url": "file:///src/ours", "dir_info": {}}'
    )
    model_environment["PYTHONPATH"] = str(site)
    bench.edit("app.py", "import shop", "import ours, theirs, shop")
    bench.edit("app.py", "shop.corrected(20)", "ours.price()")
    bench.edit("app.py", 'f"12:00 {zone}"', "theirs.price()")
    assert bench.run("trace", "-o", "new.jsonl", "app.py")[0] == 0, bench.err
    for name in ("ours", "theirs"):
        (site / name / "__init__.py").write_text("def price():\n    return 3\n")
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl")
    assert (status, report["verdict"]) == (1, "unverified")
    assert [each["tool"] for each in report["reasons"]] == ["get_weather"]
    (site / "ours" / "__init__.py").write_text("def price():\n    return 2\n")
    (site / "theirs-1.0.dist-info").rename(site / "theirs-1.1.dist-info")
    status, report = bench.run("rerun", "new.jsonl", "--format", "jsonl")
    assert (status, report["verdict"]) == (1, "unverified")
    (reason,) = report["reasons"]
    assert (reason["kind"], reason["tool"]) == ("unknown-code", "get_time")
    assert "theirs is 1.1 now, and was 1.0" in reason["text"]


def test_another_program_is_named_behind_two_dashes(bench):
    """It runs with its arguments on the answers of the trace; without a program there, or without the file, nothing runs."""
    (bench.folder / "app.py").rename(bench.folder / "other.py")
    status, report = bench.rerun("--", "other.py", "--accept", "this")
    # It prints its arguments.
    assert (status, report["verdict"], report["divergences"]) == (1, "diverged", {"output": 1})
    assert "--accept this" in bench.err
    status, _ = bench.rerun("--")
    assert (status, "no program after --" in bench.err) == (2, True)
    status, _ = bench.rerun("--accept", "everything")
    assert (status, "use stale-tools or unknown-code" in bench.err) == (2, True)
    status, _ = bench.rerun("--", "missing.py")
    assert (status, "missing.py" in bench.err) == (2, True)
