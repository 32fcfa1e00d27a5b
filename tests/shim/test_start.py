#!/usr/bin/env python3
"""How programs start under the shim: untouched when they use no UDP, not at all when a setting is wrong.

    test_start.py LIBRARY
"""

import os
import subprocess
import sys
import unittest

LIBRARY = None

# What a program sees of itself: its descriptors and threads.
LOOK = r"""
import os
print(sorted(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")))
"""
LOOK_AFTER_SOCKET = r"""
import os, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(len(os.listdir("/proc/self/task")))
sock.bind(("127.0.0.1", 0))
print(len(os.listdir("/proc/self/task")))
"""
EX_CONFIG = 78


def run(arguments, settings=None, is_plain=False):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("RUDP_", "LD_"))}
    environment.update(settings or {})
    if not is_plain:
        environment["LD_PRELOAD"] = LIBRARY
    return subprocess.run(arguments, env=environment, text=True, capture_output=True, timeout=60,
                          check=False)


class WithoutUdp(unittest.TestCase):
    def test_same_descriptors_threads_and_output(self):
        plain = run([sys.executable, "-c", LOOK], is_plain=True)
        shimmed = run([sys.executable, "-c", LOOK])
        self.assertEqual(shimmed.stdout, plain.stdout)
        self.assertEqual(shimmed.stderr, "")
        self.assertEqual(shimmed.returncode, 0)

    def test_status_is_kept(self):
        self.assertEqual(run(["sh", "-c", "exit 7"]).returncode, 7)

    def test_resolver_works(self):
        call = "import socket; print(socket.getaddrinfo('localhost', 80)[0][0])"
        plain = run([sys.executable, "-c", call], is_plain=True)
        shimmed = run([sys.executable, "-c", call])
        self.assertEqual((shimmed.stdout, shimmed.stderr), (plain.stdout, plain.stderr))


class WithUdp(unittest.TestCase):
    def test_thread_comes_with_the_first_address(self):
        result = run([sys.executable, "-c", LOOK_AFTER_SOCKET])
        self.assertEqual(result.stdout.splitlines(), ["1", "2"], result.stderr)


class Settings(unittest.TestCase):
    def test_bad_value(self):
        result = run(["echo", "started"], {"RUDP_LINGER": "soon"})
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr,
                         'librudp_shim: RUDP_LINGER="soon": accepted: off or 1us..24h\n')
        self.assertEqual(result.returncode, EX_CONFIG)

    def test_unknown_variable(self):
        result = run(["echo", "started"], {"RUDP_LINGR": "1s"})
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.splitlines()), 1)
        self.assertIn('RUDP_LINGR="1s"', result.stderr)
        self.assertEqual(result.returncode, EX_CONFIG)

    def test_good_values(self):
        result = run(["echo", "started"], {"RUDP_LINGER": "1s", "RUDP_TAG": "*:5000"})
        self.assertEqual((result.stdout, result.stderr, result.returncode), ("started\n", "", 0))


if __name__ == "__main__":
    LIBRARY = sys.argv.pop(1)
    unittest.main()
