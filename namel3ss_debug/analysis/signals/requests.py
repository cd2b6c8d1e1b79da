"""Signals in what models read: their requests, and the outputs of others in them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from namel3ss_debug.analysis.failures.steps import (
    Leaf,
    contains,
    iter_leaves,
    normal,
    search_text,
    searchable_text,
)
from namel3ss_debug.analysis.signals.proofs import Proof, quote
from namel3ss_debug.analysis.signals.run_calls import (
    Caller,
    MessageText,
    RunCalls,
    RunModelCall,
    RunToolCall,
    squeeze,
)

_TEMPLATE = re.compile(r"(?<![\w\\{}^_])(?:\$\{|\{\{?)\s?([A-Za-z_][\w.]{1,40})\s?\}\}?(?![\w{}])")
_CODE_BLOCK = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_LOOKS_LIKE_CODE = re.compile(r"\b(?:def|import|function|const|class|lambda|placeholders?|templates?|f-string|variables?|format string|jinja|latex)\b|=>|</\w+>|\\begin|#include", re.IGNORECASE)  # fmt: skip
_MOST_FIELDS = 6
_LONGEST_PROMPT = 8_000
_LEAST_LINE = 20
_LEAST_REPEATED = 0.4
_LEAST_REQUEST = 600
_LEAST_LINES = 3
_LEAST_TIMES = 3
_LEAST_OUTPUT = 20
_MOST_BESIDE = 40
_MOST_OUTPUT = 20_000
_REMEMBERED = 16
_REFERS_BACK = re.compile(r"^\s*(?:and|what about|how about|also|now|then|ok|so|why|instead|make it|the (?:first|second|last|other)|change it|do it|cancel it|yes|no)\b|\b(?:as (?:i|you) said|that one|you mentioned|i mentioned|i told you|the previous|the same)\b", re.IGNORECASE)  # fmt: skip


def find_unfilled_templates(run: RunCalls) -> Iterator[Proof]:
    """Yield fields of a template that a user's message still holds."""
    first: dict[int, RunModelCall] = {}
    known: list[MessageText] = []
    for call in run.models:
        for message in call.messages:
            # What follows an answer may be a page that a tool read: its braces are not the program's.
            if message.role not in {"user", "system", "developer"}:
                break
            if message.role == "user" and id(message) not in first:
                first[id(message)] = call
                known.append(message)
    for message in known:
        if "{" not in message.texts or len(message.texts) > _LONGEST_PROMPT:
            continue
        text = _CODE_BLOCK.sub(" ", message.texts)
        names = {match[1]: match for match in _TEMPLATE.finditer(text)}
        if not names or len(names) > _MOST_FIELDS or _LOOKS_LIKE_CODE.search(text):
            continue
        match = next(iter(names.values()))
        # The prompts of CrewAI ask to "return the actual complete content".
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.end()]
        if re.search(r"\breturn\b", line):
            continue
        call = first[id(message)]
        around = text[max(match.start() - 30, 0) : match.end() + 30]
        evidence = f"a user message still has {match[0]}: {quote(around)}"
        yield Proof(evidence, (call.number,), f"inspect --event {call.number}")
        return


def find_repeated_lines(run: RunCalls) -> Iterator[Proof]:
    """Yield requests that repeat many of their own lines."""
    for calls in run.by_owner.values():
        last = max(calls, key=lambda call: sum(len(message.text) for message in call.messages))
        text = "\n".join(message.text for message in last.messages).replace("\\n", "\n")
        if len(text) < _LEAST_REQUEST:
            continue
        lines = [line for line in map(str.strip, text.splitlines()) if len(line) >= _LEAST_LINE and re.search("[A-Za-z]{3}", line)]  # fmt: skip
        # A file that an agent looked at again has its lines twice.
        times = {line: count for line, count in Counter(lines).items() if count >= _LEAST_TIMES}
        again = sum(len(line) * (count - 1) for line, count in times.items())
        repeated = sum(count - 1 for count in times.values())
        if repeated < _LEAST_LINES or again < _LEAST_REPEATED * len(text):
            continue
        line, most = max(times.items(), key=lambda item: (item[1] - 1) * len(item[0]))
        small = sum(len(message.text) for message in calls[0].messages)
        evidence = f"{100 * again // len(text)} % of a request of {len(text):,} characters repeats its own lines (the first request had {small:,}); {most} times {quote(line)}"  # fmt: skip
        yield Proof(evidence, (last.number, calls[0].number), f"inspect --event {last.number}")


def find_lost_contexts(run: RunCalls) -> Iterator[Proof]:
    """Yield requests that lack messages of the system or of users that the request before in the same conversation had."""
    yield from _find_lost_threads(run)
    yield from _find_lost_users(run)
    for calls in run.by_agent.values():
        earlier: list[RunModelCall] = []
        for call in calls:
            if call.continues or not call.messages:
                continue
            found = _find_conversation(call, earlier)
            if found is not None:
                proof = _compare(found, call)
                if proof is not None:
                    yield proof
                    break
                earlier.remove(found)
            earlier = [*earlier, call][-_REMEMBERED:]


def _find_lost_users(run: RunCalls) -> Iterator[Proof]:
    """Yield requests in the middle of a conversation that hold no message of its user, as after a hand-off."""
    before: tuple[RunModelCall, MessageText] | None = None
    for call in run.models:
        user = next((message for message in reversed(call.messages) if message.role == "user" and len(message.texts) >= 8), None)  # fmt: skip
        if user is not None:
            before = call, user
        elif before is not None and not call.continues and not any(message.role == "user" for message in call.messages):  # fmt: skip
            earlier, lost = before
            goes_on = any(
                str(asked["id"]) in message.text
                for asked in earlier.calls if asked.get("id")
                for message in call.messages if message.role in {"assistant", "model", "tool"}
            )  # fmt: skip
            if goes_on and not any(normal(lost.texts)[:200] in message.searched for message in call.messages):
                evidence = f"this request has no message of a user; event {earlier.number}, which it goes on from, had {quote(lost.texts)}"  # fmt: skip
                yield Proof(evidence, (call.number, earlier.number), f"inspect --event {call.number}")
                return


def _find_lost_threads(run: RunCalls) -> Iterator[Proof]:
    """Yield runs of a kept conversation whose requests hold no message of its earlier runs."""
    calls: dict[int, list[RunModelCall]] = defaultdict(list)
    for call in run.models:
        *_, outermost = [None, *run.around(call.parent)]
        if outermost is not None and outermost.conversation and _has_messages(outermost.inputs):
            calls[outermost.row].append(call)
    before: dict[tuple[str, str], int] = {}
    for row, own in calls.items():
        caller = run.callers[row]
        key = caller.name, caller.conversation
        earlier = before.get(key)
        before[key] = row
        if earlier is None or run.callers[earlier].end_number > caller.number:
            continue
        last = calls[earlier][-1]
        users = [message for message in last.messages if message.role == "user" and len(message.texts) >= 8]
        text = " ".join(message.searched for call in own for message in call.messages)
        kept = [*(message.texts for message in users), last.text]
        if not users or any(each and normal(each)[:200] in text for each in kept):
            continue
        if any(message.role in {"system", "developer", "assistant"} and len(message.texts) > 60 for message in own[0].messages):  # fmt: skip
            continue  # which may be a summary
        value = next((value for message in users for value in message.specifics if squeeze(value) not in squeeze(text)), "")  # fmt: skip
        evidence = f"the requests of this run of thread {quote(caller.conversation, 30)} lack all messages that event {last.number} had: {f'{value}, ' if value else ''}user {quote(users[-1].texts)}"  # fmt: skip
        yield Proof(evidence, (own[0].number, last.number), f"inspect --event {own[0].number}")


def _has_messages(inputs: object) -> bool:
    """Return whether a run took messages: one that goes on after an interruption does not."""
    return isinstance(inputs, dict) and bool(inputs.get("messages"))


def _find_conversation(call: RunModelCall, earlier: Sequence[RunModelCall]) -> RunModelCall | None:
    """Return the latest request whose conversation a request goes on with."""
    own = {id(message) for message in call.messages if message.role not in {"system", "developer"}}
    answers = {message.texts for message in call.messages if message.role in {"assistant", "model"}}
    best, most = None, 0
    for other in earlier:
        shared = sum(id(message) in own for message in other.messages)
        shared += bool(other.text and other.text in answers)
        if shared >= max(most, 1):
            best, most = other, shared
    if best is not None:
        return best
    last = earlier[-1] if earlier else None
    alone = [message for message in call.messages if message.role not in {"system", "developer"}]
    refers = (
        last is not None
        and last.end_number < call.number
        and last.site == call.site
        and len(alone) == 1
        and alone[0].role == "user"
        and len(alone[0].texts) < 200
        and _REFERS_BACK.search(alone[0].texts)
        and not any(len(message.texts) > 300 for message in call.messages)
    )
    return last if refers else None


def _compare(before: RunModelCall, call: RunModelCall) -> Proof | None:
    now = {id(message) for message in call.messages}
    kept_at = [
        index for index, message in enumerate(before.messages)
        if id(message) in now and message.role not in {"system", "developer"}
    ]  # fmt: skip
    goes_on = bool(before.text) and any(message.texts == before.text for message in call.messages)
    text = " ".join(message.searched for message in call.messages)
    flat = squeeze(text)
    dropped = [
        message for index, message in enumerate(before.messages)
        if id(message) not in now and message.role in {"system", "developer", "user"} and len(message.texts) >= 8
        # What follows the last shared message is another branch of it, unless its answer is here too.
        and (goes_on or not kept_at or index < kept_at[-1])
        # A summary may be in another frame of words.
        and normal(message.texts)[:200] not in text
        and not (len(message.texts) > 100 and normal(message.texts)[-60:] in text)
    ]  # fmt: skip
    if not dropped:
        return None
    events = (call.number, before.number)
    values = [(value, message) for message in dropped if message.role == "user" for value in message.specifics if squeeze(value) not in flat]  # fmt: skip
    has_system = any(message.role in {"system", "developer"} for message in call.messages)
    lost_system = [message for message in dropped if message.role in {"system", "developer"}]
    if values:
        value, message = values[0]
        new = [other for other in call.messages if other not in before.messages and other.role not in {"tool", "assistant"}]  # fmt: skip
        place = f"; in its place: {quote(new[0].texts)}" if new and new[0] is not call.messages[-1] else ""
        evidence = (
            f"{value} from a user message ({quote(message.texts, 50)}) is gone from this request{place}"
        )
        return Proof(evidence, events, f"inspect --event {call.number}")
    if lost_system and has_system:
        lost_system = []  # another role of the same agent, or instructions that the program writes anew
    users = [message for message in dropped if message.role == "user"]
    kept = [message for message in call.messages if message.role == "user" and id(message) in {id(each) for each in before.messages}]  # fmt: skip
    if users and (kept or any(other.role == "assistant" for other in call.messages)) and _is_summarised(before, call):  # fmt: skip
        users = []
    lost = lost_system or users
    if not lost:
        return None
    evidence = f"this request lacks {len(lost)} of the messages that event {before.number} had: {lost[0].role} {quote(lost[0].texts)}"  # fmt: skip
    return Proof(evidence, events, f"inspect --event {call.number}")


def _is_summarised(before: RunModelCall, call: RunModelCall) -> bool:
    """Return whether a new text of some length, which is not the last message, stands for those that are gone."""
    known = {id(message) for message in before.messages}
    return any(
        id(message) not in known and len(message.texts) > 60 and message.role != "tool" and message.texts != before.text
        for message in call.messages[:-1]
    )  # fmt: skip


def find_lost_in_joins(run: RunCalls) -> Iterator[Proof]:
    """Yield outputs of parallel siblings that a later sibling did not read, although it read the others."""
    groups: dict[int, list[Caller]] = defaultdict(list)
    for caller in run.callers.values():
        if caller.parent >= 0 and not caller.failed:
            groups[caller.parent].append(caller)
    for parent, siblings in groups.items():
        siblings.sort(key=lambda caller: caller.number)
        for group in _overlapping(siblings):
            if len(group) > _MOST_BESIDE:
                continue
            texts = {caller.row: _output_texts(run, caller) for caller in group}
            if any(not each for each in texts.values()) or len({tuple(each) for each in texts.values()}) < len(group):  # fmt: skip
                continue
            last = max(caller.end_number for caller in group)
            readers = [call for call in run.models if call.number > last and _is_inside(run, call.row, call.parent, parent)]  # fmt: skip
            read: dict[int, int] = {}
            taken = [(caller.number, searchable_text(caller.inputs)) for caller in siblings if caller.number > last]  # fmt: skip
            searched = [(call.number, message.searched) for call in readers for message in call.messages]
            searched += taken
            for number, searchable in sorted(searched, key=lambda each: each[0]):
                for row, outputs in texts.items():
                    if row not in read and any(text in searchable for text in outputs):
                        read[row] = number
            if not read or len(read) == len(group):
                continue
            lost = [caller for caller in group if caller.row not in read]
            is_state = any(text in searchable for _, searchable in taken for outputs in texts.values() for text in outputs)  # fmt: skip
            if len(lost) > len(read) and not is_state:
                continue  # the best of several; a state that is passed on, as LangGraph's, would hold all of them
            reader = min(read.values())
            names = ", ".join(f"{caller.name} ({quote(texts[caller.row][0], 50)})" for caller in lost[:3])
            evidence = f"of {len(group)} parallel results this request has {len(read)}; it lacks {names}"
            yield Proof(evidence, (reader, *(caller.end_number for caller in lost[:3])), f"inspect --event {reader}", (lost[0].component, lost[0].name))  # fmt: skip


def _overlapping(siblings: Sequence[Caller]) -> Iterator[list[Caller]]:
    """Yield groups of siblings that ran at the same time."""
    group: list[Caller] = []
    ends = 0
    for caller in siblings:
        if group and caller.number < min(each.end_number for each in group):
            group.append(caller)
        else:
            if len(group) > 1:
                yield group
            group = [caller]
        ends = max(ends, caller.end_number)
    if len(group) > 1:
        yield group


def _output_texts(run: RunCalls, caller: Caller) -> list[str]:
    """Return the texts by which the output of a span is found: its own result, and the last answer inside."""
    inside = [call for call in run.models if caller.number < call.number < caller.end_number and _is_inside(run, call.row, call.parent, caller.row)]  # fmt: skip
    texts = [inside[-1].text] if inside and inside[-1].text else []
    texts += [leaf.value for leaf in iter_leaves(caller.outputs) if isinstance(leaf.value, str)]
    found = []
    for text in texts:
        searched = normal(text[:_MOST_OUTPUT])
        if len(searched) >= _LEAST_OUTPUT and searched[:80] not in found:
            found.append(searched[:80])
    return found


def _is_inside(run: RunCalls, row: int, parent: int, around: int) -> bool:
    while parent >= 0:
        if parent == around:
            return True
        caller = run.callers.get(parent)
        if caller is None:
            return False
        parent = caller.parent
    return row == around


def find_other_branches(run: RunCalls) -> Iterator[Proof]:
    """Yield values in a call or a prompt that only a task that ran at the same time holds."""
    yield from _find_foreign_prompts(run)
    tasks: dict[tuple[int, str], set[MessageText]] = {}
    spans: dict[tuple[int, str], tuple[int, int]] = {}
    for key, calls in run.by_owner.items():
        tasks[key] = {message for call in calls for message in call.messages}
        spans[key] = (calls[0].number, calls[-1].end_number)
    if len(tasks) < 2 or len(tasks) > 200:
        return
    for tool in run.tools:
        writer = run.writer(tool)
        if writer is not None and writer.continues:
            continue
        of = writer or tool
        own = (of.owner, "" if of.owner >= 0 else of.task)
        for leaf in tool.leaves:
            text = squeeze(str(leaf.value)) if isinstance(leaf.value, str | int) and not isinstance(leaf.value, bool) else ""  # fmt: skip
            if len(text) < 4 or (isinstance(leaf.value, str) and len(leaf.value) > 80):
                continue
            if own not in spans or (writer and writer.holds(text)) or any(text in message.squeezed for message in tasks[own]):  # fmt: skip
                continue
            holders = [
                key for key, messages in tasks.items()
                if key != own and not _is_nested(run, key[0], own[0]) and spans[key][0] < spans[own][1] and spans[own][0] < spans[key][1]
                and any(message.role == "user" and text in message.squeezed for message in messages)
            ]  # fmt: skip
            if len(holders) == 1:
                evidence = f"{leaf.shown} is in no message of its own task, and in one that ran at the same time (event {spans[holders[0]][0]})"  # fmt: skip
                yield Proof(evidence, (tool.number, of.number, spans[holders[0]][0]), f"explain {tool.number}", ("tool", tool.name))  # fmt: skip
                return


def _is_nested(run: RunCalls, one: int, other: int) -> bool:
    """Return whether one agent runs inside the other, as those that one of smolagents manages."""
    return any(caller.row == one for caller in run.around(other)) or any(
        caller.row == other for caller in run.around(one)
    )


def _find_foreign_prompts(run: RunCalls) -> Iterator[Proof]:
    """Yield prompts that lack the inputs of the span around them and hold those of a span that ran beside it."""
    by_operation: dict[tuple[int, str, str], list[tuple[Caller, list[RunModelCall]]]] = defaultdict(list)
    inside: dict[int, list[RunModelCall]] = defaultdict(list)
    for call in run.models:
        for caller in run.around(call.parent):
            inside[caller.row].append(call)
    for row, calls in inside.items():
        caller = run.callers[row]
        by_operation[caller.parent, caller.component, caller.name].append((caller, calls))
    for group in by_operation.values():
        if not 2 <= len(group) <= _MOST_BESIDE:
            continue
        values = {caller.row: _own_values(caller) for caller, _ in group}
        for caller, calls in group:
            for other, _ in group:
                if other is caller or not (other.number < caller.end_number and caller.number < other.end_number):  # fmt: skip
                    continue
                mine = [leaf for leaf in values[caller.row] if not _has(values[other.row], leaf)]
                theirs = [leaf for leaf in values[other.row] if not _has(values[caller.row], leaf)]
                first = next((call for call in calls if call.messages), None)
                if not mine or not theirs or first is None:
                    continue
                texts = [message.searched for message in first.messages]
                own = [leaf for leaf in mine if any(contains(text, leaf) for text in texts)]
                foreign = [leaf for leaf in theirs if any(contains(text, leaf) for text in texts)]
                if foreign and not own:
                    evidence = f"{caller.name} has {mine[0].shown}, and its prompt has {foreign[0].shown} of the {other.name} beside it (event {other.number})"  # fmt: skip
                    yield Proof(evidence, (first.number, caller.number, other.number), f"inspect --event {first.number}", (caller.component, caller.name))  # fmt: skip
                    return


def _own_values(caller: Caller) -> list[Leaf]:
    return [leaf for leaf in iter_leaves(caller.inputs) if leaf.key not in {"call_id", "id"} and len(search_text(leaf)) >= 3 and not isinstance(leaf.value, bool)][:20]  # fmt: skip


def _has(leaves: Sequence[Leaf], leaf: Leaf) -> bool:
    return any(other.value == leaf.value for other in leaves)


def find_mixed_tasks(run: RunCalls) -> Iterator[Proof]:
    """Yield equal prompts of parallel threads or tasks that had called tools with different values before."""
    last: dict[tuple[tuple[int, ...], str], list[tuple[RunModelCall, RunToolCall]]] = defaultdict(list)
    latest: dict[str, RunToolCall] = {}
    tools = iter(sorted(run.tools, key=lambda tool: tool.end_number))
    ahead = next(tools, None)
    for call in run.models:
        while ahead is not None and ahead.end_number < call.number:
            latest[ahead.task] = ahead
            ahead = next(tools, None)
        if call.task in latest and call.task and call.messages:
            key = tuple(id(message) for message in call.messages), call.site
            last[key].append((call, latest[call.task]))
    for same in last.values():
        for (one, tool), (other, beside) in pairwise(same):
            if one.task == other.task or tool.name != beside.name or tool.arguments == beside.arguments:
                continue
            mine = next((leaf for leaf in tool.leaves if not _has(beside.leaves, leaf) and search_text(leaf)), None)  # fmt: skip
            theirs = next((leaf for leaf in beside.leaves if not _has(tool.leaves, leaf) and search_text(leaf)), None)  # fmt: skip
            if mine is None or theirs is None:
                continue
            text = searchable_text([message.text for message in one.messages])
            if contains(text, mine) != contains(text, theirs):
                wrong, own = (one, mine) if contains(text, theirs) else (other, theirs)
                evidence = f"two parallel tasks sent equal prompts, although they had {mine.shown} and {theirs.shown}; this one lacks {own.shown}"  # fmt: skip
                yield Proof(
                    evidence, (wrong.number, one.number, other.number), f"inspect --event {wrong.number}"
                )
                return
