import subprocess
import traceback

for words, options in (
    (["no-such-program"], {}),
    (["/"], {}),
    (["ls", 1], {}),
    (["a\0b"], {}),
    (["ls"], {"cwd": "/no/such/folder"}),
    (["ls"], {"env": {"A=B": "1"}}),
    (["ls"], {"user": "nobody-of-that-name"}),
    (["/bin/no-such"], {"close_fds": False}),
):
    try:
        subprocess.Popen(words, **options)
    except Exception:
        print(traceback.format_exc())
