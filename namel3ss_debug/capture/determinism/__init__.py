"""What a program reads from outside that no call shows: clock, randomness, environment and standard input.

`installing.install` records all of it, and in a re-run serves what another recording holds. Nothing here is imported
unless `record_randomness` is on.

What cannot be hidden: `random.random` and `os.urandom` are functions of ours meanwhile, `time.time` sees a frame of
ours where the program itself traces calls (`sys.settrace`), and a program that prints its own traceback of an error
that came while it read `sys.stdin` prints it. In the traceback of an uncaught error it is left out.

Not covered, because no seam reaches it without changing the program or the interpreter:

- `time.monotonic`, `time.perf_counter`, `time.process_time` and sleeping; file times; clocks that C extensions read.
- random numbers that C and Rust extensions draw from the system themselves (OpenSSL, torch, `uuid_utils`), and reads
  of `/dev/urandom`. numpy seeds itself through `secrets`, which is covered.
- variables that C code reads with `getenv`, and the values of variables that were only listed, not read by name.
- `os.read(0)`, `open(0)` and child processes that read the standard input of this one. In a re-run they read what the
  program is given there, which is what `sys.stdin` was seen to read.
- which worker of a `multiprocessing.Pool`, or of a library's own pool of threads (anyio), takes which item. Executors
  of `concurrent.futures` are covered.
- the order of objects in sets where they are hashed by their address.
- a process that is not started by `subprocess`, `multiprocessing` or `os.fork` directly, but by a shell or another
  program in between, `os.system` or `os.exec*`: it is recorded, but a re-run does not know it again.
"""
