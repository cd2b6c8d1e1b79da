"""ReAct of DSPy, whose tools a model names in its text; the result of one is of this run alone."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import dspy


class Weather:
    def __call__(self, city: str) -> str:
        """The weather of a city."""
        return f"{city}: -3 degrees, process {os.getpid()}"


dspy.configure(lm=dspy.LM("openai/gpt-4o-mini", cache=False))
agent = dspy.ReAct("question -> answer", tools=[dspy.Tool(Weather(), name="get_weather")], max_iters=3)
print(agent(question="How cold is it in Oslo?").answer)
