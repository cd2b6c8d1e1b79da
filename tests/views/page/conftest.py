"""Pages for tests: written in this process, and taken apart as a browser does."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from html.parser import HTMLParser

import pytest

from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.importers.opening import open_trace
from namel3ss_debug.views.page.reading import PageRequest, read_page
from namel3ss_debug.views.page.writing import write_page


class Page(HTMLParser):
    """The elements of a page, and the data in them."""

    def __init__(self, written):
        super().__init__(convert_charrefs=False)
        self.written = written
        self.elements = []  # name and attributes of each
        self.scripts = {}  # id -> text; the executed ones are "" and "style"
        self.title = ""
        self._inside = None
        self.feed(written)
        self.close()
        self.facts = json.loads(self.scripts["facts"])
        self.trace = self.facts["traces"][0]
        self.columns = self.unpack("columns-0")
        self.strings = self.columns["strings"]

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        self._inside = {"script": dict(attrs).get("id", ""), "style": "style", "title": "title"}.get(tag)

    def handle_endtag(self, tag):
        """Leave an element."""
        self._inside = None

    def handle_data(self, data):
        """Add to the text of an element."""
        if self._inside is not None:
            self.scripts[self._inside] = self.scripts.get(self._inside, "") + data

    def unpack(self, name):
        """Return the JSON of a packed element."""
        return json.loads(gzip.decompress(b64decode(self.scripts[name], validate=True)))

    def events(self):
        """Return all events."""
        found = []
        for index, (first, count) in enumerate(self.trace["blocks"]):
            text = gzip.decompress(b64decode(self.scripts[f"block-0-{index}"], validate=True)).decode()
            lines = text.split("\n")
            assert (len(found) + 1, len(lines)) == (first, count)
            found += map(json.loads, lines)
        return found

    def everything(self):
        """Return all that is in the data of the page, as one text."""
        return json.dumps([self.facts, self.columns, self.events()], ensure_ascii=False)

    def texts(self, table, name):
        """Return a column of texts."""
        return [self.strings[index] for index in self.columns[table][name]]


def written_page(path, *, content=True, reference="", **settings):
    """Write the page of a trace, and take it apart."""
    request = PageRequest(DebugConfiguration(**settings), Options(), reference, content)
    page = read_page(open_trace(path), request)
    return Page(b"".join(write_page([page], content=content)).decode())


def written_trace(path, events):
    """Write events as a trace of our format, with what each event needs."""
    rows = [
        {
            "event_id": str(number),
            "seq": number - 1,
            "timestamp": 1_700_000_000 + number / 100,
            "execution_id": "e1",
            **event,
        }
        for number, event in enumerate(events, 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def make_page():
    """Return a function that writes the page of a trace, with some settings, and takes it apart."""
    return written_page


@pytest.fixture(scope="session")
def write_trace():
    """Return a function that writes events as a trace."""
    return written_trace
