"""A ReAct agent of LangGraph with the time, an id and a random number in its prompt."""

import random
import uuid
from datetime import datetime

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

PROMPT = "You are a forecaster."


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees"


now = f"It is {datetime.now().isoformat()}, request {uuid.uuid4()}, lot {random.random()}."
agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), tools=[get_weather], system_prompt=f"{PROMPT} {now}")
state = agent.invoke({"messages": [("user", "How cold is it in Oslo?")]})
print(state["messages"][-1].content)
