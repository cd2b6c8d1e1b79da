"""crewai: a flow around a crew of two agents and two tasks, each of them with a tool: of a function, of a class."""

import io
import os
from contextlib import redirect_stdout

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", CREWAI_TESTING="true")

from crewai import LLM, Agent, Crew, Task
from crewai.flow.flow import Flow, listen, start
from crewai.tools import BaseTool, tool


@tool("Get Weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3"


class Wardrobe(BaseTool):
    name: str = "Wardrobe"
    description: str = "What there is to wear."

    def _run(self, city: str) -> str:
        return f"A coat for {city}."


llm = LLM(model="openai/gpt-4o-mini", base_url=os.environ["OPENAI_BASE_URL"], api_key="unused")
scout = Agent(role="Scout", goal="Find.", backstory="None.", llm=llm, tools=[weather])
packer = Agent(role="Packer", goal="Pack.", backstory="None.", llm=llm, tools=[Wardrobe()])
find = Task(name="find", description="Find the weather", expected_output="A line", agent=scout)
pack = Task(name="pack", description="What to wear", expected_output="A line", agent=packer)


class Trip(Flow):
    @start()
    def plan(self):
        return Crew(name="travel", agents=[scout, packer], tasks=[find, pack]).kickoff().raw

    @listen(plan)
    def shout(self, text):
        return text.upper()


with redirect_stdout(io.StringIO()):  # what it prints has the ids of the run in it
    told = Trip().kickoff()
print(told)
