import sys

for line in sys.stdin:
    print(line.strip().upper())
print(sys.stdin.isatty(), sys.stdout.isatty())
