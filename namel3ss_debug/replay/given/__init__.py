"""What the user gives in place of recorded answers: mocks and faults, how they are written, and which call gets which."""
