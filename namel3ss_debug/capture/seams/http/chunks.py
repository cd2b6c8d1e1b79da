"""Record streamed answers as whole events, without secrets, even secrets that are spread over several events.

The events of a stream build up texts. Each text is followed separately: it is known by its position in the events, and
by the choice or tool call. Text that may be the beginning of a secret is not recorded, with all events after it, until
that is decided; the program itself gets everything at once. A secret is replaced where it begins, and its rest is
removed from the later events.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from namel3ss_debug.capture.payloads import Payloads, to_json
from namel3ss_debug.traces.redaction.growing import IncrementalRedaction, Secret
from namel3ss_debug.traces.redaction.redactor import Redactor
from namel3ss_debug.wire.framing import Framing
from namel3ss_debug.wire.lenient import dump, load, load_arguments

_INDEXES = frozenset({"index", "output_index", "content_index", "summary_index", "contentBlockIndex"})
"""Names of the numbers that distinguish several texts."""

_ARGUMENTS = frozenset({"arguments", "args", "input", "partial_json"})
"""Names of the arguments of a tool call, in which the name of a field may show that its value is secret."""

_DEEPEST = 64
_REPEATED = 64
"""A piece that has repeated itself over so many characters without spelling a secret is not examined any more."""

_LONGEST_SECRET = 400
"""No secret needs more characters than this to be recognised."""

_Tree = dict[Any, Any]


class _Leaf(NamedTuple):
    """A piece of a growing text, and its position in an event: `holder[key]`."""

    holder: Any
    key: Any
    text: IncrementalRedaction
    start: int
    end: int


class _Event(NamedTuple):
    """One event of a stream: its bytes, its parsed content under the key `""`, and the pieces of texts in it."""

    raw: bytes
    content: dict[str, Any]
    leaves: list[_Leaf]
    changed: bool


class _Chunk(NamedTuple):
    """The bytes that arrived at once.

    Attributes:
        data: the bytes.
        events: the events in them.
        seq: the number that the next event of the trace would have had at that time.
        written: how many chunks had been recorded by then.
    """

    data: bytes
    events: list[_Event]
    seq: int
    written: int


class _TextPosition:
    """A position in the events of a stream: the text that grows there, and how long it has repeated itself."""

    __slots__ = ("first", "last", "same", "text")

    def __init__(self, text: IncrementalRedaction) -> None:
        self.text = text
        self.first: tuple[Any, Any, list[_Leaf]] | None = None
        self.last = ""
        self.same = 0


class StreamTexts:
    """The texts that the events of one stream build up.

    Args:
        redactor: knows the secrets.
        whole: whether the stream is complete already. Then a text in one piece is skipped, because the redactor finds
            its secrets anyway.
    """

    def __init__(self, redactor: Redactor, *, whole: bool = False) -> None:
        self._redactor = redactor
        self._whole = whole
        self._tree: _Tree = {}
        self._growing: list[IncrementalRedaction] = []

    def read(self, raw: bytes, value: Any) -> _Event:
        """Read the content of the next event."""
        event = _Event(raw, {"": value}, [], changed=False)
        changed = self._mapping(event.content, self._tree, event.leaves, 0)
        return event._replace(changed=True) if changed else event

    def finish(self) -> None:
        """Decide all texts, because the stream has ended."""
        for text in self._growing:
            text.finish()

    def forget(self) -> None:
        """Drop the secrets found so far, which are no longer needed."""
        for text in self._growing:
            text.secrets.clear()

    def _mapping(self, value: dict[Any, Any], tree: _Tree, leaves: list[_Leaf], depth: int) -> bool:
        """Follow the texts in an object, and return whether a value in it was replaced."""
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
                    clear = to_json(item, redactor=self._redactor)
                    changed |= clear != item
                    value[key] = clear
                changed |= self._inside(value[key], key, tree, leaves, depth)
        return changed

    def _list(self, value: list[Any], tree: _Tree, leaves: list[_Leaf], depth: int) -> bool:
        """Follow the texts in a list. They go on from item to item, unless an item has a number of its own."""
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
        place: _TextPosition | None = tree.get(name)
        if place is None:
            is_json = key in _ARGUMENTS or (name != key and ("arguments" in name or "input" in name))
            place = tree[name] = _TextPosition(IncrementalRedaction(self._redactor, is_json=is_json))
            self._growing.append(place.text)
            if self._whole and not is_json:
                place.first = (holder, key, leaves)
                return
        if place.first is not None:
            self._feed(place.text, *place.first)
            place.first = None
        text = place.text
        if piece == place.last:
            place.same += len(piece)
            if (
                place.same > _REPEATED
                and text.settled == text.length
                and _is_harmless_repeated(self._redactor, piece)
            ):
                return
        else:
            place.last, place.same = piece, 0
        self._feed(text, holder, key, leaves)

    @staticmethod
    def _feed(text: IncrementalRedaction, holder: Any, key: Any, leaves: list[_Leaf]) -> None:
        start = text.length
        text.feed(holder[key])
        leaves.append(_Leaf(holder, key, text, start, text.length))


@lru_cache(1024)
def _is_harmless_repeated(redactor: Redactor, piece: str) -> bool:
    """Return whether a piece spells no secret, however often it is repeated."""
    return not redactor.finds(piece * (_LONGEST_SECRET // max(1, len(piece)) + 2))


class Chunks:
    """Records the chunks of one stream.

    Args:
        framing: how its events follow each other.
        redactor: knows the secrets; `None` if redaction is off.
        emit: records a chunk. The second argument is the number of the next event at its arrival, if other events
            were recorded since.
        next_seq: returns the number of the next event.
        call_end: a pattern that is in an event with which a requested tool call is complete.
        on_call_end: called when such an event arrives.
    """

    def __init__(
        self,
        framing: Framing,
        redactor: Redactor | None,
        emit: Callable[[bytes, int | None], None],
        next_seq: Callable[[], int],
        call_end: bytes = b"",
        on_call_end: Callable[[], None] | None = None,
    ) -> None:
        self._framing = framing
        self._redactor = redactor
        self._texts = None if redactor is None else StreamTexts(redactor)
        self._emit = emit
        self._next_seq = next_seq
        self._call_end = re.compile(call_end)
        self._on_call_end = on_call_end
        self._rest = bytearray()
        self._waiting: deque[_Chunk] = deque()
        self._written = 0

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived, and record them up to the end of an event: half an event may hide half a secret."""
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
        """Record the rest, because the stream has ended."""
        if self._rest:
            rest = bytes(self._rest)
            self._rest.clear()
            self._take(rest)
        if self._texts is not None:
            self._texts.finish()
            self._write()

    def _take(self, data: bytes) -> None:
        if self._on_call_end is not None and self._call_end.search(data):
            self._on_call_end()
        if self._texts is None:
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
        while waiting and all(
            leaf.end <= leaf.text.settled for event in waiting[0].events for leaf in event.leaves
        ):
            chunk = waiting.popleft()
            redacted = [_redact(event, self._framing, self._redactor) for event in chunk.events]
            is_same = all(raw is event.raw for raw, event in zip(redacted, chunk.events, strict=True))
            data = chunk.data if is_same else b"".join(redacted)
            others = self._next_seq() - chunk.seq > self._written - chunk.written
            self._written += 1
            self._emit(data, chunk.seq if others else None)
        if not waiting and self._texts is not None:
            self._texts.forget()


def find_clear_text(payloads: Payloads, body: bytes, document: Any) -> str | None:
    r"""Return the text of a JSON document in which nothing is secret, or `None` if that is not known.

    An object may contain a name twice, of which the parser keeps the last. Such a name would not be checked, so the
    strings in the text are counted: each has two quotation marks without a backslash.

    Args:
        payloads: converts values without secrets.
        body: the document.
        document: what was parsed from it.
    """
    has_own_rules = payloads.redactor is not None and payloads.redactor.has_own_rules
    if payloads.max_size or has_own_rules or b"\\\\" in body or may_have_split_secrets(document, payloads):
        return None
    has_all_names = _count_quotes(body) == _count_quotes(dump(document))
    return body.decode() if has_all_names and payloads.convert(document).whole else None


def _count_quotes(json: bytes) -> int:
    return json.count(b'"') - json.count(b'\\"')


def may_have_split_secrets(document: Any, payloads: Payloads, depth: int = 0) -> bool:
    """Return whether a JSON document may contain a secret in several items of a list or in arguments of a tool.

    Args:
        document: the parsed document.
        payloads: converts arguments of a tool without secrets, by value or by name.
        depth: how deep the document is nested in another.
    """
    if depth >= _DEEPEST:
        return False
    if type(document) is list:
        if len(document) > 1:
            return type(document[0]) is not float
        return bool(document) and may_have_split_secrets(document[0], payloads, depth + 1)
    if type(document) is not dict:
        return False
    for key, item in document.items():
        kind = type(item)
        if kind is not str and kind is not dict and kind is not list:
            continue
        if key in _ARGUMENTS and item and not payloads.convert(load_arguments(item)).whole:
            return True
        if key == "delta" or (kind is not str and may_have_split_secrets(item, payloads, depth + 1)):
            return True
    return False


def redact_split_secrets(body: bytes, framing: Framing | None, redactor: Redactor) -> bytes:
    """Return a complete body without secrets that are split into pieces, or named in the arguments of a tool.

    Args:
        body: the body.
        framing: how events follow each other in it; `None` if it is one document.
        redactor: knows the secrets.
    """
    texts = StreamTexts(redactor, whole=True)
    if framing is not None:
        events = [texts.read(raw, framing.read_content(raw)) for raw in framing.split(body)]
    else:
        value = load(body)
        events = [texts.read(body, value)] if isinstance(value, (dict, list)) else []
    texts.finish()
    if all(map(_is_clear, events)):
        return body
    return b"".join(_redact(event, framing, redactor) for event in events)


def _is_clear(event: _Event) -> bool:
    """Return whether nothing in an event is a secret or may be the beginning of one."""
    for leaf in event.leaves:
        if leaf.text.settled < leaf.end or leaf.text.secrets:
            return False
    return not event.changed


def _redact(event: _Event, framing: Framing | None, redactor: Redactor | None) -> bytes:
    """Return the bytes of an event without secrets; the same object if the redactor finds all of them in its text."""
    changed = event.changed
    for leaf in event.leaves:
        secrets = [one for one in leaf.text.secrets if one.start < leaf.end and one.end > leaf.start]
        if not secrets:
            continue
        if redactor is not None and _can_be_found_in(leaf, secrets, event.raw, redactor):
            continue
        changed = True
        leaf.holder[leaf.key] = "".join(_keep_rest(leaf, secrets))
        if _has_bytes(leaf.holder):
            leaf.holder["bytes"] = None
    if not changed:
        return event.raw
    content = event.content[""]
    return dump(content) if framing is None else framing.replace_content(event.raw, content)


def _can_be_found_in(leaf: _Leaf, secrets: Iterable[Secret], raw: bytes, redactor: Redactor) -> bool:
    """Return whether the redactor finds the secrets of a piece of text in the bytes of its event, each as a whole."""
    piece: str = leaf.holder[leaf.key]
    if any(one.start < leaf.start or one.end > leaf.end for one in secrets) or _has_bytes(leaf.holder):
        return False
    text = raw.decode("utf-8", "replace")
    redacted = redactor.text(text)
    found = [piece[one.start - leaf.start : one.end - leaf.start] for one in secrets]
    return all(secret in text and secret not in redacted for secret in found)


def _has_bytes(holder: Any) -> bool:
    """Return whether a text is repeated as the numbers of its bytes, as in the log probabilities of tokens."""
    return type(holder) is dict and type(holder.get("bytes")) is list


def _keep_rest(leaf: _Leaf, secrets: Iterable[Secret]) -> Iterator[str]:
    """Yield the parts of a piece of text without its secrets. A secret's replacement stands where it begins."""
    piece: str = leaf.holder[leaf.key]
    done = leaf.start
    for secret in secrets:
        yield piece[done - leaf.start : max(secret.start, done) - leaf.start]
        if secret.start >= leaf.start:
            yield secret.shown
        done = min(secret.end, leaf.end)
    yield piece[done - leaf.start :]
