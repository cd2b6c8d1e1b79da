"""What is kept of a recording: used again, taken further, and never believed."""

from __future__ import annotations

import os
import stat

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namel3ss_debug.replay.debugger import cached_outline as kept
from namel3ss_debug.replay.debugger import history
from namel3ss_debug.replay.debugger.history import History
from namel3ss_debug.traces import index
from namel3ss_debug.traces.reader import open_trace

EVENTS = 1500


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache directory of the test's own, used for recordings of any size."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "WRITTEN_FROM", 0)
    monkeypatch.setattr(kept, "KEPT_FROM", 0)
    return tmp_path / "cache" / "namel3ss-debug"


def lines(first, last, name="search"):
    """The lines of the events from `first` to before `last`: calls of a tool, and a state change now and then."""
    for seq in range(first, last):
        event = {
            "event_type": ("tool_call_start", "tool_call_end", "state_change")[seq % 3],
            "component": "tool",
            "component_name": name,
            "event_id": str(seq + 1),
            "seq": seq,
            "timestamp": 1_763_720_100.0 + seq,
        }
        if seq % 3 == 1:
            event |= {
                "parent_event_id": str(seq),
                "tokens_used": seq,
                "cost_estimate": 0.5,
                "duration_ms": 1.0,
            }
            event |= {"status": "failed", "error": "no"} if seq % 7 == 0 else {}
        if seq % 3 == 2:
            event["outputs"] = {f"v{seq % 5}": seq}
        yield orjson.dumps(event) + b"\n"


@pytest.fixture
def path(tmp_path):
    """A recording."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(lines(0, EVENTS)))
    return path


def answers(made, numbers=(0, 1, 2, 700, 701, 702, 1499, 1500)):
    """What a history says of a recording."""
    outline = made.outline
    numbers = [number for number in numbers if number <= outline.count]
    return (
        outline.count,
        [made.at(number) for number in numbers],
        [made.calls_at(number, "tool") for number in numbers],
        [[outline.following(number), outline.preceding(number), outline.end(number)] for number in numbers],
        list(outline.failures),
        made.contents,
    )


def files(cache):
    """What is kept."""
    return sorted(cache.glob("*.outline"))


def test_the_first_time_takes_one_pass_and_the_second_none(path, cache, passes):
    """Index and outline are made in the same pass and kept privately; another run reads only what it is asked for."""
    counted = passes()
    first = answers(History(open_trace(path)))
    assert len(counted) == 1
    assert stat.S_IMODE(files(cache)[0].stat().st_mode) == 0o600
    assert [name.suffix for name in sorted(cache.iterdir())] == [".index", ".outline"]
    assert answers(History(open_trace(path))) == first
    assert len(counted) == 1


def test_a_small_recording_leaves_no_file(path, cache, monkeypatch):
    """What takes no time to make is not kept."""
    monkeypatch.setattr(kept, "KEPT_FROM", 10_000_000)
    assert answers(History(open_trace(path)))[0] == EVENTS
    assert files(cache) == []


def test_without_a_cache_everything_works(path, tmp_path, monkeypatch):
    """A cache directory that cannot be made is no error."""
    (tmp_path / "file").write_text("")
    expected = answers(History(open_trace(path)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert answers(History(open_trace(path))) == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_found(path, cache, data):
    """Whatever byte is another one, and wherever it breaks off, the answers are the same and the file is whole again."""
    expected = answers(History(open_trace(path)))
    (file,) = files(cache)
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        file.write_bytes(whole[:place])
    else:
        file.write_bytes(
            whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
        )
    assert kept.load(open_trace(path).index()) is None
    assert answers(History(open_trace(path))) == expected
    assert file.read_bytes() == whole


def test_a_file_of_another_version_is_made_anew(path, cache, monkeypatch):
    """What another release kept is not used."""
    expected = answers(History(open_trace(path)))
    monkeypatch.setattr(kept, "VERSION", 99)
    assert kept.load(open_trace(path).index()) is None
    assert answers(History(open_trace(path))) == expected
    assert kept.load(open_trace(path).index()) is not None


def seen_by(who, made, path):
    """The history of a recording that is another one now: the one at work, or another run's, with a new index or without."""
    if who == "another run, indexed":
        open_trace(path).index()
    return made if who == "at work" else History(open_trace(path))


WHO = pytest.mark.parametrize("who", ["at work", "another run", "another run, indexed"])


@WHO
@pytest.mark.parametrize("count", [900, EVENTS, EVENTS + 300])
def test_another_recording_at_the_same_path_is_seen(path, who, count):
    """Neither another run nor a history that is at work goes on believing what was there before, also where there is more now."""
    made = History(open_trace(path))
    assert made.outline.count == EVENTS
    other = path.with_name("other")
    other.write_bytes(b"".join(lines(0, count, "other")))
    os.replace(other, path)
    made = seen_by(who, made, path)
    assert made.outline.count == count
    assert [row.name for row in made.calls_at(count, "tool")] == ["other"]


@WHO
@pytest.mark.parametrize("begin", [0, 100_000], ids=["all of it", "the end of it"])
def test_a_recording_that_was_rewritten_in_place_is_seen(path, who, begin):
    """The same file with as many bytes but another time is another recording."""
    made = History(open_trace(path))
    assert [row.name for row in made.calls_at(EVENTS, "tool")] == ["search"]
    whole = path.read_bytes()
    path.write_bytes(whole[:begin] + whole[begin:].replace(b'"search"', b'"hcraes"'))
    os.utime(path, ns=(1, 1))
    made = seen_by(who, made, path)
    assert made.outline.count == EVENTS
    assert [row.name for row in made.calls_at(EVENTS, "tool")][-1] == "hcraes"


@pytest.mark.parametrize("at_work", [True, False])
def test_a_recording_that_grew_is_taken_further(path, monkeypatch, at_work):
    """Only the new events are read, by a history at work and by another run; the answers are those of making all anew."""
    made = History(open_trace(path))
    assert made.outline.count == EVENTS
    with path.open("ab") as file:
        file.writelines(lines(EVENTS, EVENTS + 700))
    taken = []
    take = History._add

    def counting(self, events):
        events = list(events)
        taken.append(len(events))
        take(self, events)

    monkeypatch.setattr(History, "_add", counting)
    made = made if at_work else History(open_trace(path))
    grown = answers(made, range(0, EVENTS + 700, 50))
    assert taken == [700]
    monkeypatch.setattr(kept, "load", lambda _: None)
    assert answers(History(open_trace(path)), range(0, EVENTS + 700, 50)) == grown


@WHO
def test_a_torn_last_line_that_is_finished_later_is_read_again(path, who):
    """An event that was still being written is taken as it came to be."""
    whole = next(lines(EVENTS, EVENTS + 1, "late"))
    with path.open("ab") as file:
        file.write(whole[:-10])
    made = History(open_trace(path))
    assert made.outline.count in (EVENTS, EVENTS + 1)
    with path.open("ab") as file:
        file.write(whole[-10:] + b"".join(lines(EVENTS + 1, EVENTS + 3)))
    made = seen_by(who, made, path)
    assert made.outline.count == EVENTS + 3
    assert [row.name for row in made.calls_at(EVENTS + 3, "tool")] == ["search", "late"]


@WHO
def test_processes_that_come_later_are_put_in_their_place(path, who):
    """Events of another process stand between those that were known, so that everything is made anew."""
    made = History(open_trace(path))
    assert made.outline.count == EVENTS
    child = path.with_name("run.p1.jsonl")
    child.write_bytes(b"".join(lines(0, 30, "child")))
    made = seen_by(who, made, path)
    assert made.outline.count == EVENTS + 30
    again = History(open_trace(path))
    assert made.outline.count == again.outline.count == EVENTS + 30
    assert answers(made) == answers(again)
    assert answers(History(open_trace(path))) == answers(again)


@WHO
@pytest.mark.parametrize("grown", ["run.jsonl", "run.p1.jsonl"])
def test_of_several_processes_each_may_grow(path, who, grown, monkeypatch):
    """Its new events stand between the known ones of the others."""
    path.with_name("run.p1.jsonl").write_bytes(b"".join(lines(0, 30, "child")))
    made = History(open_trace(path))
    assert made.outline.count == EVENTS + 30
    first = EVENTS if grown == path.name else 30
    with path.with_name(grown).open("ab") as file:
        file.writelines(lines(first, first + 30, "late"))
    found = answers(seen_by(who, made, path))
    monkeypatch.setattr(kept, "load", lambda _: None)
    assert found == answers(History(open_trace(path)))


def test_what_was_not_used_for_longest_goes_first(path, cache, monkeypatch):
    """All files together stay under a limit."""
    History(open_trace(path)).refresh()
    (first,) = files(cache)
    monkeypatch.setattr(kept, "MOST_BYTES", 2 * first.stat().st_size + 1000)
    names = []
    for number in range(3):
        other = path.with_name(f"run{number}.jsonl")
        other.write_bytes(path.read_bytes())
        names.append(other)
        for age, file in enumerate(files(cache), 1):
            os.utime(file, (1000 - age, 1000 - age))
        assert kept.load(open_trace(path).index()) is not None
        History(open_trace(other)).refresh()
    assert len(files(cache)) == 2
    assert first in files(cache)


def test_a_history_that_grows_event_by_event_is_not_written_each_time(path, cache, monkeypatch):
    """It is written again when it has grown by a tenth."""
    monkeypatch.setattr(history, "LEAST_NEW", 10)
    written = []
    save = kept.save
    monkeypatch.setattr(kept, "save", lambda *made: written.append(made[1].count) or save(*made))
    made = History(open_trace(path))
    made.refresh()
    for number in range(EVENTS, EVENTS + 200):
        with path.open("ab") as file:
            file.writelines(lines(number, number + 1))
        assert made.outline.count == number + 1
    assert written == [EVENTS, EVENTS + 151]


def test_other_prices_make_it_anew(tmp_path, cache, own_prices):
    """What calls cost is worked out with the prices in force, whatever was kept with others."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    event = {"event_type": "llm_call_end", "component": "llm", "component_name": "m", "usage": usage}
    path = tmp_path / "calls.jsonl"
    path.write_bytes((orjson.dumps(event) + b"\n") * EVENTS)

    def cost():
        (row,) = History(open_trace(path)).calls_at(2, "llm")
        return row.cost, row.calls_without_price

    own_prices({"m": {"input": 3}})
    assert (cost(), cost()) == ((6.0, 0), (6.0, 0))
    kept_before = files(cache)[0].read_bytes()
    own_prices({"m": {"input": 5}})
    assert cost() == (10.0, 0)
    assert files(cache)[0].read_bytes() != kept_before
    own_prices({"m": None})
    assert cost() == (None, 2)
