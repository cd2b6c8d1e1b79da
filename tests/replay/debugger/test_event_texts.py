"""What an event says in texts, and where each of them stands."""

from hypothesis import given
from hypothesis import strategies as st

from namel3ss_debug.expressions import compile_expression
from namel3ss_debug.replay.debugger.event_texts import event_texts, located_texts

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
events = st.fixed_dictionaries({"event_type": st.text(max_size=4), "inputs": values, "metadata": values})


@given(events, st.integers(1, 12))
def test_the_located_texts_are_the_texts(event, most):
    """Both give the same texts, however few are looked at; what an event is about comes first where it is located."""
    assert sorted(text for _, text in located_texts(event, most)) == sorted(event_texts(event, most))


def test_a_path_is_what_an_expression_reads_the_text_by():
    """Members, items and names that are no identifiers."""
    call = {"messages": [{"parts": [{"content": "hi"}]}], "odd key's": {"a": "there"}}
    found = dict(located_texts({"event_type": "llm_call_start", "inputs": call}))
    assert list(found) == ["inputs['odd key\\'s'].a", "inputs.messages[0].parts[0].content", "event_type"]
    for path, text in found.items():
        scope = {"event_type": "llm_call_start", "inputs": call}
        assert compile_expression(path).evaluate(scope) == text
