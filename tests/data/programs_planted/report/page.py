"""How the page of a report looks."""

RULE = "-" * 20


def as_page(title, text):
    return f"# {title}\n\n{text}\n\n{RULE}\n{footer('the sales agent')}\n"


def footer(name):
    return f"written by {name}"
