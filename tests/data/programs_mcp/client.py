"""A client of the server beside it, over its pipes, or over HTTP where an address is given."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client import streamable_http
from mcp.client.stdio import stdio_client


def connected():
    """The way to the server."""
    if len(sys.argv) > 1:
        opened = (
            getattr(streamable_http, "streamable_http_client", None) or streamable_http.streamablehttp_client
        )
        return opened(sys.argv[1])
    server = str(Path(__file__).with_name("server.py"))
    environment = {name: os.environ[name] for name in ("CALLS",) if name in os.environ}
    return stdio_client(StdioServerParameters(command=sys.executable, args=[server], env=environment))


async def main():
    """Ask for everything the server has."""
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(connected())
        session = await stack.enter_async_context(ClientSession(streams[0], streams[1]))
        await session.initialize()
        print([tool.name for tool in (await session.list_tools()).tools])
        print(await session.call_tool("get_weather", {"city": "Oslo"}))
        print(await session.call_tool("get_weather", {"city": "Atlantis"}))
        print(await asyncio.gather(*(session.call_tool("add", {"a": a, "b": 1}) for a in range(3))))
        print(await session.read_resource("weather://cities"))
        print(await session.get_prompt("ask", {"city": "Lima"}))
        try:
            await session.get_prompt("nothing")
        except Exception as error:
            print(type(error).__name__, error.error.code, error)


asyncio.run(main())
