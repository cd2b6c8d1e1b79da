"""Record what a program reads from outside without a call: clock, randomness, environment and standard input.

`installing.install` records all of it, and in a re-run replaces it by what the trace contains. Nothing here is imported
unless `record_randomness` is on.

Some effects are visible: `random.random` and `os.urandom` are functions of ours meanwhile, `time.time` sees a frame of
ours if the program itself traces calls (`sys.settrace`), and so does a traceback that the program prints of an error
while it reads `sys.stdin`. The traceback of an uncaught error is clean.

Not covered, because no seam reaches it without changing the program or the interpreter:

- `time.monotonic`, `time.perf_counter`, `time.process_time` and sleeping; file times; clocks that C extensions read.
- random numbers that C and Rust extensions draw from the system themselves (OpenSSL, torch, `uuid_utils`), and reads
  of `/dev/urandom`. numpy seeds itself through `secrets`, which is covered.
- variables that C code reads with `getenv`, and the values of variables that were only listed, not read by name.
- `os.read(0)`, `open(0)` and child processes that read the standard input of this one. In a re-run they read what
  `sys.stdin` has read in the trace.
- which worker of a `multiprocessing.Pool`, or of a library's own pool of threads (anyio), takes which item. Executors
  of `concurrent.futures` are covered.
- the order of objects in sets if they are hashed by their address.
- a process that is not started by `subprocess`, `multiprocessing` or `os.fork` directly, but by a shell or another
  program in between, `os.system` or `os.exec*`: it is recorded, but a re-run cannot identify it.
"""
