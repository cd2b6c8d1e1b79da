from hypothesis import strategies as st

ARGUMENTS = st.sampled_from([{}, {"q": "x"}, {"page": 1}, {"page": 2}, {"cursor": "k"}])
RESULTS = st.sampled_from([None, "found", {"status": "running"}, {"next": "k"}, []])


@st.composite
def _run(draw):
    """A run of few operations with few payloads, so that much of it comes again."""
    events, running = [], []
    clock = 0.0
    for number in range(draw(st.integers(0, 40))):
        clock += draw(st.sampled_from([0, 0.125, 0.125, 30]))
        event = {"event_id": f"e{number}", "timestamp": 1_700_000_000 + clock, "execution_id": "x"}
        choice = draw(st.integers(0, 9))
        if choice < 4 or not running:
            component = draw(st.sampled_from(["tool", "tool", "llm", "agent", "chain"]))
            kind = {"tool": "tool_call", "llm": "llm_call", "agent": "agent_execution", "chain": "chain_step"}
            event |= {"event_type": f"{kind[component]}_start", "component": component}
            event |= {"component_name": draw(st.sampled_from("ab")), "inputs": {"arguments": draw(ARGUMENTS)}}
            if running and draw(st.booleans()):
                event["parent_event_id"] = draw(st.sampled_from(running))["event_id"]
            running.append(event)
        elif choice < 9:
            start = running.pop(draw(st.sampled_from([-1, -1, -1, 0])))
            event |= {
                "event_type": start["event_type"].replace("_start", "_end"),
                "parent_event_id": start["event_id"],
            }
            event |= {"component": start["component"], "component_name": start["component_name"]}
            event |= {"duration_ms": (clock + 1_700_000_000 - start["timestamp"]) * 1000}
            event |= draw(
                st.sampled_from(
                    [
                        {"status": "completed", "outputs": {"result": 1, "text": "a"}},
                        {"status": "failed", "error": "no"},
                    ]
                )
            ) | {"tokens_used": draw(st.integers(0, 9))}
            if event["status"] == "completed":
                event["outputs"]["result"] = draw(RESULTS)
        else:
            event |= {
                "event_type": draw(st.sampled_from(["decision", "memory_operation"])),
                "component": "memory",
            }
            event |= {"component_name": "m", "metadata": {"chosen": draw(st.booleans())}}
        events.append(event)
    return events


def test_an_empty_trace_has_no_patterns(analysed):
    """Nothing is found, and how it was looked for is told."""
    section = analysed([], ["patterns"])["patterns"]
    assert (section["spans"], section["counts"], section["found"]) == (0, {}, [])
    assert "Tukey" in section["method"]["stall"]["method"]


def test_one_event_a_killed_run_and_no_time_at_all(recording, analysed):
    """A start alone, spans of zero length and a clock that went back are no pattern and no error."""
    recording.start("agent", "A", 0)
    for n in range(30):
        recording.span("tool", "t", 5 - n // 15, 5 - n // 15, inputs={"arguments": {"n": n}})
    section = analysed(recording.events, ["patterns"])["patterns"]
    assert section["spans"] == 31
    assert section["counts"] == {}
    assert analysed(recording.events[:1], ["patterns"])["patterns"]["spans"] == 1


def test_the_most_important_kinds_come_first_then_what_cost_most(recording, analysed):
    """Loops before sequences, and of two loops the longer one."""
    for name, lasts in (("short", 1), ("long", 5)):
        for n in range(4):
            begin = 10 * n + (100 if name == "long" else 0)
            start = recording.start("tool", name, begin, inputs={"arguments": {"q": "x"}})
            recording.end(start, begin + lasts, outputs={"result": "same"})
            recording.span("llm", name, begin + 6, begin + 7)
    section = analysed(recording.events, ["patterns"])["patterns"]
    assert [(found["kind"], found["component_name"]) for found in section["found"][:2]] == [
        ("loop", "long"),
        ("loop", "short"),
    ]
    assert list(section["counts"]) == ["loop", "sequence"]


def test_what_a_child_process_does_belongs_to_the_span_that_started_it(recording, analysed):
    """Calls of three processes of one agent are at one level."""
    agent = recording.start("agent", "A", 0)
    for n in range(3):
        process = recording.add("trace_start", n + 1, parent_event_id=agent, metadata={"process": n})
        start = recording.start("tool", "t", n + 1, process, inputs={"arguments": {"q": 1}})
        recording.end(start, n + 1.5, outputs={"result": 2})
    recording.end(agent, 9)
    (found,) = analysed(recording.events, ["patterns"])["patterns"]["found"]
    assert (found["kind"], found["rounds"]) == ("loop", 3)
