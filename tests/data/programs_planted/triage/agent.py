"""Sort incoming tickets, several at once in threads; the exit status counts what is urgent."""

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from openai import OpenAI

from checks import CHECKS, Overload, TicketError
from tickets import TICKETS, describe

MODEL = "gpt-4o-mini"
INSTRUCTION = os.environ.get("TRIAGE_INSTRUCTION", "Rate the ticket: low, normal or urgent.")


def rate(client, number):
    messages = [
        {"role": "system", "content": INSTRUCTION},
        {"role": "user", "content": describe(number)},
    ]
    offered = [check.schema for check in CHECKS.values()]
    for _ in range(5):
        response = client.chat.completions.create(model=MODEL, messages=messages, tools=offered)
        message = response.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            try:
                result = CHECKS[call.function.name].run(**json.loads(call.function.arguments))
            except TicketError as error:
                result = f"error: {error}"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": str(result)})
    raise Overload(f"ticket {number} takes too many turns")


def parse(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fail-at", type=int, default=9)
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    with OpenAI() as client, ThreadPoolExecutor(options.threads) as pool:
        ratings = list(pool.map(lambda number: rate(client, number), sorted(TICKETS)))
    for number, rating in zip(sorted(TICKETS), ratings, strict=True):
        print(number, rating)
    urgent = sum("urgent" in rating for rating in ratings)
    if urgent >= options.fail_at:
        raise SystemExit("too much is urgent")
    check_budget(len(ratings), urgent)
    return urgent


def check_budget(rated, urgent, most=8):
    if rated > most:
        raise Overload(f"{rated} tickets are too many")
    if urgent == 0:
        os._exit(7)


if __name__ == "__main__":
    sys.exit(main())
