import sys

print("tty", sys.stdin.isatty(), sys.stdout.isatty(), flush=True)
try:
    print(input("name? "), flush=True)
    input("more? ")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(5)
