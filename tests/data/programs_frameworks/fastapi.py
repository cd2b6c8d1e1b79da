"""FastAPI under uvicorn: two requests at once, whose agents call a tool and a model; a streamed one; a background task."""

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore, Thread

import httpx
import uvicorn
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI

app = FastAPI()
client = AsyncOpenAI()
noted = Semaphore(0)
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


async def get_weather(city):
    await asyncio.sleep(0)
    return {"city": city, "temp_c": -3}


async def chat(messages, **more):
    return await client.chat.completions.create(model="gpt-4o-mini", messages=messages, **more)


async def note(city):
    await chat([{"role": "user", "content": f"Note that somebody asked for {city}."}])
    noted.release()


@app.post("/weather/{city}")
async def weather(city: str, background: BackgroundTasks):
    messages = [{"role": "user", "content": f"How cold is it in {city}? Oslo is colder."}]
    asked = (await chat(messages, tools=TOOLS)).choices[0].message
    messages.append(asked)
    for each in asked.tool_calls:
        result = await get_weather(**json.loads(each.function.arguments))
        messages.append({"role": "tool", "tool_call_id": each.id, "content": json.dumps(result)})
    background.add_task(note, city)
    return {"city": city, "text": (await chat(messages, tools=TOOLS)).choices[0].message.content}


@app.get("/clothes")
def clothes():
    async def words():
        messages = [{"role": "user", "content": "And what to wear?"}]
        stream = await chat(messages, stream=True, stream_options={"include_usage": True})
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return StreamingResponse(words(), media_type="text/plain")


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, timeout=60) as browser, ThreadPoolExecutor() as pool:
        for answer in pool.map(lambda city: browser.post(f"/weather/{city}"), ("Bergen", "Bodo")):
            print(answer.status_code, answer.json())
        with browser.stream("GET", "/clothes") as streamed:
            print(streamed.status_code, "".join(streamed.iter_text()))
    for _ in range(2):
        noted.acquire()
    server.should_exit = True
    thread.join()


main()
