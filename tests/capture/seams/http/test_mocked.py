"""Tests of programs that answer their requests themselves, with respx: they do so in a re-run as well."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("respx")

PROGRAM = """
import asyncio
import json
import httpx
import respx

URL = "http://model.test/v1/chat/completions"
MESSAGE = {"role": "assistant", "content": "hello"}
ANSWER = {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": MESSAGE}]}
ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}

with respx.mock(assert_all_called=True) as mock:
    outcomes = [httpx.ConnectError("down"), httpx.Response(200, json=ANSWER)]
    route = mock.post(URL).mock(side_effect=outcomes)
    for body in {"json": ASK}, {"content": iter([json.dumps(ASK).encode()])}:
        try:
            print(httpx.post(URL, **body).json()["choices"][0]["message"]["content"])
        except httpx.ConnectError as error:
            print(error)
    assert route.call_count == 2
    print(json.loads(route.calls.last.request.content))

async def main():
    async with respx.mock(assert_all_called=True) as mock, httpx.AsyncClient() as client:
        route = mock.post(URL).mock(return_value=httpx.Response(200, json=ANSWER))
        responses = await asyncio.gather(*(client.post(URL, json={**ASK, "n": n}) for n in range(3)))
    print([response.status_code for response in responses], route.call_count)

asyncio.run(main())
"""


def run(folder, *words):
    """Run a command of the debugger in the folder."""
    return subprocess.run(
        [sys.executable, "-m", "namel3ss_debug", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        timeout=60,
    )


def test_the_assertions_of_a_mock_hold_in_a_re_run(tmp_path):
    """The mock counts its calls; an edited request is a divergence all the same, and a mock of the user comes first."""
    (tmp_path / "app.py").write_text(PROGRAM)
    recorded = run(tmp_path, "trace", "-o", "t.jsonl", "app.py")
    assert recorded.returncode == 0, recorded.stderr
    again = run(tmp_path, "rerun", "t.jsonl")
    assert (again.returncode, again.stdout) == (0, recorded.stdout), again.stderr
    replaced = run(tmp_path, "rerun", "t.jsonl", "--mock", "llm@2.text='by hand'")
    assert "by hand" in replaced.stdout
    (tmp_path / "app.py").write_text(PROGRAM.replace('"content": "hello"}]', '"content": "howdy"}]'))
    edited = run(tmp_path, "rerun", "t.jsonl")
    assert edited.returncode == 1
    assert "5 changed" in edited.stderr
