import os
import sys

from near import where

print(where(), sys.argv, os.path.basename(sys.path[0]), __package__ == "", __spec__.name)
raise RuntimeError("from a folder")
