"""What the end-to-end tests share: messages, programs under the shim, the relay between them.

Nothing here waits for a time to pass: a port is open when the kernel lists it, a transfer is over
when its output is complete. Limits only end what hangs.
"""
import argparse
import hashlib
import itertools
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HOST = "127.0.0.1"
LIMIT_S = 60
HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = (0, 1, 100, 1200, 1201, 9000, 65507)

PORTS = range(20000, 32000)

options = argparse.Namespace()
_reserved = []


def main():
    """Reads the options that CMakeLists.txt gives and runs the tests of the script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--relay", required=True)
    parser.add_argument("--programs", required=True, help="where the test programs are built")
    parser.add_argument("--preload", required=True, help="LD_PRELOAD of the programs")
    _, rest = parser.parse_known_args(namespace=options)
    unittest.main(module="__main__", argv=sys.argv[:1] + rest)


def built(name):
    return os.path.join(options.programs, name)


def poll_until(condition, what, limit_s=LIMIT_S):
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {limit_s} s")
        time.sleep(0.005)


def sessions_of(program):
    """The live sessions of a program under the shim, as rudp stat has them."""
    command = os.path.join(os.path.dirname(options.relay), "rudp")
    answer = subprocess.run([command, "stat", "--json", str(program.process.pid)], check=True,
                            stdout=subprocess.PIPE).stdout
    process, = json.loads(answer)["processes"]
    return [session for sock in process["sockets"] for session in sock["sessions"]]


# --- Messages ---------------------------------------------------------------------------------------

def make_messages(seed, count, sizes):
    """count messages of those sizes in turn; equal seeds give equal messages."""
    generator = random.Random(seed)
    return [generator.randbytes(size) for size in itertools.islice(itertools.cycle(sizes), count)]


def pack(messages):
    """The form in which the test programs read and write messages."""
    return b"".join(struct.pack(">I", len(message)) + message for message in messages)


def digest(data):
    return hashlib.sha256(data).hexdigest()


# --- Ports ------------------------------------------------------------------------------------------

def bound_ports(pid="self"):
    """UDP ports in use, in the network namespace of that process."""
    ports = set()
    for table in ("udp", "udp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as lines:
            ports |= {int(line.split()[1].split(":")[1], 16) for line in lines.readlines()[1:]}
    return ports


def free_port():
    """A port nobody has, below the range that the kernel hands out by itself. An abstract name keeps
    it from the other suites, which run at the same time: a program binds it only later."""
    taken = bound_ports()
    for port in PORTS:
        name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            name.bind(f"\0rudp-e2e-port-{port}")
        except OSError:
            name.close()
            continue
        _reserved.append(name)
        if port not in taken:
            return port
    raise AssertionError("no port is free")


# --- Programs ---------------------------------------------------------------------------------------

class Program:
    """A program under the shim (or plainly), its output in a file."""

    def __init__(self, command, environment=None, data=None, stdin=None, plain=False, prefix=()):
        self.output = tempfile.NamedTemporaryFile()
        self.errors = tempfile.NamedTemporaryFile()
        self.input = None
        if data is not None:
            self.input = tempfile.TemporaryFile()
            self.input.write(data)
            self.input.seek(0)
            stdin = self.input
        # The shim is preloaded by env, last: neither a wrapper of ours nor env itself needs it.
        settings = [] if plain else [f"LD_PRELOAD={options.preload}"]
        settings += [f"{name}={value}" for name, value in (environment or {}).items()]
        self.process = subprocess.Popen([*prefix, "env", *settings, *command],
                                        stdin=stdin or subprocess.DEVNULL, stdout=self.output,
                                        stderr=self.errors, start_new_session=True)
        self.name = " ".join(os.path.basename(word) for word in command[:2])

    def read(self):
        with open(self.output.name, "rb") as output:
            return output.read()

    def read_errors(self):
        with open(self.errors.name, encoding="utf-8", errors="replace") as errors:
            return errors.read()

    def output_bytes(self):
        return os.path.getsize(self.output.name)

    def is_running(self):
        return self.process.poll() is None

    def wait_bound(self, port):
        def bound():
            if not self.is_running():
                raise AssertionError(f"{self.name} ended: {self.read_errors()}")
            return port in bound_ports(self.process.pid)
        poll_until(bound, f"{self.name} listens")
        return self

    def wait_output(self, count_bytes, limit_s=LIMIT_S):
        poll_until(lambda: self.output_bytes() >= count_bytes or not self.is_running(),
                   f"{self.name}: {count_bytes} bytes of output", limit_s)

    def wait(self, limit_s=LIMIT_S):
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end: {self.read_errors()}") from None

    def stop(self):
        if self.is_running():
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        try: # children that outlive it
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for file in (self.output, self.errors, self.input):
            if file is not None:
                file.close()


class Relay:
    """udp-impair in front of a port."""

    def __init__(self, target_port, *impairments, host=HOST):
        bracketed = f"[{host}]" if ":" in host else host
        self.process = subprocess.Popen(
            [options.relay, "--json", "--bind", host, "--forward", f"0:{bracketed}:{target_port}",
             *impairments], stdout=subprocess.PIPE, text=True)
        words = self.process.stdout.readline().split()
        assert words and words[0] == "ready", words
        self.port = int(words[1])

    def stop(self):
        """Its statistics."""
        if self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=LIMIT_S)
        return json.loads(output)


class EndToEndTest(unittest.TestCase):
    """Programs and relays started here end with the test."""

    def start(self, command, **arguments):
        program = Program(command, **arguments)
        self.addCleanup(program.stop)
        return program

    def start_relay(self, target_port, *impairments, host=HOST):
        relay = Relay(target_port, *impairments, host=host)
        self.addCleanup(relay.stop)
        return relay

    def assert_transferred(self, receiver, expected, senders):
        """The receiver wrote exactly the expected bytes and the senders were told of no failure."""
        receiver.wait_output(len(expected))
        for sender in senders:
            self.assertEqual(sender.wait(), 0, sender.read_errors())
        received = receiver.read()
        if digest(received) == digest(expected):
            return
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1],
                                                  zip(received, expected)))
        self.fail(f"{receiver.name}: {len(received)} of {len(expected)} bytes, first difference at "
                  f"{same}\n{receiver.read_errors()}")
