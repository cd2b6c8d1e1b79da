"""Print what is sold in the next weeks: a line for each."""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("sku")
parser.add_argument("--weeks", type=int, default=2)
options = parser.parse_args()
BASE = 44
for week in range(1, options.weeks + 1):
    print(f"week {week}: {BASE + 3 * week} of {options.sku}")
