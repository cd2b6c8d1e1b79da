"""Tests of the version of HTTP that a program sees, recorded and in a re-run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

HEAD = b"HTTP/1.%d 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
PROGRAMS = {
    "httpx2": "response = httpx2.get(URL); print(response.http_version, response.text)",
    "requests": "response = requests.get(URL); print(response.raw.version, response.text)",
    "urllib3": """
response = urllib3.request("GET", URL)
print(response.version, getattr(response, "version_string", ""), response.data)""",
    "aiohttp": """
async def main():
    async with aiohttp.ClientSession() as session, session.get(URL) as response:
        print(response.version, await response.text())
import asyncio
asyncio.run(main())""",
    "http.client": """
connection = http.client.HTTPConnection(URL.split("/")[2])
connection.request("GET", "/")
response = connection.getresponse()
print(response.version, response.read())""",
}


@pytest.fixture
def server():
    """A server of HTTP/1.0 or 1.1, whichever `version` says."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answers = []

        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answers[0])

        threading.Thread(target=serve, daemon=True).start()
        yield answers, f"http://127.0.0.1:{listening.getsockname()[1]}/"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("length", [b"Content-Length: 5\r\n", b""])
@pytest.mark.parametrize("client", PROGRAMS)
def test_a_program_sees_the_version_of_the_server(client, length, server, tmp_path):
    """Also of a body that ends with the connection."""
    pytest.importorskip(client)
    answers, url = server
    answers.append(HEAD % 0 + length + b"\r\nhello")
    (tmp_path / "app.py").write_text(f"import os, {client}\nURL = os.environ['URL']\n{PROGRAMS[client]}\n")

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "namel3ss_debug", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "URL": url},
            cwd=tmp_path,
            check=False,
            timeout=60,
        )

    recorded = run("trace", "-o", "t.jsonl", "app.py")
    assert "1.0" in recorded.stdout or "10" in recorded.stdout or "minor=0" in recorded.stdout, recorded
    answers[0] = b"HTTP/1.1 500 No\r\n\r\n"
    again = run("rerun", "t.jsonl")
    assert (again.returncode, again.stdout) == (0, recorded.stdout), again.stderr
