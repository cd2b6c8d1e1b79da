"""An agent that plans with a model: the plan is cut off and no JSON, so a step logs a warning and takes the default plan."""

import json
import logging

from openai import OpenAI
from scripted_model import ScriptedModel, say

from namel3ss_debug import hooks

logger = logging.getLogger("planner")
DEFAULT = {"action": "search", "query": "everything"}
SCRIPT = [say('{"action": "compare", "items": ["A-17", "B-2'), say("Here are all products.")]


def ask(client, *texts):
    """The answer of the model."""
    messages = [{"role": "user", "content": text} for text in texts]
    response = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    return response.choices[0].message.content or ""


@hooks.trace_chain_step
def plan(client, task):
    """The next action."""
    wanted = ask(client, task)
    try:
        action = json.loads(wanted)
    except json.JSONDecodeError:
        logger.warning("the plan is not JSON, taking the default")
        action = DEFAULT
    return action


def main():
    """Compare two products."""
    with ScriptedModel(SCRIPT) as model, OpenAI(base_url=f"{model.url}/v1", api_key="unused") as client:
        action = plan(client, "Compare A-17 with B-2.")
        print(ask(client, "Compare A-17 with B-2.", json.dumps(action)))


if __name__ == "__main__":
    main()
