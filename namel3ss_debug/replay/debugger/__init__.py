"""The stepping debugger: a position in a trace, breakpoints, and the commands that move and look."""
