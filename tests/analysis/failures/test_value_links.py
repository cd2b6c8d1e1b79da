"""Where the values of a span came from and went, by event and path."""

from namel3ss_debug.analysis.failures.steps import Leaf
from namel3ss_debug.analysis.failures.value_links import find_path, find_value_links
from namel3ss_debug.traces.span_table import read_spans


class Events(list):
    """Events by number, as a trace has them."""

    def event(self, number):
        """Return the event with this number."""
        return self[number - 1]


def span(number, component, name, inputs, outputs):
    """The two events of a span."""
    both = {"component": component, "component_name": name, "timestamp": float(number)}
    return [
        {**both, "event_type": f"{component}_call_start", "event_id": str(number), "inputs": inputs},
        {**both, "event_type": f"{component}_call_end", "parent_event_id": str(number), "outputs": outputs, "event_id": f"e{number}"},
    ]  # fmt: skip


def read(*spans):
    """The table of some spans, with their payloads."""
    events = Events(event for each in spans for event in each)
    table = read_spans(events)
    table.traces = [events]
    return table


def message(text):
    """What a model reads."""
    return {"messages": [{"role": "user", "parts": [{"type": "text", "content": text}]}]}


def test_a_value_leads_back_to_who_wrote_it_and_on_to_who_used_it():
    """The first output that has it comes first; the answer that passed it on is a source too."""
    spans = read(
        span(1, "tool", "search", {"arguments": {"query": "lamps"}}, {"result": [{"id": "LAMP-4711"}]}),
        span(2, "llm", "small", message("LAMP-4711"), {"tool_calls": [{"arguments": {"id": "LAMP-4711"}}]}),
        span(3, "tool", "price", {"arguments": {"id": "LAMP-4711"}}, {"result": 39.9}),
        span(4, "tool", "order", {"arguments": {"item": "LAMP-4711"}}, {"result": "done"}),
    )
    (link,) = find_value_links(spans, [5, 6])
    assert (*link.place[:2], link.value) == (5, "inputs.arguments.id", "id='LAMP-4711'")
    assert link.sources == (
        (2, "outputs.result.0.id", "returned it"),
        (4, "outputs.tool_calls.0.arguments.id", "wrote it"),
    )
    assert link.uses == ((7, "inputs.arguments.item", "was called with it"),)


def test_a_value_of_the_user_comes_from_outside():
    """No output has it, and the first model that read it did not write it."""
    spans = read(
        span(
            1,
            "llm",
            "small",
            message("Where is order A-4711?"),
            {"tool_calls": [{"arguments": {"order": "A-4711"}}]},
        ),
        span(2, "tool", "track", {"arguments": {"order": "A-4711"}}, {"result": "lost"}),
    )
    (link,) = find_value_links(spans, [4])
    assert link.sources[0] == (1, "inputs.messages.0.parts.0.content", "received it from outside the run")
    assert link.sources[1] == (2, "outputs.tool_calls.0.arguments.order", "wrote it")


def test_the_numbers_of_an_answer_lead_to_results():
    """Only what is in the answer counts; an event that is no span's is passed over."""
    spans = read(
        span(1, "tool", "price", {"arguments": {"id": 7}}, {"result": {"price": 39.9}}),
        span(2, "llm", "small", message("And?"), {"text": "You get 39.90 EUR back."}),
    )
    (link,) = find_value_links(spans, [4, 99])
    assert (link.place, link.sources) == (
        (4, "outputs.text", ""),
        ((2, "outputs.result.price", "returned it"),),
    )


def test_a_path_leads_to_the_last_place():
    """In a conversation, the last message with a value is the one where it is new; no path, where it is not there."""
    leaf = Leaf("order", "order", "A-4711")
    assert (
        find_path({"messages": [{"content": "A-4711"}, {"content": "for A-4711"}]}, leaf)
        == "messages.1.content"
    )
    assert find_path({"messages": []}, leaf) is None
