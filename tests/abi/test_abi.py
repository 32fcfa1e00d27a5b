#!/usr/bin/env python3
"""Programs of another kind (32-bit, other libc) under the shim that was built for them.

    test_abi.py DIRECTORY UDP_STREAM SHIM

DIRECTORY holds the programs and the shim of that kind, UDP_STREAM and SHIM are this build's own.
"""
import os
import pathlib
import random
import socket
import struct
import subprocess
import sys
import unittest

import kind

LIMIT_S = 60
SIZES = (0, 1, 100, 1200, 1201, 9000, 65507)
MESSAGE_COUNT = 70


def run(command, shim=None, **arguments):
    environment = dict(os.environ)
    if shim is not None:
        environment["LD_PRELOAD"] = str(shim)
    return subprocess.Popen([str(word) for word in command], env=environment,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, **arguments)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def messages():
    generator = random.Random(1)
    return b"".join(struct.pack(">I", size) + generator.randbytes(size)
                    for size in (SIZES[i % len(SIZES)] for i in range(MESSAGE_COUNT)))


class AbiTest(unittest.TestCase):
    def calls(self, program):
        outputs = []
        for shim in (None, there / "librudp_shim.so"):
            process = run([there / program], shim, stderr=subprocess.STDOUT)
            outputs.append(process.communicate(timeout=LIMIT_S)[0].decode())
            self.assertEqual(process.returncode, 0, outputs[-1])
        self.assertIn("recvmmsg: 3", outputs[0])
        self.assertEqual(outputs[0], outputs[1])

    def test_calls(self):
        self.calls("abi_calls")

    def test_calls_with_64_bit_time(self):
        if not (there / "abi_calls_time64").exists():
            self.assertNotIn("i386", str(there))
            return
        self.calls("abi_calls_time64")

    def transfer(self, receiving, sending):
        port = free_port()
        data = messages()
        receiver = run([receiving[0], "receive", "127.0.0.1", port], receiving[1])
        sender = run([sending[0], "send", "127.0.0.1", port], sending[1])
        self.addCleanup(receiver.kill)
        sender.communicate(data, timeout=LIMIT_S)
        self.assertEqual(sender.returncode, 0)
        got = receiver.stdout.read(len(data))
        self.assertEqual(got, data)
        receiver.kill()
        receiver.communicate()

    def test_to_a_program_of_this_build(self):
        self.transfer((own_program, own_shim), (there / "udp_stream", there / "librudp_shim.so"))

    def test_from_a_program_of_this_build(self):
        self.transfer((there / "udp_stream", there / "librudp_shim.so"), (own_program, own_shim))


if __name__ == "__main__":
    there, own_program, own_shim = (pathlib.Path(argument) for argument in sys.argv[1:4])
    kind.main(sys.argv[:1], there / "udp_stream", (there, own_program, own_shim))
