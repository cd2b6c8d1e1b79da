"""Be the script that the parent starts in place of the user's program; `child.py` then runs that in its `__main__`.

Python compiles a script each time that it starts one, so this one is short.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def load() -> ModuleType:
    """Return the module that runs the program, from a package that is found by its location, not over `sys.path`.

    So the program's interpreter need not have the package, and nothing beside it becomes importable.
    """
    import importlib.util  # only once sys.path is in order

    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    spec = importlib.util.spec_from_file_location(
        "namel3ss_debug", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["namel3ss_debug"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from namel3ss_debug.capture.launch import child

    return child


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder of this file: its modules are not the program's
    load().main(sys.argv[1:])
