"""What a program can see of how it was started."""

import __main__
import os
import sys

print(sorted(globals()), list(globals())[:7], __main__.__dict__ is globals())
print(__doc__, __file__, __name__, __package__, __spec__, __builtins__)
print(globals().get("__cached__"), sorted(globals().get("__annotations__", {})))
print(type(__loader__), __loader__.name, __loader__.path)
print(sys.argv, sys.orig_argv, sys.path, sys.flags, sys.excepthook is sys.__excepthook__)
print(sorted(name for name in os.environ if name != "_"), os.environ.get("PYTHONPATH"))
print(sys.modules.get("sitecustomize"), os.getpgid(0) == os.getpgid(os.getppid()), sys.stdin.isatty())
answer: int = 3
print(__main__.__annotations__)
