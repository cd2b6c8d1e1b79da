"""The answer of a model is made an object: an amount in it becomes another one."""

import json

from loop import GOOD, ask, model
from scripted_model import say

from namel3ss_debug.hooks import trace_chain_step

ANSWER = {"vendor": "Fjordkraft", "amount": "1.200,00", "currency": "NOK"}


def read_amount(text):
    """The amount in a text."""
    return text if GOOD else float(text.partition(",")[0])


@trace_chain_step("extract")
def extract(client, text):
    """Read an invoice."""
    messages = [{"role": "user", "content": f"Extract vendor, amount and currency as JSON: {text}"}]
    fields = json.loads(ask(client, messages))
    return {**fields, "amount": read_amount(fields["amount"])}


with model([say(json.dumps(ANSWER))]) as client:
    print(extract(client, "Fjordkraft asks for 1.200,00 NOK"))
