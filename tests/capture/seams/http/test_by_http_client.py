"""`http.client`, and `urllib` and `xmlrpc` on it: recorded as the program sends and reads, and answered by a line that goes nowhere."""

from __future__ import annotations

import array
import base64
import contextlib
import gzip
import http.client
import io
import json
import pickle
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import xmlrpc.client
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namel3ss_debug.capture.launch.start import shutdown_tracing
from namel3ss_debug.traces.reader import open_trace

OFFLINE = pytest.mark.parametrize("shell", [{"offline": True}], indirect=True)
NOWHERE = "127.0.0.1:9"
TEXT = b"first line\nsecond line\nthe third has no end"
ANSWERS = {
    "/length": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
    % (len(TEXT), TEXT),
    "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n%b\r\nd\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (TEXT[:7], TEXT[7:20], len(TEXT[20:]), TEXT[20:]),
    "/old": b"HTTP/1.0 200 OK\r\n\r\n" + TEXT,
    "/moved": b"HTTP/1.1 302 Found\r\nLocation: /length\r\nContent-Length: 0\r\n\r\n",
    "/none": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "/cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo",
    "/gone": b"",
    "/noise": b"what is this\r\n\r\n",
    "/RPC2": b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%b",
}
SEVEN = xmlrpc.client.dumps((7,), methodresponse=True).encode()
ANSWERS["/RPC2"] %= len(SEVEN), SEVEN
ANSWERS["/once"] = ANSWERS["/length"]
CLOSED = ("/once", "/old", "/short", "/cut", "/gone", "/noise")


class Server:
    """Answers by the path, as `ANSWERS` has it; `/wait` never. A proxy that is asked for a tunnel says no.

    Attributes:
        asked: the heads of the requests, and their bodies as they were sent.
    """

    def __init__(self, listening):
        self.asked = []
        self.place = f"127.0.0.1:{listening.getsockname()[1]}" if listening.family == socket.AF_INET else ""
        self._listening = listening
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            while (first := lines.readline()).strip():
                head = {}
                while b":" in (line := lines.readline()):
                    name, _, value = line.decode().partition(":")
                    head[name.lower()] = value.strip()
                path = first.split()[1].decode()
                path = "/" + path.split("/", 3)[3] if "://" in path else path
                self.asked.append((head, self._body(lines, head)))
                if path == "/wait":
                    lines.readline()
                elif first.startswith(b"CONNECT"):
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                else:
                    connection.sendall(ANSWERS[path])
                if path in CLOSED or first.startswith(b"CONNECT"):
                    return

    @staticmethod
    def _body(lines, head):
        if head.get("transfer-encoding") != "chunked":
            return lines.read(int(head.get("content-length", 0)))
        body = b""
        while size := int(lines.readline(), 16):
            body += lines.read(size + 2)[:-2]
        lines.readline()
        return body


@pytest.fixture(scope="module")
def server():
    """A server on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Server(listening)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Nothing but loopback is asked."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


def exchanges(file=None):
    """The exchanges of a recording as pairs of start and end; of that of this process, which ends."""
    events = list(open_trace(file or shutdown_tracing()).events())
    ends = {e.get("parent_event_id"): e for e in events if e["event_type"].endswith("_end")}
    starts = [e for e in events if e["event_type"] in ("http_exchange_start", "llm_call_start")]
    return [(start, ends[start["event_id"]]) for start in starts]


def connect(server, **more):
    """A connection to the server."""
    return http.client.HTTPConnection(server.place, timeout=20, **more)


def text_of(end):
    """The body that an end event tells."""
    return (end["outputs"]["body"] or "").encode()


def filled(response, size):
    """What comes into a buffer of this size."""
    buffer = bytearray(size)
    return bytes(buffer[: response.readinto(buffer)])


WAYS = {
    "read": lambda response, _size: response.read(),
    "some": lambda response, size: response.read(size),
    "read1": lambda response, size: response.read1(size),
    "readline": lambda response, _size: response.readline(),
    "limited": lambda response, size: response.readline(size),
    "peek": lambda response, size: response.peek(size) and b"",
    "readinto": filled,
    "next": lambda response, _size: next(response, b""),
}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/once", "/chunks", "/old"]),
    steps=st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.integers(1, 30)), max_size=12),
)
def test_whatever_way_a_body_is_read_all_that_was_read_is_recorded(server, tracing, path, steps):
    """By every method and in every order: the recording has what the program got, and says whether that was all."""
    tracing()
    try:
        with contextlib.closing(connect(server)) as connection:
            connection.request("GET", path)
            with connection.getresponse() as response:
                got = b"".join(WAYS[way](response, size) for way, size in steps)
    finally:
        [(_start, end)] = exchanges()
    assert text_of(end) == got
    if end["status"] == "completed":
        assert got == TEXT
    elif path == "/once":
        assert got != TEXT


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.binary(max_size=40), max_size=6),
    encoding=st.sampled_from(["", "gzip", "deflate"]),
    stream=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.integers(1, 30)), max_size=8),
)
def test_a_given_body_reads_as_it_would_from_a_server(shell, pieces, encoding, stream, steps):
    """In whatever pieces and encoding it came, and however it is read."""
    kind = "text/event-stream" if stream else "text/plain"
    shell.words[NOWHERE] = reply(
        *pieces, headers=[["content-type", kind], ["content-encoding", encoding]], encoding=encoding
    )
    connection = http.client.HTTPConnection(NOWHERE)
    connection.request("GET", "/")
    response = connection.getresponse()
    got = b"".join(WAYS[way](response, size) for way, size in steps) + response.read()
    connection.close()
    whole = b"".join(pieces)
    assert response.headers["content-encoding"] == encoding
    if encoding and pieces:
        assert zlib.decompress(got, 31 if encoding == "gzip" else 15) == whole
    else:
        assert got == whole


def reply(*pieces, status=200, headers=(), **more):
    """What the gate says of a call that is answered by a recorded response."""
    encoded = [base64.b64encode(piece).decode() for piece in pieces]
    return {"http": {"status": status, "reason": "Some", "headers": list(headers), "pieces": encoded, **more}}


def test_each_request_over_a_kept_connection_is_an_exchange(server, tracer):
    """With its method, its whole URL, its headers without credentials, and the response as it was."""
    connection = connect(server)
    for path in ("/length", "/chunks", "/none"):
        connection.request("GET", path, headers={"Authorization": "Bearer of-a-secret"})
        assert connection.getresponse().read() in (TEXT, b"")
    before = connection.sock
    connection.request("HEAD", "/none")
    assert connection.getresponse().read() == b""
    assert connection.sock is before
    connection.close()
    told = exchanges()
    urls = [f"http://{server.place}{path}" for path in ("/length", "/chunks", "/none", "/none")]
    assert [start["inputs"]["url"] for start, _end in told] == urls
    assert [start["inputs"]["method"] for start, _end in told] == ["GET", "GET", "GET", "HEAD"]
    assert [end["metadata"]["exchange"]["status"] for _start, end in told] == [200, 200, 204, 204]
    assert [end["status"] for _start, end in told] == ["completed"] * 4
    assert not any("of-a-secret" in json.dumps(start) for start, _end in told)


def by_hand(connection, *pieces, **headers):
    """Send a request step by step."""
    connection.putrequest("POST", "/none")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    for piece in pieces:
        connection.send(piece)


BODIES = {
    "bytes": (b'{"a": 1}', {"a": 1}),
    "text": ("plain", "plain"),
    "buffer": (memoryview(b"view"), "view"),
    "array": (array.array("b", b"array"), "array"),
    "file": (lambda: io.BytesIO(b"of a file"), "of a file"),
    "text file": (lambda: io.StringIO("of a text file"), "of a text file"),
    "pieces": ([b"in ", b"pieces"], "in pieces"),
    "generator": (lambda: (piece for piece in (b"gene", b"", b"rated")), "generated"),
    "nothing": (None, None),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_recorded_in_whatever_form_it_is_sent(server, tracer, name):
    """The server gets what it would get without us, and the recording has it whole."""
    body, shown = BODIES[name]
    connection = connect(server)
    connection.request("POST", "/none", body() if callable(body) else body)
    connection.getresponse().read()
    connection.close()
    [(start, end)] = exchanges()
    assert start["inputs"].get("body") == shown
    sent = server.asked[-1][1]
    assert start["metadata"]["exchange"].get("request_bytes", 0) == len(sent)
    assert end["status"] == "completed"


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [
        ((b"by ", b"hand"), {"Content_Length": "7"}),
        (([b"by ", b"hand"],), {"Content_Length": "7"}),
        ((iter([b"by ", b"hand"]),), {"Content_Length": "7"}),
        ((b"3\r\nby \r\n", b"4\r\nhand\r\n0\r\n\r\n"), {"Transfer_Encoding": "chunked"}),
    ],
)
def test_a_body_that_is_sent_by_hand_is_recorded_before_the_response(server, tracer, pieces, headers):
    """Piece by piece, with what is around the chunks left out."""
    connection = connect(server)
    by_hand(connection, *pieces, **headers)
    connection.getresponse().read()
    connection.close()
    [(start, _end)] = exchanges()
    assert start["inputs"]["body"] == "by hand"
    assert server.asked[-1][1] == b"by hand"


def test_redirects_are_exchanges_of_their_own(server, tracer):
    """The program gets the last response, from the address that it came from."""
    with urllib.request.urlopen(f"http://{server.place}/moved") as response:
        assert (response.url, response.read()) == (f"http://{server.place}/length", TEXT)
    (_one, moved), (_two, last) = exchanges()
    assert moved["metadata"]["exchange"]["headers"]["location"] == "/length"
    assert text_of(last) == TEXT


def test_a_call_of_xmlrpc_is_recorded(server, tracer):
    """With the text of both documents."""
    with xmlrpc.client.ServerProxy(f"http://{server.place}") as proxy:
        assert proxy.add(3, 4) == 7
    [(start, end)] = exchanges()
    assert "<methodName>add</methodName>" in start["inputs"]["body"]
    assert "<int>7</int>" in end["outputs"]["body"]


FAILURES = {
    "/short": (http.client.IncompleteRead, "IncompleteRead(9 bytes read, 91 more expected)"),
    "/cut": (http.client.IncompleteRead, "IncompleteRead(5 bytes read)"),
    "/gone": (http.client.RemoteDisconnected, "Remote end closed connection without response"),
    "/noise": (http.client.BadStatusLine, "what is this\r\n"),
    "/wait": (TimeoutError, "timed out"),
}


def failure(url, timeout=20):
    """What comes of asking for a URL, and what there was of the body."""
    with pytest.raises(Exception) as caught, urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: PT011  (any)
        response.read()
    return caught.value


@pytest.mark.parametrize("path", FAILURES)
def test_a_failure_is_the_same_when_it_is_recorded_and_when_it_is_given(server, shell, path):
    """The exception of `http.client`, as it goes through `urllib`, with what it tells of the body."""
    first = failure(f"http://{server.place}{path}", 0.2 if path == "/wait" else 20)
    kind, text = FAILURES[path]
    assert (type(first), str(first)) == (kind, text)
    [end] = [json.loads(line) for line in shell.trace.read_text().splitlines() if "http_exchange_end" in line]
    told = end["metadata"]["exchange"]
    pieces = (text_of(end),) if "status" in told else ()
    given = reply(*pieces, status=told.get("status", 0), raised=told["raised"])
    shell.words[NOWHERE] = given
    again = failure(f"http://{NOWHERE}/")
    assert (type(again), str(again)) == (kind, text)
    assert getattr(again, "partial", None) == getattr(first, "partial", None)


def test_what_fails_before_a_request_has_left_is_told_and_given_as_that(server, shell):
    """`urllib` makes a `URLError` of it, which it does not of what fails later."""
    refused = failure(f"http://{NOWHERE}/")
    assert type(refused.reason) is ConnectionRefusedError
    [end] = [json.loads(line) for line in shell.trace.read_text().splitlines() if "http_exchange_end" in line]
    told = end["metadata"]["exchange"]["raised"]
    assert told["sent"] is False
    shell.words["127.0.0.1:8"] = {"http": {"status": 0, "raised": told}}
    again = failure("http://127.0.0.1:8/")
    assert (repr(again.reason), str(again)) == (repr(refused.reason), str(refused))
    shell.words["127.0.0.1:8"] = {"http": {"status": 0, "raised": {**told, "sent": True}}}
    assert type(failure("http://127.0.0.1:8/")) is ConnectionRefusedError


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (
            ("socket.gaierror", "[Errno -2] Name or service not known"),
            "gaierror(-2, 'Name or service not known')",
        ),
        (("ssl.SSLCertVerificationError", "[SSL] no"), "SSLCertVerificationError(1, '[SSL] no')"),
    ],
)
def test_what_a_connection_fails_of_is_given_with_its_number(shell, raised, shown):
    """A name that is not known, and a certificate that is not trusted."""
    told = dict(zip(("type", "text"), raised, strict=True))
    shell.words[NOWHERE] = {"http": {"status": 0, "raised": told | {"sent": False}}}
    assert repr(failure(f"http://{NOWHERE}/").reason) == shown


def test_a_proxy_that_refuses_a_tunnel_is_no_exchange_of_its_own(server, tracer):
    """The request that it was for fails, and tells where it was to go."""
    connection = http.client.HTTPSConnection(server.place, timeout=20)
    connection.set_tunnel("example.org")
    with pytest.raises(OSError, match="Tunnel connection failed: 403"):
        connection.request("POST", "/x", iter([b"body"]))
    connection.close()
    [(start, end)] = exchanges()
    assert start["inputs"]["url"] == "https://example.org/x"
    assert end["metadata"]["exchange"]["raised"]["sent"] is False


class Plain(http.client.HTTPConnection):
    """A connection over a socket of UNIX."""

    def connect(self):
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def test_a_connection_of_another_kind_is_recorded_and_answered(shell, tmp_path_factory):
    """Whatever opens it is not called where an answer is given."""
    path = str(tmp_path_factory.mktemp("s") / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        Server(listening)
        for expected in (TEXT, b"given"):
            connection = Plain("localhost")
            connection.path = path
            connection.request("GET", "/length")
            assert connection.getresponse().read() == expected
            connection.close()
            shell.words["localhost"] = reply(b"given")
    assert len(shell.trace.read_text().split('"http_exchange_start"')) == 3


def test_the_program_sees_nothing_of_us(server, tracer):
    """No attribute is left on a connection, so it can still be pickled; what is no request of ours raises as it did."""
    connection = connect(server)
    connection.request("GET", "/length")
    response = connection.getresponse()
    assert isinstance(response.fp, io.BufferedReader)
    assert isinstance(connection.sock, socket.socket)
    response.read()
    connection.close()
    assert pickle.loads(pickle.dumps(connection)).host == "127.0.0.1"
    with pytest.raises(http.client.ResponseNotReady):
        connection.getresponse()
    connection.request("GET", "/length")
    with pytest.raises(http.client.CannotSendRequest):
        connection.request("GET", "/length")
    connection.close()
    assert [end["status"] for _start, end in exchanges()] == ["completed", "partial"]


@OFFLINE
def test_everything_is_put_back(shell):
    """After tracing, the classes are as they were, also those of the program."""
    Plain("localhost")
    kinds = (Plain, http.client.HTTPConnection, http.client.HTTPResponse)
    patched = [value for kind in kinds for value in vars(kind).values() if _is_ours(value)]
    assert len(patched) == 12
    shutdown_tracing()
    assert not [value for kind in kinds for value in vars(kind).values() if _is_ours(value)]


def _is_ours(value):
    """Whether this is a function that we put in the place of another."""
    code = getattr(value, "__code__", None)
    return code is not None and "namel3ss_debug" in code.co_filename


def test_the_trace_goes_on_at_the_other_side_where_the_settings_ask_for_it(server, tracing):
    """A request carries its span; one whose body is streamed the span around it; the recording knows nothing of either."""
    tracer = tracing(propagate=["127.0.0.1"])
    connection = connect(server)
    with tracer.span("chain", "around") as around:
        for body in (b"whole", iter([b"in pieces"])):
            connection.request("POST", "/none", body)
            connection.getresponse().read()
        around_id = around.event_id
    connection.close()
    told = exchanges()
    carried = [head["traceparent"].split("-")[2] for head, _body in server.asked[-2:]]
    numbers = [int(name.rpartition(".")[2]) for name in (told[0][0]["event_id"], around_id)]
    assert [int(text[6:], 16) for text in carried] == numbers
    assert all("traceparent" not in start["inputs"]["headers"] for start, _end in told)


def test_urllib3_is_recorded_once(server, tracer):
    """It stands on `http.client`, and tells its requests itself."""
    urllib3 = pytest.importorskip("urllib3")
    assert urllib3.PoolManager().request("GET", f"http://{server.place}/chunks").data == TEXT
    assert len(exchanges()) == 1


@OFFLINE
def test_where_a_recording_answers_a_connection_is_not_opened(shell):
    """Not where the program opens it itself either, and what it sets on the socket is set."""
    shell.words[NOWHERE] = reply(b"one", headers=[["content-type", "text/plain"]])
    connection = http.client.HTTPSConnection(NOWHERE, timeout=3)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert (connection.sock.gettimeout(), connection.sock.getpeercert()) == (3, {})
    for body in (None, b"whole", iter([b"in pieces"]), io.BytesIO(b"file")):
        connection.request("POST", "/x", body)
        response = connection.getresponse()
        assert (response.status, response.reason, response.read()) == (200, "Some", b"one")
        assert not response.will_close
    by_hand(connection, b"by ", b"hand", Content_Length="7")
    assert connection.getresponse().read() == b"one"
    connection.close()
    told = [json.loads(line) for line in shell.trace.read_text().splitlines()]
    starts = [event for event in told if event["event_type"] == "http_exchange_start"]
    assert [e["inputs"].get("body") for e in starts] == [None, "whole", "in pieces", "file", "by hand"]


def test_a_request_that_is_not_answered_leaves_after_all(server, shell):
    """Where a shell may answer, a body that is streamed waits until it is known that it does not."""
    connection = connect(server)
    connection.request("POST", "/length", iter([b"in pieces"]))
    assert connection.getresponse().read() == TEXT
    assert server.asked[-1][1] == b"in pieces"
    by_hand(connection, b"by ", b"hand", Content_Length="7")
    assert connection.getresponse().read() == b""
    assert server.asked[-1][1] == b"by hand"
    connection.close()


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ({"kind": "timeout"}, TimeoutError),
        ({"kind": "error", "error_type": "ConnectionError", "message": "off"}, urllib.error.URLError),
        ({"kind": "status", "status": 429}, urllib.error.HTTPError),
    ],
)
def test_a_fault_is_what_urllib_would_raise(shell, fault, raised):
    """A timeout while the answer is waited for, a connection that is lost before that, and a status."""
    shell.words[NOWHERE] = {"fault": fault}
    failed = failure(f"http://{NOWHERE}/")
    assert type(failed) is raised
    if isinstance(failed, urllib.error.HTTPError):
        failed.close()


def test_a_stream_breaks_off_where_it_did(shell):
    """After the lines that came, the exception comes."""
    broken = {"type": "ConnectionResetError", "text": "[Errno 104] Connection reset by peer"}
    shell.words[NOWHERE] = reply(
        b"data: 1\n\n", headers=[["content-type", "text/event-stream"]], raised=broken
    )
    with urllib.request.urlopen(f"http://{NOWHERE}/") as response:
        assert response.readline() == b"data: 1\n"
        assert response.readline() == b"\n"
        with pytest.raises(ConnectionResetError, match="Connection reset by peer"):
            response.readline()


def test_a_program_that_unpacks_a_body_by_itself_gets_it_packed(shell):
    """`http.client` does not, and a recording has it unpacked."""
    shell.words[NOWHERE] = reply(b"hello " * 9, headers=[["content-encoding", "gzip"]], encoding="gzip")
    with urllib.request.urlopen(f"http://{NOWHERE}/") as response:
        assert response.headers["content-encoding"] == "gzip"
        assert gzip.decompress(response.read()) == b"hello " * 9


def test_threads_have_exchanges_of_their_own(server, tracer):
    """Each with what its thread sent."""

    def ask(number):
        connection = connect(server)
        for turn in range(3):
            connection.request("POST", "/length", f"{number}.{turn}")
            assert connection.getresponse().read() == TEXT
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = exchanges()
    expected = {f"{number}.{turn}" for number in range(4) for turn in range(3)}
    assert {start["inputs"]["body"] for start, _end in told} == expected
    assert {end["status"] for _start, end in told} == {"completed"}


def test_what_does_not_use_it_does_not_load_it(tmp_path):
    """Neither `http.client` nor what patches it is imported by tracing itself."""
    code = (
        "import sys, namel3ss_debug\n"
        "namel3ss_debug.initialize_tracing(trace_output_dir=sys.argv[1])\n"
        "print([name for name in sys.modules if '.transport.' in name], 'http.client' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[] False\n"
