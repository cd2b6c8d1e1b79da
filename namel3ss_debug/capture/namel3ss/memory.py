"""The memory of an app's models and agents: what is recalled before a call and written after it, and its first state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from namel3ss_debug.capture.namel3ss.locations import SourceLocation
from namel3ss_debug.capture.namel3ss.patches import Seams
from namel3ss_debug.capture.namel3ss.scope import Scope
from namel3ss_debug.traces.inputs import MEMORY_AT_START

FOLDER = Path(".namel3ss") / "memory"
_SNAPSHOT = "memory_snapshot.json"
_CHECKSUM = "memory_snapshot.sha256"


class MemoryRecorder:
    """Records what is written to memories and read from them.

    Args:
        scope: the running app.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def install(self, seams: Seams) -> None:
        """Replace the functions that read and write memories."""
        seams.replace_function("runtime.memory.api", "recall_with_events", self._wrap_recall)
        seams.replace_function("runtime.memory.api", "record_with_events", self._wrap_record)

    def _wrap_recall(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Record what the memory returns for a question."""

        def recall_with_events(manager: Any, ai: Any, user_input: str, *args: Any, **kwargs: Any) -> Any:
            pack = original(manager, ai, user_input, *args, **kwargs)
            with self._scope.guard("a value recalled from memory could not be recorded"):
                recalled = {kind: items for kind, items in pack.payload.items() if items}
                self._emit("read", ai, kwargs, {"key": user_input}, recalled)
            return pack

        return recall_with_events

    def _wrap_record(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def record_with_events(manager: Any, ai: Any, *args: Any, **kwargs: Any) -> Any:
            pack = original(manager, ai, *args, **kwargs)
            with self._scope.guard("a value stored in memory could not be recorded"):
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
        """Record an operation on the memory of an AI."""
        metadata = {"operation": operation}
        if kwargs.get("agent_id"):
            metadata["agent"] = str(kwargs["agent_id"])
        location = self._scope.location
        self._scope.emit(
            "memory_operation", "memory", ai.name, location, inputs=inputs, outputs=outputs, metadata=metadata
        )

    def record_start(self, root: Path) -> None:
        """Record the memory of an app in this folder, so that a re-run begins with the same."""
        try:
            text = (root / FOLDER / _SNAPSHOT).read_text(encoding="utf-8")
        except OSError:
            return
        metadata = {"operation": MEMORY_AT_START}
        self._scope.emit(
            "memory_operation",
            "memory",
            root.name,
            SourceLocation(),
            outputs={"snapshot": text},
            metadata=metadata,
        )


def restore(root: Path, snapshot: str) -> None:
    """Write the memory with which an app in this folder begins."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    data = snapshot.encode("utf-8")
    (folder / _SNAPSHOT).write_bytes(data)
    (folder / _CHECKSUM).write_text(hashlib.sha256(data).hexdigest(), encoding="utf-8")
