"""An MCP client of a server over its pipes, which is this program with an argument."""

import asyncio
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def serve():
    """Be the server."""
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("weather")

    @server.tool()
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"{city}: -3 degrees"

    server.run()


async def main():
    server = StdioServerParameters(command=sys.executable, args=[__file__, "serve"])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        print([tool.name for tool in (await session.list_tools()).tools])
        print((await session.call_tool("get_weather", {"city": "Oslo"})).content[0].text)


if len(sys.argv) > 1:
    serve()
else:
    asyncio.run(main())
