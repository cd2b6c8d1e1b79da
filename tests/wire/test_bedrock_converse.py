"""Bedrock's converse: blocks that only it has."""

from __future__ import annotations

from namel3ss_debug.wire.bedrock_converse import decode_request, decode_response

CITED = {
    "citationsContent": {"content": [{"text": "It is "}, {"text": "there."}], "citations": [{"title": "d"}]}
}


def parts_of(*blocks):
    """The parts of a message that holds these blocks."""
    return decode_request({"messages": [{"role": "user", "content": list(blocks)}]})["messages"][0]["parts"]


def test_what_is_said_with_its_sources_is_text():
    """In an answer, and where the program sends it back."""
    body = {"output": {"message": {"content": [{"text": "So: "}, CITED]}}, "stopReason": "end_turn"}
    assert decode_response(body).text == "So: It is there."
    assert parts_of(CITED) == [{"type": "text", "content": "It is there.", "citations": [{"title": "d"}]}]


def test_a_point_of_the_cache_is_neither_a_default_nor_a_tool():
    """Its type stays beside what it is; among the tools it stands for none."""
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert parts_of(point) == [{"type": "cachePoint", "ttl": "1h"}]
    tool = {"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}
    assert decode_request({"toolConfig": {"tools": [tool, point]}})["tools"] == [
        {"name": "f", "type": "function"}
    ]


def test_a_document_that_is_text_is_shown():
    """Whether it is given as one text, or in pieces."""
    document = {"format": "txt", "name": "d"}
    [text] = parts_of({"document": {**document, "source": {"text": "abc"}}})
    assert (text["type"], text["content"]) == ("blob", "abc")
    source = {"content": [{"text": "a"}, {"text": "b"}]}
    assert parts_of({"document": {**document, "source": source}}) == [
        {"type": "document", **document, "source": source}
    ]
