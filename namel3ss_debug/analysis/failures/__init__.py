"""What failed, where it began and what it cost."""
