import os
import sys

from .helper import fail, greet

print(greet("pkg"), sys.argv[1:], os.path.basename(sys.argv[0]))
print(__name__, __package__, __spec__.name, sys.path[0] == os.getcwd(), os.path.basename(__file__))
print([name for name in globals() if name.startswith("__")])
if "fail" in sys.argv:
    fail()
