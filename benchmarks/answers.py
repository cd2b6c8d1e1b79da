"""What the model of `frameworks.py` answers, in the words of each provider."""

from __future__ import annotations

import json

TEXT = "It is on its way. The last place where it was seen is Zurich, this morning at eight."
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1735689600,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {"role": "assistant", "content": TEXT},
        }
    ],
    "usage": {"prompt_tokens": 120, "completion_tokens": 20, "total_tokens": 140},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1735689600,
    "model": "gpt-4o-mini",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "tools": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "temperature": 1.0,
    "top_p": 1.0,
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
        }
    ],
    "usage": {
        "input_tokens": 120,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 140,
    },
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "stop_sequence": None,
    "content": [{"type": "text", "text": TEXT}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 120, "output_tokens": 20},
}
FINAL = json.dumps({"answer": TEXT})
FINISHED = {
    "index": 0,
    "finish_reason": "tool_calls",
    "message": {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "final_answer", "arguments": FINAL}}
        ],
    },
}
GEMINI = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": TEXT}]}, "finishReason": "STOP", "index": 0}
    ],
    "usageMetadata": {"promptTokenCount": 120, "candidatesTokenCount": 20, "totalTokenCount": 140},
    "modelVersion": "gemini-2.5-flash",
    "responseId": "r1",
}
OLLAMA = {
    "model": "llama3.2",
    "created_at": "2025-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": TEXT},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 120,
    "eval_count": 20,
    "total_duration": 1,
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 120, "outputTokens": 20, "totalTokens": 140},
    "metrics": {"latencyMs": 1},
}
COHERE = {
    "id": "c1",
    "finish_reason": "COMPLETE",
    "message": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
    "usage": {
        "tokens": {"input_tokens": 120, "output_tokens": 20},
        "billed_units": {"input_tokens": 120, "output_tokens": 20},
    },
}
ANSWERS = {
    "/final/v1/chat/completions": CHAT | {"choices": [FINISHED]},
    "/chat/completions": CHAT,
    "/responses": RESPONSE,
    "/v1/messages": MESSAGE,
    ":generateContent": GEMINI,
    "/api/chat": OLLAMA,
    "/converse": CONVERSE,
    "/v2/chat": COHERE,
}
BODIES = {path: json.dumps(told).encode() for path, told in ANSWERS.items()}


def answer(path: str, _body: bytes) -> bytes:
    """What a request to a path is answered with, whatever it asks."""
    return next(told for ending, told in BODIES.items() if path.endswith(ending))
