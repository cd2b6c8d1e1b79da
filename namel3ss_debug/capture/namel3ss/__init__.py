"""Apps of the namel3ss language: loaded and run in this process by the language itself, and recorded there.

No file of the language is changed. Its functions that are recorded are replaced while the app runs, and restored
afterwards. If a version of the language lacks one of them, its events are missing; the app runs all the same, and the
trace reports the problem.
"""
