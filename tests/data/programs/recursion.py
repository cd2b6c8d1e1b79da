def deeper(n):
    return deeper(n + 1)


try:
    deeper(0)
except RecursionError as error:
    trace = error.__traceback__
    names = set()
    while trace:
        names.add(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    print(sorted(names))
