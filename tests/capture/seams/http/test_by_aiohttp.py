"""Aiohttp: bodies that the program stops reading, against a server that says half of one."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from unittest.mock import Mock

import pytest

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.capture.seams.http import by_aiohttp
from namel3ss_debug.traces.reader import open_trace

aiohttp = pytest.importorskip("aiohttp")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nhal"


async def asked(read):
    """Ask a server that says the rest of its body only when `go` is set, and let `read(response, go)` read it."""
    go = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        await go.wait()
        with contextlib.suppress(ConnectionError):
            writer.write(b"f of")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/") as response,
    ):
        try:
            return await read(response, go)
        finally:
            go.set()


async def cancelled(response, go):
    """Cancel a read that waits for more."""
    del go
    assert await response.content.readany() == b"hal"
    reading = asyncio.ensure_future(response.content.readany())
    await asyncio.sleep(0)  # its turn, in which it comes to wait
    assert response.content._waiter is not None
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def cancelled_once(response, go):
    """Read on after a read was cancelled."""
    await cancelled(response, go)
    go.set()
    return await response.read()


async def left(response, go):
    """Leave the rest, and wait for none of it."""
    del go
    assert await response.content.readany() == b"hal"


@pytest.mark.parametrize(
    ("read", "status"), [(cancelled, "cancelled"), (cancelled_once, "completed"), (left, "partial")]
)
def test_a_body_ends_as_the_program_ended_its_reading(tracer, read, status):
    """By the cancellation of the last read, unless more was read after it; without one it is simply not whole."""
    asyncio.run(asked(read))
    [end] = [e for e in open_trace(shutdown_tracing()).events() if e["event_type"] == "http_exchange_end"]
    assert end["status"] == status
    assert end["outputs"]["body"] == ("half of" if status == "completed" else "hal")


def test_responses_without_a_body_end_each_by_itself():
    """They share one reader of aiohttp's; here another thread gets one while the first is being looked at."""
    first, other = Mock(spec=["end"]), Mock(spec=["end"])
    reading, between = {}, [other]

    class Shared(aiohttp.streams.EmptyStreamReader):
        """The reader."""

        def on_eof(self, callback):
            """What comes in between comes here."""
            while between:
                by_aiohttp._follow_body(reading, Mock(content=self), between.pop(), decoded=True)
            callback()

    response = Mock(content=Shared())
    by_aiohttp._follow_body(reading, response, first, decoded=True)
    by_aiohttp._follow_body(reading, response, other, decoded=True)
    assert first.end.called
    assert other.end.called
    assert reading == {}


UNREACHABLE = """
import asyncio
import aiohttp

async def main():
    async with aiohttp.ClientSession() as session:
        for url in "http://127.0.0.1:9/", "http://nowhere.invalid/":
            try:
                await session.get(url)
            except aiohttp.ClientConnectorError as error:
                cause = error.__cause__
                print(error, error.errno, repr(cause), cause is error.os_error, cause.__cause__)

asyncio.run(main())
"""


def test_the_exceptions_of_connecting_have_their_causes_in_a_re_run(tmp_path):
    """A program looks there for the number of the error."""
    (tmp_path / "app.py").write_text(UNREACHABLE)
    runs = [
        subprocess.run(
            [sys.executable, "-m", "namel3ss_debug", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            timeout=60,
        )
        for words in (["trace", "-o", "t.jsonl", "app.py"], ["rerun", "t.jsonl"])
    ]
    recorded, again = runs
    assert "ConnectionRefusedError(" in recorded.stdout
    assert (again.returncode, again.stdout) == (0, recorded.stdout), again.stderr
