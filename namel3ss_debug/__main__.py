"""`python -m namel3ss_debug` is `namel3ss-debug`, for an interpreter whose scripts are not on the path."""

from namel3ss_debug.cli.main import debug

if __name__ == "__main__":
    debug(prog_name="namel3ss-debug")
