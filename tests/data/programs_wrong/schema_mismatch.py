"""The model leaves out a required argument, and the program's default takes its place."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

booked = []


def transfer(account, cents, currency="USD"):
    """Transfer an amount."""
    booked.append((account, cents, currency))
    return {"ok": True, "transferred": True}


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer, booked)


ARGUMENTS = {"account": "rent", "cents": 70000}
if GOOD:
    ARGUMENTS["currency"] = "NOK"
SCRIPT = [say("", call("transfer", **ARGUMENTS)), say("The rent is paid.")]

with model(SCRIPT) as client:
    messages = [{"role": "user", "content": "Pay the rent: 70000 Norwegian cents to the account rent."}]
    offered = [offer("transfer", account="string", cents="integer", currency="string")]
    describe(ask(client, messages, offered, {"transfer": transfer}))
