"""What a model read, as one would read it."""

from __future__ import annotations

from namel3ss_debug.views.conversations import message_text

PICTURE = {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "iVBORw0KGgo" * 90}
ABOUT = '[blob] {"mime_type": "image/png", "modality": "image"}'


def test_pictures_are_named_and_not_shown():
    """Those of a message, and those that a tool gave back beside its words."""
    result = {"type": "tool_call_response", "response": [{"type": "text", "content": "the page"}, PICTURE]}
    assert message_text({"role": "user", "parts": [PICTURE]}).plain == ABOUT
    assert message_text({"role": "tool", "parts": [result]}).plain == f"the page {ABOUT}"
    only = {"type": "tool_call_response", "response": [{"type": "text", "content": "a"}]}
    assert message_text({"role": "tool", "parts": [only]}).plain == '[{"type": "text", "content": "a"}]'
    deep = PICTURE
    for _ in range(5000):
        deep = {"type": "tool_call_response", "response": [deep, PICTURE]}
    assert message_text({"role": "tool", "parts": [deep]}).plain.endswith(ABOUT)
