"""Plan a day trip: a graph of LangGraph with a guide that calls tools, and an editor that writes the plan."""

from pathlib import Path
from typing import Annotated, TypedDict

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode

from places import TOOLS
from tone import TONES, describe

HERE = Path(__file__).parent
GUIDE = (HERE / "guide.txt").read_text()
MAX_STEPS = 3


class State(TypedDict):
    """What the nodes share."""

    messages: Annotated[list, add_messages]
    steps: int
    plan: str


def guide(state):
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0).bind_tools(TOOLS)
    system = SystemMessage(GUIDE.format(tone=describe("calm")))
    answer = model.invoke([system, *state["messages"]])
    return {"messages": [answer], "steps": state["steps"] + 1}


def edit(state):
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0)
    notes = state["messages"][-1].content
    prompt = f"Write a plan for the day in {TONES['editor']} words.\n\n{notes}"
    return {"plan": model.invoke([HumanMessage(prompt)]).content}


def route(state):
    last = state["messages"][-1]
    if last.tool_calls and state["steps"] < MAX_STEPS:
        return "tools"
    return "edit"


def build():
    graph = StateGraph(State)
    graph.add_node("guide", guide)
    graph.add_node("tools", ToolNode(TOOLS))
    graph.add_node("edit", edit)
    graph.add_edge(START, "guide")
    graph.add_conditional_edges("guide", route, ["tools", "edit"])
    graph.add_edge("tools", "guide")
    graph.add_edge("edit", END)
    return graph.compile()


def main():
    question = HumanMessage("A day in Bergen with two children, please.")
    final = build().invoke({"messages": [question], "steps": 0, "plan": ""})
    print(final["plan"])
    print("steps:", final["steps"])
    (HERE / "plan.txt").write_text("Plan for the day\n\n" + final["plan"] + "\n")


if __name__ == "__main__":
    main()
