"""Each step appends the whole prompt again to the prompt."""

from loop import GOOD, ask, model
from scripted_model import say

RULES = [
    "Answer in one sentence and name the source.",
    "Prices are in euros and include the taxes.",
    "Never promise a date of delivery to anyone.",
    "Ask for the number of the order when unsure.",
    "Returns are free within thirty days of sale.",
    "The shop is closed on the first of each month.",
]
QUESTIONS = ["Do you sell lamps?", "Do you sell desks?", "Do you sell chairs?", "Do you sell beds?"]


def script(request):
    """Answer whatever is asked."""
    return say("Yes, we do, as the catalogue says.")


with model(script) as client:
    prompt = "\n".join(RULES)
    for question in QUESTIONS:
        prompt = f"{prompt}\n{question}" if GOOD else f"{prompt}\n" + "\n".join(RULES) + f"\n{question}"
        answer = ask(client, [{"role": "user", "content": prompt}])
        print(answer)
