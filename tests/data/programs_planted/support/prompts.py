"""The prompts of the support agent."""

SHOP = "Nordlicht"
TONE = "friendly and brief"
RULES = [
    "Look up the order before you promise anything.",
    "Quote amounts in euros.",
    "Never ask for a card number.",
]

SYSTEM = """You answer customers of {shop}. Be {tone}.

{rules}"""

EXAMPLE = ("Where is my parcel?", "It left our warehouse yesterday.")


def system_prompt():
    rules = "\n".join(f"- {rule}" for rule in RULES)
    return SYSTEM.format(shop=SHOP, tone=TONE, rules=rules)


def build_messages(question):
    asked, answered = EXAMPLE
    return [
        {"role": "system", "content": system_prompt()},
        {"role": "user", "content": asked},
        {"role": "assistant", "content": answered},
        {"role": "user", "content": question.strip()},
    ]
