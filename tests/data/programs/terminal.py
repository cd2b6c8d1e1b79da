import os
import sys

print("ready", os.getpid())
print("tty", sys.stdin.isatty(), sys.stdout.isatty(), flush=True)
try:
    print(input("name? "), flush=True)
    input("more? ")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(5)
