"""Whether this kernel runs programs of another kind: 32-bit ones may be disabled."""
import errno
import os
import subprocess
import sys
import unittest

import other_kernel

SKIPPED = 77  # what CTest takes for a skipped test


def runs(program):
    try:
        subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return False
    return True


def main(arguments, program, paths):
    """Runs the tests of the script, which start program; where this kernel cannot, under one that
    can. paths are all the files that the script uses."""
    if runs(program):
        unittest.main(module="__main__", argv=arguments)
    print(f"this kernel does not run {program}", flush=True)
    if not other_kernel.is_there():
        print("skipped: ./dev test fetches a kernel that does")
        sys.exit(1 if os.environ.get("E2E_SKIP_NOTHING") else SKIPPED)
    sys.exit(other_kernel.run([os.path.abspath(sys.argv[0]), *sys.argv[1:]], paths))
