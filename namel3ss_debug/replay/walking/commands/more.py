"""What `help COMMAND` tells beyond the one line; each line is a paragraph."""

from __future__ import annotations

from typing import Final

_MOVES: Final = "With breakpoints or watches set, it stops at the first of them on the way."
_LEVEL: Final = (
    "A level is what happened directly inside one span; pieces of streamed answers are passed over."
)
_PLACES: Final = (
    "A place is an event type (llm_call_end, or llm_call_start:3 for the third), a component (llm, tool:2), a name "
    "(tool:search, llm:gpt-4o, agent:Writer, search@2), error, file.py:42, /regex/, or the number of an event."
    "\nWith 'if CONDITION' it stops only where that is true; 'break if totals.cost > 0.1' asks at every event."
    "\nA component or a name stops where its spans begin; with a condition every event of it is asked."
)
_EXPRESSIONS: Final = (
    "The names are the fields of the event, kind, name, llm, tool, agent, n (its number), totals.cost, totals.tokens, "
    "totals.errors, totals.ms, and state.NAME; what is missing is null."
    '\nOperators are as in Python: duration_ms > 500 and tool == "search". Functions: len lower upper startswith endswith '
    "contains matches text any all min max abs round."
)
_FROM_CHOSEN: Final = "After 'up', the chosen span is meant."
_CHOSEN: Final = (
    "After 'up' it speaks of the start of the chosen span; totals and state stay those of the current event."
)

MORE: Final[dict[str, str]] = {
    "step": f"In a live program, a step past the last event lets the program go on to its next one.\n{_MOVES}",
    "next": f"At a start, it leads to the end of that span, and from anywhere else to the next event at the same level; after the last one, to the end of the span around. Where a span never ended, to the next event outside it. {_FROM_CHOSEN}\n{_LEVEL}\n{_MOVES}",
    "return": f"From an end, it leads to the end of the span around. Where the span never ended, to the end of the recording. {_FROM_CHOSEN}\n{_MOVES}",
    "until": f"Without an argument, it leads to the next event at the same level or further out; at a start, unlike next, that may be another span that began meanwhile. {_FROM_CHOSEN}\nIn a live program, N may still be to come.\n{_MOVES}",
    "continue": "In a live program, it also ends where the program ends.",
    "jump": "Breakpoints on the way do not stop it, and count no hits.",
    "goto": "Breakpoints on the way do not stop it, and count no hits. Before the first event stands 'start'.",
    "search": "A /REGEX/ is compared as it is written, TEXT in upper and lower case; only values are searched, and of numbers those of inputs and outputs. Below the event stands the field that holds it, as p reads it. Without an argument, the last search goes on. ?REGEX? goes backwards.",
    "reverse-step": _MOVES,
    "reverse-next": f"At an end, it leads to the start of that span, and from anywhere else to the event before at the same level; from the first one, to the start of the span around. {_FROM_CHOSEN}\n{_LEVEL}\n{_MOVES}",
    "reverse-finish": f"From a start, it leads to the start of the span around. {_FROM_CHOSEN}\n{_MOVES}",
    "reverse-continue": "With a watch, it leads to the event that last changed the value.",
    "rsearch": "Without an argument, the last search goes on, backwards.",
    "break": f"Without an argument, it lists what is set.\n{_PLACES}",
    "breakpoint": f"Without an argument, the place is what the current event is: its type and its name.\n{_PLACES}",
    "tbreak": f"It is deleted where it stops.\n{_PLACES}",
    "watch": f"It stops at the event after which the value is another than before it; reverse-continue finds the event that set it last.\n{_EXPRESSIONS}",
    "condition": "Without an expression, the condition is taken away.",
    "ignore": "Hits that pass are counted all the same. Without a count, none passes any more.",
    "commands": "The lines that follow are the commands, up to a line 'end' or, as in pdb, up to a command that moves; commands on the same line end with it. N is the breakpoint set last, where it is left out. 'end' alone takes the commands away.\nWhere the first is 'silent', the stop is not shown.",
    "clear": "N is the number that 'break' lists.",
    "where": "The outermost is the first. A start and an end are inside their own span.",
    "up": "args, retval, print, source, list and messages then speak of the start of that span; retval of its end; and next, return, until, reverse-next and reverse-finish are meant from it. The next move ends this.",
    "down": "At last it is the current event itself again.",
    "list": "Eleven around the current event; again, those that follow; N: around N; FIRST, LAST: from one to the other, or LAST events where it is the smaller number; '.': around the current event again.",
    "longlist": "Of a long span, a hundred events before and after the current one.",
    "args": f"{_CHOSEN}",
    "retval": "Of a start, what its end brought, even where that is still ahead; of one that failed, the error.",
    "print": f"{_EXPRESSIONS}\n{_CHOSEN}",
    "pp": f"{_EXPRESSIONS}",
    "inspect": "NAME is a variable that a state_change told, or the key of a memory_operation; anything else is an expression.",
    "display": f"Without an argument, it shows all of them now.\n{_EXPRESSIONS}",
    "undisplay": "N is the number that 'display' shows; without an argument, all.",
    "source": "Five lines before and after the call site, where that file is there; otherwise of the nearest span around that has one.",
    "messages": "The call is the one around the event, the one that asked for its tool, or the latest before it in the same spans. --diff compares with the call before in the same conversation: messages added, dropped, changed, truncated.",
    "info": "The beginning of a word is enough: info b. Of several that begin so, it is the first in this list.",
    "mock": "NAME is the name of a tool or a model, a component, or component:name; NAME@N only its N-th call. NAME:@file.json reads the answer from a file.\nIn a recording, it is shown in place of what was recorded, which stands beside it; in a live program, it answers the call.",
    "fault": "NAME is as for mock; behind it stands timeout, error:TYPE:TEXT, status:429, latency:2s or truncate. unmock takes it back.",
    "rerun": "The program runs offline, on its recorded answers and on those that mock and fault give here. The walk through the recording is over; its breakpoints, watches and displays are kept, and stop nothing before here.",
    "unmock": "Without an argument, all of them.",
    "bookmark": "goto NAME leads there.",
    "detach": "The session is over then. A recording has no program to let go.",
    "save": "A file that this session wrote is replaced, any other one is left alone.",
}
"""Name of a command -> the rest of its help."""
