"""What the scripted model says to the programs beside this file: a call of the first tool, then an answer."""

from __future__ import annotations

from scripted_model import call, say


CALLED = 'get_weather\n\n[[ ## next_tool_args ## ]]\n{"city": "Oslo"}'
"""How a model asks ReAct of dspy for a tool."""


COMMANDS = [
    "echo 'how cold it is' > notes.txt && cat notes.txt",
    "grep -c warm notes.txt; printf 'b\\na\\n' | sort | head -1; echo $((6 * 7)); printf '\\303\\244\\n'",
    "echo waiting; sleep 60",
    "rm notes.txt; kill -TERM $$",
    "printf 'COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\\nDress warmly.\\n'",
]
"""What mini-swe-agent is asked to run: files, a failure in a pipeline, a timeout, a signal, and its word for the end."""


def answer(request):
    """The reply to a decoded request: a tool is asked for once, a hand-off before any other."""
    parts = [part for message in request["messages"] for part in message["parts"]]
    heard = " ".join(part["content"] for part in parts if part["type"] == "text")
    tools = sorted((tool["name"] for tool in request["tools"]), key=lambda name: name == "final_answer")
    done = {part.get("name") for part in parts if part["type"] == "tool_call"}
    transfer = next((name for name in tools if name.startswith("transfer_to") and name not in done), None)
    words = "It is cold in Oslo. \N{SNOWMAN}" if "Oslo" in heard else "Dress warmly."
    if tools == ["bash"]:
        done = sum(part["type"] == "tool_call_response" for part in parts)
        return say("", call("bash", command=COMMANDS[done]))
    last = " ".join(str(part.get("content")) for part in request["messages"][-1]["parts"])
    if transfer:
        return say("", call(transfer, **arguments(request["tools"], transfer)))
    if "final_answer" in tools and (len(tools) == 1 or "Observation:" in last):  # smolagents
        return say("", call("final_answer", answer=words))
    if "[[ ## next_tool_name ## ]]" in heard:  # ReAct of dspy
        step = "finish\n\n[[ ## next_tool_args ## ]]\n{}" if "degrees" in last else CALLED
        return say(f"[[ ## next_thought ## ]]\nDo it.\n\n[[ ## next_tool_name ## ]]\n{step}")
    if "[[ ## answer ## ]]" in heard:
        return say(f"[[ ## reasoning ## ]]\nIt says so.\n\n[[ ## answer ## ]]\n{words}")
    if "<code>" in heard:  # an agent of smolagents that writes code
        code = "final_answer(told)" if "Execution logs" in last else "told = get_weather(city='Oslo')"
        return say(f"Thought: do it.\n<code>\n{code}\n</code>")
    if "Validation Error" in str(request["messages"][-1]["parts"]) and tools:  # instructor
        return say("", call(tools[0], **arguments(request["tools"], tools[0])))
    if tools and not any(part["type"] == "tool_call_response" for part in parts):
        return say("", call(tools[0], **(arguments(request["tools"], tools[0]) or {"city": "Oslo"})))
    return say(words)


def arguments(tools, name):
    """What a tool is given, of what it takes."""
    takes = next((tool.get("parameters") or {} for tool in tools if tool["name"] == name), {})
    known = {"city": "Oslo", "input": "How cold is it in Oslo?", "request": "How cold is it?", "task": "How cold is it?", "agent_name": "refunds"}
    known |= {"to_agent": "Packer", "reason": "It is cold."}  # to hand over in LlamaIndex
    known |= {"member_id": "scout"}  # to delegate in agno
    return {key: known[key] for key in takes.get("properties", {}) if key in known}
