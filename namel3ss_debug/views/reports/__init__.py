"""The findings of a check in the formats of CI systems; nothing in a trace becomes markup or a command there."""
