import json

import pytest
from hypothesis import strategies as st

from namel3ss_debug.analysis.analyzer import TraceAnalyzer
from namel3ss_debug.analysis.sections import integrity as module
from namel3ss_debug.analysis.sections.integrity import CHECKS


@pytest.fixture
def checked(analysed):
    """The section of some events."""
    return lambda events: analysed(events, ["integrity"])["integrity"]


@pytest.fixture
def sound(recording):
    """An agent with a model call and a tool call, as the tracer writes it."""
    recording.add("trace_start", 0, metadata={"process": 0})
    agent = recording.start("agent", "a", 0.5)
    recording.span("llm", "m", 1, 2, agent)
    recording.span("tool", "t", 2, 3, agent)
    recording.end(agent, 4)
    recording.add("trace_end", 4.5)
    return recording.events


def found(section):
    """The checks that found something, with how often."""
    return {name: count for name, count in section["checks"].items() if count}


def at(section, check):
    """The events that a check found something at."""
    return [finding["number"] for finding in section["findings"] if finding["check"] == check]


def test_a_sound_recording_has_the_full_score(sound, checked):
    """Nothing is found, and nothing lowers the score."""
    section = checked(sound)
    assert (section["score"], section["lowered_by"], section["findings"]) == (1, [], [])
    assert list(section["checks"]) == [check.name for check in CHECKS]


def test_an_empty_trace_has_no_score(checked):
    """Where there is nothing, nothing can be said."""
    section = checked([])
    assert (section["score"], section["finding_count"]) == (None, 0)


def test_one_event_is_an_open_span(recording, checked):
    """A program that died at once has the weight of that taken from its score."""
    recording.start("tool", "t", 0)
    section = checked(recording.events)
    assert found(section) == {"open_spans": 1}
    assert section["score"] == 0.7


def test_a_gap_is_told_at_the_event_behind_it(sound, checked):
    """Two lost events are two, and the place is where the numbers go on."""
    del sound[3:5]
    section = checked(sound)
    assert found(section) == {"lost_events": 2, "orphan_ends": 1, "open_spans": 1}
    assert section["findings"][0] == {
        "check": "lost_events",
        "number": 4,
        "what": "events are missing before this one: 2",
    }
    assert section["lowered_by"][1]["check"] == "lost_events"
    assert section["lowered_by"][1] == {
        "check": "lost_events",
        "count": 2,
        "of": 8,
        "unit": "events",
        "weight": 1.0,
        "lowered_by": 0.25,
        "why": "they cannot be analysed",
    }
    assert section["score"] == pytest.approx(1 - sum(entry["lowered_by"] for entry in section["lowered_by"]))


def test_processes_are_told_apart_by_their_ids(recording, checked):
    """Two processes that count for themselves have no gaps and repeat nothing."""
    for seq in range(20):
        for prefix in ("", "p1."):
            recording.add("log_record", seq, event_id=f"{prefix}{seq + 1}", seq=seq)
    assert found(checked(recording.events)) == {}
    del recording.events[21]
    assert found(checked(recording.events)) == {"lost_events": 1}


def test_duplicate_ids_are_found_wherever_they_stand(sound, checked):
    """Short ids and long ones, at any distance."""
    for event_id in ("e2", "0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"):
        sound.append(sound[0] | {"event_type": "log_record", "event_id": event_id, "seq": len(sound)})
    section = checked(sound)
    assert section["checks"]["duplicate_ids"] == 2
    assert at(section, "duplicate_ids") == [9, 11]


def test_ids_that_look_alike_are_not_the_same(recording, checked):
    """Zeros in front and letters before a number make another id."""
    for event_id in ("7", "07", "a7", "b7", "a07", "p1.7"):
        recording.add("log_record", 0, event_id=event_id)
    assert checked(recording.events)["checks"]["duplicate_ids"] == 0


def test_references_to_nothing_and_to_what_comes_later(recording, checked):
    """A lost parent, a lost need, and a parent that begins after its child."""
    recording.start("tool", "a", 0, parent="gone")
    recording.start("tool", "b", 0, parent="e4", depends_on=["nowhere", "e1"])
    recording.add("log_record", 0, parent_event_id="e1")
    recording.start("agent", "c", 0)
    section = checked(recording.events)
    assert at(section, "missing_references") == [1, 2]
    assert at(section, "late_references") == [2]
    assert section["checks"]["parent_circles"] == 0


def test_circles_of_parents(recording, checked):
    """Each circle is told once, at its first event; a span that is its own parent is one."""
    for parent in ("e3", "e1", "e2", "e4", "e3"):
        recording.start("tool", "t", 0, parent=parent)
    section = checked(recording.events)
    assert at(section, "parent_circles") == [1, 4]


def test_circular_dependencies(recording, checked):
    """Each circle of `depends_on` is found once, with its ids in the order of need; a tree of needs has none."""
    for needed in (["e2"], ["e3"], ["e1"], ["e4"], ["e1", "e6"], []):
        recording.start("tool", "t", 0, depends_on=needed)
    section = checked(recording.events)
    assert section["checks"]["circular_dependencies"] == 2
    assert [row["what"] for row in section["findings"] if row["check"] == "circular_dependencies"] == [
        "circular dependency: e1 -> e2 -> e3 -> e1",
        "circular dependency: e4 -> e4",
    ]


def test_ends_without_starts_and_starts_without_ends(recording, checked):
    """Both are told, each with its event."""
    recording.end("lost", 1)
    recording.start("tool", "open", 2)
    section = checked(recording.events)
    assert (at(section, "orphan_ends"), at(section, "open_spans")) == ([1], [2])


def test_a_process_that_did_not_end(sound, checked):
    """A killed program has a beginning and no end."""
    assert found(checked(sound[:-1])) == {"open_processes": 1}


def test_times_that_cannot_be(recording, checked):
    """An end before its start, a clock that steps back, a duration that the timestamps contradict."""
    first = recording.start("tool", "t", 10)
    recording.end(first, 3, duration_ms=5.0)
    second = recording.start("tool", "t", 11)
    recording.end(second, 12, duration_ms=1500.0)
    section = checked(recording.events)
    assert at(section, "ends_before_starts") == [1]
    assert at(section, "clock_steps") == [2]
    assert at(section, "clock_errors") == [3]
    assert (section["largest_step_back_ms"], section["largest_clock_error_ms"]) == (7000, 500)
    assert section["findings"][0]["what"] == "ended 7,000.000 ms before it began"


def test_small_differences_between_clocks_are_none(recording, checked):
    """Threads that take the time before their turn, and a slewed clock, are no finding."""
    recording.add("log_record", 1.009)
    recording.add("log_record", 1)
    start = recording.start("tool", "t", 2)
    recording.end(start, 102, duration_ms=100_500)
    assert found(checked(recording.events)) == {}


def test_a_child_outside_of_its_parent_is_told_at_the_parent(recording, checked):
    """The clock of a child process that is wrong shows at the span it ran in."""
    root = recording.start("agent", "a", 10)
    recording.span("tool", "t", 5, 6, root)
    recording.end(root, 12)
    section = checked(recording.events)
    assert at(section, "outside_parent") == [1]
    assert section["checks"]["clock_steps"] == 1


def test_what_was_cut_and_what_was_left_out(recording, checked):
    """Marks of truncation and redaction count by event; text that only looks like a mark does not."""
    recording.add(
        "log_record", 0, inputs={"text": {"$truncated": "abc", "length": 9}, "list": [{"$truncated": 3}]}
    )
    recording.add(
        "log_record", 0, inputs={"key": "[REDACTED:api-key] and [REDACTED:api-key]", "b": "[REDACTED:key]"}
    )
    recording.add("log_record", 0, inputs={"text": 'say "$truncated": no', "b": "REDACTED:x", "n": 10**400})
    section = checked(recording.events)
    assert found(section) == {"truncated_payloads": 1, "redacted_payloads": 1}
    assert section["redactions"] == {"api-key": 1, "key": 1}


MARKS = [
    '{"a": {"$truncated": 4}}',
    '{"a": {"\\u0024truncated" : 4}}',
    '{"a": "[REDACTED:key]"}',
    '{"a": "[REDACT\\u0045D:key]"}',
]


@pytest.mark.parametrize("damage", ["", "rubbish\n", "late"])
def test_marks_are_found_wherever_they_stand_in_a_file(tmp_path, damage):
    """At every place of a piece that is read at once, with escapes, around its ends, and beside damaged lines."""
    path, padding = tmp_path / "trace.jsonl", "x" * 500
    marked = {1: 0, 2: 1, 130: 2, 260: 3, 390: 0, 640: 2, 799: 1}
    lines = []
    for seq in range(800):
        inputs = MARKS[marked[seq]] if seq in marked else f'{{"a": "{padding}"}}'
        lines.append(
            f'{{"event_type":"log_record","event_id":"{seq + 1}","seq":{seq},"timestamp":{seq},'
            f'"component":"log","inputs":{inputs}}}\n'
        )
    if damage == "late":
        lines.insert(150, lines.pop(130))
    elif damage:
        lines.insert(131, damage)
    for shift in range(0, 600, 40):
        path.write_text(" " * shift + "".join(lines))
        checks = TraceAnalyzer(path, sections=["integrity"]).analyze()["integrity"]["checks"]
        assert (checks["truncated_payloads"], checks["redacted_payloads"]) == (4, 3)


def test_what_the_reader_could_not_read_lowers_the_score(sound, tmp_path):
    """Lines that are no JSON, lines that had to be mended, and lost events by the reader's count."""
    path = tmp_path / "trace.jsonl"
    lines = [json.dumps(event) for event in sound]
    lines[3] = "rubbish"
    lines[4] = json.dumps(sound[4] | {"timestamp": "not a time"})
    path.write_text("\n".join(lines) + "\n")
    document = TraceAnalyzer(path, sections=["integrity"]).analyze()
    checks = document["integrity"]["checks"]
    assert (checks["lost_events"], checks["skipped_lines"], checks["repaired_lines"]) == (1, 1, 1)
    assert checks["rotated_away_events"] == 0
    assert document["problems"]["total"] == 3
    assert 0 < document["integrity"]["score"] < 0.9


def test_without_a_reader_there_is_no_word_on_lines(sound, checked):
    """What was not checked is null, not 0."""
    checks = checked(sound)["checks"]
    assert (checks["skipped_lines"], checks["rotated_away_events"]) == (None, None)


def test_only_the_first_findings_of_a_kind_are_listed(recording, checked):
    """All are counted; the list stays short."""
    for number in range(300):
        recording.start("tool", f"t{number}", number)
    section = checked(recording.events)
    assert section["checks"]["open_spans"] == section["finding_count"] == 300
    assert at(section, "open_spans") == list(range(1, module.MOST_OF_A_KIND + 1))


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "seq": st.integers(0, 8),
        "depends_on": st.lists(st.sampled_from(["s0", "s1", "u2", "nowhere", 7]), max_size=3),
        "inputs": st.sampled_from(
            [{"a": {"$truncated": 4}}, {"a": "[REDACTED:key]"}, {"a": "[REDACTED:x] b"}]
        ),
    },
)


@pytest.mark.slow
def test_a_million_events_take_little_memory():
    """A sound recording is a handful of runs; one with long ids needs some bytes for each event."""
    from namel3ss_debug.analysis.sections.event_sequence import EventSequence

    sequence = EventSequence(20, 10_000_000)
    for number in range(1, 1_000_001):
        event = {
            "event_type": "log_record",
            "event_id": str(number),
            "seq": number - 1,
            "parent_event_id": "1",
        }
        sequence.add(number, event)
    assert len(sequence.ids) == len(sequence.processes[""].seqs) == 1
    assert len(sequence._referenced) == 1  # the first event names itself
