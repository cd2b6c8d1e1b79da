"""What repeats, stalls or stands out in a run, and who called whom."""
