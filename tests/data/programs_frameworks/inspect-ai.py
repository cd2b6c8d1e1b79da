"""inspect-ai: three samples at once with a tool, an agent that asks another, a score of each, and a solver of the user's."""

import os

from inspect_ai import Task, eval, task
from inspect_ai.agent import as_tool, handoff, react
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, accuracy, includes, scorer
from inspect_ai.solver import Generate, TaskState, generate, solver, system_message, use_tools
from inspect_ai.tool import tool

CITIES = ("Oslo", "Rome", "Lima")


@tool
def get_weather():
    async def execute(city: str) -> str:
        """The weather of a city.

        Args:
            city: The name of the city.
        """
        return f"{city}: -3 degrees, process {os.getpid()}"

    return execute


@solver
def note():
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.metadata["noted"] = True
        return state

    return solve


@scorer(metrics=[accuracy()])
def is_short():
    async def score(state, target):
        return Score(value=len(state.output.completion) < 80)

    return score


@task
def forecast():
    samples = [Sample(id=city, input=f"How cold is it in {city}?", target=city) for city in CITIES]
    solvers = [note(), system_message("Be brief."), use_tools(get_weather()), generate()]
    return Task(dataset=samples, solver=solvers, scorer=[includes(), is_short()])


@task
def delegation():
    scout = react(name="scout", description="Knows the weather.", tools=[get_weather()], submit=False)
    planner = react(name="planner", tools=[as_tool(scout)], submit=False)
    refunds = react(name="refunds", description="Pays money back.", submit=False)
    front = react(name="front", tools=[handoff(refunds)], submit=False)
    samples = [Sample(id="plan", input="What to wear in Oslo?")]
    return Task(dataset=samples, solver=[planner, front], scorer=includes())


logs = eval(
    [forecast(), delegation()],
    model="openai/gpt-4o-mini",
    display="none",
    log_dir="logs",
    max_samples=3,
)
for log in logs:
    print(log.eval.task, log.status, log.error)
    for sample in sorted(log.samples, key=lambda sample: str(sample.id)):
        scores = {name: score.value for name, score in sample.scores.items()}
        print(sample.id, sample.output.completion.splitlines()[:1], scores)
