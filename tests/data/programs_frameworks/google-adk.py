"""google-adk: agents one after the other, at once, and as a tool; one that hands over; a program's own OpenTelemetry spans."""

import asyncio

from google.adk.agents import Agent, ParallelAgent, SequentialAgent
from google.adk.runners import InMemoryRunner
from google.adk.tools.agent_tool import AgentTool
from google.genai import types
from opentelemetry import trace

MODEL = "gemini-2.5-flash"
tracer = trace.get_tracer(__name__)


def get_weather(city: str) -> dict:
    """The weather of a city."""
    with tracer.start_as_current_span("look up"):
        return {"city": city, "temp_c": -3}


def agent(name, **more):
    return Agent(name=name, model=MODEL, instruction=f"You are {name}.", **more)


def team():
    """Agents have one parent, so each run has its own."""
    at_once = ParallelAgent(name="both", sub_agents=[agent("left"), agent("right")])
    return SequentialAgent(name="team", sub_agents=[agent("packer", tools=[get_weather]), at_once])


async def ask(root, question):
    runner = InMemoryRunner(root, app_name="travel")
    session = await runner.session_service.create_session(app_name="travel", user_id="u")
    message = types.Content(role="user", parts=[types.Part(text=question)])
    events = runner.run_async(user_id="u", session_id=session.id, new_message=message)
    said = [(event.author, part.text) async for event in events for part in event.content.parts if part.text]
    print(sorted(said))


async def main():
    await ask(team(), "What to wear?")
    await ask(agent("asking", tools=[AgentTool(agent("expert"))]), "What to wear?")
    alone = {"disallow_transfer_to_parent": True, "disallow_transfer_to_peers": True}
    await ask(agent("triage", sub_agents=[agent("refunds", description="Pays back.", **alone)]), "Money back!")


asyncio.run(main())
