"""The memory of an app's models and agents: what is recalled before a call and written after it, and how it stood at the start."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from namel3ss_debug.capture.namel3ss.places import Place
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.capture.namel3ss.seams import Seams
from namel3ss_debug.traces.inputs import MEMORY_AT_START

FOLDER = Path(".namel3ss") / "memory"
_SNAPSHOT = "memory_snapshot.json"
_CHECKSUM = "memory_snapshot.sha256"


class Memory:
    """Records what goes into memories and comes out of them.

    Args:
        scope: where the app is.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def install(self, seams: Seams) -> None:
        """Replace what reads and writes them."""
        seams.function("runtime.memory.api", "recall_with_events", self._recall)
        seams.function("runtime.memory.api", "record_with_events", self._record)

    def _recall(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Record what is found for a question to the memory."""

        def recall_with_events(manager: Any, ai: Any, user_input: str, *args: Any, **kwargs: Any) -> Any:
            pack = original(manager, ai, user_input, *args, **kwargs)
            with self._scope.quiet("what a memory recalled could not be recorded"):
                found = {lane: items for lane, items in pack.payload.items() if items}
                self._emit("read", ai, kwargs, {"key": user_input}, found)
            return pack

        return recall_with_events

    def _record(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def record_with_events(manager: Any, ai: Any, *args: Any, **kwargs: Any) -> Any:
            pack = original(manager, ai, *args, **kwargs)
            with self._scope.quiet("what a memory took could not be recorded"):
                self._emit("write", ai, kwargs, {}, {"items": list(pack.payload or ())})
            return pack

        return record_with_events

    def _emit(
        self,
        operation: str,
        ai: Any,
        kwargs: Mapping[str, Any],
        inputs: dict[str, Any],
        outputs: dict[str, Any],
    ) -> None:
        """Write an event about the memory of an AI."""
        told = {"operation": operation}
        if kwargs.get("agent_id"):
            told["agent"] = str(kwargs["agent_id"])
        place = self._scope.place
        self._scope.emit(
            "memory_operation", "memory", ai.name, place, inputs=inputs, outputs=outputs, metadata=told
        )

    def tell_start(self, root: Path) -> None:
        """Record how the memory of an app in this folder stands, so that a re-run begins with the same."""
        try:
            text = (root / FOLDER / _SNAPSHOT).read_text(encoding="utf-8")
        except OSError:
            return
        told = {"operation": MEMORY_AT_START}
        self._scope.emit(
            "memory_operation", "memory", root.name, Place(), outputs={"snapshot": text}, metadata=told
        )


def restore(root: Path, snapshot: str) -> None:
    """Let an app in this folder begin with a memory."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    data = snapshot.encode("utf-8")
    (folder / _SNAPSHOT).write_bytes(data)
    (folder / _CHECKSUM).write_text(hashlib.sha256(data).hexdigest(), encoding="utf-8")
