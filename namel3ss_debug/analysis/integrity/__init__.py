"""What is missing or impossible in a recording."""
