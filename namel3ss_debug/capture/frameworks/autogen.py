"""Teams of AutoGen: a run of a team is a chain, and a hand-off is a message in it; its own spans report the agents.

`run` of a team reads its `run_stream`, so that only the latter is followed.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from namel3ss_debug.capture.core.patching import Undo, hide_own_frame, replace
from namel3ss_debug.capture.frameworks.structure import Structure, read_safely

_HANDOFF = "HandoffMessage"


def follow(module: Any, structure: Structure) -> list[Undo]:
    """Follow the runs of teams.

    Raises:
        AttributeError: the module lacks the class or the method that is followed.
    """
    return [
        replace(module.BaseGroupChat, "run_stream", lambda original: _wrap_run_stream(original, structure))
    ]


def _wrap_run_stream(original: Callable[..., Any], structure: Structure) -> Callable[..., Any]:
    async def run_stream(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        key, result = object(), None
        task = kwargs.get("task")
        inputs = {"task": task} if isinstance(task, str) else None
        name = getattr(self, "name", None) or type(self).__name__
        frame = sys._getframe()  # while it is suspended, the program is outside the run
        structure.begin(key, "chain", name, inputs=inputs, frame=frame)
        try:
            async with aclosing(original(self, *args, **kwargs)) as messages:
                async for message in messages:
                    if type(message).__name__ == _HANDOFF:
                        read_safely(structure, _record_handoff, structure, message, key)
                    result = message
                    yield message
        except BaseException as error:
            hide_own_frame(error)
            structure.end(key, error=None if isinstance(error, GeneratorExit) else error)
            raise
        structure.end(key, read_safely(structure, _read_result, result))

    return run_stream


def _record_handoff(structure: Structure, message: Any, team: object) -> None:
    structure.record_event(
        "agent_message",
        parent=team,
        component="agent",
        component_name=message.source,
        inputs={"from": message.source, "to": message.target},
        metadata={"framework": structure.framework, "kind": "handoff"},
    )


def _read_result(result: Any) -> dict[str, Any] | None:
    """Return the last message of a run and why it ended."""
    messages = getattr(result, "messages", None)
    if not messages:
        return None
    return {"result": getattr(messages[-1], "content", None), "stop_reason": result.stop_reason}
