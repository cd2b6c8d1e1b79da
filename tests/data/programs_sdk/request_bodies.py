"""Sends a request in every way in which a body can be sent, with one client: `python request_bodies.py CLIENT WORD`."""

import asyncio
import gzip
import http.client
import importlib
import io
import json
import os
import sys
import tempfile

CLIENT, WORD = sys.argv[1:]
SERVER = os.environ["SERVER"]
CHAT, MOVED, UPLOAD = f"{SERVER}/v1/chat/completions", f"{SERVER}/moved", f"{SERVER}/upload"
JSON = {"Content-Type": "application/json"}
GZIP = {**JSON, "Content-Encoding": "gzip"}
PROGRESS = []


def text(way):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": f"{WORD} {way}"}]})


def data(way):
    return text(way).encode()


def packed(way):
    return gzip.compress(data(way))


def pieces(way):
    PROGRESS.append(f"start {way}")
    yield data(way)[:20]
    yield data(way)[20:]
    PROGRESS.append(f"end {way}")


async def async_pieces(way):
    for piece in pieces(way):
        await asyncio.sleep(0)
        yield piece


def file(way):
    handle = tempfile.TemporaryFile()
    handle.write(data(way))
    handle.seek(0)
    return handle


def pipe(way):
    reader, writer = os.pipe()
    with open(writer, "wb") as filled:
        filled.write(data(way))
    return open(reader, "rb")


def show(way, answer):
    print(way, answer, PROGRESS, flush=True)
    PROGRESS.clear()


def httpx_ways(httpx, client):
    def rebuilt(way):
        first = client.build_request("POST", CHAT, content=data(way), headers=JSON)
        return client.send(httpx.Request(first.method, first.url, headers=first.headers, stream=first.stream))

    def hooked(way):
        request = client.build_request("POST", CHAT, content=data("to be replaced"), headers=JSON)
        request.stream = httpx.ByteStream(data(way))
        request.headers["content-length"] = str(len(data(way)))
        return client.send(request)

    class Auth(httpx.Auth):
        def auth_flow(self, request):
            yield request
            headers = {**request.headers, "Authorization": "Bearer x"}
            yield httpx.Request(request.method, request.url, headers=headers, stream=request.stream)

    def post(url=CHAT, headers=JSON, **how):
        return lambda way: client.post(
            url, headers=headers, **{name: make(way) for name, make in how.items()}
        )

    return {
        "bytes": post(content=data),
        "str": post(content=text),
        "json": post(json=lambda way: json.loads(text(way))),
        "gzip": post(content=packed, headers=GZIP),
        "built": lambda way: client.send(client.build_request("POST", CHAT, content=data(way), headers=JSON)),
        "rebuilt": rebuilt,
        "replaced": hooked,
        "authorized": lambda way: client.post(f"{SERVER}/auth", content=data(way), headers=JSON, auth=Auth()),
        "307": post(url=f"{MOVED}/307", content=data),
        "308": post(url=f"{MOVED}/308", content=data),
        "form": post(url=UPLOAD, headers={}, data=lambda way: {"way": f"{WORD} {way}"}),
        "files": post(url=UPLOAD, headers={}, files=lambda way: {"f": ("a.json", data(way))}),
    }


def run_httpx(httpx):
    with httpx.Client(trust_env=False, follow_redirects=True) as client:
        ways = httpx_ways(httpx, client) | {
            "iterator": lambda way: client.post(CHAT, content=pieces(way), headers=JSON),
            "list": lambda way: client.post(CHAT, content=[*pieces(way)], headers=JSON),
            "file": lambda way: client.post(CHAT, content=file(way), headers=JSON),
            "upload": lambda way: client.post(UPLOAD, files={"f": file(way)}),
        }
        for way, send in ways.items():
            show(way, send(way).text)
        request = client.build_request("POST", CHAT, content=pieces("not read"), headers=JSON)
        client.send(request)
        try:
            show("not read", request.content)
        except httpx.RequestNotRead as error:
            show("not read", type(error).__name__)


async def run_httpx_async(httpx):
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as client:
        ways = httpx_ways(httpx, client) | {
            "iterator": lambda way: client.post(CHAT, content=async_pieces(way), headers=JSON),
        }
        for way, send in ways.items():
            show(way, (await send(way)).text)


async def run_aiohttp(aiohttp):
    def form(way):
        form = aiohttp.FormData()
        form.add_field("way", way)
        form.add_field("f", file(way), filename="a.json", content_type="application/json")
        return form

    ways = {
        "bytes": (CHAT, data, JSON),
        "str": (CHAT, text, JSON),
        "iterator": (CHAT, async_pieces, JSON),
        "file": (CHAT, file, JSON),
        "pipe": (CHAT, pipe, JSON),
        "buffer": (CHAT, lambda way: io.BytesIO(data(way)), JSON),
        "text file": (CHAT, lambda way: io.StringIO(text(way)), JSON),
        "gzip": (CHAT, packed, GZIP),
        "307": (f"{MOVED}/307", data, JSON),
        "308": (f"{MOVED}/308", file, JSON),
        "form": (UPLOAD, lambda way: {"way": f"{WORD} {way}"}, {}),
        "files": (UPLOAD, form, {}),
    }
    async with aiohttp.ClientSession() as session:
        for way, (url, make, headers) in ways.items():
            async with session.post(url, data=make(way), headers=headers) as response:
                show(way, await response.text())
        async with session.post(CHAT, json=json.loads(text("json"))) as response:
            show("json", await response.text())
        async with session.post(CHAT, data=data("compressed"), compress="gzip", headers=JSON) as response:
            show("compressed", await response.text())


def run_requests(requests):
    ways = {
        "bytes": (CHAT, data, JSON),
        "str": (CHAT, text, JSON),
        "iterator": (CHAT, pieces, JSON),
        "file": (CHAT, file, JSON),
        "gzip": (CHAT, packed, GZIP),
        "307": (f"{MOVED}/307", data, JSON),
        "308": (f"{MOVED}/308", file, JSON),
        "form": (UPLOAD, lambda way: {"way": f"{WORD} {way}"}, {}),
    }
    with requests.Session() as session:
        session.trust_env = False
        for way, (url, make, headers) in ways.items():
            show(way, session.post(url, data=make(way), headers=headers).text)
        show("files", session.post(UPLOAD, files={"f": file("files")}).text)
        show("json", session.post(CHAT, json=json.loads(text("json"))).text)


def run_urllib3(urllib3):
    ways = {
        "bytes": (data, JSON),
        "str": (text, JSON),
        "view": (lambda way: memoryview(data(way)), JSON),
        "iterator": (pieces, JSON),
        "file": (file, JSON),
        "pipe": (pipe, JSON),
        "text file": (lambda way: io.StringIO(text(way)), JSON),
        "gzip": (packed, GZIP),
    }
    pool = urllib3.PoolManager()
    for way, (make, headers) in ways.items():
        show(way, pool.request("POST", CHAT, body=make(way), headers=headers).data)
    show("307", pool.request("POST", f"{MOVED}/307", body=data("307"), headers=JSON).data)
    show("files", pool.request("POST", UPLOAD, fields={"f": ("a.json", data("files"))}).data)


def run_http_client(_module):
    connection = http.client.HTTPConnection(SERVER.removeprefix("http://"))

    def show_response(way):
        show(way, connection.getresponse().read())

    for way, make, headers in (
        ("bytes", data, JSON),
        ("iterator", pieces, JSON),
        ("file", file, JSON),
        ("pipe", pipe, JSON),
        ("gzip", packed, GZIP),
    ):
        connection.request("POST", "/v1/chat/completions", make(way), headers)
        show_response(way)
    for way, make in (("buffers", lambda way: map(bytearray, pieces(way))), ("file by hand", file)):
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("Content-Length", str(len(data(way))))
        connection.endheaders()
        connection.send(make(way))
        show_response(way)


RUNS = {
    "httpx": run_httpx,
    "httpx2": run_httpx,
    "httpx async": lambda httpx: asyncio.run(run_httpx_async(httpx)),
    "httpx2 async": lambda httpx: asyncio.run(run_httpx_async(httpx)),
    "aiohttp": lambda aiohttp: asyncio.run(run_aiohttp(aiohttp)),
    "requests": run_requests,
    "urllib3": run_urllib3,
    "http.client": run_http_client,
}
RUNS[CLIENT](importlib.import_module(CLIENT.split()[0]))
