"""A model for benchmarks: a server in a process of its own, that answers at once, so that nothing hides what recording costs."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

SERVER = """\
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from threading import Thread

answer = import_module(sys.argv[1]).answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave as one

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["content-length"]))
        body = answer(self.path.partition("?")[0], asked)
        self.send_response_only(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
sys.stdin.read()
"""


def serving(module: str) -> contextlib.AbstractContextManager[str]:
    """A server that answers with what `answer(path, body)` of a module in the working directory gives; its URL."""
    return running(SERVER, module)


@contextlib.contextmanager
def running(program: str, *arguments: str) -> Iterator[str]:
    """Run a program that says a URL on its first line, and ends when its stdin does; the URL."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.stdin.close()
