import asyncio
import atexit

atexit.register(print, "at exit")


async def step(number):
    await asyncio.sleep(0)
    return number


async def main():
    print(await asyncio.gather(*(step(n) for n in range(3))))
    raise SystemExit(6)


asyncio.run(main())
