"""What it costs to record an agent and to run it again, beside reeltime, and whether a re-run costs less than importing the SDK.

The agent uses the OpenAI SDK and a tool, sends the last messages of its conversation, and is the same unmodified file
for all. It is recorded from a scripted server in another process, which answers at once: the worst case, because a real
model takes a thousand times as long. Then the server is stopped, and the agent runs again on what each tool has
recorded; all have to say the same. The floor is the agent on answers within its own process: its client is made as for
a server, with all that takes, and opens no socket.

reeltime records requests; we record the calls of the tool as well, and write down the re-run as a trace of its own.
Time on the clock is what counts; the time of the processors is shown beside it, for machines that others work on too.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from serving import serving
from timing import Rounds, differences, holds, interleaved, process, ratios, show, spread

TURNS = 200
MOST = 16  # messages that the agent sends
ROUNDS = 5
SCRIPT = """\
import json


def answer(path, request):
    said = request.rpartition(b'"tool_call_id":"call_')[2]
    turn = 1 + int(said[: said.index(b'"')]) if len(said) < len(request) else 0
    asked = {"id": f"call_{turn}", "type": "function"}
    asked["function"] = {"name": "find", "arguments": json.dumps({"parcel": turn})}
    message = {"role": "assistant", "content": f"I look for parcel {turn}.", "tool_calls": [asked]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}
    usage = {"prompt_tokens": 100 + turn, "completion_tokens": 20, "total_tokens": 120 + turn}
    whole = {"id": f"chatcmpl-{turn}", "object": "chat.completion", "created": 1735689600, "model": "gpt-4o-mini"}
    return json.dumps({**whole, "choices": [choice], "usage": usage}).encode()
"""
AGENT = """\
import hashlib
import json
import sys

import openai

url, turns, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
TOOLS = [{"type": "function", "function": {"name": "find", "description": "Where a parcel is.", "parameters":
    {"type": "object", "properties": {"parcel": {"type": "integer"}}, "required": ["parcel"]}}}]


def find(parcel):
    return {"parcel": parcel, "city": "Zurich", "days": parcel % 5}


def client():
    if url != "within":
        return openai.OpenAI(base_url=url + "/v1", api_key="unused")
    from script import answer
    http = sys.modules.get("httpx2") or sys.modules["httpx"]
    headers = {"content-type": "application/json"}

    class Within(http.HTTPTransport):
        def handle_request(self, request):
            return http.Response(200, headers=headers, content=answer("", request.read()))

    return openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="unused",
                         http_client=openai.DefaultHttpxClient(transport=Within()))


def turn(model, messages):
    asked = messages[:1] + messages[1:][-most:]
    said = model.chat.completions.create(model="gpt-4o-mini", messages=asked, tools=TOOLS).choices[0].message
    messages.append(said.model_dump(exclude_none=True))
    for call in said.tool_calls:
        found = json.dumps(find(**json.loads(call.function.arguments)))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": found})


messages = [{"role": "user", "content": "Where are my parcels?"}]
with client() as model:
    for _ in range(turns):
        turn(model, messages)
print(len(messages), hashlib.sha256(json.dumps(messages).encode()).hexdigest())
"""
DEBUG = [sys.executable, "-c", "from namel3ss_debug.cli.main import debug; debug()"]
TAPE = [sys.executable, "-c", "import sys; from reeltime.cli import main; sys.exit(main())"]
RECORD = {
    "not recorded": [sys.executable],
    "namel3ss-debug": [*DEBUG, "trace", "-o", "run.jsonl"],
    "reeltime": [*TAPE, "run", sys.executable],
}
AGAIN = {
    "namel3ss-debug": [*DEBUG, "rerun", "run.jsonl"],
    "reeltime": [*TAPE, "replay", "last", "--strict"],
}
PLAIN, OURS, RIVAL = RECORD
FLOOR, IMPORT, NOTHING = "on answers within the agent", "import openai", "pass"


def main() -> int:
    """Measure, print, and return the exit status: 0 when all claims hold."""
    rivals = (RIVAL,) if importlib.util.find_spec("reeltime") is not None else ()
    if not rivals:
        print("reeltime is not installed: ours is shown alone")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, text in {"script.py": SCRIPT, "agent.py": AGENT}.items():
            Path(name).write_text(text)
        os.environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        # The first round compiles everything, as installing a package does.
        os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        claims = [*recording(rivals), *running_again(rivals)]
    return 0 if all(claims) else 1


def recording(rivals: tuple[str, ...]) -> list[bool]:
    """What recording adds to each turn; the recordings of all the turns are kept."""
    with serving("script") as url:

        def command(who: str, turns: int) -> list[str]:
            return [*RECORD[who], "agent.py", url, str(turns), str(MOST)]

        each = ((who, turns) for turns in (1, TURNS) for who in (PLAIN, OURS, *rivals))
        taken, cpu = measured({f"{who}, {turns} turns": command(who, turns) for who, turns in each})
        for who in (OURS, *rivals):
            printed(command(who, TURNS))
    print("The agent while it is recorded, whole processes:")
    show(taken, 1e3, " ms")
    added = {who: added_by(taken, who) for who in (OURS, *rivals)}
    for who, turn in added.items():
        busy = spread(added_by(cpu, who), 1e3, " ms")
        print(f"{who} adds {spread(turn, 1e3, ' ms')} to a turn; of a processor {busy}")
    claims = [
        holds(f"recording a turn / {who}", median(added[OURS]) / median(added[who]), 1.0) for who in rivals
    ]
    for who in rivals:
        whole = ratios(cpu, f"{OURS}, {TURNS} turns", f"{who}, {TURNS} turns")
        claims.append(holds(f"recording {TURNS} turns / {who}, whole, of a processor", median(whole), 0.9))
    return claims


def added_by(taken: Rounds, who: str) -> list[float]:
    """What recording adds to a turn, without what it adds to a process once, in seconds."""
    once, often = (
        differences(taken, f"{who}, {turns} turns", f"{PLAIN}, {turns} turns") for turns in (1, TURNS)
    )
    return [(more - start) / (TURNS - 1) for more, start in zip(often, once, strict=True)]


def running_again(rivals: tuple[str, ...]) -> list[bool]:
    """What it takes to run the agent again, and what of that is neither its own work nor the import of its SDK."""
    commands = {FLOOR: [sys.executable, "agent.py", "within", str(TURNS), str(MOST)]}
    commands |= {who: AGAIN[who] for who in (OURS, *rivals)}
    said = {who: printed(command) for who, command in commands.items()}
    assert len(set(said.values())) == 1, f"the agent does not say the same: {said}"
    taken, cpu = measured(commands | {what: [sys.executable, "-c", what] for what in (IMPORT, NOTHING)})
    print(f"The agent of {TURNS} turns runs again, whole processes:")
    show(taken, 1e3, " ms")
    print("The same, time of processors:")
    show(cpu, 1e3, " ms")
    claims = [holds(f"running again / {who}", median(ratios(taken, OURS, who)), 1.0) for who in rivals]
    claims.extend(
        holds(f"running again / {who}, of a processor", median(ratios(cpu, OURS, who)), 0.9) for who in rivals
    )
    claims.append(holds(f"running again, beside the agent's own work / {IMPORT}", median(shares(taken)), 1.0))
    print(f"      of a processor: {spread(shares(cpu))}")
    return claims


def shares(taken: Rounds) -> list[float]:
    """What our re-run takes beside the agent's own work, as a share of the import of the SDK."""
    beside, importing = differences(taken, OURS, FLOOR), differences(taken, IMPORT, NOTHING)
    return [more / imported for more, imported in zip(beside, importing, strict=True)]


def measured(commands: dict[str, list[str]]) -> tuple[Rounds, Rounds]:
    """What processes take by the clock, and of processors."""
    busy: Rounds = {name: [] for name in commands}

    def run(name: str) -> float:
        ended = process(commands[name])
        busy[name].append(ended.cpu)
        return ended.seconds

    taken = interleaved({name: partial(run, name) for name in commands}, ROUNDS)
    return taken, {name: values[-ROUNDS:] for name, values in busy.items()}


def printed(command: list[str]) -> str:
    """What a command says on stdout; it ends with status 0."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
