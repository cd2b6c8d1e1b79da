"""What the texts of mocks and of faults have in common."""

from __future__ import annotations

import pytest

from namel3ss_debug.errors import MockError


@pytest.fixture(scope="session")
def refused():
    """Parses a text that is none; what is told of it fits in one line."""

    def told(parse, text):
        with pytest.raises(MockError) as caught:
            parse(text)
        line = str(caught.value)
        assert "\n" not in line
        assert len(line) < 320
        return line

    return told
