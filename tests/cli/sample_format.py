"""A report format of the tests: one module, and one row that the tests add."""


def render(report, stream, table):
    """Write the number of blocks and the first key of the document."""
    blocks = sum(1 for _ in report.blocks)
    stream.write(f"sample {blocks} {next(iter(report.find_document()))} {table}\n")
