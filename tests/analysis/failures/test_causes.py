import pytest

from namel3ss_debug.analysis.failures.suspects import MOST

LATE = {"status": "failed", "error": "no answer after 3 s", "error_type": "TimeoutError"}
BAD = {"status": "failed", "error": "there is no city 'Pari'", "error_type": "ValueError"}


def say(text):
    """One message of the user."""
    return {"messages": [{"role": "user", "parts": [{"type": "text", "content": text}]}]}


def ask(name, call_id="c1", **arguments):
    """What a model gives that asks for a tool."""
    return {
        "tool_calls": [{"id": call_id, "name": name, "arguments": arguments}],
        "finish_reason": "tool_calls",
    }


def call(recording, at, name, arguments, parent=None, call_id="c1", **end):
    """A tool called with arguments."""
    start = recording.start("tool", name, at, parent, inputs={"arguments": arguments, "call_id": call_id})
    recording.end(start, at + 0.5, **end)
    return start


def model(recording, at, inputs, outputs, parent=None, **end):
    """A call of a model."""
    start = recording.start("llm", "gpt", at, parent, inputs=inputs)
    recording.end(start, at + 0.5, outputs=outputs, **end)
    return start


@pytest.fixture
def origins(analysed):
    """The origins of the last failure of a recording, as (number, kind)."""

    def origins(recording, place=-1, key="failures"):
        found = analysed(recording.events, ["errors"])["errors"][key][place]["origins"]
        return [(cause["number"], cause["kind"]) for cause in found]

    return origins


def test_a_model_that_made_the_argument_up_comes_first(recording, origins):
    """The error names the value, and nothing the model had read holds it."""
    model(recording, 0, say("What is the weather in Paris?"), ask("weather", city="Pari"))
    call(recording, 1, "weather", {"city": "Pari"}, **BAD)
    assert origins(recording) == [(1, "wrote_argument"), (3, "itself")]


def test_an_exception_that_says_nothing_of_the_arguments_began_where_it_was_raised(recording, origins):
    """Nothing says that what the model wrote was to blame; a call that returns its error has looked at what it was given."""
    model(recording, 0, say("What is the weather?"), ask("weather", days=1))
    call(
        recording,
        1,
        "weather",
        {"days": 1},
        status="failed",
        error="the store is down",
        error_type="StoreError",
    )
    assert origins(recording) == [(3, "itself"), (1, "wrote_argument")]
    call(recording, 2, "weather", {"days": 1}, outputs={"result": "Error: the store is down"})
    assert origins(recording, key="weak_failures")[0] == (1, "wrote_argument")


def test_a_name_in_the_words_of_the_user_is_not_made_up(recording, origins):
    """A word of a sentence is read like one in quotes."""
    model(recording, 0, say("What is the weather in Pari today?"), ask("weather", city="Pari"))
    call(recording, 1, "weather", {"city": "Pari"}, **BAD)
    assert origins(recording)[0] == (1, "given")


@pytest.mark.parametrize(("words", "made_up"), [("Total 30.00.", False), ("Total 31.00.", True)])
def test_a_number_that_was_read_in_another_form_is_not_told_as_made_up(recording, analysed, words, made_up):
    """Whether the model took it from there is not known."""
    model(recording, 0, say(words), ask("book", total=30))
    call(
        recording, 1, "book", {"total": 30}, status="failed", error="30 is too much", error_type="ValueError"
    )
    found = analysed(recording.events, ["errors"])["errors"]["failures"][0]["origins"][0]
    assert (found["number"], found["kind"]) == (1, "wrote_argument")
    assert ("nothing that it had read" in found["reason"]) is made_up


@pytest.mark.parametrize("call_id", ["c1", None])
def test_what_a_framework_adds_to_a_call_is_not_the_models(recording, analysed, call_id):
    """The context of a run stands among the arguments of its tools, and holds zeros and names."""
    context = {"$type": "agents.Context", "fields": {"requests": 0, "user": "U-17"}}
    model(recording, 0, say("Pay 20 EUR back."), ask("pay", amount=20))
    call(recording, 1, "pay", {"ctx": context, "amount": 20}, call_id=call_id, **BAD | {"error": "no U-17"})
    found = analysed(recording.events, ["errors"])["errors"]["failures"][0]["origins"]
    assert [cause["reason"] for cause in found if cause["number"] == 1] == ["wrote amount=20"]


@pytest.mark.parametrize(
    ("error_type", "error", "first"),
    [
        ("KeyError", "'balnce'", (3, "itself")),
        ("TypeError", "'<' not supported between instances of 'NoneType' and 'int'", (3, "itself")),
        ("TypeError", "pay() got an unexpected keyword argument 'sum'", (1, "wrote_argument")),
        ("KeyError", "'A-7'", (1, "given")),
        ("ValueError", "must be below the limit", (1, "wrote_argument")),
    ],
)
def test_an_exception_of_the_tools_own_code_began_there(recording, origins, error_type, error, first):
    """A missing key that is no value of the arguments; a ValueError is of what the tool was given."""
    model(recording, 0, say("Pay 20 EUR back for A-7."), ask("pay", amount=20, order="A-7"))
    end = {"status": "failed", "error": error, "error_type": error_type}
    call(recording, 1, "pay", {"amount": 20, "order": "A-7"}, **end)
    assert origins(recording)[0] == first


@pytest.mark.parametrize("later", [0.1, 5])
def test_what_was_cancelled_began_with_the_branch_that_failed_right_before(recording, origins, later):
    """Of the branches of a task group; what failed long before is no reason, and neither is another one that was cancelled."""
    branches = [recording.start("tool", name, 0) for name in ("a", "b", "c")]
    recording.end(branches[1], 1, status="failed", error="there is no part 'A-7'", error_type="KeyError")
    recording.end(branches[0], 1 + later, status="cancelled", error_type="asyncio.exceptions.CancelledError")
    recording.end(branches[2], 1 + later, status="cancelled", error_type="asyncio.exceptions.CancelledError")
    found = origins(recording)
    assert found[0] == ((2, "sibling_failed") if later < 1 else (3, "itself"))
    assert "repeated_failure" not in {kind for _, kind in found}


def test_a_value_that_the_user_gave_was_given(recording, origins):
    """The model only passed it on."""
    model(recording, 0, say("What is the weather in Pari-7?"), ask("weather", city="Pari-7"))
    call(recording, 1, "weather", {"city": "Pari-7"}, **BAD | {"error": "there is no city 'Pari-7'"})
    assert origins(recording)[0] == (1, "given")


def test_the_call_that_returned_the_value_comes_first(recording, origins):
    """The value is followed through the model to the tool that gave it."""
    model(recording, 0, say("Where is my order?"), ask("find"))
    call(recording, 1, "find", {}, outputs={"result": {"order": "A-999"}})
    model(recording, 2, say('{"order": "A-999"}'), ask("track", "c2", order="A-999"))
    call(
        recording,
        3,
        "track",
        {"order": "A-999"},
        call_id="c2",
        status="failed",
        error="unknown order A-999",
        error_type="KeyError",
    )
    assert origins(recording)[:2] == [(3, "gave_value"), (5, "wrote_argument")]


def test_an_empty_result_before_a_made_up_value_comes_first(recording, origins):
    """The model had nothing to choose from, and chose."""
    model(recording, 0, say("Order SKU-1."), ask("suppliers", sku="SKU-1"))
    call(recording, 1, "suppliers", {"sku": "SKU-1"}, outputs={"result": []})
    model(recording, 2, say("[]"), ask("order", "c2", supplier="S-00", sku="SKU-1"))
    words = {"status": "failed", "error": "no supplier 'S-00' for SKU-1", "error_type": "ValueError"}
    call(recording, 3, "order", {"supplier": "S-00", "sku": "SKU-1"}, call_id="c2", **words)
    assert origins(recording)[:2] == [(3, "empty_result"), (5, "wrote_argument")]


def test_an_answer_that_was_cut_comes_first(recording, origins):
    """What could not be parsed had ended at the limit of tokens."""
    agent = recording.start("agent", "root", 0)
    model(recording, 1, say("List them as JSON."), {"text": '{"a": [1, 2', "finish_reason": "length"}, agent)
    words = {"status": "failed", "error": "Expecting value: line 1", "error_type": "JSONDecodeError"}
    call(recording, 2, "parse", {"text": '{"a": [1, 2'}, agent, **words)
    recording.end(agent, 3)
    assert origins(recording)[0] == (2, "answer_cut")


def test_an_error_returned_as_a_result_and_used_comes_before_what_failed_by_it(recording, origins):
    """The tool claimed success, and its words came in."""
    agent = recording.start("agent", "root", 0)
    call(recording, 1, "fetch", {"page": 1}, agent, outputs={"result": "Error: the page is gone"})
    call(
        recording,
        2,
        "summarise",
        {"text": "Error: the page is gone"},
        agent,
        status="failed",
        error="nothing to summarise",
    )
    recording.end(agent, 3)
    assert (2, "error_result_used") in origins(recording)


def test_a_failure_inside_comes_before_the_span_that_failed_by_it(recording, origins):
    """The agent's own words explain nothing."""
    agent = recording.start("agent", "root", 0)
    call(recording, 1, "search", {"q": "x"}, agent, **LATE)
    recording.end(agent, 3, status="failed", error="the plan makes no sense", error_type="PlanError")
    assert origins(recording)[0] == (2, "failed_inside")


def test_a_timeout_began_with_itself_or_with_what_was_slow_inside_it(recording, origins):
    """Arguments hardly make a call late; a call inside it that took the time does."""
    model(recording, 0, say("go"), ask("search", q="x"))
    start = recording.start("tool", "search", 1, inputs={"arguments": {"q": "x"}, "call_id": "c1"})
    recording.end(start, 4, **LATE)
    assert origins(recording)[0] == (3, "itself")
    outer = recording.start("chain", "step", 5)
    recording.span("http", "slow.example", 5, 7.9, outer)
    recording.end(outer, 8, **LATE)
    assert origins(recording)[0] == (6, "slow_call")


def test_retries_that_were_exhausted_began_with_the_first(recording, origins):
    """All attempts stand in the evidence."""
    busy = {"status": "failed", "error": "429", "error_type": "RateLimitError"}
    first = recording.span("llm", "gpt", 1, 2, **busy)
    recording.span("llm", "gpt", 2, 3, retry_count=1, metadata={"retry_of": first}, **busy)
    assert origins(recording)[0] == (1, "retries_exhausted")


def test_the_largest_result_fills_the_context(recording, origins):
    """Of a context overflow the result that takes most of it is named."""
    call(recording, 0, "list", {}, outputs={"result": ["x" * 40] * 50})
    call(recording, 1, "count", {}, outputs={"result": 7})
    words = {"status": "failed", "error": "maximum context length is 8192 tokens"}
    model(recording, 2, say("x" * 40), None, **words)
    assert origins(recording)[0] == (1, "large_result")


def test_a_context_that_was_changed_is_named(recording, origins):
    """Messages of the call before are missing in what the model read."""
    long = [{"role": "user", "parts": [{"type": "text", "content": f"fact {n}"}]} for n in range(6)]
    agent = recording.start("agent", "root", 0)
    model(recording, 1, {"messages": long}, {"text": "noted"}, agent)
    model(recording, 2, {"messages": long[4:]}, ask("weather", city="Pari"), agent)
    call(
        recording,
        3,
        "weather",
        {"city": "Pari"},
        agent,
        status="failed",
        error="bad city",
        error_type="ValueError",
    )
    recording.end(agent, 4)
    assert (4, "wrote_argument") in origins(recording)
    kinds = {(4, "context_changed"), (4, "wrote_argument")}
    assert kinds & set(origins(recording))


@pytest.mark.parametrize(
    "kept", [{"previous_response_id": "r1"}, {"thread": {"type": "continue", "previous_message_id": "m1"}}]
)
def test_what_the_provider_keeps_of_a_conversation_is_read_though_it_is_not_sent(recording, origins, kept):
    """A request that names the one before it leaves its messages out, and what stood there is not made up."""
    agent = recording.start("agent", "root", 0)
    asked = {"messages": [*say("What is the weather in Pari-7?")["messages"], *say("Tell.")["messages"]]}
    model(recording, 1, asked, ask("find"), agent)
    call(recording, 2, "find", {}, agent, outputs={"result": "fine"})
    result = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "fine"}]}
    model(recording, 3, {"messages": [result], "params": kept}, ask("weather", "c2", city="Pari-7"), agent)
    bad = BAD | {"error": "there is no city 'Pari-7'"}
    call(recording, 4, "weather", {"city": "Pari-7"}, agent, call_id="c2", **bad)
    recording.end(agent, 5)
    found = origins(recording)
    assert found[0] == (2, "given")
    assert "context_changed" not in [kind for _number, kind in found]


def test_a_result_of_which_the_model_read_the_beginning_is_named(recording, origins):
    """What came later in the result could not be known."""
    result = " ".join(f"line {n} of the report" for n in range(60))
    call(recording, 0, "read", {}, outputs={"result": result})
    model(recording, 1, say(result[:400]), ask("send", "c2", to="x y"))
    call(
        recording,
        2,
        "send",
        {"to": "x y"},
        call_id="c2",
        status="failed",
        error="it was refused",
        error_type="ToolError",
    )
    assert origins(recording)[0] in {(3, "message_cut"), (3, "wrote_argument")}


def test_of_a_failure_with_nothing_wrong_inside_the_one_whose_values_were_acted_on_comes_first(
    recording, origins
):
    """The planner wrote what the tool was called with, the last one only the answer."""
    top = recording.start("chain", "run", 0, inputs={"task": "Find the cheapest lamp."})
    model(
        recording,
        1,
        say("plan"),
        {"text": "p", "plan": '{"sort": "price_desc", "kind": "lamp with shade"}'},
        top,
    )
    call(
        recording,
        2,
        "search",
        {"sort": "price_desc", "kind": "lamp with shade"},
        top,
        outputs={"result": "lamp 7"},
    )
    model(recording, 3, say("lamp 7"), {"text": "It is lamp seven of the many."}, top)
    recording.end(top, 4, status="failed", error="the answer is wrong", error_type="Judged")
    assert origins(recording)[0] == (2, "decided")


def test_the_same_failure_again_names_the_first(recording, origins):
    """A later one may only repeat it."""
    for at in (0, 1):
        call(recording, at, "search", {"q": "x"}, status="failed", error="odd", error_type="OddError")
    assert {number for number, _ in origins(recording)} == {1, 3}


def test_no_more_than_a_few_origins_are_told(recording, origins):
    """However many failures there were before."""
    for at in range(40):
        call(recording, at, f"t{at}", {"q": at}, status="failed", error=f"odd thing {chr(97 + at % 20)}")
    assert len(origins(recording)) <= MOST


def test_an_exception_between_calls_began_at_the_result_that_it_quotes(recording, origins):
    """The agent's own code failed on what a tool returned; without a quotation, on the last results inside."""
    agent = recording.start("agent", "pricing", 0)
    model(recording, 1, say("What is it worth?"), ask("price", sku="KET-1"), agent)
    call(recording, 2, "price", {"sku": "KET-1"}, agent, outputs={"result": {"price": "12,95 EUR"}})
    call(recording, 3, "stock", {"sku": "KET-1"}, agent, "c2", outputs={"result": 7})
    failed = {"status": "failed", "error_type": "ValueError"}
    recording.end(agent, 4, error="could not convert string to float: '12,95'", **failed)
    assert origins(recording)[0] == (4, "last_inside")
    recording.events[-1]["error"] = "could not convert"
    assert origins(recording)[:2] == [(6, "last_inside"), (4, "last_inside")]


def test_a_step_that_could_not_parse_its_answer_began_at_the_answer(recording, origins):
    """As a step of smolagents, whose model call ended well."""
    step = recording.start("chain", "Step 1", 0)
    model(recording, 1, say("Sum a list."), {"text": 'Code:\n```py\npatch = """\n```'}, step)
    recording.end(step, 2, status="failed", error="Code parsing failed on line 1 due to: SyntaxError")
    assert origins(recording)[0] == (2, "last_inside")


def test_a_run_that_was_only_judged_has_no_code_between_its_calls(recording, origins):
    """Its last results are no candidates."""
    team = recording.start("chain", "team", 0)
    call(recording, 1, "find", {}, team, outputs={"result": "nothing new"})
    call(recording, 2, "find", {}, team, "c2", outputs={"result": "all old"})
    recording.end(team, 3, status="failed", error="the outcome was judged wrong")
    assert origins(recording) == [(1, "itself")]


def test_who_wrote_the_code_that_failed_comes_before_who_ran_it(recording, origins):
    """In a text that a program takes the code from, as an argument, and in the output of an executor of AutoGen."""
    code = "rows = search('x')\nfor row in rows: print(row)"
    team = recording.start("chain", "team", 0)
    model(recording, 1, say("Print the rows."), {"text": f"Run this:\n```python\n{code}\n```"}, team)
    recording.span("tool", "terminal", 2, 3, team)
    recording.events[-2]["inputs"] = {"arguments": {"code": code}}
    recording.events[-1] |= {
        "status": "failed",
        "error_type": "TypeError",
        "error": "'NoneType' object is not iterable",
    }
    recording.end(team, 4, status="failed", error="the outcome was judged wrong")
    assert origins(recording, 0)[0] == (2, "wrote_code")
    assert origins(recording, 1)[:2] == [(2, "wrote_code"), (4, "failed_inside")]
    output = 'Traceback (most recent call last):\n  File "/tmp/x.py", line 2, in <module>\n    for row in rows: print(row)\nTypeError: no'
    recording.events = [
        *recording.events[:3],
        recording.events[-1] | {"status": "completed", "error": None, "outputs": {"result": output}},
    ]
    assert origins(recording, 0, "weak_failures")[0] == (2, "wrote_code")


def test_a_limit_of_steps_began_at_the_call_that_was_repeated(recording, origins, analysed):
    """No file, disk or memory was missing, and the advice is not to raise the limit."""
    agent = recording.start("agent", "helper", 0)
    for at in range(1, 5):
        model(recording, at, say("Which policy?"), ask("search", q="policy"), agent)
        call(recording, at + 0.5, "search", {"q": "policy"}, agent, outputs={"result": "no page"})
    limit = "Recursion limit of 9 reached without hitting a stop condition."
    recording.end(agent, 9, status="failed", error=limit, error_type="langgraph.errors.GraphRecursionError")
    assert origins(recording)[0] == (4, "repeated_call")
    failure = analysed(recording.events, ["errors"])["errors"]["failures"][-1]
    assert failure["category"] == "step_limit"
    assert "only repeats it" in failure["resolution"]


def test_a_long_run_is_searched_to_its_beginning(recording, origins):
    """What failed outside of all spans may have begun hundreds of spans before."""
    failed = {"status": "failed", "error": "no table 'orders_old'", "error_type": "ValueError"}
    agent = recording.start("agent", "etl", 0)
    model(recording, 1, say("Load the orders."), ask("load", table="orders_old"), agent)
    call(recording, 2, "load", {"table": "orders_old"}, agent, **failed)
    for at in range(3, 203):
        recording.span("tool", "copy", at, at + 0.5, agent)
    recording.end(agent, 300, status="failed", error="gave up")
    assert origins(recording)[0] == (2, "wrote_argument")
