#!/usr/bin/env python3
"""The command with programs of another word size or C library, and the shim that was built for them.

    test_abi.py --command RUDP --programs DIRECTORY --problem CODE

DIRECTORY holds the programs and the shim of that kind; CODE is what doctor says of them with this
build's own.
"""
import argparse
import json
import os
import subprocess
import sys
import time
import unittest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "abi"))
import kind

LIMIT_S = 60
RUN_REFUSED = 126

options = argparse.Namespace()


def rudp(*arguments):
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("RUDP_", "LD_"))}
    return subprocess.run([options.command, *arguments], env=clean, text=True, timeout=LIMIT_S,
                          capture_output=True, check=False)


class OtherKind(unittest.TestCase):
    def setUp(self):
        self.program = os.path.join(options.programs, "udp_stream")
        self.library = os.path.join(options.programs, "librudp_shim.so")

    def test_library_of_this_build_is_refused(self):
        answer = json.loads(rudp("doctor", "--json", self.program).stdout)
        self.assertEqual([finding["code"] for finding in answer["findings"]], [options.problem])
        self.assertEqual(rudp("run", self.program).returncode, RUN_REFUSED)

    def test_its_own_library_is_loaded(self):
        answer = json.loads(rudp("doctor", "--json", "--library", self.library,
                                 self.program).stdout)
        self.assertTrue(answer["can"], answer)

    def test_run_and_stat(self):
        """It starts, and its counters have the same layout."""
        with subprocess.Popen([options.command, "run", "--library", self.library, "--linger=1s",
                               self.program, "receive", "127.0.0.1", "0"],
                              stdout=subprocess.DEVNULL) as receiver:
            deadline = time.monotonic() + LIMIT_S
            result = rudp("stat", "--json", str(receiver.pid))
            while result.returncode != 0 and time.monotonic() < deadline:
                result = rudp("stat", "--json", str(receiver.pid))
            receiver.terminate()
        self.assertEqual(result.returncode, 0, result.stderr)
        process, = json.loads(result.stdout)["processes"]
        self.assertEqual(process["name"], "udp_stream")
        self.assertEqual(process["memory_max_bytes"], 256 << 20)
        sock, = process["sockets"]
        self.assertRegex(sock["local"], r"^127\.0\.0\.1:[1-9][0-9]*$")
        self.assertEqual(set(sock["dropped"].values()), {0})


def main():
    parser = argparse.ArgumentParser()
    for name in ("command", "programs", "problem"):
        parser.add_argument("--" + name, required=True)
    _, rest = parser.parse_known_args(namespace=options)
    beside = os.path.join(os.path.dirname(options.command), "..", "shim", "librudp_shim.so")
    kind.main(sys.argv[:1] + rest, os.path.join(options.programs, "udp_stream"),
              (options.command, os.path.normpath(beside), options.programs,
               os.path.dirname(os.path.abspath(__file__))))


if __name__ == "__main__":
    main()
