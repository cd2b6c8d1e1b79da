"""smolagents: an agent with a tool of a class, one that manages another, and one that writes code; an answer that is checked."""

import os

from smolagents import CodeAgent, LogLevel, OpenAIModel, Tool, ToolCallingAgent, tool


@tool
def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: The city.
    """
    return f"{city}: -3"


class Wardrobe(Tool):
    name = "wardrobe"
    description = "What there is to wear."
    inputs = {"city": {"type": "string", "description": "The city."}}
    output_type = "string"

    def forward(self, city: str) -> str:
        return f"A coat for {city}."


def is_short(answer, memory, agent=None):
    return len(answer) < 100


def agent(kind, name, tools, **more):
    return kind(tools=tools, model=model, name=name, description="Helps.", verbosity_level=LogLevel.OFF, **more)


model = OpenAIModel("gpt-4o-mini", api_base=os.environ["OPENAI_BASE_URL"], api_key="unused")
packer = agent(ToolCallingAgent, "packer", [Wardrobe()], final_answer_checks=[is_short])
print(packer.run("What to wear?"))
manager = agent(ToolCallingAgent, "manager", [], managed_agents=[agent(ToolCallingAgent, "expert", [])])
print(manager.run("What to wear?"))
for step in agent(CodeAgent, "coder", [get_weather]).run("What to wear?", stream=True):
    print(type(step).__name__)
