"""How long everything took, how much ran concurrently, and what it waited for."""
