"""One event on one line: its number, when, what, and the gist of what went in or came out.

The shapes looked for are those of DESIGN's payloads; whatever else a payload holds shows as short JSON. No shape is
relied on: a trace may hold anything anywhere.
"""

from __future__ import annotations

from typing import Any

from rich.text import Text

from namel3ss_debug.traces.events import Event
from namel3ss_debug.views.quantities import duration, is_number, money, tokens
from namel3ss_debug.views.terminal import COMPONENT_STYLES, DIM, ERROR, STATUS_STYLES, clean, shorten

GIST_LIMIT = 300
NAME_LIMIT = 120
MAX_INDENT = 8
NUMBER_WIDTH = 5
LINE_LIMIT = 1000


def event_line(
    number: int, event: Event, *, width: int, started_at: float | None = None, depth: int = 0, note: str = ""
) -> Text:
    """One event on one line of at most `width` cells.

    Args:
        number: its place in the trace.
        event: the event.
        width: the cells the line may take.
        started_at: the timestamp times are counted from; none are shown without it.
        depth: how many spans it happened inside.
        note: our own words about it, such as a mark for a mocked answer.
    """
    whole = Text(end="").append(f"{number:>{NUMBER_WIDTH}}", DIM)
    whole.append(f"{offset(event.get('timestamp'), started_at):>10}  " + "  " * min(depth, MAX_INDENT), DIM)
    whole.append_text(title(event))
    failed = status_style(event) == ERROR
    for fact in [note, *facts(event)]:
        if fact:
            whole.append("  ").append(fact, "" if fact != note else "bold")
    gist = summary(event)
    if gist:
        whole.append("  ").append(gist, ERROR if failed else DIM)
    whole.truncate(width, overflow="ellipsis")
    return whole


class RunningLines:
    """One line for each event as it comes, moved to the right by the spans that are open around it."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.started_at: float | None = None
        self._depths: dict[str, int] = {}

    def line(self, number: int, event: Event, note: str = "") -> Text:
        """The line of the next event."""
        if self.started_at is None:
            self.started_at = event.get("timestamp")
        depth = self._depth(event)
        return event_line(number, event, width=self.width, started_at=self.started_at, depth=depth, note=note)

    def _depth(self, event: Event) -> int:
        """How deep an event stands: an end as deep as its start, anything else below its parent."""
        parent, kind = event.get("parent_event_id"), str(event.get("event_type"))
        if kind.endswith("_end") and parent in self._depths:
            return self._depths.pop(parent)
        depth = self._depths.get(parent, -1) + 1 if isinstance(parent, str) else 0
        if kind.endswith("_start") and isinstance(event.get("event_id"), str):
            self._depths[event["event_id"]] = depth
        return depth


def title(event: Event) -> Text:
    """The event type in the colour of its component, and the component's name."""
    kind = str(event.get("event_type") or "event")
    component = event.get("component")
    style = COMPONENT_STYLES.get(component, "") if isinstance(component, str) else ""
    whole = Text(clean(kind, 60), style, end="")
    name = event.get("component_name")
    if name not in {None, ""} if isinstance(name, str | None) else True:
        whole = Text(end="").append_text(whole).append(" ").append(clean(name, NAME_LIMIT), "bold")
    return whole


def facts(event: Event) -> list[str]:
    """What an event measured: its status where that is not the usual one, duration, tokens, cost."""
    status = event.get("status")
    unusual = status not in {None, "completed", "started"} if isinstance(status, str | None) else True
    used, cost = event.get("tokens_used"), event.get("cost_estimate")
    retries = event.get("retry_count")
    return [
        fact
        for fact in (
            clean(status, 20) if unusual else "",
            duration(event.get("duration_ms")),
            f"{tokens(used)} tokens" if used is not None else "",
            money(cost),
            f"retry {tokens(retries)}" if is_number(retries) and retries > 0 else "",
        )
        if fact
    ]


def status_style(event: Event) -> str:
    """The style of an event's status; a failure without one is a failure too."""
    status = event.get("status")
    if isinstance(status, str) and status in STATUS_STYLES:
        return STATUS_STYLES[status]
    return ERROR if event.get("error") is not None else ""


def offset(timestamp: object, started_at: object) -> str:
    """Seconds since the start, `+1.234`, or minutes and seconds, `+12:05.1`."""
    if not is_number(timestamp) or not is_number(started_at):
        return ""
    seconds = timestamp - started_at
    sign = "-" if seconds < 0 else "+"
    seconds = abs(seconds)
    if seconds < 600:
        return f"{sign}{seconds:.3f}"
    minutes, rest = divmod(seconds, 60)
    return f"{sign}{minutes:,.0f}:{rest:04.1f}"


def summary(event: Event) -> str:
    """The gist of an event in a few words: the error, the answer, the last message, the arguments, the result."""
    if event.get("error") is not None:
        kind = event.get("error_type")
        return clean(
            f"{clean(kind, 60)}: {clean(event['error'], 200)}" if kind else event["error"], GIST_LIMIT
        )
    event_type = event.get("event_type")
    if event_type == "trace_start":
        return gist(_get(event, "metadata", "target") or _get(event, "metadata", "argv"))
    if event_type == "trace_end":
        return ""
    for side, readers in (("outputs", (_answer, _result)), ("inputs", (_last_message, _arguments))):
        payload = event.get(side)
        if payload in (None, {}, []):
            continue
        for read in readers:
            found = read(payload)
            if found is not None:
                return found
        return gist(payload)
    if event.get("component") in {"log", None} or "metadata" not in event:
        return gist(_get(event, "metadata", "message") or "")
    return "" if str(event_type).endswith(("_start", "_end")) else gist(event["metadata"])


def gist(value: Any, limit: int = GIST_LIMIT) -> str:
    """The beginning of a value as short JSON on one line; looks no further into it than `limit` characters."""
    if isinstance(value, str):
        return clean(value.strip() if len(value) < 10_000 else value, limit)
    return shorten("".join(_pieces(value, limit, 0)), limit)


def call(name: object, arguments: object, limit: int = 120) -> str:
    """A tool call as `search(query="refund", limit=3)`."""
    if isinstance(arguments, dict):
        inside = ", ".join(
            f"{clean(key, 40)}={_pieced(item, limit)}" for key, item in list(arguments.items())[:8]
        )
    else:
        inside = gist(arguments, limit) if arguments is not None else ""
    return shorten(f"{clean(name, 60)}({inside}", limit - 1) + ")"


def message_text(message: Any) -> str:
    """The words of one message, or of a list of messages its last: text, tool calls, tool results."""
    if isinstance(message, list):
        return message_text(message[-1]) if message else ""
    if not isinstance(message, dict):
        return gist(message)
    parts = message.get("parts", message.get("content"))
    if not isinstance(parts, list):
        return gist(parts if parts is not None else message)
    return " ".join(filter(None, map(_part_text, parts[:8])))


def _part_text(part: Any) -> str:
    if not isinstance(part, dict):
        return gist(part)
    if part.get("type") == "tool_call":
        return call(part.get("name"), part.get("arguments"))
    for key in ("content", "text", "result", "response"):
        if part.get(key) not in (None, ""):
            return gist(part[key])
    return f"[{clean(part.get('type', 'part'), 30)}]"


def _answer(outputs: Any) -> str | None:
    if not isinstance(outputs, dict):
        return None
    calls = outputs.get("tool_calls")
    text = outputs.get("text")
    if not text and not calls:
        return None
    said = [gist(text)] if text else []
    if isinstance(calls, list):
        said += [
            call(item.get("name"), item.get("arguments")) if isinstance(item, dict) else gist(item)
            for item in calls[:8]
        ]
    return " ".join(said)


def _result(outputs: Any) -> str | None:
    return gist(outputs["result"]) if isinstance(outputs, dict) and "result" in outputs else None


def _last_message(inputs: Any) -> str | None:
    messages = inputs.get("messages") if isinstance(inputs, dict) else None
    return message_text(messages) if isinstance(messages, list) and messages else None


def _arguments(inputs: Any) -> str | None:
    if not isinstance(inputs, dict) or "arguments" not in inputs:
        return None
    return gist(inputs["arguments"])


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _pieced(value: Any, limit: int) -> str:
    return shorten("".join(_pieces(value, limit, 0)), limit)


def _pieces(value: Any, limit: int, depth: int) -> list[str]:
    """Short JSON in pieces that stop soon after `limit` characters."""
    if isinstance(value, str):
        return [f'"{clean(value, limit)}"']
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if not isinstance(value, dict | list):
        return ["null" if value is None else clean(value, 60)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if depth > 5:
        return [opening, "…" if value else "", closing]
    pieces = [opening]
    length = 1
    for i, item in enumerate(value):
        if length > limit:
            return [*pieces, "…"]
        label = f'"{clean(item, 60)}": ' if isinstance(value, dict) else ""
        inner = _pieces(value[item] if isinstance(value, dict) else item, limit - length, depth + 1)
        pieces += [", " if i else "", label, *inner]
        length += len(label) + 2 + sum(map(len, inner))
    return [*pieces, closing]
