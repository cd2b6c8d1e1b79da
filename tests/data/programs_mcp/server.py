"""An MCP server with tools, a resource and a prompt: over its pipes, or with a port over HTTP on loopback.

Each call of a tool leaves a line in the file that `CALLS` names.
"""

import os
import sys

try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:  # before version 2
    from mcp.server.fastmcp import FastMCP as Server

server = Server("weather")


def note(name):
    """Leave a line."""
    if "CALLS" in os.environ:
        with open(os.environ["CALLS"], "a") as calls:
            calls.write(f"{name}\n")


@server.tool()
def get_weather(city: str) -> dict:
    """The weather of a city."""
    note("get_weather")
    if city == "Atlantis":
        raise ValueError("no such city")
    return {"city": city, "temp_c": 12}


@server.tool()
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    note("add")
    return a + b


@server.resource("weather://cities")
def cities() -> str:
    """All cities."""
    return "Oslo, Lima"


@server.prompt()
def ask(city: str) -> str:
    """How to ask for the weather."""
    return f"How is the weather in {city}?"


def main():
    """Serve."""
    if len(sys.argv) == 1:
        server.run()
    elif hasattr(getattr(server, "settings", None), "port"):
        server.settings.port = int(sys.argv[1])
        server.run("streamable-http")
    else:
        server.run("streamable-http", port=int(sys.argv[1]))


if __name__ == "__main__":
    main()
