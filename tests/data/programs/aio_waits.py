import asyncio
import os


async def main():
    print("ready", os.getpid(), flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("cleaned", flush=True)


asyncio.run(main())
