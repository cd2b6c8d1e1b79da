"""An agent on the standard library alone: an answer whole, one streamed line by line, tools, a 429 repeated, a kept connection."""

import http.client
import json
import os
import urllib.error
import urllib.request
from urllib.parse import urlsplit

URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_time")
]


def get_weather(city):
    return {"city": city, "temp_c": {"Paris": 21, "Oslo": 12}[city]}


def get_time(zone):
    return f"12:00 {zone}"


def post(messages, attempt=0, **more):
    body = json.dumps({"model": "gpt-4o-mini", "messages": messages, **more}).encode()
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY')}",
        "x-stainless-retry-count": str(attempt),
    }
    return urllib.request.urlopen(urllib.request.Request(URL, body, headers), timeout=20)


def said(text):
    return [{"role": "user", "content": text}]


def stream():
    with post(said("count to eight"), stream=True) as response:
        for line in response:
            if line.startswith(b"data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    print(choice["delta"].get("content") or "", end="", flush=True)
    print()


def insist():
    for attempt in range(3):
        try:
            with post(said("are you busy?"), attempt) as response:
                return json.load(response)["choices"][0]["message"]["content"]
        except urllib.error.HTTPError as error:
            told = json.load(error)["error"]["message"]
            print(error.code, error.reason, error.headers["retry-after-ms"], told)


def use_tools():
    messages = said("weather?")
    while True:
        with post(messages, tools=TOOLS) as response:
            message = json.load(response)["choices"][0]["message"]
        messages.append(message)
        if not message.get("tool_calls"):
            return message["content"]
        for call in message["tool_calls"]:
            result = globals()[call["function"]["name"]](**json.loads(call["function"]["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)})


def keep_connection():
    address = urlsplit(URL)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    for text in ("first", "second"):
        body = json.dumps({"model": "gpt-4o-mini", "messages": said(text)})
        connection.request("POST", address.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())["choices"][0]["message"]["content"]
        print(response.status, response.reason, response.will_close, answer)
    connection.close()


with post(said("hello")) as response:
    print(response.status, response.url == URL, json.load(response)["choices"][0]["message"]["content"])
stream()
print(insist())
print(use_tools())
keep_connection()
try:
    urllib.request.urlopen("http://127.0.0.1:9/")
except urllib.error.URLError as error:
    print(repr(error.reason))
