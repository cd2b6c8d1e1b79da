"""Write a report on the sales of a week: progress on the terminal, a page, a table and a log as files."""

import csv
import json
import logging
import sys
from pathlib import Path

from openai import OpenAI

from page import as_page, footer
from progress import Progress, say, warn

HERE = Path(__file__).parent
OUT = HERE / "out"
MODEL = "gpt-4o-mini"
SALES = [("Mon", 120), ("Tue", 80), ("Wed", 155), ("Thu", 95)]
TARGET = 100

log = logging.getLogger("report")


def best_day() -> str:
    """Return the day with the most sales."""
    day, amount = max(SALES, key=lambda row: row[1])
    return f"{day} with {amount}"


def total_sales(currency: str = "EUR") -> dict:
    """Return what was sold in the week."""
    total = sum(amount for _, amount in SALES)
    say(f"adding {len(SALES)} days")
    return {"total": total, "currency": currency}


TOOLS = {"best_day": best_day, "total_sales": total_sales}
OFFERED = [
    {"type": "function", "function": {"name": name, "description": tool.__doc__, "parameters": {"type": "object", "properties": {}}}}
    for name, tool in TOOLS.items()
]


def ask(client, messages):
    progress = Progress(len(TOOLS) + 1)
    while True:
        progress.step()
        response = client.chat.completions.create(model=MODEL, messages=messages, tools=OFFERED)
        message = response.choices[0].message
        if not message.tool_calls:
            progress.done()
            return message.content, response.usage
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            result = TOOLS[call.function.name](**json.loads(call.function.arguments))
            log.info("%s returned %s", call.function.name, result)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})


def write(text, usage):
    OUT.mkdir(exist_ok=True)
    (OUT / "report.md").write_text(as_page("Sales", text), encoding="utf-8")
    with open(OUT / "sales.csv", "w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["day", "amount", "reached"])
        for day, amount in SALES:
            writer.writerow([day, amount, "yes" if amount >= TARGET else "no"])
    with open(HERE / "history.log", "a") as history:
        history.write(f"report of {len(text)} characters\n")
    with open(OUT / "meta.json", "w") as file:
        json.dump({"model": MODEL, "days": len(SALES)}, file, indent=2)
    return usage.total_tokens


def main():
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s", stream=sys.stderr)
    messages = [
        {"role": "system", "content": "You write short reports."},
        {"role": "user", "content": "How was the week?"},
    ]
    with OpenAI() as client:
        text, usage = ask(client, messages)
    tokens = write(text, usage)
    print(text)
    print(f"{tokens} tokens" if tokens > 100 else "few tokens", file=sys.stderr)
    below = [day for day, amount in SALES if amount < TARGET]
    if below:
        warn(f"below the target: {', '.join(below)}")
    print(footer("Nordlicht"))


if __name__ == "__main__":
    main()
