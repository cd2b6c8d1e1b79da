"""The verdicts of `debug rerun` on a program whose tools are edited: what was answered although its code has changed is said."""

from __future__ import annotations

import json
import os
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


def test_a_trace_without_digests_goes_by_the_times_of_files(bench):
    """As of an earlier version: a file that is newer than the trace is enough; else one line says that nothing is known."""
    trace = bench.folder / "run.jsonl"
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    for event in events:
        event.get("metadata", {}).pop("code", None)
    trace.write_text("".join(json.dumps(event) + "\n" for event in events))
    old = events[0]["timestamp"] - 100
    for name in ("app.py", "shop.py"):
        os.utime(bench.folder / name, (old, old))
    status, report = bench.rerun("--trust")
    assert (status, report["verdict"]) == (0, "matched")
    assert set(report["not_verified"]) == {"get_weather", "get_time"}
    os.utime(bench.folder / "shop.py")
    status, report = bench.rerun("--trust")
    assert (status, report["verdict"]) == (1, "unverified")
    assert [each["tool"] for each in report["reasons"]] == ["get_weather"]
    assert "shop.py is newer than the trace" in report["reasons"][0]["text"]


def test_another_program_is_named_behind_two_dashes(bench):
    """It runs with its arguments on the answers of the trace; without a program there, or without the file, nothing runs."""
    (bench.folder / "app.py").rename(bench.folder / "other.py")
    status, report = bench.rerun("--", "other.py", "--accept", "this")
    assert (status, report["verdict"]) == (0, "matched")
    assert "--accept this" in bench.err
    status, _ = bench.rerun("--")
    assert (status, "no program after --" in bench.err) == (2, True)
    status, _ = bench.rerun("--accept", "everything")
    assert (status, "use stale-tools or stale-models" in bench.err) == (2, True)
    status, _ = bench.rerun("--", "missing.py")
    assert (status, "missing.py" in bench.err) == (2, True)
