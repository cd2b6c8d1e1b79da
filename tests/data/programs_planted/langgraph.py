"""A graph with a node before an agent, whose tool is a method of an object."""

from typing import TypedDict

import climate
from langchain.agents import create_agent
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

PROMPT = "You advise travellers. Be brief."
QUESTION = "How cold is it in Oslo?"


class State(TypedDict):
    question: str
    answer: str


class Station:
    unit = "degrees"

    def __init__(self, calibration):
        self.calibration = calibration

    def get_weather(self, city: str) -> str:
        """The weather of a city."""
        return f"{city}: {self._calibrated(city)} {self.unit}"

    def _calibrated(self, city):
        degrees = climate.measured(city) + self.calibration
        return degrees if climate.is_frosty(degrees) else f"+{degrees}"

    def status(self):
        return "on" if self.calibration > 5 else "off"


station = Station(1)
tool = StructuredTool.from_function(station.get_weather, name="get_weather")
agent = create_agent(ChatOpenAI(model="gpt-4o-mini"), tools=[tool], system_prompt=PROMPT)


def ask(state: State) -> dict:
    told = agent.invoke({"messages": [("user", state["question"])]})
    return {"answer": told["messages"][-1].content}


def banner(text):
    return "*" * 3 + text


graph = StateGraph(State)
graph.add_node(ask)
graph.add_edge(START, "ask")
graph.add_edge("ask", END)
print(graph.compile().invoke({"question": QUESTION, "answer": ""})["answer"])
