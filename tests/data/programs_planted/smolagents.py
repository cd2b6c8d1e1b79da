"""An agent of smolagents with a tool of a class."""

import os

import climate
from smolagents import LogLevel, OpenAIModel, Tool, ToolCallingAgent

QUESTION = "How cold is it in Oslo?"
PROMPT = "Advises travellers."
SCALE = {"factor": 1.8, "zero": 32}


def fahrenheit(degrees):
    """Another unit."""
    return degrees * SCALE["factor"] + SCALE["zero"]


class Weather(Tool):
    name = "get_weather"
    description = "The weather of a city."
    inputs = {"city": {"type": "string", "description": "The city."}}
    output_type = "string"

    def forward(self, city: str) -> str:
        degrees = climate.measured(city)
        return f"{city}: {degrees} or {fahrenheit(degrees):.1f}" + self.remark(degrees)

    def remark(self, degrees):
        return " (frost)" if climate.is_frosty(degrees) else ""


def banner(text):
    return "*" * 3 + text


model = OpenAIModel("gpt-4o-mini", api_base=os.environ["OPENAI_BASE_URL"], api_key="unused")
agent = ToolCallingAgent([Weather()], model, instructions=PROMPT, verbosity_level=LogLevel.OFF)
print(agent.run(QUESTION))
