"""The prompts, from their files."""

from pathlib import Path
from string import Template

GREETING = "Hello"
CLOSING = "Name one tariff, and say why."


def load_prompt(name, **variables):
    text = Path(__file__).with_name(f"{name}.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    filled = Template("\n".join(lines)).substitute(variables, greeting=GREETING)
    return f"{filled}\n{CLOSING}"
