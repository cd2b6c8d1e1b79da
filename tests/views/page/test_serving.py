"""The server of the live page: the browser of its user gets the page and its data, and all others nothing."""

import http.client
import json
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import WrongUsageError
from namel3ss_debug.views.page.live_trace import LiveTrace
from namel3ss_debug.views.page.reading import PageRequest
from namel3ss_debug.views.page.serving import PageServer, leading_file
from tests.views.page.conftest import Page

RECORDING = Path(__file__).parents[2] / "data" / "recordings" / "support_agent.jsonl"
ANSWERS = ("", "events?page=1", "event?page=1&from=1&to=2", "find?page=1&where=true", "done?page=1")


def start(folder):
    """Start a server of the page of a recording."""
    trace = LiveTrace(Path(shutil.copy(RECORDING, folder)), PageRequest(DebugConfiguration(), Options()))
    server = PageServer(trace)
    server.start()
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The server of all tests that only ask."""
    server = start(tmp_path_factory.mktemp("served"))
    yield server
    server.close()


def ask(server, name="", *, method="GET", folder=None, cookie=True, **headers):
    """Ask the server; return the status, the headers and the content."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    if cookie:
        headers["Cookie"] = f"theme=dark; page={server.token if cookie is True else cookie}"
    try:
        connection.request(method, (server.folder if folder is None else folder) + name, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_the_token_in_the_address_becomes_a_cookie_that_scripts_cannot_read(server):
    """The answer leads to the page without the token, and has no data of the run."""
    address = urlsplit(server.address)
    status, headers, content = ask(
        server, folder=f"{address.path}?{address.query}", cookie=False, Sec_Fetch_Site="cross-site"
    )
    assert (status, address.netloc) == (200, server.host)
    assert headers["set-cookie"] == f"page={server.token}; Path={server.folder}; HttpOnly; SameSite=Strict"
    assert f'content="0; url={server.folder}"'.encode() in content
    assert server.token.encode() not in content


def test_the_page_asks_its_own_server_and_nobody_else(server):
    """Its policy is that of the page from disk, and `connect-src 'self'`; it may stand in no frame, and in no cache."""
    status, headers, content = ask(server)
    page = Page(content.decode())
    (policy,) = [
        each["content"] for _, each in page.elements if each.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.endswith("; img-src data:; connect-src 'self'")
    assert (status, page.facts["live"]) == (200, True)
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert headers["x-content-type-options"] == "nosniff"
    del page


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(
    "asked",
    [
        {"cookie": False},
        {"cookie": "wrong"},
        {"cookie": "\xe9"},
        {"Host": "evil.example"},
        {"Host": "localhost"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"folder": "/"},
        {"folder": "/other/"},
        {"method": "POST"},
        {"method": "PUT"},
        {"method": "DELETE"},
        {"method": "OPTIONS"},
        {"method": "BREW"},
    ],
    ids=str,
)  # fmt: skip
def test_all_others_get_nothing(server, name, asked):
    """Wrong or no token, another name, another page, another path, another method: refused, without content."""
    status, headers, content = ask(server, name, **asked)
    assert (status, content) == (403, b"")
    assert headers["set-cookie"] is None
    assert headers["access-control-allow-origin"] is None


def test_a_wrong_token_in_the_address_is_no_cookie(server):
    """Nor is the right one that is not the first page's, or in another field."""
    for query in ("?token=wrong", "?token=", f"?key={server.token}", f"events?token={server.token}"):
        status, headers, content = ask(server, query, cookie=False)
        assert (status, content, headers["set-cookie"]) == (403, b"", None)


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../../../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "support_agent.jsonl",
        "events/",
        "favicon.ico",
        "event%00",
    ],
)
def test_there_are_no_files(server, name):
    """Whatever path is asked for, only the names of the answers are known."""
    status, _, content = ask(server, name)
    assert (status, content) == (404, b"")


@pytest.mark.parametrize(
    "name",
    [
        "events",
        "events?page=1&after=x",
        "events?page=1&after=1,2",
        "event?page=1&from=1",
        "event?page=1&from=a&to=2",
        "find?page=1",
    ],
)
def test_a_request_that_is_none_of_the_page_is_refused(server, name):
    """By its status alone."""
    status, _, content = ask(server, name)
    assert (status, content) == (400, b"")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ],
)
def test_what_is_no_request_gets_no_content(server, sent):
    """Not even a description of the mistake, and the server goes on."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.partition(b"\r\n\r\n")[2] == b""
    assert ask(server)[0] == 200


def test_the_answers_are_the_data_of_the_run(server):
    """What is new, single events, and a search; a mistake in an expression is named."""
    own = {"Origin": f"http://{server.host}", "Sec_Fetch_Site": "same-origin"}
    status, headers, content = ask(server, "events?page=1", **own)
    batch = json.loads(content)
    assert (status, headers["content-type"], batch["facts"]["events"]) == (200, "application/json", 15)
    assert len(batch["spans"]["row"]) == batch["facts"]["spans"]
    events = ask(server, "event?page=1&from=2&to=3", **own)[2].splitlines()
    assert [json.loads(line)["seq"] for line in events] == [1, 2]
    assert json.loads(ask(server, "find?page=1&where=n%3C4", **own)[2])["numbers"] == [1, 2, 3]
    assert "column" in json.loads(ask(server, "find?page=1&where=n%20%3C", **own)[2])["problem"]
    assert ask(server, "done?page=1", **own)[::2] == (204, b"")
    assert ask(server, method="HEAD")[::2] == (200, b"")


def test_the_file_that_leads_to_the_page_is_the_users_alone(tmp_path):
    """It has the token, so no other user can read it or look into its folder; it goes when the page does."""
    folder = tmp_path / "traces"
    with leading_file(folder, "http://127.0.0.1:1/a/?token=b&c=<") as file:
        assert file.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
        assert 'url=http://127.0.0.1:1/a/?token=b&amp;c=&lt;"' in file.read_text()
    assert list(folder.glob("*.html")) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    """With its path."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WrongUsageError, match=r"^cannot write .*file/live-.*: "),
        leading_file(tmp_path / "file", "x"),
    ):
        pass


def test_the_server_waits_at_the_end_for_pages_that_lack_events(tmp_path):
    """One that has all is not waited for; without a page it ends at once, and a page that waits then gets no content."""
    server = start(tmp_path)
    try:
        server.finish(600, opening=False)
        server.note("1")
        server.note("1", has_all=True)
        server.finish(600, opening=True)
        server.closing.set()
        after = ""
        while (answer := ask(server, f"events?page=1&after={after}"))[0] == 200:
            after = json.loads(answer[2])["after"]
        assert answer[::2] == (204, b"")
    finally:
        server.close()
