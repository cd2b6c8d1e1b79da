"""Fails with an exception hook of its own, or with one that fails itself."""

import sys
import traceback


def own(kind, error, trace):
    print("own hook", kind, error, traceback.extract_tb(trace), file=sys.stderr)


def broken(kind, error, trace):
    raise OSError("the hook is broken")


def leaving(kind, error, trace):
    sys.exit(11)


sys.excepthook = globals()[sys.argv[1]]
raise KeyError("k")
