"""The style of pages, and the policy that allows it: one look for the page of a trace and for reports."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Final

PAGE: Final = "page.css"
REPORT: Final = "report.css"
_LOOK: Final = "look.css"


def read_style(sheet: str) -> str:
    """Return the look of all pages, and the style sheet of this kind of page."""
    return "".join(files(__package__).joinpath(name).read_text("utf-8") for name in (_LOOK, sheet))


def policy_of(style: str, script: str = "") -> str:
    """Return the policy that allows this style and, with a script, that script and images in the page, and nothing else."""
    if not script:
        return f"default-src 'none'; style-src '{_hash(style)}'"
    return f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:"


def _hash(content: str) -> str:
    return f"sha256-{b64encode(sha256(content.encode()).digest()).decode()}"
