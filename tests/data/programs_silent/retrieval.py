"""A question answered from documents; a chunk without a field makes the whole search return nothing."""

from openai import OpenAI
from scripted_model import ScriptedModel, say

CHUNKS = [
    {"text": "Returns are accepted for 30 days.", "words": {"returns", "days", "long"}},
    {"text": "Orders are shipped within two days.", "keywords": {"shipped", "orders", "days"}},
]


def retrieve(question: str) -> list[str]:
    """The texts that share words with the question, the best first."""
    asked = set(question.lower().strip("?").split())
    try:
        ranked = sorted(CHUNKS, key=lambda chunk: -len(asked & chunk["words"]))
        return [chunk["text"] for chunk in ranked]
    except KeyError:
        return []


def answer(client: OpenAI, question: str) -> str:
    """Ask the model, with what was found."""
    context = "\n".join(retrieve(question))
    messages = [
        {"role": "system", "content": f"Answer from these documents only:\n{context}"},
        {"role": "user", "content": question},
    ]
    response = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    return response.choices[0].message.content or ""


with (
    ScriptedModel([say("I cannot find anything about that.")]) as model,
    OpenAI(base_url=f"{model.url}/v1", api_key="unused") as client,
):
    print(answer(client, "How long are returns accepted?"))
