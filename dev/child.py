"""Runs a module as `python -m` would, and dies with the process that started it.

Usage: python child.py PARENT_PID MODULE [ARGUMENT ...]
"""

import os
import runpy
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)
SIGKILL = 9


def main() -> None:
    parent, module = int(sys.argv[1]), sys.argv[2]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only here, and only on Linux

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    sys.argv[:] = [module, *sys.argv[3:]]
    sys.path[0] = os.getcwd()  # noqa: PTH109 - as `python -m` does; pathlib would be loaded for nothing
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
