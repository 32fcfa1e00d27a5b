#!/usr/bin/env python3
"""udp-impair as its users run it: real sockets, the real command line.

What the link decides is tested in virtual time by test_impair_link.c. Here: that the decisions
reach real datagrams, that answers find their way back, that mistakes are refused.
Usage: test_udp_impair.py PATH-OF-UDP-IMPAIR
"""
import json
import select
import signal
import socket
import subprocess
import sys
import time
import unittest

RELAY = ""
WAIT_S = 20  # nothing here takes that long; only a failure does


class Relay:
    """The relay in front of some target ports; stop() gives its statistics."""

    def __init__(self, targets, *options, host="127.0.0.1"):
        command = [RELAY, "--json"]
        for target in targets:
            bracketed = f"[{host}]" if ":" in host else host
            command += ["--forward", f"0:{bracketed}:{target}"]
        self.process = subprocess.Popen(command + list(options), stdout=subprocess.PIPE, text=True)
        words = self.process.stdout.readline().split()
        assert words and words[0] == "ready", words
        self.ports = [int(word) for word in words[1:]]

    def stop(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        output, _ = self.process.communicate(timeout=WAIT_S)
        assert self.process.returncode == 0, self.process.returncode
        return json.loads(output)


def udp(host="127.0.0.1"):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind((host, 0))
    sock.settimeout(WAIT_S)
    return sock


def port_of(sock):
    return sock.getsockname()[1]


class RelayTest(unittest.TestCase):
    def setUp(self):
        self.server = udp()
        self.client = udp()
        self.addCleanup(self.server.close)
        self.addCleanup(self.client.close)

    def start(self, *options, targets=None, host="127.0.0.1"):
        relay = Relay(targets or [port_of(self.server)], *options, host=host)
        self.addCleanup(relay.process.stdout.close)
        self.addCleanup(relay.process.wait)
        self.addCleanup(relay.process.kill)
        return relay

    def exchange(self, relay, count, size=32):
        """Sends count numbered datagrams, stops the relay and returns what the server got and the
        relay's statistics."""
        arrived = []
        for first in range(0, count, 50):  # no faster than they are read
            for index in range(first, min(first + 50, count)):
                self.client.sendto(index.to_bytes(4, "big").ljust(size, b"."),
                                   ("127.0.0.1", relay.ports[0]))
            settle(relay)
            arrived += self.take()
        stats = relay.stop()
        return arrived + self.take(), stats

    def take(self):
        """What waits at the server now."""
        datagrams = []
        while select.select([self.server], [], [], 0)[0]:
            datagrams.append(self.server.recv(65536))
        return datagrams

    def test_answers_find_their_way_back(self):
        relay = self.start()
        self.client.sendto(b"question", ("127.0.0.1", relay.ports[0]))
        data, address = self.server.recvfrom(100)
        self.server.sendto(data + b"?", address)
        answer, source = self.client.recvfrom(100)
        self.assertEqual((answer, source[1]), (b"question?", relay.ports[0]))
        stats = relay.stop()
        self.assertEqual((stats["up"]["forwarded"], stats["down"]["forwarded"]), (1, 1))

    def test_two_clients_are_two_peers(self):
        relay = self.start()
        other = udp()
        self.addCleanup(other.close)
        addresses = {}
        for sock, name in ((self.client, b"one"), (other, b"two")):
            sock.sendto(name, ("127.0.0.1", relay.ports[0]))
            data, address = self.server.recvfrom(100)
            addresses[data] = address
        self.assertNotEqual(addresses[b"one"], addresses[b"two"])
        self.server.sendto(b"for two", addresses[b"two"])
        self.server.sendto(b"for one", addresses[b"one"])
        self.assertEqual(self.client.recv(100), b"for one")
        self.assertEqual(other.recv(100), b"for two")
        self.assertEqual(relay.stop()["clients"], 2)

    def test_two_forwards_reach_two_targets(self):
        second = udp()
        self.addCleanup(second.close)
        relay = self.start(targets=[port_of(self.server), port_of(second)])
        self.client.sendto(b"to first", ("127.0.0.1", relay.ports[0]))
        self.client.sendto(b"to second", ("127.0.0.1", relay.ports[1]))
        self.assertEqual(self.server.recv(100), b"to first")
        self.assertEqual(second.recv(100), b"to second")
        relay.stop()

    def test_every_size_passes_whole(self):
        relay = self.start("--delay", "1us")  # held, so copied
        for size in (0, 1, 1200, 1201, 9000, 65507):
            payload = bytes(index % 251 for index in range(size))
            self.client.sendto(payload, ("127.0.0.1", relay.ports[0]))
            self.assertEqual(self.server.recv(65536), payload)
        relay.stop()

    def test_ipv6(self):
        server, client = udp("::1"), udp("::1")
        self.addCleanup(server.close)
        self.addCleanup(client.close)
        relay = self.start("--bind", "::1", targets=[port_of(server)], host="::1")
        payload = bytes(65527)
        client.sendto(payload, ("::1", relay.ports[0]))
        data, address = server.recvfrom(65536)
        self.assertEqual(data, payload)
        server.sendto(b"back", address)
        self.assertEqual(client.recv(100), b"back")
        relay.stop()

    def test_same_seed_loses_the_same_datagrams(self):
        runs = []
        for _ in range(2):
            arrived, stats = self.exchange(self.start("--loss", "20", "--seed", "5"), 1000)
            runs.append(arrived)
            self.assertEqual(stats["up"]["received"], 1000)
            self.assertEqual(stats["up"]["lost"], 1000 - len(arrived))
        self.assertEqual(runs[0], runs[1])
        self.assertTrue(700 < len(runs[0]) < 900, len(runs[0]))

    def test_directions_have_their_own_settings(self):
        arrived, stats = self.exchange(self.start("--up-loss", "100"), 1)
        self.assertEqual((arrived, stats["up"]["lost"]), ([], 1))
        relay = self.start("--down-loss", "100")
        self.client.sendto(b"through", ("127.0.0.1", relay.ports[0]))
        _, address = self.server.recvfrom(100)
        self.server.sendto(b"lost", address)
        settle(relay, address[1])
        self.assertEqual(relay.stop()["down"]["lost"], 1)
        self.assertFalse(select.select([self.client], [], [], 0)[0])

    def test_delay_holds_datagrams_and_keeps_their_order(self):
        relay = self.start("--delay", "50", "--jitter", "20")
        begin = time.monotonic()
        for index in range(20):
            self.client.sendto(bytes([index]), ("127.0.0.1", relay.ports[0]))
        arrived = [self.server.recv(10) for _ in range(20)]
        self.assertGreaterEqual(time.monotonic() - begin, 0.05)
        self.assertEqual(arrived, [bytes([index]) for index in range(20)])
        relay.stop()

    def test_rate_spreads_datagrams_and_the_queue_is_bounded(self):
        relay = self.start("--rate", "800k", "--queue", "5000")
        begin = time.monotonic()
        for _ in range(20):  # 20,000 bytes in no time: about 5,000 wait, the rest is dropped
            self.client.sendto(bytes(1000), ("127.0.0.1", relay.ports[0]))
        for _ in range(5):
            self.server.recv(2000)
        self.assertGreaterEqual(time.monotonic() - begin, 0.05)  # 5,000 bytes at 100,000 byte/s
        settle(relay)
        stats = relay.stop()
        self.assertEqual(stats["up"]["forwarded"] + stats["under_way"] + stats["up"]["queue_full"],
                         20)
        self.assertGreater(stats["up"]["queue_full"], 10)

    def test_reordered_datagrams_arrive_later(self):
        relay = self.start("--reorder", "20", "--reorder-by", "10ms", "--seed", "3")
        for index in range(100):
            self.client.sendto(bytes([index]), ("127.0.0.1", relay.ports[0]))
        arrived = [self.server.recv(10)[0] for _ in range(100)]
        self.assertNotEqual(arrived, sorted(arrived))
        self.assertEqual(sorted(arrived), list(range(100)))
        self.assertGreater(relay.stop()["up"]["reordered"], 0)

    def test_duplicates_are_exact_copies(self):
        arrived, stats = self.exchange(self.start("--duplicate", "100"), 50)
        self.assertEqual(arrived[0::2], arrived[1::2])
        self.assertEqual((len(arrived), stats["up"]["duplicated"]), (100, 50))

    def test_corruption_flips_exactly_one_bit(self):
        relay = self.start("--corrupt", "100")
        for _ in range(20):
            self.client.sendto(bytes(100), ("127.0.0.1", relay.ports[0]))
            data = self.server.recv(200)
            self.assertEqual(len(data), 100)
            self.assertEqual(sum(bin(byte).count("1") for byte in data), 1)
        self.assertEqual(relay.stop()["up"]["corrupted"], 20)

    def test_truncated_datagrams_are_prefixes(self):
        relay = self.start("--truncate", "100")
        payload = bytes(range(200))
        for _ in range(20):
            self.client.sendto(payload, ("127.0.0.1", relay.ports[0]))
            data = self.server.recv(300)
            self.assertLess(len(data), 200)
            self.assertEqual(data, payload[:len(data)])
        self.assertEqual(relay.stop()["up"]["truncated"], 20)

    def test_burst_loss_is_counted_apart(self):
        arrived, stats = self.exchange(self.start("--burst-loss", "100,0"), 10)
        self.assertEqual((arrived, stats["up"]["lost_in_burst"], stats["up"]["lost"]), ([], 10, 0))

    def test_clients_are_bounded_and_forgotten(self):
        relay = self.start("--clients", "1", "--idle", "50ms")
        other = udp()
        self.addCleanup(other.close)
        self.client.sendto(b"first", ("127.0.0.1", relay.ports[0]))
        self.assertEqual(self.server.recv(100), b"first")
        deadline = time.monotonic() + WAIT_S
        while not select.select([self.server], [], [], 0.02)[0]:  # refused until the first is idle
            self.assertLess(time.monotonic(), deadline)
            other.sendto(b"second", ("127.0.0.1", relay.ports[0]))
        self.assertEqual(self.server.recv(100), b"second")
        stats = relay.stop()
        self.assertEqual((stats["clients"], stats["clients_peak"]), (2, 1))
        self.assertGreater(stats["up"]["clients_full"], 0)

    def test_memory_is_bounded(self):
        relay = self.start("--delay", "1m", "--memory", "10K")
        for _ in range(20):
            self.client.sendto(bytes(1000), ("127.0.0.1", relay.ports[0]))
        settle(relay)
        stats = relay.stop()
        self.assertEqual(stats["under_way"] + stats["up"]["memory_full"], 20)
        self.assertGreater(stats["up"]["memory_full"], 5)

    def test_a_target_that_is_not_there_is_only_silence(self):
        self.server.close()
        relay = self.start(targets=[port_of_nobody()])
        for _ in range(5):
            self.client.sendto(b"anyone?", ("127.0.0.1", relay.ports[0]))
        settle(relay)
        self.assertEqual(relay.stop()["up"]["forwarded"], 5)
        self.assertFalse(select.select([self.client], [], [], 0)[0])

    def test_duration_ends_the_relay(self):
        relay = self.start("--duration", "10ms")
        self.assertEqual(relay.process.wait(timeout=WAIT_S), 0)

    def test_interrupt_prints_the_statistics(self):
        self.assertEqual(self.start("--seed", "9").stop(signal.SIGINT)["seed"], 9)

    def test_text_statistics_name_every_counter(self):
        result = subprocess.run([RELAY, "--forward", "0:127.0.0.1:9", "--duration", "1ms"],
                                capture_output=True, text=True, timeout=WAIT_S, check=True)
        for name in ("received", "forwarded", "lost", "reordered", "kernel_dropped"):
            self.assertIn(f"\n{name} ", result.stdout)


def settle(relay, port=0):
    """Waits until the relay read all that was sent to its port: it says nothing when idle, but the
    kernel knows what waits in its socket."""
    deadline = time.monotonic() + WAIT_S
    while unread_bytes(port or relay.ports[0]) > 0:
        assert time.monotonic() < deadline


def unread_bytes(port):
    with open("/proc/net/udp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if int(fields[1].split(":")[1], 16) == port:
                return int(fields[4].split(":")[1], 16)
    raise AssertionError(f"nobody has port {port}")


def port_of_nobody():
    sock = udp()
    port = port_of(sock)
    sock.close()
    return port


class MistakeTest(unittest.TestCase):
    def refused(self, *options, message):
        result = subprocess.run([RELAY, *options], capture_output=True, text=True, timeout=WAIT_S,
                                check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        self.assertIn(message, result.stderr)

    def test_mistakes_are_named(self):
        forward = ("--forward", "0:127.0.0.1:9")
        self.refused(message="--forward")
        self.refused("--forward", "7000", message="'7000' is not PORT:HOST:PORT")
        self.refused("--forward", "0:127.0.0.1:0", message="cannot send to")
        self.refused("--forward", "70000:127.0.0.1:9", message="is not PORT:HOST:PORT")
        self.refused("--forward", "0:::1:9", message="is not PORT:HOST:PORT")
        self.refused(*forward, "--loss", "120", message="--loss: bad value '120'")
        self.refused(*forward, "--up-delay", "1h", message="--delay: bad value '1h'")
        self.refused(*forward, "--burst-loss", "1", message="--burst-loss: bad value '1'")
        self.refused(*forward, "--rate", "fast", message="--rate: bad value 'fast'")
        self.refused(*forward, "--seed", "-1", message="bad value '-1'")
        self.refused(*forward, "--clients", "0", message="bad value '0'")
        self.refused(*forward, "--bind", "0.0.0.0", message="give one address")
        self.refused(*forward, "--bind", "localhost", message="not a numeric address")
        self.refused(*forward, "extra", message="'extra' is not an option")
        self.refused(*forward, "--no-such", message="no-such")

    def test_a_port_in_use_is_named(self):
        sock = udp()
        self.addCleanup(sock.close)
        self.refused("--forward", f"{port_of(sock)}:127.0.0.1:9", message="in use")

    def test_help_lists_every_impairment(self):
        result = subprocess.run([RELAY, "--help"], capture_output=True, text=True, timeout=WAIT_S,
                                check=True)
        for option in ("loss", "burst-loss", "delay", "jitter", "rate", "queue", "reorder",
                       "reorder-by", "duplicate", "corrupt", "truncate", "seed", "forward"):
            self.assertIn(f"--{option}=", result.stdout)


if __name__ == "__main__":
    RELAY = sys.argv.pop(1)
    unittest.main()
