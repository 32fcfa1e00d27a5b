"""RUDP_FALLBACK=plain with whole programs: those under the shim find each other, through loss; those
without it get what the programs sent, byte for byte, and nothing else."""
import contextlib
import signal
import socket
import subprocess
import sys
import threading

import harness
from harness import HERE, HOST, LIMIT_S, EndToEndTest, bound_ports, built, poll_until

OTHER_HOST = "127.0.0.2"  # the same machine, behind a bad link
PORT_COUNT = 60
SEEDS = range(1, 6)
MISSED_COUNT_MAX = 3  # of all: one in 1,280 is expected
ECHO = [sys.executable, f"{HERE}/echo.py"]
CALL = [sys.executable, f"{HERE}/call.py"]
MANY = [sys.executable, f"{HERE}/many_ports.py"]


def settings(discovery_port, **more):
    return {"RUDP_FALLBACK": "plain", "RUDP_DISCOVERY_PORT": discovery_port, **more}


class PlainServer:
    """Without the shim, in this process: echoes, and keeps every byte that comes."""

    def __init__(self, port=0, host=HOST):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                                    socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]
        self.received = []
        self.is_over = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while True:
            data, source = self.socket.recvfrom(65536)
            if self.is_over:
                return
            self.received.append(data)
            with contextlib.suppress(ConnectionRefusedError):
                self.socket.sendto(data, source)

    def close(self):
        self.is_over = True
        name = self.socket.getsockname()[0]
        with socket.socket(self.socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (name, self.port))
        self.thread.join()
        self.socket.close()


class FallbackTest(EndToEndTest):
    def setUp(self):
        self.discovery_port = harness.free_port()

    def plain_server(self, port=0, host=HOST):
        server = PlainServer(port, host)
        self.addCleanup(server.close)
        return server

    def start_with(self, command, stdin=None, **more):
        return self.start(command, environment=settings(self.discovery_port, **more), stdin=stdin)

    def serve(self, host=HOST):
        port = harness.free_port()
        return self.start_with([*ECHO, host, str(port)]).wait_bound(port), port

    def start_other_host(self, ports, *impairments, host=OTHER_HOST):
        """Those ports of this machine, and its discovery port, seen at another address through a relay.
        The discovery port has another number there: here the responder has it at every address."""
        asked_port = harness.free_port()
        forwards = [(asked_port, self.discovery_port), *zip(ports, ports)]
        words = [word for bind, target in forwards
                 for word in ("--forward", f"{bind}:{HOST}:{target}")]
        relay = subprocess.Popen([harness.options.relay, "--bind", host, *words, *impairments],
                                 stdout=subprocess.PIPE, text=True)

        def stop():
            relay.send_signal(signal.SIGTERM)
            relay.communicate(timeout=LIMIT_S)
        self.addCleanup(stop)
        self.assertEqual(relay.stdout.readline().split()[0], "ready")
        return settings(asked_port)

    def call(self, host, port, count=20, **more):
        own_port = harness.free_port()
        client = self.start_with([*CALL, str(own_port), host, str(port), str(count)], **more)
        self.assertEqual(client.wait(), 0, client.read_errors())

    def assert_served_plainly(self, host=HOST, **more):
        server = self.plain_server(host=host)
        self.call(host, server.port, 10, **more)
        self.assertEqual(server.received, [f"request {index}".encode() for index in range(10)])

    def test_speaking_ports_are_found_through_loss(self):
        ports = [harness.free_port() for _ in range(PORT_COUNT)]
        listed = ",".join(map(str, ports))
        receiver = self.start_with([*MANY, "receive", HOST, listed]).wait_bound(ports[-1])
        for seed in SEEDS:
            host = f"127.0.1.{seed}"
            environment = self.start_other_host(ports, "--loss", "20", "--seed", str(seed),
                                                host=host)
            sender = self.start([*MANY, "send", host, listed], environment=environment)
            self.assertEqual(sender.wait(), 0, sender.read_errors())
        found = receiver.read().split()
        print(f"{len(found)} of {PORT_COUNT * len(SEEDS)} found", file=sys.stderr)
        self.assertLessEqual(len(found), PORT_COUNT * len(SEEDS))
        self.assertGreaterEqual(len(found), PORT_COUNT * len(SEEDS) - MISSED_COUNT_MAX)

    def test_calls_through_loss(self):
        port = harness.free_port()
        self.start_with([built("udp_rpc"), "serve", HOST, str(port)]).wait_bound(port)
        environment = self.start_other_host([port], "--loss", "20")
        client = self.start([built("udp_rpc"), "call", OTHER_HOST, str(port), "40", "1"],
                            environment=environment)
        self.assertEqual(client.wait(), 0, client.read_errors())

    def test_plain_server_on_a_host_that_refuses(self):
        self.assert_served_plainly()

    def test_plain_server_on_a_host_that_answers(self):
        self.serve()
        self.assert_served_plainly()

    def test_plain_server_on_a_host_that_is_silent(self):
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(silent.close)
        silent.bind((HOST, self.discovery_port))
        self.assert_served_plainly(RUDP_RTO_INITIAL="100ms")

    def test_ipv6(self):
        _, port = self.serve("::1")
        self.assert_served_plainly("::1")
        sender = self.start_with(["socat", "-t", "20", "STDIO", f"UDP6:[::1]:{port}"],
                                 stdin=subprocess.PIPE)
        sender.process.stdin.write(b"a request\n")
        sender.process.stdin.flush()
        sender.wait_output(len(b"a request\n"))
        sender.process.stdin.close()

    def test_programs_speak_to_plain_ones(self):
        for command in (["socat", "-u", "STDIN", "UDP-SENDTO:{host}:{port}"],
                        ["nc.openbsd", "-u", "-q", "0", "{host}", "{port}"],
                        ["ncat", "-u", "--send-only", "{host}", "{port}"],
                        ["node", f"{HERE}/send.js", "{host}", "{port}"]):
            with self.subTest(command[0]):
                server = self.plain_server()
                data = harness.pack([b"a message"]) if command[0] == "node" else b"a message"
                client = self.start(
                    [word.format(host=HOST, port=server.port) for word in command], data=data,
                    environment=settings(self.discovery_port))
                self.assertEqual(client.wait(), 0, client.read_errors())
                poll_until(lambda: server.received, "the message arrives")
                self.assertEqual(server.received, [b"a message"])

    def test_processes_share_the_discovery_port(self):
        """Whichever of them is asked knows of all; when one is killed the others go on."""
        first, first_port = self.serve()
        _, second_port = self.serve()
        for port in (first_port, second_port):
            self.call(HOST, port)
        first.process.kill()
        first.wait()
        self.call(HOST, second_port)
        server = self.plain_server(first_port)  # what was the shim's port is a plain program's now
        self.call(HOST, first_port, 5)
        self.assertEqual(server.received, [f"request {index}".encode() for index in range(5)])

    def test_discovery_port_of_somebody_else(self):
        """It is taken over when it becomes free."""
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other.bind(("0.0.0.0", self.discovery_port))
        server, port = self.serve()
        other.close()
        poll_until(lambda: self.discovery_port in bound_ports(), "the port is taken over")
        self.call(HOST, port)
        self.assertTrue(server.is_running())

    def test_no_downgrade(self):
        """Who was heard by a session gets an error when that ends, never plain datagrams."""
        server, port = self.serve()
        client = self.start_with([*CALL, str(harness.free_port()), HOST, str(port), "2", "wait"],
                                 stdin=subprocess.PIPE, RUDP_RETRIES="2",
                                 RUDP_CONNECT_TIMEOUT="1s")
        client.wait_output(1)
        server.process.kill()
        server.wait()
        plain = self.plain_server(port)
        client.process.stdin.close()
        self.assertNotEqual(client.wait(), 0)
        self.assertIn("Errno", client.read_errors())
        self.assertNotIn(b"request 1", plain.received)


if __name__ == "__main__":
    harness.main()
