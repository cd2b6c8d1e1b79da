"""What a run used: tokens, money, memory, processes, the windows of models."""
