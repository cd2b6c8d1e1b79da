"""Three reviews run in parallel, and the summary reads only two of them."""

from concurrent.futures import ThreadPoolExecutor

from loop import GOOD, ask, last_text, model
from scripted_model import say

from namel3ss_debug.hooks import trace_agent_execution, trace_chain_execution

REVIEWS = {
    "style": "The style is plain and the sentences are short.",
    "facts": "Two figures on page four contradict each other.",
    "law": "The clause on data protection is missing entirely.",
}


def script(request):
    """Answer as the reviewer, or as the editor."""
    text = last_text(request)
    found = next((review for name, review in REVIEWS.items() if text == f"Review the {name}."), None)
    return say(found or "The text can be printed.", seconds=0.05)


@trace_chain_execution("review")
def review(client):
    """Review a text in three ways, and join the reviews."""

    @trace_agent_execution("reviewer")
    def check(name):
        return ask(client, [{"role": "user", "content": f"Review the {name}."}])

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(check, REVIEWS))
    joined = found if GOOD else found[:2]
    return ask(client, [{"role": "user", "content": "Decide:\n" + "\n".join(joined)}])


with model(script) as client:
    print(review(client))
