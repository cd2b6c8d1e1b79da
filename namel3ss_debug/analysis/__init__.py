"""The analyses of traces: functions over their table of spans."""
