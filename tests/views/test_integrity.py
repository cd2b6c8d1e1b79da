from namel3ss_debug.views.integrity import integrity
from namel3ss_debug.views.renderers.screen import lines


def shown(section):
    """The report as lines of 80 columns."""
    return [line.plain for line in lines(integrity(section), 80)]


def test_what_lowers_the_score_comes_first():
    """Then the events that show it, as far as there is room for them."""
    section = {
        "score": 0.99996,
        "lowered_by": [
            {
                "check": "lost_events",
                "count": 2,
                "of": 1000,
                "unit": "events",
                "lowered_by": 0.01,
                "why": "gone",
            },
            {
                "check": "open_processes",
                "count": 1,
                "of": 1,
                "unit": "processes",
                "lowered_by": 0.00004,
                "why": "killed",
            },
        ],
        "findings": [{"check": "lost_events", "number": n, "what": f"what {n}"} for n in range(1, 13)],
    }
    assert shown(section) == [
        "Integrity > 99.9 %  how far the trace can be trusted",
        "  found                    how many  lowers by  because",
        "  lost events     2 of 1,000 events        1 %  gone",
        "  open processes     1 of 1 process    < 0.1 %  killed",
        "",
        "Where it shows",
        "   n  what",
        *(f"  {n:2}  what {n}" for n in range(1, 11)),
        "  … 2 more; --format json lists them",
    ]


def test_a_sound_recording_is_told_in_one_line():
    """There is nothing to look at."""
    assert shown({"score": 1.0, "lowered_by": [], "findings": []}) == [
        "Integrity 100 %  no event is missing, cut or impossible"
    ]


def test_nothing_for_nothing():
    """A recording without events has no score."""
    assert shown({"score": None, "lowered_by": []}) == []
