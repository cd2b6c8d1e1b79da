"""Starts Python as a child in several ways; words on the command line go to the interpreter."""

import asyncio
import os
import subprocess
import sys

command = [sys.executable, *sys.argv[1:], "-c", "import os, sys; print(sys.flags.isolated or len(os.environ), sys.path)"]
print(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
print(subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout)
print(subprocess.run(command, capture_output=True, text=True, check=True, close_fds=False).stdout)
changed = {**os.environ, "PYTHONPATH": os.environ["PYTHONPATH"] + ":/elsewhere"}
print(subprocess.run(command, capture_output=True, text=True, check=True, env=changed).stdout)
print(subprocess.run(["/usr/bin/env"], capture_output=True, text=True, check=True, env={"A": "1"}).stdout)


async def main():
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    print((await process.communicate())[0])


asyncio.run(main())
sys.exit(subprocess.call([sys.executable, "-c", "import sys; sys.exit(9)"]))
