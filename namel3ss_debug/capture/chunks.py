"""Streamed answers as they are recorded: whole events, without secrets, even those spread over several events.

The events of a stream build up texts. Each text is followed by itself: it is known by its place in the events, and by
the choice or tool call. Text that may be the beginning of a secret is held back, with all events after it, until that
is decided; the program itself gets everything at once. A secret is replaced where it begins, and its rest is removed
from the later events.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from namel3ss_debug.capture.payloads import to_json
from namel3ss_debug.capture.shapes import shape_of, text_of
from namel3ss_debug.traces.redaction import Redactor
from namel3ss_debug.traces.redaction.growing import Growing, Secret
from namel3ss_debug.wire.framing import Framing
from namel3ss_debug.wire.lenient import dump, load, load_arguments

_INDEXES = frozenset({"index", "output_index", "content_index", "summary_index", "contentBlockIndex"})
"""What tells which of several texts a piece belongs to."""

_ARGUMENTS = frozenset({"arguments", "args", "input", "partial_json"})
"""What holds the arguments of a tool call, where the name of a field tells that its value is secret."""

TELLING = _ARGUMENTS | {"delta"}
"""Names beneath which one document may hold a secret that is not seen in its text."""

_INDEX_NAMES = frozenset(name.encode() for name in _INDEXES)
_FEW = 4
_MOST_SHAPES = 64
"""How often at most the shape of an event is looked for in one stream."""

_DEEPEST = 64
_SAME = 64
"""After so many characters, a piece that only repeats itself, and spells no secret so, is not looked at any more."""

_LONG = 400
"""No secret needs more characters than this to be recognised."""

_Tree = dict[Any, Any]


class _Leaf(NamedTuple):
    """A piece of a growing text, and where it stands in an event."""

    holder: Any
    key: Any
    text: Growing
    start: int
    end: int


class _Event(NamedTuple):
    """One event of a stream: its bytes, what it says under `""`, and the pieces of texts in it."""

    raw: bytes
    said: dict[str, Any]
    leaves: list[_Leaf]
    changed: bool


class _Chunk(NamedTuple):
    """What arrived at once; `seq` is the number that the next event would have had then, `written` how many chunks were."""

    data: bytes
    events: list[_Event]
    seq: int
    written: int


class _Place:
    """One place in the events of a stream: the text that grows there, and whether it always says the same."""

    __slots__ = ("first", "last", "same", "text")

    def __init__(self, text: Growing) -> None:
        self.text = text
        self.first: tuple[Any, Any, list[_Leaf]] | None = None
        self.last = ""
        self.same = 0


class _Known(NamedTuple):
    """The shape of the last event: the groups that say the same each time, what they say, and the texts that grow."""

    pattern: re.Pattern[bytes]
    steady: tuple[int, ...]
    constants: tuple[bytes, ...]
    growing: tuple[tuple[int, _Place], ...]
    around: tuple[bytes, bytes]
    """What stands before and behind the one text that grows, where there is but one."""


class Texts:
    """The texts that the events of one stream build up.

    Args:
        redactor: knows the secrets.
        whole: whether everything is there already: then a text in one piece is left to whoever looks for secrets in
            texts.
    """

    def __init__(self, redactor: Redactor, *, whole: bool = False) -> None:
        self._redactor = redactor
        self._whole = whole
        self._tree: _Tree = {}
        self._growing: list[Growing] = []
        self._visited: list[_Place] = []
        self._shape: _Known | None = None
        self._shapes = 0
        self._has_arguments = False

    def read(self, raw: bytes, value: Any) -> _Event:
        """Take what the next event says."""
        self._visited.clear()
        self._has_arguments = False
        event = _Event(raw, {"": value}, [], changed=False)
        changed = self._mapping(event.said, self._tree, event.leaves, 0)
        learns = not self._whole and self._shapes < _MOST_SHAPES and not self._has_arguments
        if learns and 0 < len(event.leaves) < _FEW:
            self._learn(event)
        return event._replace(changed=True) if changed else event

    def passes(self, raw: bytes) -> bool:
        """Take the next event where it has the shape of the one before, and no text in it is a reason to look closer."""
        known = self._shape
        if known is None:
            return False
        try:
            pieces = _pieces_of(raw, known)
        except ValueError:
            return False
        for place, piece in pieces:
            if not place.text.is_plain(piece):
                return False
        for place, piece in pieces:
            place.text.take_plain(piece)
            if piece != place.last:
                place.last, place.same = piece, 0
                continue
            place.same += len(piece)
            if place.same > _SAME and len(pieces) > 1:
                self._shape = None  # one text less grows
        return bool(pieces)

    def _learn(self, event: _Event) -> None:
        """Remember the shape of an event of which all texts but a few say the same each time."""
        self._shapes += 1
        growing = {id(leaf.text) for leaf in event.leaves}
        shape = shape_of(event.raw, _INDEX_NAMES)
        visited = self._visited
        if (
            shape is None
            or len(shape.texts) != len(visited)
            or len({id(place) for place in visited}) != len(visited)
            or any(leaf.key == "type" for leaf in event.leaves)
            or any(text_of(told) != place.last for told, place in zip(shape.texts, visited, strict=True))
        ):
            return
        groups = [(group, place) for group, place in enumerate(visited, 1) if id(place.text) in growing]
        steady = tuple(group for group, place in enumerate(visited, 1) if id(place.text) not in growing)
        constants = tuple(shape.texts[group - 1] for group in steady)
        around = (b"", b"")
        found = shape.pattern.fullmatch(event.raw)
        if found is not None and len(groups) == 1:
            start, end = found.span(groups[0][0])
            around = event.raw[:start], event.raw[end:]
        self._shape = _Known(shape.pattern, steady, constants, tuple(groups), around)

    def finish(self) -> None:
        """The stream is over."""
        for text in self._growing:
            text.finish()

    def forget(self) -> None:
        """Drop the secrets found so far, which are no longer needed."""
        for text in self._growing:
            text.secrets.clear()

    def _mapping(self, value: dict[Any, Any], tree: _Tree, leaves: list[_Leaf], depth: int) -> bool:
        """Follow the texts in an object; return whether anything in it was replaced at once."""
        if not _INDEXES.isdisjoint(value):
            for name in sorted(_INDEXES & value.keys()):
                if type(value[name]) is int:
                    tree = tree.setdefault((name, value[name]), {})
        changed = False
        for key, item in value.items():
            kind = type(item)
            if kind is str:
                self._text(value, key, tree, leaves)
            elif kind is dict or kind is list:
                if kind is dict and key in _ARGUMENTS and item:
                    self._has_arguments = True
                    clear = to_json(item, redactor=self._redactor)
                    changed |= clear != item
                    value[key] = clear
                changed |= self._inside(value[key], key, tree, leaves, depth)
        return changed

    def _list(self, value: list[Any], tree: _Tree, leaves: list[_Leaf], depth: int) -> bool:
        """Follow the texts in a list: they go on from item to item, but for those that have a number of their own."""
        changed = False
        if value and type(value[0]) is not float:
            for place, item in enumerate(value):
                if type(item) is str:
                    self._text(value, place, tree, leaves)
                elif type(item) is dict or type(item) is list:
                    changed |= self._inside(item, "", tree, leaves, depth)
        return changed

    def _inside(self, item: Any, key: Any, tree: _Tree, leaves: list[_Leaf], depth: int) -> bool:
        if depth >= _DEEPEST:
            return False
        inner = tree.get((key,))
        if inner is None:
            inner = tree[(key,)] = {}
        follow = self._mapping if type(item) is dict else self._list
        return follow(item, inner, leaves, depth + 1)

    def _text(self, holder: Any, key: Any, tree: _Tree, leaves: list[_Leaf]) -> None:
        piece: str = holder[key]
        name = key if type(key) is str else ""
        if name == "delta":
            name = f"delta {holder.get('type')}"
        place: _Place | None = tree.get(name)
        if place is None:
            is_json = key in _ARGUMENTS or (name != key and ("arguments" in name or "input" in name))
            place = tree[name] = _Place(Growing(self._redactor, is_json=is_json))
            self._growing.append(place.text)
            if self._whole and not is_json:
                place.first = (holder, key, leaves)
                return
        self._visited.append(place)
        if place.first is not None:
            self._feed(place.text, *place.first)
            place.first = None
        text = place.text
        if piece == place.last:
            place.same += len(piece)
            if place.same > _SAME and text.settled == text.length and _repeats(self._redactor, piece):
                return
        else:
            place.last, place.same = piece, 0
        self._feed(text, holder, key, leaves)

    @staticmethod
    def _feed(text: Growing, holder: Any, key: Any, leaves: list[_Leaf]) -> None:
        start = text.length
        text.feed(holder[key])
        leaves.append(_Leaf(holder, key, text, start, text.length))


@lru_cache(1024)
def _repeats(redactor: Redactor, piece: str) -> bool:
    """Whether a piece spells no secret however often it is repeated."""
    return not redactor.finds(piece * (_LONG // max(1, len(piece)) + 2))


def _pieces_of(raw: bytes, known: _Known) -> list[tuple[_Place, str]]:
    """The pieces of the growing texts in an event of a known shape; none where it has another.

    Raises:
        ValueError: one of them is no text.
    """
    before, behind = known.around
    if before and raw.startswith(before) and raw.endswith(behind):
        written = raw[len(before) : len(raw) - len(behind)]
        if b'"' not in written and b"\\" not in written:
            return [(known.growing[0][1], written.decode())]
    found = known.pattern.fullmatch(raw)
    if found is None or found.group(0, *known.steady)[1:] != known.constants:
        return []
    return [(place, text_of(found[group])) for group, place in known.growing]


class Chunks:
    """Records the chunks of one stream.

    Args:
        framing: how its events follow each other.
        redactor: knows the secrets; `None` where redaction is off.
        emit: records a chunk, with the number that the next event would have had when it arrived, where others came
            since.
        next_seq: the number of the next event.
    """

    def __init__(
        self,
        framing: Framing,
        redactor: Redactor | None,
        emit: Callable[[bytes, int | None], None],
        next_seq: Callable[[], int],
    ) -> None:
        self._framing = framing
        self._redactor = redactor
        self._texts = None if redactor is None else Texts(redactor)
        self._emit = emit
        self._next_seq = next_seq
        self._rest = bytearray()
        self._waiting: deque[_Chunk] = deque()
        self._written = 0

    def feed(self, data: bytes) -> None:
        """Take what has arrived; it is recorded up to the end of an event, for half an event could hide half a secret."""
        if not self._rest and self._framing.find_last_end(data) == len(data):
            self._take(data)
            return
        self._rest += data
        if not self._framing.can_end(data):
            return
        end = self._framing.find_last_end(self._rest)
        if end:
            whole = bytes(self._rest[:end])
            del self._rest[:end]
            self._take(whole)

    def finish(self) -> None:
        """The stream is over: record what is left."""
        if self._rest:
            rest = bytes(self._rest)
            self._rest.clear()
            self._take(rest)
        if self._texts is not None:
            self._texts.finish()
            self._write()

    def _take(self, data: bytes) -> None:
        if self._texts is None:
            self._emit(data, None)
            return
        if not self._waiting and self._texts.passes(data):
            self._written += 1
            self._emit(data, None)
            return
        events = [self._texts.read(raw, self._framing.read_content(raw)) for raw in self._framing.split(data)]
        if not self._waiting and all(map(_is_clear, events)):
            self._written += 1
            self._emit(data, None)
            return
        self._waiting.append(_Chunk(data, events, self._next_seq(), self._written))
        self._write()

    def _write(self) -> None:
        """Record the chunks that are decided."""
        waiting = self._waiting
        while waiting and _is_decided(waiting[0].events):
            chunk = waiting.popleft()
            written = [_retold(event, self._framing, self._redactor) for event in chunk.events]
            data = chunk.data if all(map(_same, written, chunk.events)) else b"".join(written)
            others = self._next_seq() - chunk.seq > self._written - chunk.written
            self._written += 1
            self._emit(data, chunk.seq if others else None)
        if not waiting and self._texts is not None:
            self._texts.forget()


def may_be_in_pieces(document: Any, is_clear: Callable[[Any], bool], depth: int = 0) -> bool:
    """Whether one document of JSON may hold a secret in the items of a list or in the arguments of a tool.

    Args:
        document: what was read.
        is_clear: whether nothing in the arguments of a tool is secret, be it because of a name.
        depth: how deep the document stands in another.
    """
    if depth >= _DEEPEST:
        return False
    if type(document) is list:
        if len(document) > 1:
            return type(document[0]) is not float
        return bool(document) and may_be_in_pieces(document[0], is_clear, depth + 1)
    if type(document) is not dict:
        return False
    for key, item in document.items():
        kind = type(item)
        if kind is not str and kind is not dict and kind is not list:
            continue
        if key in _ARGUMENTS and item and not is_clear(load_arguments(item)):
            return True
        if key == "delta" or (kind is not str and may_be_in_pieces(item, is_clear, depth + 1)):
            return True
    return False


def without_pieces(body: bytes, framing: Framing | None, redactor: Redactor) -> bytes:
    """A body that came whole, without the secrets that it holds in pieces, or under their names in the arguments of a tool.

    Args:
        body: the body.
        framing: how events follow each other in it; `None` where it is one document.
        redactor: knows the secrets.
    """
    texts = Texts(redactor, whole=True)
    if framing is not None:
        events = [texts.read(raw, framing.read_content(raw)) for raw in framing.split(body)]
    else:
        value = load(body)
        events = [texts.read(body, value)] if isinstance(value, (dict, list)) else []
    texts.finish()
    if all(map(_is_clear, events)):
        return body
    return b"".join(_retold(event, framing, redactor) for event in events)


def _is_clear(event: _Event) -> bool:
    """Whether nothing in an event is secret, nor may be the beginning of it."""
    for leaf in event.leaves:
        if leaf.text.settled < leaf.end or leaf.text.secrets:
            return False
    return not event.changed


def _is_decided(events: Iterable[_Event]) -> bool:
    return all(leaf.end <= leaf.text.settled for event in events for leaf in event.leaves)


def _same(written: bytes, event: _Event) -> bool:
    return written is event.raw


def _retold(event: _Event, framing: Framing | None, redactor: Redactor | None) -> bytes:
    """The bytes of an event without its secrets; the same object where what looks for secrets in texts finds them all."""
    changed = event.changed
    for leaf in event.leaves:
        secrets = [one for one in leaf.text.secrets if one.start < leaf.end and one.end > leaf.start]
        if not secrets:
            continue
        if redactor is not None and _is_seen_whole(leaf, secrets, event.raw, redactor):
            continue
        changed = True
        leaf.holder[leaf.key] = "".join(_pieces(leaf, secrets))
        if _has_bytes(leaf.holder):
            leaf.holder["bytes"] = None
    if not changed:
        return event.raw
    said = event.said[""]
    return dump(said) if framing is None else framing.replace_content(event.raw, said)


def _is_seen_whole(leaf: _Leaf, secrets: Iterable[Secret], raw: bytes, redactor: Redactor) -> bool:
    """Whether the secrets in a piece of text stand in it whole, and are found in the bytes of its event as well."""
    piece: str = leaf.holder[leaf.key]
    if any(one.start < leaf.start or one.end > leaf.end for one in secrets) or _has_bytes(leaf.holder):
        return False
    told = raw.decode("utf-8", "replace")
    left = redactor.text(told)
    stood = [piece[one.start - leaf.start : one.end - leaf.start] for one in secrets]
    return all(secret in told and secret not in left for secret in stood)


def _has_bytes(holder: Any) -> bool:
    """Whether a text stands there a second time, as the numbers of its bytes: so models tell tokens."""
    return type(holder) is dict and type(holder.get("bytes")) is list


def _pieces(leaf: _Leaf, secrets: Iterable[Secret]) -> Iterator[str]:
    """What is left of a piece of text: a secret is shown where it begins."""
    piece: str = leaf.holder[leaf.key]
    done = leaf.start
    for secret in secrets:
        yield piece[done - leaf.start : max(secret.start, done) - leaf.start]
        if secret.start >= leaf.start:
            yield secret.shown
        done = min(secret.end, leaf.end)
    yield piece[done - leaf.start :]
