"""The steps of a flow, with a stand-in for the language."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from namel3ss_debug.capture.namel3ss.locations import Definition, SourceLocations
from namel3ss_debug.capture.namel3ss.steps import StepRecorder, describe_statement


def statement(kind, **fields):
    """A statement of the language, by the name of its class."""
    return type(kind, (SimpleNamespace,), {})(**fields)


@pytest.mark.parametrize(
    ("stmt", "name"),
    [
        (statement("Let", name="total"), "let total"),
        (statement("Set", target=SimpleNamespace(path=["order", "size"])), "set state.order.size"),
        (statement("Set", target=SimpleNamespace(name="total")), "set total"),
        (statement("AskAIStmt", ai_name="writer"), "ask ai writer"),
        (statement("RunAgentStmt", agent_name="critic"), "run agent critic"),
        (statement("RepeatWhile"), "repeat while"),
        (statement("If"), "if"),
        (statement("Return"), "return"),
        (statement("AdvanceTime"), "advance time"),
        (statement("SomethingNewStmt"), "something new"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_statement_is_named_as_it_begins_in_the_source(stmt, name):
    """With what it is about; one that this version does not know is named after its class."""
    assert describe_statement(stmt) == name


def context(**fields):
    """What the language knows while a flow runs."""
    return SimpleNamespace(locals={"n": Decimal(2), "secrets": {"key": "s"}}, state={}, **fields)


class _ReturnSignal(Exception):  # noqa: N818  (the language's own name for it)
    value = Decimal(3)


def run(scope, stmt, ctx, do=lambda _ctx, _stmt: None):
    """Run a statement as the language does."""
    return StepRecorder(scope)._wrap_statement(do)(ctx, stmt)


def test_a_statement_is_a_step_with_the_value_it_sets(scope, told):
    """At its own place; what the flow is at afterwards is what it was at before."""
    run(scope, statement("Let", name="n", line=7, column=3), context())
    assert scope.location.site == "app.ai:4"
    (start, end), problems = told()
    assert (start["component_name"], start["call_site"]) == ("let n", "app.ai:7")
    assert start["metadata"] == {"column": 3}
    assert end["outputs"] == {"result": 2}
    assert problems == {}


def test_what_is_found_in_records_is_told(scope, told):
    """A `find` sets a variable that it does not name."""

    def find(ctx, _stmt):
        ctx.last_value = [{"id": Decimal(1)}]

    run(scope, statement("Find", record_name="Note", line=7, column=3), context(), find)
    (_start, end), problems = told()
    assert end["outputs"] == {"result": [{"id": 1}]}
    assert problems == {}


@pytest.mark.parametrize(("level", "recorded"), [("info", "info"), ("warn", "warning"), ("debug", None)])
def test_what_a_flow_logs_is_a_log_record(scope, told, level, recorded):
    """Inside its step, from the level on that the settings name."""

    def log(ctx, _stmt):
        ctx.last_value = "No stock"

    run(scope, statement("LogStmt", level=level, line=7, column=3), context(), log)
    (start, *records, _end), problems = told()
    shown = [(each["component_name"], each["call_site"], each["metadata"]) for each in records]
    assert shown == (
        [] if recorded is None else [("main", "app.ai:7", {"level": recorded, "message": "No stock"})]
    )
    assert all(each["parent_event_id"] == start["event_id"] for each in records)
    assert problems == {}


def test_a_return_is_no_failure(scope, told):
    """The language leaves a flow by an exception."""

    def leave(_ctx, _stmt):
        raise _ReturnSignal

    with pytest.raises(_ReturnSignal):
        run(scope, statement("Return", line=8, column=3), context(), leave)
    (_start, end), _problems = told()
    assert (end["status"], end["outputs"]) == ("completed", {"result": 3})


def test_a_failure_passes_and_is_recorded(scope, told):
    """With the language's words, and without the frames of its inside."""
    failure = ValueError("no such record")

    def fail(_ctx, _stmt):
        raise failure

    with pytest.raises(ValueError, match="no such record") as raised:
        run(scope, statement("Find", record_name="Note", line=8, column=3), context(), fail)
    assert raised.value is failure
    (_start, end), _problems = told()
    assert (end["status"], end["error"], end["error_type"]) == ("failed", "no such record", "ValueError")
    assert "stack_trace" not in end


def test_what_is_put_into_the_state_is_told(scope, told):
    """Under the name that the debugger knows it by."""
    ctx = context()

    def put(ctx, _stmt):
        ctx.state["order"] = {"size": Decimal(2)}

    run(scope, statement("Set", target=SimpleNamespace(path=["order", "size"]), line=5, column=3), ctx, put)
    (_start, _end, change), _problems = told()
    assert (change["event_type"], change["outputs"]) == ("state_change", {"order": {"size": 2}})
    assert change["call_site"] == "app.ai:5"


def test_what_cannot_be_recorded_runs_all_the_same(scope, told):
    """A mistake of the recorder is a problem in the recording, and nothing else."""
    done = []
    run(scope, None, context(), lambda ctx, stmt: done.append((ctx, stmt)))
    assert len(done) == 1
    broken = statement("Let", line=7, column=3)  # it has no name
    run(scope, broken, context(), lambda ctx, stmt: done.append((ctx, stmt)))
    assert len(done) == 2
    _events, problems = told()
    assert problems == {"the value of a statement could not be recorded: AttributeError": 1}


def test_choices_become_decisions_and_pairs_become_spans(scope, told):
    """What the language notes of its way, with the flow that runs inside of another."""
    steps = StepRecorder(scope)
    noted = steps._wrap_record_step(lambda *_words, **_fields: None)
    noted(
        None, "decision_if", "if n > 1 was true", data={"condition": "n > 1", "value": True}, line=3, column=3
    )
    noted(None, "flow_call_start", 'call flow "other"', data={"callee_flow": "other"}, line=4, column=3)
    assert scope.flow == "other"
    noted(None, "parallel_task_start", "parallel task start one", line=5, column=3)
    noted(None, "parallel_task_end", "parallel task end one", because="ok", line=5, column=3)
    noted(None, "flow_call_error", 'call flow "other" failed', because="no such record", line=4, column=3)
    assert scope.flow == "main"
    events, problems = told()
    assert [(event["event_type"], event.get("component_name")) for event in events] == [
        ("decision", "if"),
        ("chain_execution_start", "other"),
        ("chain_step_start", "one"),
        ("chain_step_end", "one"),
        ("chain_execution_end", "other"),
    ]
    assert (events[0]["inputs"], events[0]["outputs"]) == ({"condition": "n > 1"}, {"decision": True})
    assert (events[-1]["status"], events[-1]["error"]) == ("failed", "no such record")
    assert problems == {}


def test_what_stands_in_a_function_of_another_file_has_its_place_there(scope, told):
    """Its statements and the failure that began in it; the call of it has that of the caller."""
    function = Definition("function", "double")
    files = {Path("/x/common.ai"): 'define function "double":\n'}
    scope.locations = SourceLocations(
        files, Path("/x/app.ai"), lambda path: path.name, [(function, SimpleNamespace(line=1))]
    )
    steps = StepRecorder(scope)
    noted = steps._wrap_record_step(lambda *_words, **_fields: None)
    failure = ValueError("no number")
    failure.line, failure.column = 7, 9

    def fail(*_words):
        raise failure

    def call(ctx, _stmt):
        noted(None, "function_enter", "entered function double", line=5, column=3)
        try:
            steps._wrap_statement(fail)(ctx, statement("Let", name="n", line=6, column=3))
        finally:
            noted(None, "function_error", "error in double", line=5, column=3)

    def flow(executor):
        steps._wrap_statement(call)(executor.ctx, statement("Let", name="m", line=5, column=1))

    ctx = context()
    ctx.flow = SimpleNamespace(name="main", line=2, column=1)
    with pytest.raises(ValueError, match="no number"):
        steps._wrap_run(flow)(SimpleNamespace(ctx=ctx))
    events, problems = told()
    assert [(each.get("component_name"), each["call_site"]) for each in events if "call_site" in each] == [
        ("main", "app.ai:2"), ("let m", "app.ai:5"), ("double", "app.ai:5"), ("let n", "common.ai:6"), ("main", "common.ai:7"),
    ]  # fmt: skip
    assert events[-2]["event_type"] == "error_occurred"
    assert [body.name for body in scope.running] == ["main"]
    assert problems == {}


def test_a_job_has_its_place_in_its_own_file(scope, told):
    """The line that the language tells of it is that of its declaration."""
    job = Definition("job", "tidy")
    files = {Path("/x/common.ai"): 'job "tidy":\n'}
    scope.locations = SourceLocations(
        files, Path("/x/app.ai"), lambda path: path.name, [(job, SimpleNamespace(line=1))]
    )
    noted = StepRecorder(scope)._wrap_record_step(lambda *_words, **_fields: None)
    noted(None, "job_start", "job 'tidy' started", line=1, column=1)
    noted(None, "job_finish", "job 'tidy' finished", line=1, column=1)
    (start, _end), problems = told()
    assert (start["component_name"], start["call_site"]) == ("tidy", "common.ai:1")
    assert problems == {}


def test_variables_are_told_where_they_are_wanted(scope, told):
    """Those of the flow, before the statement runs, and no secrets."""
    scope.shows_variables = True
    run(scope, statement("Return", line=7, column=3), context())
    (start, _end), _problems = told()
    assert start["metadata"]["locals"] == {"n": 2}
