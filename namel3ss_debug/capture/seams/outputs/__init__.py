"""Record what the program does to the world itself, without a call: what it prints."""
