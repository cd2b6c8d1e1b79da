"""A tool's long result is cut before the model reads it; what it needs stands at the end."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

LINES = [
    f"Clause {n}: the tenant keeps room {n} in the state in which it was handed over." for n in range(1, 12)
]
CONTRACT = "\n".join([*LINES, "Clause 12: notice is three months, in writing, to the owner of the house."])


def read_contract(paper):
    """The text of a contract."""
    return CONTRACT


def cut(text):
    """Keep what fits."""
    return text if GOOD else text[:400]


SCRIPT = [
    say("", call("read_contract", paper="flat")),
    say(
        "Notice is three months, in writing."
        if GOOD
        else "The contract has rules on rooms; notice can be at once."
    ),
]

with model(SCRIPT) as client:
    messages = [{"role": "user", "content": "How long is the notice in the contract of my flat?"}]
    offered = [offer("read_contract", paper="string")]
    print(ask(client, messages, offered, {"read_contract": read_contract}, show=cut))
