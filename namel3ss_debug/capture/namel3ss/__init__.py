"""Apps of the namel3ss language: loaded and run in this process by the language itself, and recorded at its own doors.

Nothing of the language is changed on the disk. What is recorded goes through functions that are replaced while the app
runs and put back after it; a version that lacks one of them costs the events that come through it, never the run, and
the recording says so.
"""
