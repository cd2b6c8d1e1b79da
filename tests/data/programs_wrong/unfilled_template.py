"""A field of the prompt's template is not filled in, because the prompt is no f-string."""

from loop import GOOD, ask, model
from scripted_model import say

TEMPLATE = "Write a greeting for {customer_name}, who bought a {product} yesterday."


def fill(customer_name, product):
    """The prompt for a customer."""
    if GOOD:
        return TEMPLATE.format(customer_name=customer_name, product=product)
    return TEMPLATE.replace("{product}", product)


def describe(answer):
    """Print what the user sees."""
    print("agent:", answer)


SCRIPT = [say("Dear Ada, enjoy your lamp." if GOOD else "Dear customer, enjoy your lamp.")]

with model(SCRIPT) as client:
    messages = [
        {"role": "system", "content": "You write short letters."},
        {"role": "user", "content": fill("Ada", "lamp")},
    ]
    describe(ask(client, messages))
