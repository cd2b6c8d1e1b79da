"""A graph with a branch, two nodes at once, and an agent with a tool in it."""
import operator
from typing import Annotated, TypedDict

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"{city}: -3 degrees"


class State(TypedDict):
    question: str
    notes: Annotated[list[str], operator.add]
    answer: str


model = ChatOpenAI(model="gpt-4o-mini")
agent = create_agent(model, tools=[get_weather], name="forecaster")


def left(state: State) -> dict:
    return {"notes": [model.invoke("left: " + state["question"]).content]}


def right(state: State) -> dict:
    return {"notes": [model.invoke("right: " + state["question"]).content]}


def ask(state: State) -> dict:
    said = agent.invoke({"messages": [("user", state["question"])]})
    return {"answer": said["messages"][-1].content}


def enough(state: State) -> str:
    return "ask" if len(state["notes"]) == 2 else END


graph = StateGraph(State)
graph.add_node(left).add_node(right).add_node(ask)
graph.add_node("join", lambda state: {})
graph.add_edge(START, "left")
graph.add_edge(START, "right")
graph.add_edge(["left", "right"], "join")
graph.add_conditional_edges("join", enough)
graph.add_edge("ask", END)
result = graph.compile().invoke({"question": "How cold is it in Oslo?", "notes": [], "answer": ""})
print(result["notes"], result["answer"])
