"""Re-runs of programs that send images: the trace holds each once, and a re-run compares all of it."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys

import pytest

from namel3ss_debug.exporters import jsonl
from namel3ss_debug.traces.reader import open_trace

IMAGE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + random.Random(5).randbytes(60_000)

CHAT = """
import base64, os, httpx

image = base64.b64encode(open("a.png", "rb").read()).decode()
content = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64," + image}}]
messages = [{"role": "user", "content": content}]
with httpx.Client() as client:
    for question in ("and this?", "and that?", "why?"):
        url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
        answer = client.post(url, json={"model": "gpt-4o-mini", "messages": messages}).json()
        print(answer["choices"][0]["message"]["content"])
        messages += [answer["choices"][0]["message"], {"role": "user", "content": question}]
"""

TYPED = """
import base64, os, httpx

image = base64.b64encode(open("a.png", "rb").read()[20:]).decode()
source = {"type": "base64", "media_type": "image/png", "data": image}
messages = [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "what is this?"}]}]
with httpx.Client() as client:
    for question in ("and this?", "and that?", "why?"):
        url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
        answer = client.post(url, json={"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": messages}).json()
        print(answer["content"][0]["text"])
        messages += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": question}]
"""

GEMINI = """
import base64, httpx

image = base64.b64encode(open("a.png", "rb").read()).decode()
parts = [{"inline_data": {"mime_type": "image/png", "data": image}}, {"text": "what is this?"}]
body = {"contents": [{"role": "user", "parts": parts}]}
for _ in range(3):
    try:
        httpx.post("http://127.0.0.1:9/v1beta/models/gemini-2.5-flash:generateContent", json=body)
    except httpx.ConnectError:
        print("no connection")
"""


def run(folder, environment, *words):
    """Run a command of the debugger in a folder."""
    command = [sys.executable, "-m", "namel3ss_debug", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def image_in(event):
    """Return the content of the image in the request of a model call."""
    parts = event["inputs"]["messages"][0]["parts"]
    return next(part["content"] for part in parts if part["type"] == "blob")


@pytest.mark.parametrize("program", [CHAT, TYPED, GEMINI], ids=["openai", "anthropic", "gemini"])
def test_an_image_is_stored_once_and_an_edited_one_diverges(tmp_path, model_environment, program):
    """The same program matches, and `inspect` shows the image whole."""
    (tmp_path / "app.py").write_text(program)
    (tmp_path / "a.png").write_bytes(IMAGE)
    recorded = run(tmp_path, model_environment, "trace", "-o", "run.jsonl", "app.py")
    assert recorded.stdout.count(b"\n") == 3, recorded.stderr
    sent = base64.b64encode(IMAGE[20:] if program is TYPED else IMAGE).decode()
    assert (tmp_path / "run.jsonl").read_text().count(sent) == 1
    trace = open_trace(tmp_path / "run.jsonl")
    calls = [event for event in trace.events() if event["event_type"] == "llm_call_start"]
    assert [image_in(event) for event in calls] == [sent] * 3

    shown = run(
        tmp_path,
        model_environment,
        "inspect",
        "run.jsonl",
        "--where",
        "event_type == 'llm_call_start'",
        "--format",
        "jsonl",
    )
    assert shown.stdout.decode().count(sent) == 3
    assert b"".join(jsonl.export(trace.events())).count(sent.encode()) == 3

    again = run(tmp_path, model_environment, "rerun", "run.jsonl")
    assert again.returncode == 0, again.stderr
    assert again.stdout == recorded.stdout

    (tmp_path / "a.png").write_bytes(IMAGE[:30_000] + b"edited" + IMAGE[30_006:])
    edited = run(tmp_path, model_environment, "rerun", "run.jsonl", "--format", "jsonl")
    assert edited.returncode == 1, edited.stderr
    *rows, _ = map(json.loads, edited.stdout.splitlines())
    assert "changed" in {row["kind"] for row in rows}
