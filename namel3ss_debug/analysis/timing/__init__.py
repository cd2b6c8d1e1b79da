"""How long everything took, how much ran at once, and what held it up."""
