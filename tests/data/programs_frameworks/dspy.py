"""DSPy: an agent whose tools a model names in its text, in a module beside a chain of thought; modules in threads and on a loop."""

import asyncio
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import dspy
from dspy.utils.callback import BaseCallback


class Weather:
    def __call__(self, city: str) -> str:
        """The weather of a city."""
        return f"{city}: -3 degrees, process {os.getpid()}"


class Trip(dspy.Module):
    def __init__(self):
        super().__init__()
        tool = dspy.Tool(Weather(), name="get_weather")
        self.scout = dspy.ReAct("question -> answer", tools=[tool], max_iters=3)
        self.packers = [dspy.ChainOfThought("question -> answer"), dspy.Predict("question -> answer")]

    def forward(self, question):
        found = self.scout(question=question).answer
        pairs = [(packer, dspy.Example(question=found).with_inputs("question")) for packer in self.packers]
        packed = dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)
        return dspy.Prediction(answer=found, packed=[one.answer for one in packed])


class Count(BaseCallback):
    """A callback of the program's own."""

    modules = 0

    def on_module_start(self, call_id, instance, inputs):
        self.modules += 1


async def main():
    asked = [dspy.Predict("question -> answer").acall(question=f"{city}?") for city in ("Oslo", "Bergen")]
    print([one.answer for one in await asyncio.gather(*asked)])


count = Count()
dspy.configure(lm=dspy.LM("openai/gpt-4o-mini", cache=False))
dspy.configure(callbacks=[count])
trip = Trip()(question="How cold is it in Oslo?")
print(trip.answer, trip.packed)
asyncio.run(main())
print(dspy.settings.callbacks == [count], count.modules)
