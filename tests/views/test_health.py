"""How well a run went, on the screen."""

from namel3ss_debug.views.health import fact, health, matters, of_recordings
from namel3ss_debug.views.renderers import screen

FINDING = {"id": "failure", "part": "quality", "section": "errors", "weight": 0.75,
           "evidence": "tool pay failed: no; it began at 4: llm m wrote x", "events": [9, 4],
           "suggestion": "namel3ss debug explain 9"}  # fmt: skip
SECTION = {
    "score": 0.5,
    "level": "serious",
    "statement": "1 error seen; outcome not judged",
    "decided_by": ["severity", "success_rate", "score"],
    "measures": {"success_rate": 0.9996, "integrity": 1.0, "severity": 0.75, "score": 0.5},
    "parts": {
        "quality": {"score": 0.25, "lowered_by": [{"id": "failure", "weight": 0.75}]},
        "interactions": {"score": None, "lowered_by": []},
    },
    "sections": {"errors": {"score": 0.9999, "lowered_by": []}},
    "finding_count": 14,
    "findings": [FINDING] * 12,
}


def shown(found):
    """The lines on a terminal of 80 columns."""
    return [line.plain for line in screen.lines(found, 80)]


def test_the_whole_section():
    """The score with what decided the level, the parts and sections with what lowered them, the findings."""
    told = shown(health(SECTION | {"findings": [FINDING]}, "run.jsonl"))
    assert told == [
        "Health 50 %  serious findings",
        "  > 99.9 % of the spans did their work; 1 error seen; outcome not judged",
        "  part              score  lowered by",
        "  quality            25 %  failure 75 %",
        "  interactions  not known",
        "",
        "Sections",
        "  section     score",
        "  errors   > 99.9 %",
        "",
        "Findings",
        "  1  tool pay failed: no; it began at 4: llm m wrote x",
        "     namel3ss debug explain 9 run.jsonl",
        "  … 4 more; --format json lists them",
    ]


def test_the_fact_leaves_out_what_stands_beside_it():
    """The success rate stands in the line of the status already."""
    assert fact(SECTION).plain == "serious findings  50 %"
    assert fact({"score": None}) == ""
    assert fact({}) == ""


def test_what_matters_most_is_three_findings():
    """Without findings it says what was looked for and that nobody has judged the outcome, and praises nothing."""
    told = shown(matters(SECTION["findings"]))
    assert (told[0], len([line for line in told if "explain 9" in line])) == ("What matters most", 3)
    assert shown(matters([], statement="no errors seen; outcome not judged")) == [
        "No findings  no errors seen; outcome not judged",
        "  looked for: errors, unended spans, loops, stalls, gaps in the trace, passed",
        "  limits, avoidable time and cost",
    ]


def test_a_run_without_a_score_says_why():
    """Nothing is shown as whole that is not known."""
    section = {"score": None, "reason": "no agent, model or tool ran", "parts": {}, "sections": {}}
    assert shown(health(section, ""))[0] == "Health  not known: no agent, model or tool ran"


def test_the_same_finding_in_several_recordings_is_told_once():
    """The heaviest of those alike, with the name of its recording in the command."""
    rows = [
        FINDING | {"weight": 0.2, "reference": "aaaa"},
        FINDING | {"weight": 0.6, "reference": "bbbb", "evidence": "tool pay failed: no; it began at 6"},
        FINDING | {"weight": 0.9, "reference": "cccc", "evidence": "tool mail failed"},
    ]
    told = of_recordings(rows)
    assert [row["reference"] for row in told] == ["cccc", "bbbb"]
    assert shown(matters(told))[2] == "     namel3ss debug explain 9 cccc"
