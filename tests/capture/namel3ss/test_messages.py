"""What the language says of a failure, in a line."""

from __future__ import annotations

from namel3ss_debug.capture.namel3ss.messages import describe_error, error_type, full_message


class LanguageError(Exception):
    """As an error of the language: its message apart from its text."""

    def __init__(self, text):
        super().__init__(text)
        self.message = text

    def __str__(self):
        return f"[line 3, col 1] {self.message}"


TOOL = "What happened: Python tool \"t\" failed with KeyError.\nWhy: 'id'\nFix: Fix the tool.\nExample: tool"
RUN = "error: AI call failed.\n\nWhat happened\n- AI call failed.\n\nWhy\n- Missing attribute 'text'\n- More.\n\nHow to fix\n- x"


def test_a_page_becomes_what_happened_and_why():
    """Both of the language's layouts are read; the whole message is there as well."""
    assert describe_error(LanguageError(TOOL)) == "Python tool \"t\" failed with KeyError: 'id'"
    assert describe_error(LanguageError(RUN)) == "AI call failed: Missing attribute 'text'"
    assert full_message(LanguageError(TOOL)) == TOOL


def test_the_message_of_an_inner_exception_is_the_reason():
    """What happened is not told twice."""
    page = "error: {}.\n\nWhat happened\n- {}.\n\nWhy\n- Error message: {}\n\nHow to fix\n- x"
    field = page.format("Runtime error", "Runtime error", "Field 'id' must be present")
    assert describe_error(LanguageError(field)) == "Runtime error: Field 'id' must be present"
    key = page.format("AI provider error", "AI provider error", "AI provider error: Missing OpenAI API key.")
    assert describe_error(LanguageError(key)) == "AI provider error: Missing OpenAI API key."


def test_what_has_no_reason_is_told_alone():
    """A message in a line, one without its second part, and an exception of another library."""
    assert describe_error(LanguageError("Unexpected token")) == "Unexpected token"
    assert describe_error(LanguageError("What happened: It ended.")) == "It ended."
    assert describe_error(ValueError("bad")) == "bad"


def test_the_type_is_that_of_the_exception_in_a_tool():
    """Only the message tells it; any other exception has its own, one of the language's by its name alone."""
    assert error_type(LanguageError(TOOL)) == "KeyError"
    assert error_type(ValueError("bad")) == "ValueError"
    own = type("Namel3ssError", (LanguageError,), {"__module__": "namel3ss.errors.base"})
    assert error_type(own("x")) == "Namel3ssError"
    assert error_type(LanguageError("x")).endswith(".LanguageError")
