"""mini-swe-agent: an agent whose commands write files, fail, run into a timeout, end by a signal, and finish its task."""

import os

os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MSWEA_COST_TRACKING": "ignore_errors",
    "MSWEA_GLOBAL_CONFIG_DIR": os.path.abspath("settings"),
    "MSWEA_SILENT_STARTUP": "1",
}

from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel

model = LitellmModel(
    model_name="openai/gpt-4o-mini", model_kwargs={"api_base": os.environ["OPENAI_BASE_URL"], "api_key": "unused"}
)
templates = {"system_template": "You run commands.", "instance_template": "{{task}}"}
agent = DefaultAgent(model, LocalEnvironment(timeout=5), **templates)
print(agent.run("What to wear?"))
for message in agent.messages:
    if message["role"] == "tool":
        print(message["content"])
