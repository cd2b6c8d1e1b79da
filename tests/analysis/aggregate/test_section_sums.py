from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.analysis.aggregate.section_sums import Overviews, Recurring, SectionSum

COUNTS = st.fixed_dictionaries(
    {
        "count": st.integers(0, 99),
        "total_ms": st.floats(0, 1e6),
        "cost": st.fixed_dictionaries(
            {"total": st.none() | st.floats(0, 9), "by_model": st.just({"m": 0.1})}
        ),
    }
)


def summed(*sections):
    """The sum of some sections; the n-th is of recording n."""
    added = SectionSum()
    for place, section in enumerate(sections):
        added.add(section, f"t{place}")
    return added.result()


def test_counts_times_and_costs_are_sums_and_the_rest_is_left_out():
    """Shares, scores and extremes have no sum; rows say of which recording they are."""
    one = {
        "calls": 2,
        "cpu_ms": 0.1,
        "error_rate": 0.5,
        "peak_mb": 9.0,
        "by": {"a": 1},
        "rows": [{"number": 3}],
    }
    two = {
        "calls": 3,
        "cpu_ms": 0.2,
        "error_rate": 0.1,
        "peak_mb": 8.0,
        "by": {"b": 2},
        "rows": [{"number": 4}],
    }
    assert summed(one, two) == {
        "calls": 5,
        "cpu_ms": 0.3,
        "by": {"a": 1, "b": 2},
        "rows": [{"trace": "t0", "number": 3}, {"trace": "t1", "number": 4}],
    }


def test_what_nobody_knows_stays_unknown_and_what_one_knows_counts():
    """A sum of nothing is no zero."""
    assert summed({"cost": {"total": None}}, {"cost": {"total": None}}) == {"cost": {"total": None}}
    assert summed({"cost": {"total": None}}, {"cost": {"total": 0.5}}) == {"cost": {"total": 0.5}}


def test_a_text_is_kept_where_all_say_the_same():
    """Otherwise it would be the word of one of them."""
    assert summed({"source": "llm", "note": "a"}, {"source": "llm", "note": "b"}) == {"source": "llm"}


def test_entries_that_count_are_added_up_by_their_names():
    """The calls of a tool by an agent are one entry, however many recordings have some; the longest come first."""
    short = {"from": None, "component": "tool", "component_name": "a", "count": 1, "total_ms": 2.5}
    long = short | {"component_name": "b", "total_ms": 9.5}
    saved = {"kind": "slow", "count": 1, "saves": {"ms": 1.5, "tokens": 2, "cost": None}, "reason": None}
    told = summed({"calls": [short], "kinds": [saved]}, {"calls": [short, long], "kinds": [saved]})
    assert told["calls"] == [long, short | {"count": 2, "total_ms": 5.0}]
    assert told["kinds"] == [saved | {"count": 2, "saves": {"ms": 3.0, "tokens": 4, "cost": None}}]


def test_lists_are_bounded_and_plain_values_stand_once():
    """A thousand recordings with a hundred failures each make no endless list."""
    rows = [{"number": place} for place in range(80)]
    added = summed({"rows": rows, "names": ["a"]}, {"rows": rows, "names": ["a", "b"]})
    assert (len(added["rows"]), added["names"]) == (100, ["a", "b"])


@given(st.lists(COUNTS, max_size=5), st.randoms())
def test_the_order_changes_no_sum(sections, chance):
    """Sums are exact, so any order of the recordings gives the same figures."""
    mixed = list(sections)
    chance.shuffle(mixed)
    assert summed(*sections) == summed(*mixed)


def test_the_same_failure_in_several_recordings_is_one_entry():
    """Those in most recordings come first; what came once is none."""
    recurring = Recurring()
    failure = {"number": 3, "fingerprint": "a", "component": "tool", "error": "no route"}
    recurring.add([failure, failure | {"number": 9}, failure | {"fingerprint": "once"}], "t0")
    recurring.add([{"fingerprint": "b", "number": 5}, {"number": 6}], "t1")
    recurring.add([{"fingerprint": "b", "number": 1}, failure | {"number": 7}], "t2")
    rows = [
        (row["fingerprint"], row["count"], row["traces"], row["trace"], row["number"])
        for row in recurring.result()
    ]
    assert rows == [("a", 3, 2, "t0", 3), ("b", 2, 2, "t1", 5)]
    assert recurring.result()[0]["error"] == "no route"


def overview(**changes):
    """The overview of one recording."""
    counted = dict.fromkeys(Overviews._COUNTED, 1)
    return {
        "status": "completed",
        "exit_status": 0,
        **counted,
        "spans": 10,
        "open_spans": 0,
        "execution_ids": ["x"],
        "session_ids": [],
        "started_at": 5.0,
        "ended_at": 7.0,
        "duration_ms": 2000.0,
        "cost": 0.25,
        "priced_by": {"recorded": 1},
        "success_rate": 0.9,
        "target": "app.py",
        "tracing": None,
    } | changes


def taken(*rows):
    """The overviews of some recordings, put together."""
    overviews = Overviews()
    for row in rows:
        overviews.add(row)
    return overviews


def test_the_overview_of_several_is_the_sum_and_the_worst():
    """How long they took together, when the first began and the last ended, how many went how."""
    later = overview(
        status="failed", started_at=9.0, ended_at=99.0, success_rate=0.5, spans=30, target="b.py", cost=None
    )
    told = taken(overview(), later).result()
    assert list(told)[:2] == ["status", "statuses"]
    assert (told["status"], told["statuses"]) == ("failed", {"completed": 1, "failed": 1})
    assert (told["duration_ms"], told["started_at"], told["ended_at"]) == (4000, 5, 99)
    assert (told["cost"], told["priced_by"], told["target"]) == (0.25, {"recorded": 2}, None)
    assert told["success_rate"] == 1 - (1 + 15) / 40
    assert "exit_status" not in told


def test_an_overview_of_recordings_that_tell_nothing():
    """No span ended, no time is known."""
    row = overview(
        spans=1,
        open_spans=1,
        success_rate=None,
        duration_ms=None,
        started_at=None,
        ended_at=None,
        status="open",
    )
    overviews = taken(row, overview(spans=0, success_rate=None, duration_ms=None))
    assert overviews.error_rate is None
    told = overviews.result()
    assert (told["status"], told["duration_ms"], told["success_rate"]) == ("open", None, None)
