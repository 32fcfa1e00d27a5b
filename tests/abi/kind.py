"""Whether this kernel runs programs of another kind: 32-bit ones may be disabled."""
import errno
import subprocess
import sys
import unittest

SKIPPED = 77  # what CTest takes for a skipped test


def runs(program):
    try:
        subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        print(f"this kernel does not run {program}")
        return False
    return True


def main(arguments):
    """Runs the tests of the script. A test that was skipped makes the whole a skipped one."""
    result = unittest.main(module="__main__", argv=arguments, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.skipped else 0)
