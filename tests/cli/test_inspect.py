"""`debug inspect`."""

import json

import pytest


def test_events_are_rows(run, trace):
    """Every event has its number, time, type, name, measures and gist, within 80 columns."""
    assert run("inspect", trace).stdout.splitlines() == [
        "n      s  event             name            took  tokens      cost  what",
        "1  0.000  trace_start                                               app.py",
        '2  0.010  agent_exe…_start  Support                                 {"question"…',
        "3  0.020  llm_call_start    gpt-4o-mini                             Where is A-…",
        "4  1.260  llm_call_end      gpt-4o-mini   1.24 s     412  $0.00021  lookup(orde…",
        '5  1.270  tool_call_start   lookup                                  {"order": "…',
        "6  1.305  tool_call_end     lookup       35.0 ms                    ConnectionE…",
        '7  1.310  agent_execu…_end  Support       1.30 s                    {"answer": …',
        '8  1.320  tool_call_start   send_mail                               {"to": "a@e…',
    ]


def test_a_narrow_table_keeps_what_events_are(run, trace, monkeypatch):
    """At 60 columns there is no time and no tokens; at 40 it is told in short what it is, and where it failed."""
    monkeypatch.setenv("COLUMNS", "60")
    assert run("inspect", trace).stdout.splitlines()[3:6] == [
        "3  llm_call_start    gpt-4o-mini           Where is A-17?",
        '4  llm_call_end      gpt-4o-mini   1.24 s  lookup(order="A-…',
        '5  tool_call_start   lookup                {"order": "A-17"}',
    ]
    monkeypatch.setenv("COLUMNS", "40")
    assert run("inspect", trace).stdout.splitlines() == [
        "n  event        name            took",
        "1  trace start",
        "2  agent start  Support",
        "3  llm start    gpt-4o-mini",
        "4  llm end      gpt-4o-mini   1.24 s",
        "5  tool start   lookup",
        "6  tool failed  lookup       35.0 ms",
        "7  agent end    Support       1.30 s",
        "8  tool start   send_mail",
    ]
    for row in run("inspect", trace, "--timeline").stdout.splitlines():
        assert len(row) <= 40


def test_the_tree_shows_spans_inside_spans(run, trace):
    """Beside the spans stand their arguments and results, what failed says why, and what never ended says so."""
    assert run("inspect", trace, "--tree").stdout.splitlines() == [
        "n  span                                                   took  tokens      cost",
        '2  agent Support  → {"answer": "Later."}                1.30 s',
        '3  ├─ llm gpt-4o-mini  → lookup(order="A-17")           1.24 s     412  $0.00021',
        '5  └─ tool lookup(order="A-…)  ConnectionError: the …  35.0 ms',
        '8  tool send_mail(to="a@example.org")  open',
    ]


QUIET = [
    {"event_type": "trace_start", "component": "app"},
    {"event_type": "inputs_read", "component": "app"},
    {"event_type": "command_start", "component": "command", "component_name": "uname", "metadata": {"background": True}},
    {"event_type": "command_end", "component": "command", "component_name": "uname", "parent_event_id": "3"},
    {"event_type": "tool_call_start", "component": "tool", "component_name": "look"},
]  # fmt: skip


def test_records_for_the_re_run_are_shown_only_when_asked_for(run, workspace):
    """`inputs_read` and the SDK's own `uname` are in no default view and no search."""
    path = workspace / "quiet.jsonl"
    rows = [event | {"event_id": str(number)} for number, event in enumerate(QUIET, 1)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def numbers(*options):
        return [row.split()[0] for row in run("inspect", path, *options).stdout.splitlines()[1:]]

    assert numbers() == ["1", "5"]
    assert numbers("--all") == ["1", "2", "3", "4", "5"]
    assert "3" not in {*numbers("--tree"), *numbers("--tree", "--where", "n > 0")}
    assert "3" in numbers("--tree", "--all")
    assert numbers("--where", "event_type == 'inputs_read' or n == 1") == ["1", "2"]
    assert run("inspect", path, "--where", "name == 'uname'").stderr == (
        "namel3ss debug: no events match; 2 records of inputs and of commands of libraries would, with --all\n"
    )


def test_the_tree_says_what_is_asked_of_a_host(run, workspace):
    """Method and path stand beside the host, for many requests go to one."""
    asked = {"method": "POST", "url": "https://api.example/v1/files?limit=5", "body": None}
    start = {"event_type": "http_exchange_start", "event_id": "1", "component": "http"}
    end = {"event_type": "http_exchange_end", "parent_event_id": "1", "component": "http", "duration_ms": 2.0}
    events = [start | {"component_name": "api.example", "inputs": asked}, end | {"event_id": "2"}]
    path = workspace / "http.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert run("inspect", path, "--tree").stdout.splitlines() == [
        "n  span                                         took",
        "1  http api.example  POST /v1/files?limit=5  2.00 ms",
    ]


def test_the_timeline_shows_bars(run, trace):
    """Bars have the places and lengths of their spans; an open span goes to the end."""
    assert run("inspect", trace, "--timeline").stdout.splitlines() == [
        "n  span           0                                              1.31 s     took",
        "2  Support        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸   1.30 s",
        "3    gpt-4o-mini  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸     1.24 s",
        "5    lookup                                                         ╺━   35.0 ms",
        "8  send_mail                                                          ╺     open",
    ]


def test_one_event_in_full(run, trace):
    """An event shows what it is, what is around it, its error with the traceback, and its payloads."""
    assert run("inspect", trace, "--event", "6", "--raw").stdout.splitlines() == [
        "event 6  tool_call_end lookup",
        "  status           failed",
        "  when             2025-11-21 12:00:01.305 UTC  +1.305 s",
        "  took             35.0 ms",
        "  its start        event 5",
        "  event_id         6",
        "  parent_event_id  5",
        "  seq              5",
        "  execution_id     ab12cd34ef567890",
        "",
        "error",
        "  ConnectionError: the service is down",
        "  Traceback (most recent call last):",
        '    File "app.py", line 3',
        "  ConnectionError: down",
        "",
        "inside",
        '      2  agent_execution_start Support  {"question": "Where is A-17?"}',
        "",
        "beside",
        "      3  llm_call_start gpt-4o-mini  Where is A-17?",
        '      5  tool_call_start lookup  {"order": "A-17"}',
        ">     6  this event",
    ]


def test_an_answer_in_full(run, trace):
    """Usage stands beside the tokens, and payloads are laid out."""
    shown = run("inspect", trace, "--event", "4", "--raw").stdout
    assert "  tokens           412  input_tokens 380, output_tokens 32\n" in shown
    assert '\noutputs\n  {\n    "text": "",\n' in shown


def test_a_call_of_a_model_is_its_conversation(run, trace):
    """Its start and its end show the same: what was read, and what was written and called."""
    start, end = (run("inspect", trace, "--event", number).stdout.splitlines() for number in ("3", "4"))
    assert start[:1] == ["event 3  llm_call_start gpt-4o-mini"]
    assert (
        start[1:-1]
        == end[1:-1]
        == [
            "  status  completed",
            "  at      +0.020 s",
            "  took    1.24 s",
            "  tokens  412  input_tokens 380, output_tokens 32",
            "  cost    $0.00021",
            "  inside  Support (event 2)",
            "  events  3 and 4",
            "",
            "read 1 message",
            "    1 user      Where is A-17?",
            "",
            "wrote",
            '  lookup(order="A-17")',
            "",
        ]
    )


def test_a_call_of_a_tool_is_its_arguments_result_and_source(run, workspace):
    """The function is read from the file that the trace names; `--raw` has the fields as they are."""
    tool = {"component": "tool", "component_name": "look", "timestamp": 4e9}
    metadata = {"defined_at": "app.py:2"}
    events = [
        {"event_type": "trace_start", "metadata": {"cwd": str(workspace)}},
        tool
        | {"event_type": "tool_call_start", "inputs": {"arguments": {"city": "Oslo"}}, "metadata": metadata},
        tool | {"event_type": "tool_call_end", "parent_event_id": "2", "outputs": {"result": {"degrees": 3}}},
    ]
    rows = [event | {"event_id": str(number)} for number, event in enumerate(events, 1)]
    (workspace / "tool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (workspace / "app.py").write_text("\ndef look(city):\n    return {}\n\nlook('Oslo')\n")
    shown = run("inspect", "tool.jsonl", "--event", "3").stdout.splitlines()
    assert shown[shown.index("arguments") : -2] == [
        "arguments",
        '  {"city": "Oslo"}',
        "",
        "result",
        '  {"degrees": 3}',
        "",
        "source",
        "  app.py:2",
        "  2 -> def look(city):",
        "  3        return {}",
    ]
    assert "defined_at" in run("inspect", "tool.jsonl", "--event", "2", "--raw").stdout
    assert run("inspect", "tool.jsonl", "--raw").stderr.startswith(
        "namel3ss debug: --raw shows the fields of one event; give it with --event N"
    )


def test_jsonl_is_as_recorded(run, trace):
    """Each line is the event that stands in the file."""
    recorded = [json.loads(line) for line in trace.read_text().splitlines()]
    shown = run("inspect", trace, "--format", "jsonl").stdout
    assert [json.loads(line) for line in shown.splitlines()] == recorded
    assert json.loads(run("inspect", trace, "--event", "4", "--format", "jsonl").stdout) == recorded[3]


def test_json_is_one_document(run, trace):
    """The document begins with its schema, and every event with its number."""
    document = json.loads(run("inspect", trace, "--where", "duration_ms > 100", "--format", "json").stdout)
    assert list(document) == ["schema", "trace", "events", "problems"]
    assert document["schema"] == "namel3ss-debug/inspect/1"
    assert [(event["number"], event["component"]) for event in document["events"]] == [
        (4, "llm"),
        (7, "agent"),
    ]
    assert document["problems"]["total"] == 0


def test_one_event_as_json(run, trace):
    """One event comes with the numbers of what is around it."""
    document = json.loads(run("inspect", trace, "--event", "5", "--format", "json").stdout)
    assert document["schema"] == "namel3ss-debug/inspect/1"
    assert (document["number"], document["other_half"], document["above"]) == (5, 6, [2])
    assert (document["cost"], document["priced_by"]) == (None, None)


def test_one_event_as_json_tells_what_the_call_cost(run, trace, workspace):
    """What the recording tells counts; a call without it costs what its tokens do: 1,000 at $2 per million."""
    document = json.loads(run("inspect", trace, "--event", "4", "--format", "json").stdout)
    assert (document["cost"], document["priced_by"]) == (document["event"]["cost_estimate"], "recorded")
    (workspace / ".namel3ss").mkdir(exist_ok=True)
    (workspace / ".namel3ss/debug.json").write_text('{"prices": {"house": {"input": 2}}}')
    usage = {"input_tokens": 1000, "output_tokens": 0}
    end = {"event_type": "llm_call_end", "component": "llm", "component_name": "house", "usage": usage}
    (workspace / "house.jsonl").write_text(json.dumps(end) + "\n")
    document = json.loads(run("inspect", "house.jsonl", "--event", "1", "--format", "json").stdout)
    assert (document["cost"], document["priced_by"]) == (0.002, "settings")


@pytest.mark.parametrize("shape", ["--tree", "--timeline"])
def test_spans_as_json(run, trace, shape):
    """Tree and timeline give their rows."""
    document = json.loads(run("inspect", trace, shape, "--format", "json").stdout)
    assert document["spans"][0]["label"] == "agent_execution Support"
    lines = run("inspect", trace, shape, "--format", "jsonl", "--limit", "2").stdout.splitlines()
    assert [json.loads(line) for line in lines] == document["spans"][:2]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--tool", "lookup"], [5, 6]),
        (["--llm", "gpt*"], [3, 4]),
        (["--agent", "support"], [2, 3, 4, 5, 6, 7]),
        (["--errors-only"], [6]),
        (["--agent", "support", "--where", 'kind == "tool"'], [5, 6]),
        (["--limit", "2"], [1, 2]),
        (["--chain", "none"], []),
    ],
)
def test_events_are_chosen(run, trace, options, numbers):
    """Each option narrows the events; all of them must hold."""
    document = json.loads(run("inspect", trace, "--format", "json", *options).stdout)
    assert [event["number"] for event in document["events"]] == numbers


def test_a_number_alone_is_an_event(run, trace):
    """Who gives a number for a recording, as for `explain`, is told of --event; an id that is a number is none."""
    assert "; an event is shown by --event 5 (see " in run("inspect", "5").stderr
    assert "--event" not in run("inspect", "nowhere").stderr
    trace.write_text(trace.read_text().replace("ab12cd34ef567890", "1234567890123456"))
    assert run("inspect", "12345678").exit_code == 0


def test_an_empty_answer_says_so(run, trace):
    """Where nothing fits, stdout is empty and stderr says it; that is no failure."""
    for shape in ([], ["--tree"], ["--timeline"]):
        result = run("inspect", trace, "--tool", "none", *shape)
        assert (result.exit_code, result.stdout) == (0, "")
        assert result.stderr == (
            "namel3ss debug: no events match; no tool is called 'none'; there are lookup, send_mail\n"
        )


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--tool", "lokup"], "; no tool is called 'lokup'; did you mean 'lookup'?"),
        (["--llm", "gpt"], "; no llm is called 'gpt'; there are gpt-4o-mini"),
        (["--chain", "main"], "; no chain is called 'main'"),
        (["--tool", "LOOK*", "--llm", "claude"], "; no llm is called 'claude'; there are gpt-4o-mini"),
        (["--tool", "lookup", "--where", "n > 99"], ""),
    ],
)
def test_an_empty_answer_names_what_there_is(run, trace, options, hint):
    """A name that nothing has is told, with the nearest that there is, or else with all of them."""
    assert run("inspect", trace, *options).stderr == f"namel3ss debug: no events match{hint}\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--event", "99"], "{trace}: there is no event 99; the trace has 8 events, numbered from 1 (see namel3ss debug help unreadable-trace)"),
        (["--where", "durtion_ms > 5"], "expression, column 1: unknown name 'durtion_ms'; did you mean 'duration_ms'? (see namel3ss debug help bad-expression)"),
        (["--tree", "--timeline"], "--tree and --timeline exclude each other (see namel3ss debug inspect --help)"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(run, trace, options, message):
    """What cannot be done is said in one line, with status 2."""
    result = run("inspect", trace, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"namel3ss debug: {message.format(trace=trace)}\n"


def test_chunks_stand_in_the_row_of_their_call(run, streamed_trace):
    """The end of a streamed call counts its chunks; those of a call that never ended are told of at the end."""
    assert run("inspect", streamed_trace).stdout.splitlines() == [
        "n      s  event           name    took  what",
        "1  0.000  trace_start                   app.py",
        "2  0.010  llm_call_start  m",
        "6  1.305  llm_call_end    m     500 ms  3 chunks  Hello",
        "7  1.310  llm_call_start  m",
        "… 1 stream chunk of calls whose end is not here; --chunks shows them",
    ]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--chunks"], ["1", "2", "3", "4", "5", "6", "7", "8"]),
        (["--where", 'event_type == "stream_chunk"'], ["3", "4", "5", "8"]),
        (["--where", 'kind == "llm" and n > 6'], ["7", "…"]),
        (["--where", "n == 4"], ["…"]),
        (["--limit", "3"], ["1", "2", "6", "…"]),
    ],
)
def test_chunks_are_shown_where_they_are_asked_for(run, streamed_trace, options, shown):
    """--chunks and a condition that names them give them rows; else what was left out is said."""
    rows = run("inspect", streamed_trace, *options).stdout.splitlines()
    assert [row.split()[0] for row in rows if not row.startswith("n ")] == shown


def test_a_chunk_is_shown_as_what_it_says(run, streamed_trace):
    """The words in a chunk stand in its row; the event in full has what came over the wire."""
    assert run("inspect", streamed_trace, "--chunks").stdout.splitlines()[3].endswith('  "He"')
    assert "data: {" in run("inspect", streamed_trace, "--event", "3").stdout


def test_a_streamed_call_in_a_tree_and_over_time(run, streamed_trace):
    """The tree says how many chunks there were and when the first token came; the bar is thin until then."""
    assert run("inspect", streamed_trace, "--tree").stdout.splitlines() == [
        "n  span                                            took",
        "2  llm m  → Hello  3 chunks, first token 120 ms  500 ms",
        "7  llm m  open  1 chunk",
    ]
    bars = run("inspect", streamed_trace, "--timeline").stdout.splitlines()
    assert bars[1].split()[2] == "──────━━━━━━━━━━━━━━━━━━━"
    row = json.loads(run("inspect", streamed_trace, "--tree", "--format", "jsonl").stdout.splitlines()[0])
    assert (row["chunks"], row["first_token_ms"]) == (3, 120.0)


@pytest.mark.parametrize("shape", ["--tree", "--timeline"])
def test_a_long_tree_says_what_is_missing(run, workspace, shape):
    """Without a limit a thousand spans are drawn, and the last line counts the others; 0 means all of them."""
    with (workspace / "long.jsonl").open("w") as file:
        for place in range(1200):
            event = {"event_type": "tool_call_start", "event_id": str(place), "seq": place, "timestamp": 1e9}
            file.write(json.dumps(event | {"component": "tool", "component_name": "t"}) + "\n")
    rows = run("inspect", "long.jsonl", shape).stdout.splitlines()
    assert len(rows) == 1002
    assert rows[-1] == "… 200 more spans; --limit 0 shows all, --llm, --tool and --where choose"
    assert len(run("inspect", "long.jsonl", shape, "--limit", "0").stdout.splitlines()) == 1201
    assert (
        run("inspect", "long.jsonl", shape, "--limit", "5").stdout.splitlines()[-1].startswith("… 1,195 more")
    )
    assert len(run("inspect", "long.jsonl", shape, "--format", "jsonl").stdout.splitlines()) == 1200
    assert len(run("inspect", "long.jsonl").stdout.splitlines()) == 1201


def test_a_span_too_deep_to_be_indented_tells_its_level(run, workspace):
    """Where the guides end, a span inside another does not look as if it stood beside it."""
    with (workspace / "deep.jsonl").open("w") as file:
        for number in range(1, 15):
            event = {"event_type": "chain_step_start", "event_id": str(number), "timestamp": number}
            if number > 1:
                event["parent_event_id"] = str(number - 1)
            file.write(json.dumps(event | {"component": "chain", "component_name": f"s{number}"}) + "\n")
    rows = run("inspect", "deep.jsonl", "--tree").stdout.splitlines()
    assert rows[11].endswith("└─ chain_step s11  open")
    assert [row.partition("└─ ")[2] for row in rows[12:15]] == [
        "level 12  chain_step s12  open",
        "level 13  chain_step s13  open",
        "level 14  chain_step s14  open",
    ]


def test_an_empty_answer_says_how_to_search_inside(run, trace):
    """Who looked for a text among the names of an object is told how to look in its values."""
    result = run("inspect", trace, "--where", '"A-17" in outputs')
    assert result.stderr == (
        'namel3ss debug: no events match; to search inside it, write "A-17" in text(outputs)\n'
    )
    shown = run("inspect", trace, "--where", '"A-17" in text(outputs)', "--format", "jsonl").stdout
    assert json.loads(shown)["event_type"] == "llm_call_end"


def test_what_was_skipped_is_said_on_stderr(run, trace):
    """A damaged line is named by file and line, and everything readable is still shown."""
    lines = trace.read_text().splitlines()
    trace.write_text("\n".join([*lines[:3], "{damaged", *lines[3:]]) + "\n")
    result = run("inspect", trace)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 9
    assert result.stderr == f"1 problem while reading: not JSON ({trace.name}:4)\n"


def test_a_table_that_ends_early_says_what_is_missing(run, workspace, monkeypatch):
    """The last line counts the events behind the limit, up to where counting them would take long; JSON stays as it is."""
    with (workspace / "long.jsonl").open("w") as file:
        for place in range(30):
            event = {"event_type": "tool_call_start", "event_id": str(place), "seq": place, "timestamp": 1e9}
            file.write(json.dumps(event | {"component": "tool", "component_name": "t"}) + "\n")

    def last(*options):
        return run("inspect", "long.jsonl", *options).stdout.splitlines()[-1]

    assert last("--limit", "3") == "… 27 more events; --limit 0 shows all, --llm, --tool and --where choose"
    assert last("--limit", "3", "--where", "n < 5").startswith("… 1 more event;")
    assert last("--limit", "30").split()[0] == last("--limit", "0").split()[0] == "30"
    monkeypatch.setattr("namel3ss_debug.cli.inspect.COUNTED", 20)
    assert last("--limit", "3").startswith("… more than 20 more events;")
    assert last("--limit", "10").startswith("… 20 more events;")
    assert len(run("inspect", "long.jsonl", "--limit", "3", "--format", "jsonl").stdout.splitlines()) == 3


@pytest.mark.parametrize("more", [(), ("--tree",), ("--format", "jsonl"), ("--format", "json")])
def test_a_limit_may_be_larger_than_any_recording(run, trace, more):
    """Then everything is shown."""
    assert (
        run("inspect", "--limit", "9" * 23, *more).stdout
        == run("inspect", "--limit", "0", *more).stdout
        != ""
    )


@pytest.mark.parametrize("shape", [[], ["--tree"], ["--format", "json"], ["--limit", "1"]])
def test_a_comparison_of_different_types_is_named_on_stderr(run, trace, shape):
    """An answer that is empty because a number was compared with a text says so in one line."""
    result = run("inspect", trace, "--where", 'duration_ms > "5"', *shape)
    assert result.exit_code == 0
    told = [line for line in result.stderr.splitlines() if "--where" in line]
    assert told == [
        'namel3ss debug: --where: `duration_ms > "5"` compares a number with a text (3 times), which is always false'
    ]
    assert "--where" not in run("inspect", trace, "--where", "duration_ms > 5", *shape).stderr


def parallel_events():
    """An agent in which two tasks make two calls each, and then it makes one itself."""

    def call(number, task, name, start):
        lineage = {"metadata": {"lineage": task}} if task else {}
        common = {"component": "tool", "component_name": name, "execution_id": "ab12cd34"}
        begin = {
            "event_type": "tool_call_start",
            "event_id": number,
            "parent_event_id": "2",
            "timestamp": start,
        }
        end = {"event_type": "tool_call_end", "event_id": f"{number}e", "parent_event_id": number}
        return [
            common | begin | lineage,
            common | end | {"timestamp": start + 0.5, "duration_ms": 500.0, "status": "completed"},
        ]

    agent = {"component": "agent", "component_name": "Boss", "execution_id": "ab12cd34"}
    yield agent | {"event_type": "agent_execution_start", "event_id": "2", "timestamp": 100.0}
    yield from call("a", "0~work.1", "search", 100.0)
    yield from call("b", "0~work.2", "search", 100.1)
    yield from call("c", "0~work.1", "rank", 101.0)
    yield from call("d", "0~work.2", "rank", 101.1)
    yield from call("f", "0~once.1", "rank", 101.2)
    yield from call("g", "", "mail", 102.0)
    yield agent | {
        "event_type": "agent_execution_end",
        "event_id": "z",
        "parent_event_id": "2",
        "timestamp": 103.0,
    }


def test_parallel_tasks_stay_in_time_order_with_a_number_for_each(run, workspace):
    """Tasks that ran side by side have a number; one that ran alone, and the program's own calls, have none."""
    path = workspace / "parallel.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in parallel_events()))
    assert run("inspect", path, "--tree").stdout.splitlines() == [
        " n      span              took",
        " 1      agent Boss      3.00 s",
        " 2  ║1  ├─ tool search  500 ms",
        " 4  ║2  ├─ tool search  500 ms",
        " 6  ║1  ├─ tool rank    500 ms",
        " 8  ║2  ├─ tool rank    500 ms",
        "10      ├─ tool rank    500 ms",
        "12      └─ tool mail    500 ms",
        "║1, ║2, ...: tasks that ran side by side",
    ]


def test_parallel_tasks_of_the_program_itself_are_numbered_too(run, workspace):
    """No span has to be around the tasks; tasks that ran one after the other stay as they are."""
    calls = [event for event in parallel_events() if event["component"] == "tool"]
    for event in calls:
        if event.get("parent_event_id") == "2":
            del event["parent_event_id"]
    serial = sorted(calls, key=lambda event: event["event_id"][0] in "bd")

    def tree(events):
        (workspace / "tasks.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
        return [row[4:6].strip() for row in run("inspect", "tasks.jsonl", "--tree").stdout.splitlines()[1:7]]

    assert tree(calls) == ["║1", "║2", "║1", "║2", "", ""]
    assert not [row for row in tree(serial) if row.startswith("║")]
