"""Where our own code lies, so that its frames are recognised on the program's stacks."""

import os
from typing import Final

CAPTURE_FOLDER: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
PACKAGE_FOLDER: Final = os.path.dirname(CAPTURE_FOLDER[:-1]) + os.sep
