"""A report is sent although the model's answer was cut at its limit of tokens."""

from loop import GOOD, ask, model
from scripted_model import say

TEXT = "The harbour of Bergen handled 4 ferries today. The first left at eight, the second at noon, the third"
WHOLE = TEXT + " at four and the last at nine."
sent = []


def send(text):
    """Send the report."""
    sent.append(text)
    return {"sent": True}


def script(request):
    """Cut the answer at the limit, unless the limit is large enough."""
    limit = request["params"]["max_tokens"]
    return say(WHOLE) if limit > 50 else say(TEXT, finish_reason="length")


with model(script) as client:
    messages = [{"role": "user", "content": "Write three lines on the ferries of Bergen."}]
    answer = ask(client, messages, max_tokens=200 if GOOD else 30)
    send(answer)
print(sent)
