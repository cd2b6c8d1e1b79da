"""The edits that `planted_edits.py` plants: each a file of a program, a text that it holds once, and the new text.

The programs are in `tests/data/programs_planted`, and what their model answers is in `planted_models.py`. Nothing in this
table claims what an edit does: that is measured by running the edited program.
"""

from __future__ import annotations

from typing import NamedTuple


class Edit(NamedTuple):
    """An edit of a program.

    Attributes:
        program: the folder of the program.
        kind: what is edited; the rows of the report.
        name: what is changed, in a few words; of one program no two edits have the same name.
        file: the file, from the folder of the program.
        old: a text that the file holds exactly once.
        new: the text in its place.
    """

    program: str
    kind: str
    name: str
    file: str
    old: str
    new: str


PROMPT, SCHEMA, LOOP = "prompt", "offered tool or parameter", "loop"
TOOL, HELPER, DATA, CONSTANT = "tool", "helper function", "data file", "constant"
CLOSURE, PATCHED, METHOD, DEFAULT = "closure or partial", "patched constant", "method", "default argument"
DECORATOR, PACKAGE, SQL, COMMAND = "decorator", "local package", "SQL", "command"
OUTPUT, FILES, END = "output only", "files only", "end"
CHANGING = (
    PROMPT,
    SCHEMA,
    LOOP,
    TOOL,
    HELPER,
    DATA,
    CONSTANT,
    CLOSURE,
    PATCHED,
    METHOD,
    DEFAULT,
    DECORATOR,
    PACKAGE,
    SQL,
    COMMAND,
    OUTPUT,
    FILES,
    END,
)
"""The kinds of edits that change what a program visibly does, in the order of the report."""

COMMENT, LOCAL, ANNOTATION, LOGGING = "comment or docstring", "renamed local", "annotation", "logging call"
ORDER, LAYOUT, UNUSED, IMPORT = "order of definitions", "layout", "unused code", "import"
EQUAL = "equal value"
NEUTRAL = (COMMENT, LOCAL, ANNOTATION, LOGGING, ORDER, LAYOUT, UNUSED, IMPORT, EQUAL)
"""The kinds of edits that change nothing that a program does, in the order of the report."""

# fmt: off
EDITS = (
    # support: a loop of openai with helper modules
    Edit("support", PROMPT, "tone", "prompts.py", "friendly and brief", "formal and brief"),
    Edit("support", PROMPT, "rule added", "prompts.py", '    "Quote amounts in euros.",\n', '    "Quote amounts in euros.",\n    "Offer a voucher.",\n'),
    Edit("support", PROMPT, "example", "prompts.py", "It left our warehouse yesterday.", "It leaves our warehouse today."),
    Edit("support", PROMPT, "question", "agent.py", "What do I get back?", "Can I have a new one?"),
    Edit("support", SCHEMA, "temperature", "agent.py", "temperature=0.2", "temperature=0.7"),
    Edit("support", SCHEMA, "model", "agent.py", 'MODEL = "gpt-4o-mini"', 'MODEL = "gpt-4o"'),
    Edit("support", SCHEMA, "description", "tools.py", '"Look up an order."', '"Look up an order by its number."'),
    Edit("support", TOOL, "fewer fields", "tools.py", '"item": order["item"], "price"', '"price"'),
    Edit("support", TOOL, "error text", "tools.py", 'f"there is no order {order_id}"', 'f"order {order_id} is unknown"'),
    Edit("support", CONSTANT, "days of a carrier", "tools.py", '"DHL": 2', '"DHL": 3'),
    Edit("support", DEFAULT, "reason", "tools.py", 'reason: str = "damaged"', 'reason: str = "changed my mind"'),
    Edit("support", DEFAULT, "opened", "tools.py", "opened: bool = True", "opened: bool = False"),
    Edit("support", HELPER, "fee", "pricing.py", "RESTOCKING_FEE = 0.1\n", "RESTOCKING_FEE = 0.15\n"),
    Edit("support", HELPER, "days", "pricing.py", "REFUND_DAYS = 30", "REFUND_DAYS = 14"),
    Edit("support", HELPER, "condition", "pricing.py", "if opened and reason not in FULL_REFUND:", "if opened:"),
    Edit("support", HELPER, "currency", "wording.py", 'CURRENCY = "EUR"', 'CURRENCY = "€"'),
    Edit("support", HELPER, "limit of a result", "wording.py", "LIMIT = 400", "LIMIT = 40"),
    Edit("support", LOOP, "registry", "tools.py", '"shipping_estimate": shipping_estimate,', '"shipping_estimate": lambda order_id: "unknown",'),
    Edit("support", LOOP, "encoding of results", "agent.py", "shorten(json.dumps(result))", "shorten(json.dumps(result, indent=1))"),
    Edit("support", OUTPUT, "label", "agent.py", 'print("Agent:", answer)', 'print("Assistant:", answer)'),
    Edit("support", OUTPUT, "signature", "wording.py", "Kind regards", "Best regards"),
    Edit("support", OUTPUT, "progress line", "agent.py", 'print(f"[{turn}] {call', 'print(f"[{turn + 1}] {call'),
    Edit("support", END, "status", "agent.py", "    return 0\n", "    return len(answer) > 20\n"),
    Edit("support", COMMENT, "comment in a tool", "tools.py", "    if express:\n", "    # express saves a day\n    if express:\n"),
    Edit("support", COMMENT, "docstring of a helper", "pricing.py", "Return the share of the price that is paid back.", "Say how much of the price is paid back, from 0 to 1."),
    Edit("support", LOCAL, "local of a tool", "tools.py", 'amount = pricing.refund(order["price"], order["days_ago"], reason, opened)\n    log.debug("refund for %s", order_id)\n    return {"refund": money(amount)', 'paid = pricing.refund(order["price"], order["days_ago"], reason, opened)\n    log.debug("refund for %s", order_id)\n    return {"refund": money(paid)'),
    Edit("support", LOGGING, "line in a tool", "tools.py", '    log.debug("refund for %s", order_id)\n', '    log.debug("refund for order %s", order_id)\n    log.debug("reason %s", reason)\n'),
    Edit("support", UNUSED, "unused function", "wording.py", 'return "*** " + text + " ***"', 'return "=== " + text + " ==="'),
    Edit("support", UNUSED, "unused module", "notes.py", '"offer a voucher"', '"offer a voucher", "call back"'),
    Edit("support", ANNOTATION, "helper", "pricing.py", "def share(days_ago, reason):", "def share(days_ago: int, reason: str) -> float:"),
    # briefing: asynchronous workers, decorators, a stream
    Edit("briefing", PROMPT, "role", "agent.py", "Use the archive first.", "Use the statistics first."),
    Edit("briefing", PROMPT, "class attribute", "agent.py", 'style = "telegraphic"', 'style = "plain"'),
    Edit("briefing", PROMPT, "summary", "agent.py", "in two sentences", "in three sentences"),
    Edit("briefing", SCHEMA, "max_tokens", "agent.py", "max_tokens=200", "max_tokens=300"),
    Edit("briefing", SCHEMA, "docstring as description", "sources.py", "Return the installed capacity of a technology.", "Return what is installed of a technology."),
    Edit("briefing", TOOL, "format of a figure", "sources.py", "{value:,}", "{value:_}"),
    Edit("briefing", DEFAULT, "most", "sources.py", "most: int = 2", "most: int = 1"),
    Edit("briefing", DEFAULT, "unit", "sources.py", 'unit: str = "MW"', 'unit: str = "MWp"'),
    Edit("briefing", DEFAULT, "default of a helper", "sources.py", "factor=1000", "factor=1024"),
    Edit("briefing", DEFAULT, "shortest word", "sources.py", "shortest=6", "shortest=8"),
    Edit("briefing", DECORATOR, "argument", "sources.py", '@labelled("archive")', '@labelled("library")'),
    Edit("briefing", DECORATOR, "what it adds", "sources.py", '{"source": label, "data"', '{"from": label, "data"'),
    Edit("briefing", DECORATOR, "removed", "sources.py", '@labelled("statistics")\n', ""),
    Edit("briefing", CONSTANT, "archive", "sources.py", "Permits take four years.", "Permits take five years."),
    Edit("briefing", HELPER, "order", "sources.py", "return sorted(word.lower()", "return list(word.lower()"),
    Edit("briefing", HELPER, "cleaning", "digest.py", '" ".join(text.split())', '" ".join(text.split()).rstrip(".") + "."'),
    Edit("briefing", CLOSURE, "keyword of a partial", "digest.py", "functools.partial(indent, width=50)", "functools.partial(indent, width=12)"),
    Edit("briefing", CLOSURE, "sort key", "digest.py", "by_length = len\n", "by_length = str.lower\n"),
    Edit("briefing", LOOP, "encoding of results", "agent.py", ", sort_keys=True)}", ")}"),
    Edit("briefing", OUTPUT, "count", "agent.py", 'print(f"{len(notes)} notes")', 'print(f"{len(notes)} notes from {len(TOPICS)} topics")'),
    Edit("briefing", OUTPUT, "separator of chunks", "agent.py", 'content, end=""', 'content, end="|"'),
    Edit("briefing", OUTPUT, "case of the stream", "agent.py", "print(chunk.choices[0].delta.content, ", "print(chunk.choices[0].delta.content.upper(), "),
    Edit("briefing", COMMENT, "file of no program", "README.txt", "Run agent.py.", "Run agent.py with Python."),
    Edit("briefing", COMMENT, "docstring of a class", "agent.py", "One worker for one topic.", "A worker: it asks until it has a note."),
    Edit("briefing", LOCAL, "of a coroutine", "sources.py", 'found = ARCHIVE[topic][:most]\n    return {"notes": found, "keywords": keywords(" ".join(found))}', 'texts = ARCHIVE[topic][:most]\n    return {"notes": texts, "keywords": keywords(" ".join(texts))}'),
    Edit("briefing", LOCAL, "of a decorator", "sources.py", 'for attempt in itertools.count(1):\n                try:\n                    return await function(*arguments, **named)\n                except LookupError:\n                    if attempt >= times:\n                        return f"failed {attempt} times"', 'for count in itertools.count(1):\n                try:\n                    return await function(*arguments, **named)\n                except LookupError:\n                    if count >= times:\n                        return f"failed {count} times"'),
    Edit("briefing", ANNOTATION, "of helpers", "sources.py", "def scaled(value, factor=1000):", "def scaled(value: float, factor: int = 1000) -> float:"),
    Edit("briefing", EQUAL, "extracted constant", "digest.py", "def indent(text, bullet=BULLET, width=60):", "WIDTH = 60\n\n\ndef indent(text, bullet=BULLET, width=WIDTH):"),
    Edit("briefing", LAYOUT, "call on several lines", "sources.py", "    found = ARCHIVE[topic][:most]\n", "    found = (\n        ARCHIVE[topic]\n    )[:most]\n"),
    # warehouse: tools as classes, SQLite, commands
    Edit("warehouse", PROMPT, "system", "agent.py", "Check the stock, then the forecast.", "Check the forecast first."),
    Edit("warehouse", SCHEMA, "class attribute", "stock_tools.py", '"How many pieces are in stock."', '"How many pieces there are."'),
    Edit("warehouse", SCHEMA, "offered tools", "agent.py", ", Reorder(database), Forecast()]", ", Forecast(), Reorder(database)]"),
    Edit("warehouse", METHOD, "overridden", "stock_tools.py", "        return 2\n", "        return 1\n"),
    Edit("warehouse", METHOD, "override removed", "stock_tools.py", "    def limit(self):\n        return 2\n\n\n", "\n"),
    Edit("warehouse", METHOD, "wrapped by super", "stock_tools.py", '{"unit": self.unit, "result": result}', '{"result": result}'),
    Edit("warehouse", METHOD, "override added", "stock_tools.py", "    weeks = 4\n", '    weeks = 4\n\n    def render(self, result):\n        return "; ".join(result)\n'),
    Edit("warehouse", METHOD, "of the base", "toolkit.py", "        return json.dumps(result)\n", "        return json.dumps(result, sort_keys=True)\n"),
    Edit("warehouse", METHOD, "static", "stock_tools.py", "return max(0, -int(-pieces // size))", "return max(0, int(pieces // size))"),
    Edit("warehouse", DEFAULT, "of a static method", "stock_tools.py", "size=12", "size=6"),
    Edit("warehouse", CONSTANT, "class attribute of the base", "toolkit.py", 'unit = "pieces"', 'unit = "items"'),
    Edit("warehouse", CONSTANT, "module constant", "stock_tools.py", "SAFETY = 1.5", "SAFETY = 2"),
    Edit("warehouse", CONSTANT, "attribute in a query", "stock_tools.py", '    order_by = "price"', '    order_by = "days"'),
    Edit("warehouse", SQL, "order", "stock_tools.py", "WHERE sku = ? ORDER BY shelf", "WHERE sku = ? ORDER BY pieces"),
    Edit("warehouse", SQL, "condition", "stock_tools.py", "days <= 14", "days <= 7"),
    Edit("warehouse", SQL, "aggregate", "stock_tools.py", "SELECT AVG(sold)", "SELECT MAX(sold)"),
    Edit("warehouse", SQL, "data", "schema.sql", "('L-1', 'B1', 6)", "('L-1', 'B1', 16)"),
    Edit("warehouse", COMMAND, "argument", "stock_tools.py", "weeks = 4", "weeks = 3"),
    Edit("warehouse", COMMAND, "option of a filter", "stock_tools.py", '["sort", "-r"]', '["sort"]'),
    Edit("warehouse", COMMAND, "script", "forecast.py", "BASE = 44", "BASE = 45"),
    Edit("warehouse", OUTPUT, "summary", "agent.py", "messages, {toolbox.calls} calls", "messages and {toolbox.calls} calls"),
    Edit("warehouse", OUTPUT, "to stderr", "agent.py", "    print(planner.ask(TASK))\n", "    import sys\n\n    print(planner.ask(TASK), file=sys.stderr)\n"),
    Edit("warehouse", END, "exception after the last call", "agent.py", '    print(f"{len(planner.messages)} messages', '    assert toolbox.calls > 4, "too few calls"\n    print(f"{len(planner.messages)} messages'),
    Edit("warehouse", COMMENT, "comment of SQL", "schema.sql", "on a Monday", "on a Tuesday"),
    Edit("warehouse", COMMENT, "docstring of a base", "toolkit.py", '"""Do the work."""', '"""Do the work, and return what it gave."""'),
    Edit("warehouse", LOCAL, "of a method", "stock_tools.py", "needed = self.demand(sku) * SAFETY - stock\n        return self.boxes(needed)", "missing = self.demand(sku) * SAFETY - stock\n        return self.boxes(missing)"),
    Edit("warehouse", ANNOTATION, "of a method", "toolkit.py", "    def render(self, result):", "    def render(self, result: object) -> str:"),
    Edit("warehouse", ORDER, "of class attributes", "stock_tools.py", '    name = "forecast"\n    description = "What is sold in the next weeks."\n', '    description = "What is sold in the next weeks."\n    name = "forecast"\n'),
    Edit("warehouse", LAYOUT, "query on two lines", "stock_tools.py", 'rows(self.database, "SELECT shelf, pieces FROM stock WHERE sku = ? ORDER BY shelf", sku)', 'rows(\n            self.database,\n            "SELECT shelf, pieces FROM stock "\n            "WHERE sku = ? ORDER BY shelf",\n            sku,\n        )'),
    Edit("warehouse", UNUSED, "class", "stock_tools.py", "class Forecast(Tool):\n", 'class Transfer(DatabaseTool):\n    """Not offered yet."""\n\n    name = "transfer"\n\n    def run(self, sku):\n        return rows(self.database, "SELECT shelf FROM stock WHERE sku = ?", sku)\n\n\nclass Forecast(Tool):\n'),
    # graph: nodes and tools of LangGraph
    Edit("graph", PROMPT, "template file", "guide.txt", "guide for families", "guide for young families"),
    Edit("graph", PROMPT, "value of an enum", "tone.py", '"calm and clear"', '"calm and short"'),
    Edit("graph", PROMPT, "__str__", "tone.py", 'f"{self.degree} {self.mood.value}"', 'f"{self.mood.value}, {self.degree} so"'),
    Edit("graph", DEFAULT, "field of a dataclass", "tone.py", 'degree: str = "quite"', 'degree: str = "very"'),
    Edit("graph", CONSTANT, "looked up in a dict", "tone.py", '"editor": 120', '"editor": 100'),
    Edit("graph", SCHEMA, "description of a field", "places.py", '"how many adults"', '"the number of adults"'),
    Edit("graph", SCHEMA, "docstring of a tool", "places.py", "Find places to visit in a city.", "Find places for a visit to a city."),
    Edit("graph", TOOL, "structured tool", "places.py", '"currency": "NOK"', '"currency": "kr"'),
    Edit("graph", TOOL, "decorated tool", "places.py", 'f"{sky}, {degrees} °C"', 'f"{sky} at {degrees} °C"'),
    Edit("graph", CONSTANT, "of a tool", "places.py", "CHILD = 0.5", "CHILD = 0.25"),
    Edit("graph", HELPER, "condition", "places.py", 'return not indoors or place["roof"] == "yes"', 'return not indoors or place["roof"] != "yes"'),
    Edit("graph", DATA, "row of a table", "places.csv", "Bergen,Aquarium,yes,120", "Bergen,Aquarium,yes,150"),
    Edit("graph", LOOP, "steps", "agent.py", "MAX_STEPS = 3", "MAX_STEPS = 2"),
    Edit("graph", OUTPUT, "count of steps", "agent.py", 'print("steps:", final["steps"])', 'print("steps taken:", final["steps"])'),
    Edit("graph", FILES, "heading", "agent.py", '"Plan for the day\\n\\n"', '"The plan\\n\\n"'),
    Edit("graph", COMMENT, "docstring of the state", "agent.py", "What the nodes share.", "What a node gets, and what it changes."),
    Edit("graph", COMMENT, "comment in a tool", "places.py", "    sky, degrees = WEATHER[city]\n", "    # of this morning\n    sky, degrees = WEATHER[city]\n"),
    Edit("graph", LOCAL, "of a node", "agent.py", 'notes = state["messages"][-1].content\n    prompt = f"Write a plan for the day in {TONES[\'editor\']} words.\\n\\n{notes}"', 'found = state["messages"][-1].content\n    prompt = f"Write a plan for the day in {TONES[\'editor\']} words.\\n\\n{found}"'),
    Edit("graph", LOCAL, "of a tool", "places.py", 'found = [place for place in load("places.csv") if place["city"] == city and fits(place, indoors)]\n    return [f"{place[\'name\']} ({place[\'minutes\']} min)" for place in found]', 'rows = [row for row in load("places.csv") if row["city"] == city and fits(row, indoors)]\n    return [f"{row[\'name\']} ({row[\'minutes\']} min)" for row in rows]'),
    Edit("graph", ANNOTATION, "of a helper", "places.py", "def fits(place, indoors):", "def fits(place: dict[str, str], indoors: bool) -> bool:"),
    Edit("graph", UNUSED, "function", "agent.py", "class State(TypedDict):", "def words(text):\n    return len(text.split())\n\n\nclass State(TypedDict):"),
    Edit("graph", IMPORT, "for types", "places.py", "from typing import Literal\n", "from typing import TYPE_CHECKING, Literal\n\nif TYPE_CHECKING:\n    from collections.abc import Iterator  # noqa: F401\n"),
    # tariff: data files, closures, constants that another module sets
    Edit("tariff", PROMPT, "file", "advisor.md", "do not estimate them.", "never estimate them."),
    Edit("tariff", PROMPT, "end of each prompt", "texts.py", "Name one tariff, and say why.", "Name one tariff."),
    Edit("tariff", PROMPT, "variable", "agent.py", 'region="north"', 'region="south"'),
    Edit("tariff", SCHEMA, "seed", "settings.py", "SEED = 7", "SEED = 8"),
    Edit("tariff", PATCHED, "number", "settings.py", "rates.GRID_FEE = 4.5", "rates.GRID_FEE = 5.5"),
    Edit("tariff", PATCHED, "default of the environment", "settings.py", '"TARIFF_REGION_FACTOR", "1.25"', '"TARIFF_REGION_FACTOR", "2"'),
    Edit("tariff", PATCHED, "text", "settings.py", 'texts.GREETING = "Moin"', 'texts.GREETING = "Hi"'),
    Edit("tariff", PATCHED, "by setattr", "settings.py", '"ROUNDING", 2)', '"ROUNDING", 0)'),
    Edit("tariff", DATA, "TOML", "tariffs.toml", "price = 31.5", "price = 32.5"),
    Edit("tariff", DATA, "INI", "taxes.ini", "meter = 1.2", "meter = 1.4"),
    Edit("tariff", DATA, "JSON", "factors.json", '"heat_pump": 0.3', '"heat_pump": 0.4'),
    Edit("tariff", DATA, "code in a text file", "formula.txt", "FACTOR = 380", "FACTOR = 420"),
    Edit("tariff", CLOSURE, "local of the maker", "rates.py", "vat = 0.19", "vat = 0.16"),
    Edit("tariff", CLOSURE, "what the maker is called with", "rates.py", '= make_cost(name, row["price"], base)', '= make_cost(name, row["price"] - 1, base)'),
    Edit("tariff", CLOSURE, "start of a counter", "rates.py", "make_counter()", "make_counter(10)"),
    Edit("tariff", CLOSURE, "argument of a partial", "rates.py", "share=12", "share=15"),
    Edit("tariff", CLOSURE, "lambda", "rates.py", 'kwh > 3000 else "small"', 'kwh > 4000 else "small"'),
    Edit("tariff", OUTPUT, "line before", "agent.py", "    advisor = Advisor(tools)\n", '    advisor = Advisor(tools)\n    print(f"{len(tools)} tools")\n'),
    Edit("tariff", COMMENT, "comment of TOML", "tariffs.toml", "# ct/kWh, EUR a month", "# cents for a kWh, euros a month"),
    Edit("tariff", COMMENT, "remark of a prompt", "advisor.md", "% lines with a percent sign are remarks", "% lines that begin with a percent sign are remarks"),
    Edit("tariff", LOCAL, "of a closure", "rates.py", "        net = kwh * price / 100 + base * 12\n        return round((net + GRID_FEE", "        raw = kwh * price / 100 + base * 12\n        return round((raw + GRID_FEE"),
    Edit("tariff", UNUSED, "code after return", "rates.py", '    return f"{kwh * share / 100 + bonus:.0f} kWh"\n', '    return f"{kwh * share / 100 + bonus:.0f} kWh"\n    return f"{kwh} kWh"\n'),
    Edit("tariff", UNUSED, "function that nothing calls", "settings.py", "    rates.GRID_FEE = 0.0\n", "    rates.GRID_FEE = 0.0\n    rates.REGION = 1.0\n"),
    Edit("tariff", EQUAL, "extracted constant", "rates.py", "vat = 0.19", "vat = 19 / 100"),
    Edit("tariff", ANNOTATION, "of the maker", "rates.py", "def make_cost(name, price, base):", "def make_cost(name: str, price: float, base: float):"),
    # ledger: packages beside the program, plug-ins, rules that register themselves
    Edit("ledger", PROMPT, "system", "app/agent.py", "Apply every rule by its tool, then decide.", "Apply each rule, then decide."),
    Edit("ledger", SCHEMA, "parameter of the request", "app/agent.py", "parallel_tool_calls=True", "parallel_tool_calls=False"),
    Edit("ledger", DATA, "claim", "app/agent.py", '"receipts": 2', '"receipts": 1'),
    Edit("ledger", TOOL, "plug-in", "app/plugins/calendar_days.py", 'FREE = {"Sun"}', 'FREE = {"Sat", "Sun"}'),
    Edit("ledger", TOOL, "plug-in's text", "app/plugins/currency.py", ":.2f} USD", ":.1f} USD"),
    Edit("ledger", METHOD, "found by getattr", "app/dispatch.py", "days > 30", "days > 14"),
    Edit("ledger", PACKAGE, "method of a rule", "libs/ledgerkit/rules/receipts.py", "claim.receipts * 100 >=", "claim.receipts * 50 >="),
    Edit("ledger", PACKAGE, "attribute of a rule", "libs/ledgerkit/rules/limits.py", "    weight = 2\n", "    weight = 3\n"),
    Edit("ledger", PACKAGE, "limit", "libs/ledgerkit/rules/limits.py", '"travel": Decimal(200)', '"travel": Decimal(150)'),
    Edit("ledger", PACKAGE, "text of the base", "libs/ledgerkit/rules/__init__.py", '"fine" if passed', '"ok" if passed'),
    Edit("ledger", PACKAGE, "operator", "libs/ledgerkit/money.py", "Money(self.amount + other.amount", "Money(self.amount - other.amount"),
    Edit("ledger", PACKAGE, "__repr__", "libs/ledgerkit/money.py", 'f"{self.amount:.2f} {self.currency}"', 'f"{self.currency} {self.amount:.2f}"'),
    Edit("ledger", PACKAGE, "rate", "libs/ledgerkit/money.py", 'Decimal("1.08")', 'Decimal("1.11")'),
    Edit("ledger", PACKAGE, "registered overload", "libs/ledgerkit/claims.py", "{value:%d.%m.%Y}", "{value:%Y-%m-%d}"),
    Edit("ledger", PACKAGE, "property", "libs/ledgerkit/claims.py", "return self.receipts >= 1", "return self.receipts >= 3"),
    Edit("ledger", END, "status", "app/agent.py", 'return 0 if "approved" in decision', 'return 2 if "approved" in decision'),
    Edit("ledger", OUTPUT, "separator", "app/agent.py", 'f"{claim.person}: {decision}"', 'f"{claim.person} - {decision}"'),
    Edit("ledger", COMMENT, "docstring of a rule", "libs/ledgerkit/rules/limits.py", "An amount is within the limit of its kind.", "The amount of a claim is at most that of its kind."),
    Edit("ledger", LOCAL, "of a method of a package", "libs/ledgerkit/rules/__init__.py", "passed = self.holds(claim)\n        return Outcome(passed, self.reason(claim, passed), self.weight)", "good = self.holds(claim)\n        return Outcome(good, self.reason(claim, good), self.weight)"),
    Edit("ledger", LOCAL, "of a method", "app/dispatch.py", 'days = (self.today - self.claim.day).days\n        return {"days": days, "late": days > 30}', 'age = (self.today - self.claim.day).days\n        return {"days": age, "late": age > 30}'),
    Edit("ledger", UNUSED, "limit of another kind, in a new dict", "libs/ledgerkit/rules/limits.py", 'RESERVE = "10"\n', 'RESERVE = "10"\nFORMER_LIMITS = {"travel": Decimal(180)}\n'),
    Edit("ledger", ANNOTATION, "of a function of a package", "libs/ledgerkit/money.py", 'def convert(amount, currency="USD"):', 'def convert(amount: Decimal, currency: str = "USD") -> Decimal:'),
    Edit("ledger", EQUAL, "extracted variable", "libs/ledgerkit/money.py", "    return amount * RATES[currency]\n", "    rate = RATES[currency]\n    return amount * rate\n"),
    Edit("ledger", ORDER, "of names in __all__", "libs/ledgerkit/__init__.py", '["Claim", "load_rules", "summarise"]', '["summarise", "load_rules", "Claim"]'),
    # the report: printed lines and written files
    Edit("report", TOOL, "text of a tool", "agent.py", 'f"{day} with {amount}"', 'f"{day} ({amount})"'),
    Edit("report", CONSTANT, "data of tools", "agent.py", '("Tue", 80)', '("Tue", 85)'),
    Edit("report", OUTPUT, "mark of a bar", "progress.py", 'mark = "#"', 'mark = "="'),
    Edit("report", OUTPUT, "printed by a tool", "agent.py", "adding {len(SALES)} days", "adding up {len(SALES)} days"),
    Edit("report", OUTPUT, "os.write", "progress.py", 'b"done\\n"', 'b"finished\\n"'),
    Edit("report", OUTPUT, "prefix of stdout", "progress.py", '"> " + text', '"- " + text'),
    Edit("report", OUTPUT, "stderr", "progress.py", 'f"warning: {text}\\n"', 'f"attention: {text}\\n"'),
    Edit("report", OUTPUT, "format of the log", "agent.py", '"%(name)s %(levelname)s %(message)s"', '"%(levelname)s %(name)s: %(message)s"'),
    Edit("report", OUTPUT, "condition of a line", "agent.py", "tokens > 100", "tokens > 1000"),
    Edit("report", OUTPUT, "logged text", "agent.py", '"%s returned %s"', '"%s gave %s"'),
    Edit("report", OUTPUT, "line removed", "agent.py", '    print(footer("Nordlicht"))\n', ""),
    Edit("report", FILES, "page", "page.py", 'f"# {title}\\n\\n', 'f"## {title}\\n\\n'),
    Edit("report", FILES, "constant of the page", "page.py", '"-" * 20', '"-" * 30'),
    Edit("report", FILES, "delimiter of a table", "agent.py", 'delimiter=";"', 'delimiter=","'),
    Edit("report", FILES, "appended line", "agent.py", "report of {len(text)} characters", "a report of {len(text)} characters"),
    Edit("report", FILES, "indent of JSON", "agent.py", "indent=2", "indent=4"),
    Edit("report", FILES, "name of a file", "agent.py", '"report.md"', '"week.md"'),
    Edit("report", COMMENT, "docstring of a function", "agent.py", '"""Return what was sold in the week."""', '"""Return what was sold in the week."""\n    # in one currency'),
    Edit("report", LOCAL, "of a tool", "agent.py", 'total = sum(amount for _, amount in SALES)\n    say(f"adding {len(SALES)} days")\n    return {"total": total', 'summed = sum(row for _, row in SALES)\n    say(f"adding {len(SALES)} days")\n    return {"total": summed'),
    Edit("report", LOGGING, "line below the level", "agent.py", '            log.info("%s returned %s"', '            log.debug("a call of %s", call.function.name)\n            log.info("%s returned %s"'),
    Edit("report", LOGGING, "in a tool, below the level", "agent.py", "    day, amount = max(", '    log.debug("looking at %s", SALES)\n    day, amount = max('),
    Edit("report", UNUSED, "parameter that is not used", "page.py", "def footer(name):", 'def footer(name, *, style="plain"):'),
    Edit("report", EQUAL, "constant by another name", "page.py", 'RULE = "-" * 20', 'WIDTH = 20\nRULE = "-" * WIDTH'),
    # triage: threads, exceptions and the status at the end
    Edit("triage", PROMPT, "default of the environment", "agent.py", "low, normal or urgent.", "urgent, normal or low."),
    Edit("triage", PROMPT, "template", "tickets.py", 'HEADLINE = "Ticket {number}"', 'HEADLINE = "Ticket no. {number}"'),
    Edit("triage", CONSTANT, "weight", "checks.py", '"smoke": 25', '"smoke": 30'),
    Edit("triage", TOOL, "context variable", "checks.py", "with scaled(20):", "with scaled(10):"),
    Edit("triage", TOOL, "pattern of a match", "checks.py", "year if year < 2015", "year if year < 2010"),
    Edit("triage", TOOL, "text of an exception", "checks.py", 'f"no ticket {number}"', 'f"ticket {number} is unknown"'),
    Edit("triage", METHOD, "__str__ of an exception", "checks.py", 'return f"({self.args[0]})"', "return self.args[0]"),
    Edit("triage", METHOD, "call of the check", "checks.py", "return self.function(**arguments)", "return repr(self.function(**arguments))"),
    Edit("triage", HELPER, "words", "checks.py", 'word.strip(".")', "word"),
    Edit("triage", DATA, "ticket", "tickets.py", '"text": "The page is slow."', '"text": "The page is very slow."'),
    Edit("triage", OUTPUT, "separator", "agent.py", "print(number, rating)", 'print(number, rating, sep=": ")'),
    Edit("triage", END, "message of SystemExit, reached", "agent.py", '"--fail-at", type=int, default=9', '"--fail-at", type=int, default=1'),
    Edit("triage", END, "exception after the last call", "agent.py", "most=8", "most=2"),
    Edit("triage", END, "status", "agent.py", "    return urgent\n", "    return urgent + 1\n"),
    Edit("triage", END, "ended by os._exit", "agent.py", "if urgent == 0:", "if urgent < 2:"),
    Edit("triage", COMMENT, "docstring of an exception", "checks.py", "Too much for one run.", "More than one run can do."),
    Edit("triage", LOCAL, "of a helper", "checks.py", 'words = ticket(number)["text"].lower().split()\n    return sum(WEIGHTS.get(word.strip("."), 0) for word in words)', 'parts = ticket(number)["text"].lower().split()\n    return sum(WEIGHTS.get(part.strip("."), 0) for part in parts)'),
    Edit("triage", ANNOTATION, "of a helper", "checks.py", "def ticket(number):", 'def ticket(number: int) -> "dict[str, object]":'),
    Edit("triage", ORDER, "of functions", "checks.py", 'def severity(number: int) -> float:\n    """Return how severe a ticket is."""\n    with scaled(20):\n        return points(number) / scale.get()\n\n\ndef points(number):\n    words = ticket(number)["text"].lower().split()\n    return sum(WEIGHTS.get(word.strip("."), 0) for word in words)\n', 'def points(number):\n    words = ticket(number)["text"].lower().split()\n    return sum(WEIGHTS.get(word.strip("."), 0) for word in words)\n\n\ndef severity(number: int) -> float:\n    """Return how severe a ticket is."""\n    with scaled(20):\n        return points(number) / scale.get()\n'),
    Edit("triage", IMPORT, "of a module that is not used", "checks.py", "from contextvars import ContextVar\n", "from contextvars import ContextVar\nfrom datetime import datetime  # noqa: F401\n"),
    Edit("triage", EQUAL, "equal expression", "checks.py", "year if year < 2020", "year if not year >= 2020"),
)
# fmt: on
"""Every edit, program by program; those that change nothing stand after the others of their program."""
