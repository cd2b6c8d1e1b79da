import pytest

from namel3ss_debug.analysis.failures.explain import explain, find_final_answer
from namel3ss_debug.traces.marks import Mark
from namel3ss_debug.traces.reader import open_trace
from namel3ss_debug.wire import lenient

SOLAR = "Module prices fell by 20 percent in 2024, mostly because of overcapacity."
WIND = "Permits for new onshore turbines take 40 years on average across the districts."
SYSTEM = {"role": "system", "parts": [{"type": "text", "content": "You are a researcher."}]}


def message(text, role="user"):
    """One message of a conversation."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def ask(recording, at, messages, text, parent=None, **end):
    """A call of a model that answers with a text."""
    call = recording.start("llm", "gpt", at, parent, inputs={"messages": messages})
    recording.end(call, at + 0.5, outputs={"text": text}, **end)
    return call


@pytest.fixture
def explained(recording, tmp_path):
    """What is explained of an event of the recording."""

    def explained(number, mark=None, **options):
        path = tmp_path / "trace.jsonl"
        path.write_bytes(b"".join(lenient.dump(event) + b"\n" for event in recording.events))
        return explain(open_trace(path), number, mark, **options)

    return explained


def chain(document):
    """The numbers and kinds of the steps of a chain."""
    return [(step["number"], step["kind"]) for step in document["chain"]]


def test_a_composed_prompt_leads_to_the_answers_in_it(recording, explained):
    """First to the one whose words the answer has, with the others beside it; the program's words are no user's."""
    ask(recording, 1, [SYSTEM, message("What is new in solar?")], SOLAR)
    ask(recording, 2, [SYSTEM, message("What is new in wind?")], WIND)
    ask(
        recording,
        3,
        [SYSTEM, message(f"Write a line from these notes:\n- {SOLAR}\n- {WIND}")],
        "Panels meet 40 years of permits.",
    )
    ask(recording, 4, [SYSTEM, message("Shorten: Panels meet 40 years of permits.")], "40 years of permits.")
    found = explained(7)
    assert chain(found) == [(7, "itself"), (5, "read"), (3, "read")]
    assert found["chain"][1]["reason"] == "wrote 'Panels meet 40 years of permits.'"
    assert [(other["number"], other["reason"]) for other in found["chain"][2]["others"]] == [
        (1, f"wrote {SOLAR!r}")
    ]
    assert found["root"] == {"number": 3, "kind": "user", "words": "What is new in wind?"}


def test_one_sentence_of_an_answer_is_found_in_a_prompt(recording, explained):
    """A program often passes on a part of what a model wrote."""
    ask(recording, 1, [message("Research wind.")], f"I looked into it. {WIND} That is all.")
    ask(recording, 2, [message(f"Check this claim: {WIND}")], "It is wrong.")
    assert explained(3)["chain"][1]["reason"] == f"wrote {WIND!r}"


def test_the_documents_of_a_retriever_are_followed(recording, explained):
    """A read of a memory is an event without a span; what ran inside the retriever leads on."""
    shelf = recording.start("chain", "Shelf", 1, kind="chain_step", inputs={"query": "returns"})
    document = {"$type": "Document", "fields": {"page_content": WIND}}
    recording.add(
        "memory_operation",
        2,
        component="memory",
        component_name="retriever",
        parent_event_id=shelf,
        outputs={"documents": [document]},
    )
    recording.end(shelf, 3)
    ask(recording, 4, [message(f"Answer from these:\n{WIND}")], "40 years.")
    found = explained(4)
    assert chain(found) == [(4, "itself"), (2, "read"), (1, "inside")]
    assert found["chain"][1]["reason"] == f"returned {WIND!r}"


def test_a_model_does_not_read_its_own_answers(recording, explained):
    """The assistant's messages of its conversation lead nowhere: it ends with the user."""
    ask(recording, 1, [message("Tell me about wind.")], WIND)
    ask(
        recording,
        2,
        [message("Tell me about wind."), message(WIND, "assistant"), message("And now?")],
        "Still 40 years.",
    )
    found = explained(3)
    assert (chain(found), found["root"]["words"]) == ([(3, "itself")], "And now?")


def test_an_error_that_a_model_read_is_what_the_tool_raised(recording, explained):
    """The program had caught the exception and passed on its text; an argument that the program had added is named."""
    question = message("Refund order A-10.")
    call = recording.start("llm", "gpt", 1, inputs={"messages": [question]})
    recording.end(
        call, 2, outputs={"tool_calls": [{"id": "c1", "name": "refund", "arguments": {"order": "A-10"}}]}
    )
    tool = recording.start(
        "tool", "refund", 3, inputs={"arguments": {"order": "A-10", "tenant": "us-7"}, "call_id": "c1"}
    )
    recording.end(tool, 4, status="failed", error="tenant us-7 may not refund", error_type="PermissionError")
    result = {
        "role": "tool",
        "parts": [
            {
                "type": "tool_call_response",
                "id": "c1",
                "response": "PermissionError: tenant us-7 may not refund",
            }
        ],
    }
    ask(recording, 5, [question, result], "Your money is on its way.")
    found = explained(5)
    assert chain(found) == [(5, "itself"), (3, "read"), (1, "asked_for")]
    assert found["chain"][1]["reason"] == "raised PermissionError: tenant us-7 may not refund"
    assert found["chain"][2]["reason"] == "asked for refund(order='A-10'); the program added tenant='us-7'"
    failed = explained(3)
    assert failed["added"] == ["tenant='us-7'"]
    assert failed["origins"][0]["kind"] == "added_argument"
    assert failed["chain"][0]["reason"].endswith(
        "got tenant='us-7' from the program, not from the model, and the error names it"
    )
    assert failed["resolution"].startswith("Look at what the program adds")


def test_messages_that_were_dropped_on_the_way_are_listed(recording, explained):
    """With the last call that read each and the first that did not; a rolling window loses the system's message too."""
    turns = [
        SYSTEM,
        message("My budget is 400 euro."),
        message("Noted.", "assistant"),
        message("It should be light."),
        message("Good.", "assistant"),
        message("Which one?"),
    ]
    ask(recording, 1, turns[:2], "Noted.")
    ask(recording, 2, turns[:4], "Good.")
    ask(recording, 3, turns[2:], "Buy the one for 1299 euro.")
    found = explained(5, Mark("bad"), is_outcome=True)
    assert [(each["number"], each["gone"], each["role"], each["text"]) for each in found["dropped"]] == [
        (3, 5, "system", "You are a researcher."),
        (3, 5, "user", "My budget is 400 euro."),
    ]
    assert found["chain"][0]["reason"] == "is marked bad; wrote 1299, which nothing that it had read holds"
    assert explained(3)["dropped"] == []


def test_an_agent_with_other_instructions_has_lost_none(recording, explained):
    """The system's message of another agent of a team is another one, and unrelated calls share nothing but theirs."""
    ask(recording, 1, [message("You write.", "system"), message("Sales?")], WIND)
    ask(recording, 2, [message("You judge.", "system"), message("Sales?"), message(WIND)], "APPROVE it")
    ask(recording, 3, [SYSTEM, message("Write about solar.")], SOLAR)
    ask(recording, 4, [SYSTEM, message("Write about wind.")], WIND)
    assert [explained(number)["dropped"] for number in (3, 7)] == [[], []]


def test_a_team_says_why_it_stopped(recording, explained):
    """The stop reason of AutoGen, with the answer that holds the word it quotes; of each event in the team."""
    team = recording.start("chain", "desk", 0)
    ask(recording, 1, [message("Sales?")], "Draft: up by a tenth.", team)
    ask(
        recording,
        2,
        [message("Sales?"), message("Draft: up by a tenth.")],
        "Add sources before I APPROVE it.",
        team,
    )
    recording.end(team, 3, outputs={"result": "...", "stop_reason": "Text 'APPROVE' mentioned"})
    stop = {"number": 6, "component": "chain", "component_name": "desk", "reason": "Text 'APPROVE' mentioned"}
    assert [explained(number)["stop"] for number in (1, 4)] == [stop, stop]
    found = explained(6)
    assert chain(found)[:2] == [(1, "itself"), (4, "stopped")]
    assert found["chain"][1]["reason"] == "wrote 'APPROVE', which the team stopped at"


def test_all_values_of_a_fan_in_are_shown(recording, explained):
    """A call of the program that takes five results has five sources, each with its value."""
    for index in range(5):
        tool = recording.start("tool", f"read{index}", index)
        recording.end(tool, index + 0.5, outputs={"result": f"value-{index}00"})
    values = {f"v{index}": f"value-{index}00" for index in range(5)}
    recording.start("tool", "join", 9, inputs={"arguments": values})
    step = explained(11)["chain"][1]
    shown = [step["reason"], *(other["reason"] for other in step["others"])]
    assert shown == [f"supplied v{index}='value-{index}00'" for index in range(5)]


def test_the_final_answer_asks_for_no_tool(recording, tmp_path):
    """The last answer of a model in words, as its start and its end."""
    ask(recording, 1, [message("Sales?")], WIND)
    call = recording.start("llm", "gpt", 2)
    recording.end(call, 3, outputs={"text": "Let me see.", "tool_calls": [{"name": "find"}]})
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"".join(lenient.dump(event) + b"\n" for event in recording.events))
    assert find_final_answer(open_trace(path)) == (1, 2)


def test_an_argument_that_was_made_up_is_named_in_a_marked_call(recording, explained):
    """Nothing failed; the customer is in no message that the model had read."""
    call = recording.start("llm", "gpt", 1, inputs={"messages": [message("Book room R-204 in Oslo.")]})
    wrote = {"room": "R-204", "customer": "C-99812"}
    recording.end(call, 2, outputs={"tool_calls": [{"id": "c1", "name": "book", "arguments": wrote}]})
    tool = recording.start("tool", "book", 3, inputs={"arguments": wrote, "call_id": "c1"})
    recording.end(tool, 4, outputs={"result": {"booked": "R-204"}})
    found = explained(3, Mark("bad", "", 3))
    assert found["chain"][1]["reason"] == "wrote customer='C-99812', which nothing that it had read holds"


def test_what_a_summary_took_the_place_of_is_gone(recording, explained):
    """As with the middleware of LangChain: the chain goes through the call that wrote the summary, not the step around it."""
    allergy, guests = message("One guest is allergic to peanuts."), message("We are six.")
    ask(recording, 1, [SYSTEM, allergy, guests], "Noted.")
    step = recording.start("chain", "Summarise", 2, kind="chain_step")
    text = "The user plans a menu for six guests."
    ask(recording, 3, [message("Summarise: One guest is allergic to peanuts. We are six.")], text, step)
    recording.end(
        step, 4, outputs={"messages": [{"content": f"Here is a summary of the chat until now:\n{text}"}]}
    )
    summary = message(f"Here is a summary of the chat until now:\n{text}")
    ask(recording, 5, [SYSTEM, summary, message("What do I cook?")], "Satay.")
    found = explained(7)
    assert chain(found) == [(7, "itself"), (4, "read")]
    assert found["chain"][1]["others"] == []
    assert [(each["number"], each["gone"], each["text"]) for each in found["dropped"]] == [
        (1, 7, "One guest is allergic to peanuts."),
        (1, 7, "We are six."),
    ]


def test_the_result_of_a_tool_is_found_in_the_prompt_of_another_agent(recording, explained):
    """There the id of the call is no more, only the text."""
    tool = recording.start("tool", "read_page", 1, inputs={"arguments": {}, "call_id": "c1"})
    recording.end(tool, 2, outputs={"result": f"Page 7. {WIND}"})
    ask(recording, 3, [message(f"Check this: {WIND}")], "It is wrong.")
    assert explained(3)["chain"][1] | {"look": ""} == {
        "number": 1,
        "component": "tool",
        "component_name": "read_page",
        "kind": "read",
        "reason": f"returned {WIND!r}",
        "evidence": {"events": [2, 3], "value": None},
        "others": [],
        "look": "",
    }
