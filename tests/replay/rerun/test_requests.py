"""Tests of when two calls ask the same."""

from __future__ import annotations

import pytest

from namel3ss_debug.replay.rerun.requests import (
    TaskKey,
    command_without_port,
    ports_in,
    read_request,
    read_task_key,
    reads_commands,
    wordings,
)

FIRST = "01a20487-b6c5-720f-a809-00f4869a245f"
LATER = "01a20489-03d1-7f5e-8d10-74ee1b2c9a03"


def keys(boundary_events, arguments):
    """What is equal for the same question, of a call of a tool that a model asked for."""
    made = boundary_events()
    made.call("count", arguments, call_id="c1")
    return read_request(1, made.events[0]).keys


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        (f"lc_run--{FIRST}-0", f"lc_run--{LATER}-0", True),
        (f"lc_run--{FIRST}", f"lc_run--{LATER}", True),
        (f"lc_run--{FIRST}-0", f"lc_run--{LATER}-1", False),
        (FIRST, LATER, False),
    ],
)
def test_a_tool_is_asked_the_same_whatever_langchain_calls_its_run(boundary_events, before, now, same):
    """The id of a run in a state that a tool is given does not count; any other id does, and so does what stands beside it."""
    asked = [
        keys(boundary_events, {"state": {"messages": [{"content": "white", "id": each}]}})
        for each in (before, now)
    ]
    assert (asked[0] == asked[1]) is same
    other = keys(boundary_events, {"state": {"messages": [{"content": "black", "id": before}]}})
    assert not set(other) & set(asked[0])


def request(made, body, **exchange):
    """A request to another server that was sent with this body, as a question."""
    asked = {"method": "POST", "url": "http://example.org/a?b=1", **exchange}
    made.add(
        "http_exchange_start",
        "http",
        inputs={"body": body},
        metadata={"exchange": asked, "chain": ["a.py:f"]},
    )
    return read_request(len(made.events), made.events[-1])


def test_an_unknown_body_is_no_empty_one(boundary_events):
    """A body that was sent in part is found by its address alone, and a known one is found by that only last."""
    made = boundary_events()
    partly = request(made, None, streamed="partly")
    whole = request(made, None, streamed="whole", hash="h", body_sha256="s")
    empty = request(made, None, hash="e")
    assert partly.is_body_unknown
    assert not whole.is_body_unknown
    assert partly.keys == whole.keys[-1:] == partly.own_keys
    assert whole.own_keys == whole.keys[:-1]
    assert not set(partly.keys) & set(empty.keys)


def test_an_edited_request_is_known_by_its_address(boundary_events):
    """What stands behind the question mark may be another, and so may the body."""
    made = boundary_events()
    similar_keys = [
        request(made, {}, url=f"http://example.org/{path}").similar_keys
        for path in ("a?b=1", "a?b=2#c", "a", "other")
    ]
    assert similar_keys[0] == similar_keys[1] == similar_keys[2] != similar_keys[3]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("http_exchange", {"component": "http", "metadata": {"exchange": {"url": "http://a/", "hash": "h"}}}),
        ("tool_call", {"component": "tool", "inputs": {"arguments": {}}}),
        ("mcp", {"component": "mcp", "metadata": {"mcp": {}}}),
        ("llm_call", {"component": "llm", "metadata": {"exchange": {"hash": "h"}}}),
    ],
)
def test_what_tells_no_functions_is_no_other_question_edited(kind, fields):
    """Only the same question is known then."""
    event = {"event_type": f"{kind}_start", "event_id": "1", "component_name": "x"} | fields
    request = read_request(1, event)
    assert (len(request.keys), request.similar_keys, request.chain) == (1, (), ())
    with_chain = event | {"metadata": event.get("metadata", {}) | {"chain": ["a.py:f"]}}
    assert len(read_request(1, with_chain).similar_keys) == 1


def test_a_tool_is_known_by_its_server_and_by_the_id_that_a_model_gave_its_call(boundary_events):
    """An id that is none counts as none."""
    made = boundary_events()

    def asked(call_id=None, **metadata):
        made.call("search", {"q": "x"}, call_id)
        made.events[-1]["metadata"] |= metadata
        return read_request(1, made.events[-1])

    plain = asked()
    assert asked(server="one").keys != asked(server="two").keys != plain.keys
    assert asked("c1").keys[1:] == plain.keys
    assert asked("c1").similar_keys == (("tool", "search", "c1"), *plain.similar_keys)
    for call_id in ("", 7):
        assert (asked(call_id).keys, asked(call_id).similar_keys) == (plain.keys, plain.similar_keys)


def test_a_server_of_tools_may_stand_in_another_folder(boundary_events):
    """It is the same program; where something else is asked, a folder is one of its words."""
    made = boundary_events()

    def keys_of(name, command):
        made.add("mcp_start", "mcp", component_name=name, inputs={"command": command}, metadata={"mcp": {}})
        return read_request(1, made.events[-1]).keys

    assert (
        keys_of("connect", "/a/server") == keys_of("connect", "/b/server") != keys_of("connect", "/b/other")
    )
    assert keys_of("tools/call", "/a/server") != keys_of("tools/call", "/b/server")
    made.add("mcp_start", "mcp", component_name="connect")
    assert read_request(1, made.events[-1]) is None


@pytest.mark.parametrize(
    ("event", "task_key"),
    [
        ({"event_id": "7"}, TaskKey()),
        ({"event_id": "p2.7"}, TaskKey(2)),
        ({"event_id": "other", "thread": "T", "task": "Task-1"}, TaskKey(0, "T", "Task-1")),
        ({"event_id": "p1.7", "thread": "T", "metadata": {"lineage": "0.1"}}, TaskKey(1, "0.1")),
    ],
)
def test_a_line_of_work_is_a_process_a_thread_and_a_task(event, task_key):
    """Of a thread, what the recording calls its line of work goes before its name."""
    assert read_task_key(event) == task_key


def command(*words, **more):
    """The start of a command."""
    return {
        "event_type": "command_start",
        "component": "command",
        "inputs": {"arguments": list(words), **more},
    }


def test_commands_that_differ_by_a_port_share_a_key():
    """Each number that may be a port is tried; the environment does not count."""
    then, now = command("serve", "--port=50001", "-n", "3"), command("serve", "--port=50002", "-n", "3")
    then["inputs"]["environment"] = {"A": "1"}
    assert ports_in(now) == ["50002"]
    assert command_without_port(then, "50001") == command_without_port(now, "50002")
    assert command_without_port(then, "50001") != command_without_port(
        command("serve", "--port=50002"), "50002"
    )
    assert ports_in(command("serve", "80", "70000", "123456", "a8080")) == ["8080"]


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        (("bash",), True),
        (("env", "bash", "--norc", "-i"), True),
        (("/bin/sh", "-s"), True),
        (("bash", "-c", "cat"), False),
        (("bash", "script.sh"), False),
        (("python", "worker.py"), False),
    ],
)
def test_a_shell_reads_its_commands_from_its_stdin(words, reads):
    """One that runs a script or a text does not, nor one whose whole input the trace holds."""
    start = command(*words, streams={"stdin": "pipe"})
    assert reads_commands(start, {}) is reads
    assert not reads_commands(start, {"outputs": {"result": {"input": "ls"}}})
    assert not reads_commands(command(*words, streams={"stdin": "null"}), {})


def test_messages_mean_the_same_in_the_forms_of_two_providers():
    """Anthropic sends the results of tools in one message of the user; empty texts and ids of calls do not count."""
    call = {"type": "tool_call", "name": "find", "arguments": {"sku": 1}}
    results = [{"type": "tool_call_response", "response": each} for each in ('{"a": 1}', "none")]
    live = [
        {"role": "developer", "parts": [{"type": "text", "content": "Be short."}]},
        {"role": "assistant", "parts": [{"type": "text", "content": ""}, {**call, "id": "c1"}]},
        {"role": "user", "parts": results},
    ]
    recorded = [
        {"role": "system", "parts": [{"type": "text", "content": "Be short."}]},
        {"role": "assistant", "parts": [{**call, "arguments": '{"sku":1}'}]},
        {"role": "tool", "parts": [{**results[0], "response": {"a": 1}}]},
        {"role": "tool", "parts": results[1:]},
    ]
    assert wordings({"messages": live}) == wordings({"messages": recorded})
    assert wordings({"messages": live[:2]}) != wordings({"messages": recorded})
