"""Advice that usually helps against a failure: by the kind of its origin where that is known, else by its category.

A failed call may have taken effect all the same, and the trace does not show whether it did. So only a call of a model,
which changes nothing, is advised to be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from namel3ss_debug.analysis.failures.suspects import SuspectedCause

BY_ORIGIN: dict[str, str] = {
    "wrote_argument": "Check arguments before the call and give the error back to the model; list the allowed values in the "
    "tool's schema.",
    "wrote_code": "Give the error back to the model that wrote the code, with the lines that failed.",
    "last_inside": "Check what these calls returned before the code around them uses it.",
    "added_argument": "Look at what the program adds to the call: the model did not write this value.",
    "gave_value": "Look at what this call returned: its result was used as it stood.",
    "empty_result": "Handle an empty result where it is returned, before the model goes on without it.",
    "answer_cut": "Raise the limit of output tokens, or ask for a shorter answer; check finish_reason before the answer is used.",
    "message_cut": "Keep what the later steps need in the context, or cut elsewhere.",
    "context_changed": "Keep what the later steps need in the context, or summarise it instead of dropping it.",
    "error_result_used": "Let the tool fail, or check its result for an error before it is used.",
    "earlier_failure": "Handle the earlier failure where it happens; do not go on with its outcome.",
    "sibling_failed": "Look at what failed first; if the others should go on without it, handle its failure in its own branch.",
    "repeated_call": "Find why the same result led to the same call; a higher limit only repeats it more often.",
    "retries_exhausted": "More attempts right away do not help: wait longer between them, and decide what to do without the answer.",
    "large_result": "Return less from this call: page, filter or summarise its result before it goes to the model.",
}
"""Kind of the first origin -> advice."""

BY_CATEGORY: dict[str, str] = {
    "authentication": "Check the key or the permission, and that the environment of the program has it.",
    "cancelled": "Find who cancelled it: a timeout around it, the user, or a sibling that failed.",
    "context_overflow": "Send less: summarise or drop old messages, and return less from tools.",
    "dependency": "Try again with growing pauses, and decide what to do when the service stays away.",
    "logic": "Correct the line that the traceback ends in; the values there are in the inputs of the call.",
    "malformed_output": "Ask for structured output, check it, and give the error back to the model for another attempt.",
    "model_refusal": "Explain in the prompt why it is allowed, or handle a refusal as an answer.",
    "network": "Try again with growing pauses; check name, port and proxy of the address.",
    "parameter": "Check arguments before the call, and give the error back to their author.",
    "rate_limit": "Wait as long as the answer says, send fewer requests at once, or ask for a higher limit.",
    "resource": "Check the file, disk or memory that the message names, before the run begins.",
    "step_limit": "Look at what was repeated before the limit; a higher one helps only where each step still makes progress.",
    "timeout": "Raise the limit, make the call smaller, or run it beside others; try again only what may run twice.",
}
"""Category -> advice; for `tool` and `unknown` no advice fits all of them."""

_LOOK_FIRST = "Find out first whether the call took effect"
BY_CATEGORY_WITH_EFFECTS: dict[str, str] = {
    "dependency": f"{_LOOK_FIRST}, and decide what to do when the service stays away.",
    "network": f"{_LOOK_FIRST}; check name, port and proxy of the address.",
    "timeout": f"{_LOOK_FIRST}; raise the limit, or make the call smaller.",
}
"""Category -> advice for a call that may have changed something."""

_WITHOUT_EFFECTS = frozenset({"llm", "prompt"})


def resolution(category: str, component: str, origins: Sequence[SuspectedCause] = ()) -> str | None:
    """Return one sentence of advice; None where no advice fits all failures of the category.

    Args:
        category: one of `categories.CATEGORIES`.
        component: the component of the call that failed.
        origins: where the failure may have begun, the likeliest first.
    """
    if origins:
        component = origins[0].component
        if origins[0].kind in BY_ORIGIN:
            return BY_ORIGIN[origins[0].kind]
    if component not in _WITHOUT_EFFECTS and category in BY_CATEGORY_WITH_EFFECTS:
        return BY_CATEGORY_WITH_EFFECTS[category]
    return BY_CATEGORY.get(category)
