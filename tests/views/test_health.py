"""How well a run went, on the screen."""

from namel3ss_debug.views.health import health, judgement, matters, of_recordings
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
        "  1  event 9: tool pay failed: no; it began at 4: llm m wrote x",
        "     namel3ss debug explain 9 run.jsonl",
        "  … 4 more; --format json lists them",
    ]


def test_a_judgement_is_red_where_it_is_bad():
    """The user's own words stand beside it."""
    mark = {"judgement": "bad", "why": "wrong city", "event": 6, "when": None}
    assert (judgement(mark).plain, bool(judgement(mark).style)) == ("marked bad: wrong city (event 6)", True)
    assert not judgement(mark | {"judgement": "good"}).style


def test_as_many_findings_as_fit_are_shown():
    """Each with the event that proves it; further ones are counted, and one is shown where none fits."""
    found = SECTION["findings"]
    told = shown(matters(found, width=80, lines=9))
    assert told[:3] == [
        "Findings",
        "  1  event 9: tool pay failed: no; it began at 4: llm m wrote x",
        "     namel3ss debug explain 9",
    ]
    assert told[-1] == "  … 8 more: analyze --health"
    assert len(shown(matters(found, width=20, lines=1))) > 2
    assert shown(matters(found))[-1] == "  … 9 more: analyze --health"


def test_without_findings_the_ways_to_look_further_are_shown():
    """Nothing is praised: the transcript, the comparison with a good run, and the user's own judgement."""
    assert shown(matters([], "run.jsonl")) == [
        "No findings",
        "  what it did: namel3ss debug show run.jsonl",
        "  if it is wrong: namel3ss debug diff GOOD run.jsonl",
        "  or: namel3ss debug mark run.jsonl bad --event N",
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
