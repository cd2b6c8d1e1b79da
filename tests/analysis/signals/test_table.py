import json
import subprocess
import sys
from pathlib import Path

import pytest

from namel3ss_debug.analysis.analyzer import TraceAnalyzer
from namel3ss_debug.analysis.computing import analyze_events
from namel3ss_debug.analysis.signals.table import SIGNALS

DATA = Path(__file__).parents[2] / "data"
PROGRAMS = DATA / "programs_wrong"
RECORDINGS = DATA / "recordings_wrong"
EXAMPLES = Path(__file__).parents[3] / "examples"
VALUES = {
    "announced_step": "I'll book a seat on R 14",
    "coerced_output": '"1.200,00" -> "1.2"',
    "context_lost": "Never name doses",
    "cut_answer": "at eight, the second at noon, the third",
    "cut_result": "387 of 899 characters",
    "done_twice": "R-5102",
    "empty_result_used": "The pool opens at seven",
    "equal_prompts": "lacks person=",
    "forgotten_value": "K-4412",
    "invented_claim": "284.35",
    "invented_code": "customer_id=C-88310",
    "lost_in_join": "the clause on data protection",
    "other_branch": "its prompt has city=",
    "own_observation": "Observation: sunny, 24 degrees",
    "repeated_lines": "closed on the first of each month",
    "same_call_again": "4 times in a row",
    "schema_mismatch": "currency is missing",
    "stopped_by_word": "TERMINATE",
    "tool_not_offered": "old_weather",
    "unfilled_template": "{customer_name}",
    "unit_mismatch": "total_cents=12950 -> amount_eur=12950",
    "user_overruled": "ORD-3318",
    "wrong_weekday": "2026-12-05 is a Saturday",
}
"""Program -> the value that its first or second finding names."""

SIGNAL_OF = {"forgotten_value": "context_lost"}
OF_COST = {"performance", "resources"}


def read(path):
    """The findings of a recording."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return analyze_events(events)["health"]["findings"]


def test_each_signal_has_programs():
    """Each signal has a program that shows it, and each program a recording of its bad and its good variant."""
    assert {signal.id for signal in SIGNALS} == {SIGNAL_OF.get(name, name) for name in VALUES}
    programs = {path.stem for path in PROGRAMS.glob("*.py")} - {"loop"}
    assert programs == set(VALUES)
    assert {path.name for path in RECORDINGS.iterdir()} == {
        f"{name}.{variant}.jsonl" for name in VALUES for variant in ("bad", "good")
    }


@pytest.mark.parametrize("name", VALUES)
def test_the_first_findings_name_the_value(name):
    """One of the first two findings of a bad variant is the signal, with its event and the value that proves it."""
    first = read(RECORDINGS / f"{name}.bad.jsonl")[:2]
    found = next(row for row in first if row["id"] == SIGNAL_OF.get(name, name))
    assert VALUES[name] in found["evidence"]
    assert found["events"]
    assert found["suggestion"].startswith("namel3ss debug ")


@pytest.mark.parametrize("name", VALUES)
def test_the_good_variant_has_no_finding(name):
    """A good variant has no finding but about time and cost."""
    found = read(RECORDINGS / f"{name}.good.jsonl")
    assert [row["id"] for row in found if row["part"] not in OF_COST] == []


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["bad", "good"])
@pytest.mark.parametrize("name", VALUES)
def test_the_programs_are_as_recorded(name, variant, tmp_path, monkeypatch):
    """A program that is recorded anew has the findings of its recording."""
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    trace = tmp_path / "t.jsonl"
    command = [sys.executable, "-m", "namel3ss_debug", "trace", "-o", trace, PROGRAMS / f"{name}.py", variant]
    subprocess.run(command, check=False, capture_output=True, cwd=PROGRAMS, timeout=60)
    found = TraceAnalyzer(trace).analyze()["health"]["findings"]
    if variant == "good":
        assert [row["id"] for row in found if row["part"] not in OF_COST] == []
    else:
        assert SIGNAL_OF.get(name, name) in {row["id"] for row in found[:2]}


@pytest.mark.parametrize("path", sorted((DATA / "recordings").glob("*.jsonl")), ids=lambda path: path.stem)
def test_good_recordings_have_no_signal(path):
    """The recordings of the examples show no signal."""
    assert TraceAnalyzer(path, sections=["signals"]).analyze()["signals"]["found"] == []


class Run:
    """Events of a run with one model."""

    def __init__(self, recording):
        self.recording = recording
        self.at = 0

    def ask(self, *messages, text="", calls=(), tools=(), parent=None, **outputs):
        """Add a call of the model; a message is its role and its text."""
        parts = [
            {"role": role, "parts": [{"type": "text", "content": content}]} for role, content in messages
        ]
        inputs = {"model": "m", "messages": parts, "tools": list(tools), "params": {}}
        self.at += 1
        start = self.recording.start("llm", "m", self.at, parent, inputs=inputs)
        outputs = {"text": text, "tool_calls": list(calls), **outputs}
        self.at += 1
        self.recording.end(start, self.at, outputs=outputs)

    def use(self, name, arguments, result, call_id=None, **fields):
        """Add a call of a tool."""
        inputs = {"arguments": arguments} | ({"call_id": call_id} if call_id else {})
        self.at += 1
        start = self.recording.start("tool", name, self.at, inputs=inputs)
        self.at += 1
        self.recording.end(start, self.at, outputs={"result": result}, **fields)

    @property
    def found(self):
        """The ids of the signals."""
        return [row["id"] for row in analyze_events(self.recording.events, ["signals"])["signals"]["found"]]


@pytest.fixture
def run(recording):
    """Return a run without calls."""
    return Run(recording)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Greet {name} today", True),
        ("Greet ${user.name} today", True),
        ("Write a Python function: def f(x): return {x}", False),
        ("Explain `{name}` in f-strings", False),
        ("Solve \\frac{a}{b} for a", False),
        ('Read {"name": "Ada"}', False),
    ],
)
def test_braces_that_are_no_field(run, text, seen):
    """Only a name in braces outside of code is a field that was not filled in."""
    run.ask(("user", text), text="Fine, here it is.")
    assert ("unfilled_template" in run.found) is seen


def test_braces_of_a_page_are_no_template(run):
    """Braces in a message after an answer are those of a page that a tool read."""
    run.ask(
        ("user", "Read it"), ("assistant", "Reading."), ("user", "url: /p/?s={search_term}"), text="Done."
    )
    assert run.found == []


@pytest.mark.parametrize(
    ("result", "arguments", "seen"),
    [
        ({"total_cents": 4999}, {"amount_eur": 4999}, True),
        ({"total_cents": 4999}, {"amount_eur": 49.99}, False),
        ({"value": 77.5, "unit": "F"}, {"celsius": 77.5}, True),
        ({"distance_km": 12.5}, {"length_km": 12.5}, False),
        ({"duration_ms": 100}, {"seconds": 100}, False),
    ],
)
def test_units(run, result, arguments, seen):
    """A number under two units is a mismatch, unless it is a round one."""
    run.use("total", {}, result)
    run.use("pay", arguments, "ok")
    assert ("unit_mismatch" in run.found) is seen


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ("The pool opens at seven in the morning.", True),
        ("I found nothing about the pool.", False),
        ("Which pool is meant here?", False),
    ],
)
def test_claims_after_an_empty_search(run, answer, seen):
    """An answer that admits that nothing was found claims nothing."""
    run.use("search", {"query": "pool"}, [])
    run.ask(("user", "When does the pool open?"), text=answer)
    assert ("empty_result_used" in run.found) is seen


def test_an_empty_place_in_a_prompt(run):
    """An answer to a prompt without the context that it announces is a claim after nothing."""
    run.ask(
        ("user", "Context:\n\nQuestion: When does the pool open?"), text="The pool is open from seven on."
    )
    assert run.found == ["empty_result_used"]


def test_polling_is_no_loop(run):
    """Equal calls whose result changes at last, as those of polling, are no repetition."""
    for index, state in enumerate(("open", "open", "open", "done")):
        call = {"id": str(index), "name": "job", "arguments": {"n": 1}}
        run.ask(("user", "Run it"), calls=[call])
        run.use("job", {"n": 1}, state, str(index))
    assert run.found == []


def test_a_window_of_the_history_that_keeps_the_values(run):
    """A summary that holds what the user had asked for loses nothing."""
    first = ("user", "My order K-4412 is late.")
    run.ask(("system", "Help."), first, text="Which city?")
    summary = ("user", "Summary: the user waits for the order K-4412 and was asked for the city.")
    run.ask(
        ("system", "Help."),
        summary,
        ("assistant", "Which city?"),
        ("user", "Oslo."),
        text="It is on its way.",
    )
    assert run.found == []


@pytest.mark.parametrize(
    ("written", "seen"), [("1,234.50", False), ("1.234,50", False), ("2469", False), ("1999.95", True)]
)
def test_numbers_that_follow_from_results(run, written, seen):
    """A number is invented only if no result, in any writing, and no computing gives it."""
    run.use("price", {"item": "desk"}, {"price": 1234.5, "count": 2})
    run.ask(("user", "What does the desk cost?"), text=f"It costs {written} today.")
    assert ("invented_claim" in run.found) is seen


@pytest.mark.parametrize(
    ("day", "seen"), [("Friday, 4 December 2026", False), ("Monday, 4 December 2026", True)]
)
def test_weekdays_beside_dates(run, day, seen):
    """A weekday beside a date has to be that of the date."""
    run.ask(("user", "When is it?"), text=f"It is on {day}.")
    assert ("wrong_weekday" in run.found) is seen


def test_a_cut_answer_that_is_continued(run):
    """An answer at its limit is fine where the next request asks for the rest."""
    start = ("user", "Tell a long story.")
    run.ask(start, text="Once upon a time there was a fisherman who", finish_reason="length")
    run.ask(
        start, ("assistant", "Once upon a time there was a fisherman who"), ("user", "Go on."), text="sang."
    )
    assert run.found == []


def test_instructions_to_return_are_no_code(run):
    """A field in a prompt that asks to return something, as those of CrewAI do, was not filled in."""
    run.ask(("user", "Write about {topic}.\n\nyou MUST return the whole content"), text="Fine, here it is.")
    assert run.found == ["unfilled_template"]


def test_another_branch_of_a_conversation_loses_nothing(run):
    """Requests that share what precedes their last message are beside each other."""
    shared = ("user", "Here is the text of the contract.")
    run.ask(shared, ("user", "Review the style of it."), text="The style is fine.")
    run.ask(shared, ("user", "Review the facts in it."), text="The facts are fine.")
    assert run.found == []


@pytest.mark.parametrize("kept", [False, True])
def test_a_hand_off_without_the_user(run, kept):
    """A request that goes on from a call and holds no message of the user has lost them."""
    user = ("user", "Please refund my order.")
    run.ask(user, calls=[{"id": "call_1", "name": "transfer", "arguments": {}}])
    run.ask(*([user] if kept else []), ("assistant", "call_1"), text="Hello, how can I help?")
    assert run.found == ([] if kept else ["context_lost"])


def test_an_observation_after_code(run):
    """An answer of code that also holds its observation has made it up."""
    run.ask(("user", "How is it?"), text="<code>\nlook()\n</code>\nObservation: sunny\n")
    assert run.found == ["own_observation"]


def test_an_empty_frame_in_a_prompt(run):
    """An answer to a prompt of LlamaIndex without nodes is a claim after nothing."""
    prompt = "Context information is below.\n-----\n\n-----\nQuery: When does the pool open?\nAnswer: "
    run.ask(("user", prompt), text="The pool is open from seven on.")
    assert run.found == ["empty_result_used"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_kept_thread_that_lost_its_messages(run, kept):
    """The runs of one `thread_id` of LangGraph are one conversation, so a run without its earlier messages has lost them."""
    asked = ["My order is ORD-7731, it is late.", "Can you look at it again?"]
    for number, text in enumerate(asked):
        run.at += 1
        inputs = {"messages": [{"role": "user", "content": text}]}
        chain = run.recording.start(
            "chain", "graph", run.at, inputs=inputs, metadata={"thread_id": "customer-1"}
        )
        earlier = [("user", asked[0]), ("assistant", "I look at it.")] if number and kept else []
        run.ask(*earlier, ("user", text), text="I look at it.", parent=chain)
        run.at += 1
        run.recording.end(chain, run.at, outputs={})
    assert run.found == ([] if kept else ["context_lost"])


def test_a_task_that_ends_by_its_own_word(run):
    """A team that stops by a word of the task has asked no model."""
    run.at += 1
    task = "Find a lamp. Write TERMINATE when you have one."
    team = run.recording.start("agent", "team", run.at, inputs={"task": task})
    run.at += 1
    outputs = {"stop_reason": "Text 'TERMINATE' mentioned"}
    run.recording.end(team, run.at, outputs=outputs)
    assert run.found == ["stopped_by_word"]


def test_agents_inside_each_other_are_no_branches(run):
    """What an agent hands to the one that it calls is that one's own value."""
    outer = run.recording.start("agent", "planner", 1, inputs={"city": "Oslo"})
    inner = run.recording.start("agent", "guide", 2, outer, inputs={"city": "Paris"})
    run.at = 2
    run.ask(("user", "Show the sights of Oslo and of Paris."), text="Done.", parent=inner)
    run.recording.end(inner, 5, outputs={"text": "Done."})
    run.recording.end(outer, 6, outputs={"text": "Done."})
    assert run.found == []
