import pytest

from namel3ss_debug.views.analysis import section_blocks
from namel3ss_debug.views.renderers.markdown import markdown
from namel3ss_debug.views.renderers.screen import lines

TOOL = {"component": "tool", "component_name": "search"}
AGENT = {"component": "agent", "component_name": "Planner"}
LLM = {"component": "llm", "component_name": "gpt-4o"}


def entry(kind, who=TOOL, ms=0.0, numbers=(12, 15, 18, 21, 24), **more):
    """One thing that was found."""
    cost = {"ms": ms, "tokens": more.pop("cost_tokens", 0), "usd": more.pop("usd", None)}
    found = {
        "kind": kind,
        **who,
        "count": len(numbers),
        "numbers": list(numbers),
        "confidence": 0.9,
        "cost": cost,
    }
    return found | more


def section(*found, left_out=0):
    """The section with these things in it."""
    counts = {}
    for each in found:
        counts[each["kind"]] = counts.get(each["kind"], 0) + 1
    return {"spans": 40, "spans_left_out": left_out, "counts": counts, "found": list(found)}


def shown(document, **options):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(section_blocks("patterns", document, **options), 80)]


def test_what_went_wrong_comes_first_then_what_else_there_is():
    """A loop is one line: the call, how often, with what result, what it cost and the events that prove it."""
    loop = entry(
        "loop", form="same call", rounds=5, arguments={"q": "x"}, ms=840.0, cost_tokens=5210, usd=0.0132
    )
    follow = entry("sequence", count=7, operations=[LLM, TOOL], ms=900.0, numbers=(3, 9, 15, 21, 27, 33, 39))
    assert shown(section(loop, follow, left_out=1200)) == [
        "1 loop",
        "  what                                       ms  tokens     cost  events",
        '  search(q="x") 5 times with the same res…  840   5,210  $0.0132  12 15 18 21 24',
        "",
        "Patterns  1 sequence",
        "  what                               ms  events",
        "  llm gpt-4o, tool search: 7 times  900  3 9 15 21 27 …",
        "  patterns: only the first 40 spans were looked at, 1,200 were not",
    ]


WORDS = {
    'search(q="x") 5 times with the same result': entry(
        "loop", form="same call", rounds=5, arguments={"q": "x"}
    ),
    "llm gpt-4o 3 times with the same answer": entry("loop", LLM, form="same call", rounds=3, arguments=None),
    "4 rounds of tool search and close()": entry(
        "loop",
        form="oscillation",
        rounds=4,
        between=[TOOL, TOOL | {"component_name": "close", "arguments": {}}],
    ),
    "llm gpt-4o said the same 4 times, given 3 to 9 messages": entry(
        "loop", LLM, form="growth", rounds=4, messages=[3, 9]
    ),
    "tool search 5 attempts, until it worked": entry("retries", outcome="completed"),
    "tool search 5 attempts, all failed": entry("retries", outcome="failed"),
    "tool search 5 attempts, one open": entry("retries", outcome="open"),
    "nothing happened inside agent Planner": entry("stall", AGENT, after=3, until=4, running=False),
    "waiting for tool search": entry("stall", after=3, until=4, running=True),
    "Planner chose cheap all 5 times": entry("one way", AGENT, chosen="cheap"),
    "tool search asked 5 times until its result changed": entry("polling", changed=True),
    "tool search asked 5 times and was instructed to wait": entry("polling", changed=False),
    "search(page=1), 5 pages by number": entry("paging", by="number", arguments={"page": 1}),
    "5 calls in 300 ms, 13.3 a second against 0.5": entry(
        "burst", lasted_ms=300.0, per_second=13.3, per_second_of_run=0.5
    ),
    "5 at once of tool search, 2 times, saved 1.20 s": entry(
        "parallel", groups=2, operations=[TOOL], saved_ms=1200.0
    ),
    "5 of tool search, 2 at once, saved 1.20 s": entry(
        "parallel", groups=1, at_once=2, operations=[TOOL], saved_ms=1200.0
    ),
    "llm gpt-4o, tool search: 5 times": entry("sequence", operations=[LLM, TOOL]),
}


@pytest.mark.parametrize("words", WORDS)
def test_each_kind_in_words(words):
    """One line says what was found."""
    assert shown(section(WORDS[words]))[2].startswith(f"  {words}  ")


def test_a_stall_is_told_by_the_events_around_it():
    """The last event before, and the first after it."""
    (_, _, line) = shown(section(entry("stall", AGENT, ms=1300.0, after=136, until=140, running=False)))
    assert line == "  nothing happened inside agent Planner  1,300  136 140"


def test_many_events_and_many_things_are_cut():
    """A few numbers stand for all, and no kind crowds out the others."""
    loops = [entry("loop", form="same call", rounds=9, numbers=range(1, 10)) for _ in range(12)]
    sequences = [entry("sequence", operations=[LLM]) for _ in range(8)]
    report = shown(section(*loops, entry("burst"), *sequences))
    assert report[2].endswith("1 2 3 4 5 …")
    assert "  … 2 more; --format json lists them" in report
    assert sum("llm gpt-4o: 5 times" in line for line in report) == 5
    assert all(len(line) <= 80 for line in report)


def test_nothing_found_is_only_said_where_it_was_asked_for():
    """A whole report is not lengthened by it."""
    assert shown(section()) == []
    assert shown(section(), alone=True) == ["Patterns  none were found"]
    assert shown(section(left_out=9), alone=True) == [
        "  patterns: only the first 40 spans were looked at, 9 were not",
    ]


def test_arguments_from_the_trace_are_text_and_nothing_else():
    """Neither the terminal nor Markdown takes them for more."""
    evil = entry("loop", form="same call", rounds=3, arguments={"q": "\x1b[31m*x*|y"})
    assert not any("\x1b" in line for line in shown(section(evil)))
    assert "\\*x\\*\\|y" in "\n".join(markdown(section_blocks("patterns", section(evil))))
