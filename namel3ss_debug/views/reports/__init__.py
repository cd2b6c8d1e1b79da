"""What a check found, in the formats that CI systems read; nothing in a trace becomes markup or a command of its own."""
