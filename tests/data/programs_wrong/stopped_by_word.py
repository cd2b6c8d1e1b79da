"""A team stops at a word that the first answer only mentions."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

from namel3ss_debug.hooks import trace_agent_execution

PLAN = "I will look up the stock first and write TERMINATE when all of it is done."


def stock(item):
    """How many of an item there are."""
    return {"item": item, "count": 4}


@trace_agent_execution("team")
def team(client, task):
    """Let the agent answer until one of its messages ends the run."""
    messages = [{"role": "user", "content": task}]
    offered = [offer("stock", item="string")]
    for _ in range(3):
        text = ask(client, messages, offered, {"stock": stock})
        if "TERMINATE" in text:
            return {"result": text, "stop_reason": "Text 'TERMINATE' mentioned"}
        messages.append({"role": "user", "content": "Go on."})
    return {"result": messages[-1]["content"], "stop_reason": "Maximum number of turns 3 reached"}


DONE = [say("", call("stock", item="lamp")), say("There are 4 lamps. TERMINATE")]
SCRIPT = DONE if GOOD else [say(PLAN), *DONE]

with model(SCRIPT) as client:
    print(team(client, "How many lamps are in stock?")["result"])
