"""A trace that grows: what a page gets bit by bit is, at the end, the page that is written at once."""

import fcntl
import json
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namel3ss_debug.analysis.totals import Options
from namel3ss_debug.config import DebugConfiguration
from namel3ss_debug.errors import ExpressionError
from namel3ss_debug.traces.events import FORMAT_VERSION
from namel3ss_debug.traces.writer import TraceWriter
from namel3ss_debug.views.page import live_trace
from namel3ss_debug.views.page.live_trace import Cursor, LiveTrace
from namel3ss_debug.views.page.reading import PageRequest
from namel3ss_debug.views.payloads import json_bytes

DATA = Path(__file__).parents[2] / "data"
TRACES = sorted((DATA / "recordings").glob("*.jsonl"))
IMPORTED = DATA / "imports" / "claude-code" / "subagent.jsonl"
TEXTS = {
    "spans": ("component", "name", "error", "gist"),
    "points": ("type", "name", "gist"),
    "transcript": ("what", "component", "name", "agent", "text"),
}
SECRET = "sk-proj-a8Kd93jfLs02mQpZ7xVb41Nc65Tg"
FAR = 4e9
"""A time at which no event of several processes waits any more."""


def rows_of(columns, strings, table):
    """Return the rows of a table, with its texts."""
    names = list(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row in rows:
        row.update({name: strings[row[name]] for name in TEXTS[table]})
    return rows


class Reader:
    """What a page keeps of the batches."""

    def __init__(self, trace):
        self.trace, self.after, self.over = trace, "", False
        self.spans, self.points, self.lines, self.messages, self.more = {}, [], [], {}, {}
        self.facts, self.batches = {}, 0

    def ask(self):
        """Take one batch, and return whether there was one."""
        made = self.trace.make_batch(Cursor.parse(self.after))
        if made is None:
            return False
        batch = json.loads(json_bytes(made))
        strings = batch["strings"]
        for row in rows_of(batch["spans"], strings, "spans"):
            self.spans[row.pop("row")] = row
        self.points += rows_of(batch["points"], strings, "points")
        known = len(self.spans)
        assert all(row["row"] < known for row in self.points)
        if batch["restarts"]:
            self.lines, self.messages = [], {}
        assert batch["first_line"] <= len(self.lines)
        self.lines[batch["first_line"] :] = rows_of(batch["transcript"], strings, "transcript")
        assert all(row["row"] < known for row in self.lines)
        self.messages |= batch["messages"]
        self.more |= {
            name: batch[name] for name in ("samples", "flame", "provenance", "processes") if name in batch
        }
        self.after, self.over, self.facts = batch["after"], batch["over"], batch["facts"]
        self.batches += 1
        return True

    def finish(self):
        """Take what is left."""
        self.trace.end()
        for later in range(1000):
            self.trace.read(FAR)
            self.trace.analyze(FAR + 100 * later)
            self.ask()
            if self.over:
                return
        raise AssertionError("it has no end")


def check_same(reader, page):
    """Check that a page which was read bit by bit is one that was written at once."""
    columns, strings = page.columns, page.strings
    assert [reader.spans[row] for row in range(len(reader.spans))] == rows_of(
        columns["spans"], strings, "spans"
    )
    assert reader.points == rows_of(columns["points"], strings, "points")
    assert reader.lines == rows_of(columns["transcript"], strings, "transcript")
    assert reader.messages == columns["messages"]
    assert reader.facts == page.trace
    for name in ("samples", "flame", "provenance", "processes"):
        assert reader.more[name] == columns[name]
    blocks = [
        reader.trace.read_block(first, first + count - 1).decode().split("\n")
        for first, count in reader.facts["blocks"]
    ]
    assert [json.loads(line) for lines in blocks for line in lines] == page.events()


@pytest.fixture
def follow():
    """Return a function that follows a trace; it is closed at the end."""
    made = []

    def start(path, **settings):
        content = settings.pop("content", True)
        made.append(LiveTrace(path, PageRequest(DebugConfiguration(**settings), Options(), "", content)))
        return Reader(made[-1])

    yield start
    for trace in made:
        trace.close()


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_page_that_grew_is_the_page_written_at_once(path, follow, make_page, tmp_path, data):
    """However the file grows, whenever the page asks, and however few rows it gets at once."""
    content, target = path.read_bytes(), tmp_path / "trace.jsonl"
    target.unlink(missing_ok=True)
    reader = follow(target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_trace, "MOST", data.draw(st.sampled_from([2, 20, 5000])))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
        with target.open("wb", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as writers do
            for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
                file.write(content[begin:end])
                reader.trace.read(FAR)
                if data.draw(st.booleans()):
                    reader.trace.analyze(FAR)
                reader.ask()
        reader.finish()
    check_same(reader, make_page(target))


def test_a_finished_trace_of_another_tool_is_shown_whole(follow, make_page):
    """Whatever `view` opens."""
    reader = follow(IMPORTED)
    reader.finish()
    check_same(reader, make_page(IMPORTED))


def written_by(folder, **options):
    """Return a function that makes the writer of a process, and one that appends an event by it."""
    clock = iter(range(1, 10_000))

    def event(event_type, component="app", **fields):
        return {"event_type": event_type, "event_id": "", "seq": 0, "timestamp": 1_700_000_000 + next(clock) / 100,
                "execution_id": "e" * 32, "component": component, **fields}  # fmt: skip

    def header(process, segment, seq):
        about = {"format": FORMAT_VERSION, "process": process, "segment": segment, "argv": [], "pid": 1}
        return event("trace_start", metadata=about) | {"seq": seq}

    def make(*, is_first):
        writer = TraceWriter(
            folder / "trace.jsonl", first_process=is_first, header=header, link_latest=False, **options
        )
        writer.begin()
        return writer

    return make, event


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(st.sampled_from(["first", "second", "read", "ask", "analyze"]), max_size=80),
    most=st.sampled_from([2, 5000]),
)
def test_several_processes_and_rotated_files_are_one_trace(follow, make_page, tmp_path_factory, moves, most):
    """Their events have the order and the numbers of the whole trace, also where files begin while it is read."""
    folder = tmp_path_factory.mktemp("several")
    make, event = written_by(folder, rotate_max_bytes=1500)
    first, second = make(is_first=True), make(is_first=False)
    reader = follow(folder / "trace.jsonl")
    now = 0.0

    def call(writer):
        nonlocal now
        start = event(
            "tool_call_start", "tool", component_name="search", inputs={"arguments": {"q": "a" * 100}}
        )
        begun = writer.append(start)
        end = event(
            "tool_call_end", "tool", component_name="search", parent_event_id=begun, status="completed"
        )
        writer.append(end)
        now = end["timestamp"]

    steps = {
        "first": partial(call, first),
        "second": partial(call, second),
        "read": lambda: reader.trace.read(now),
        "ask": reader.ask,
        "analyze": lambda: reader.trace.analyze(now),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_trace, "MOST", most)
        for move in moves:
            steps[move]()
        for writer in (second, first):
            writer.end(event("trace_end"), 0)
            writer.close()
        reader.finish()
    check_same(reader, make_page(folder / "trace.jsonl"))


def test_while_the_run_goes_on_it_is_counted_and_not_judged(follow, tmp_path):
    """The outcome is that it runs, an open span is no finding, and nothing is sent twice."""
    make, event = written_by(tmp_path)
    writer = make(is_first=True)
    reader = follow(tmp_path / "trace.jsonl")
    assert not reader.ask()
    begun = writer.append(event("tool_call_start", "tool", component_name="wait"))
    reader.trace.read(FAR)
    assert reader.trace.analyze(FAR)
    assert reader.ask()
    assert not reader.ask()
    assert (reader.facts["outcome"], reader.facts["events"], reader.facts["findings"]) == ("running", 2, [])
    assert [(row["name"], row["end"]) for row in reader.spans.values()] == [("wait", 0)]
    ended = event(
        "tool_call_end",
        "tool",
        component_name="wait",
        parent_event_id=begun,
        status="failed",
        error="no route",
    )
    writer.append(ended)
    reader.trace.read(FAR)
    assert reader.ask()
    assert [(row["end"], row["error"]) for row in reader.spans.values()] == [(3, "no route")]
    assert reader.facts["outcome"] == "running"
    writer.close()  # killed: it writes no end
    reader.finish()
    assert (reader.facts["outcome"], reader.facts["is_failure"]) == ("killed", True)


@pytest.mark.parametrize(
    ("options", "left_out"), [({}, SECRET), ({"content": False}, "keep"), ({"redact_keys": ["text"]}, "keep")]
)
def test_nothing_that_is_left_out_leaves_the_server(follow, tmp_path, options, left_out):
    """Secrets are replaced again, and with --no-content so are messages, in every answer: batches, events and what a search sees."""
    make, event = written_by(tmp_path)
    writer = make(is_first=True)
    begun = writer.append(
        event("llm_call_start", "llm", component_name="small", inputs={"text": f"keep {SECRET}"})
    )
    writer.append(
        event(
            "llm_call_end",
            "llm",
            component_name="small",
            parent_event_id=begun,
            outputs={"text": f"keep {SECRET}"},
        )
    )
    writer.close()
    reader = follow(tmp_path / "trace.jsonl", **options)
    made = []
    reader.trace.end()
    while not reader.over:
        reader.trace.read(FAR)
        reader.trace.analyze(FAR)
        made.append(json_bytes(reader.trace.make_batch(Cursor.parse(reader.after))))
        reader.ask()
    assert left_out not in "".join(made)
    assert left_out not in reader.trace.read_block(1, 3).decode()
    assert reader.trace.find(f"'keep {SECRET}' in text(event)")["numbers"] == []
    assert reader.trace.find("component == 'llm'")["numbers"] == [2, 3]


def test_a_search_is_the_expression_language_over_what_is_there(follow):
    """It names the events; an expression that cannot be read is an error; it ends after some time and says how far it was."""
    path = DATA / "recordings" / "failing_agent.jsonl"
    reader = follow(path)
    reader.finish()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    failed = [number for number, event in enumerate(events, 1) if event.get("status") == "failed"]
    assert reader.trace.find("status == 'failed'") == {
        "numbers": failed,
        "looked_at": len(events),
        "events": len(events),
    }
    with pytest.raises(ExpressionError):
        reader.trace.find("status ==")
    times = iter([0.0, 6.0])
    assert reader.trace.find("true", clock=lambda: next(times))["looked_at"] == min(64, len(events))


def test_a_block_is_read_by_the_numbers_of_its_events(follow):
    """Only those of the block of the first number; none where there is no such event."""
    path = DATA / "recordings" / "failing_agent.jsonl"
    reader = follow(path)
    assert reader.trace.read_block(1, 5) == b""
    reader.finish()
    numbers = [json.loads(line)["seq"] + 1 for line in reader.trace.read_block(2, 4).splitlines()]
    assert numbers == [2, 3, 4]
    assert reader.trace.read_block(10_000, 10_001) == b""
    assert reader.trace.read_block(0, 5) == b""


@pytest.mark.parametrize("text", ["1", "1,2,3,4,5,6", "1,2,3,4,-5", "a,b,c,d,e", "1,2,3,4,"])
def test_a_cursor_is_five_numbers(text):
    """Whatever else stands in an address is refused."""
    with pytest.raises(ValueError, match=r"."):
        Cursor.parse(text)
    assert Cursor.parse("") == Cursor()
    assert Cursor.parse("1,2,3,4,5") == Cursor(1, 2, 3, 4, 5)
