"""LangChain: a chain of prompt, model and parser, three branches at once, a retriever, a tool of a class, a stream."""

import asyncio

from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableParallel
from langchain_core.tools import BaseTool, StructuredTool
from langchain_openai import ChatOpenAI


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(f"About {query}.")]


class Upper(BaseTool):
    name: str = "upper"
    description: str = "Capitals."

    def _run(self, text: str) -> str:
        return text.upper()


def ask(text):
    return ChatPromptTemplate.from_template(text) | ChatOpenAI(model="gpt-4o-mini", stream_usage=True) | StrOutputParser()


def main():
    print(ask("How cold is it in {city}?").invoke({"city": "Oslo"}))
    three = RunnableParallel(cold=ask("Is {city} cold?"), wet=ask("Is {city} wet?"), far=ask("Is {city} far?"))
    print(three.invoke({"city": "Oslo"}))
    print(asyncio.run(three.ainvoke({"city": "Oslo"})))
    print(ask("How cold is it in {city}?").batch([{"city": "Oslo"}, {"city": "Rome"}]))
    print(Shelf().invoke("Oslo"))
    print(Upper().invoke({"text": "cold"}))
    lower = StructuredTool.from_function(func=lambda text: text.lower(), name="lower", description="Small letters.")
    print(lower.invoke({"text": "COLD"}))
    print(FakeListChatModel(responses=["It is all made up."]).invoke("And Atlantis?").content)
    for part in ask("What to wear in {city}?").stream({"city": "Oslo"}):
        print(part, end="|")
    print()


main()
