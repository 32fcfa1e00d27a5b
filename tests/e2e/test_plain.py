"""Beside programs without the shim: they are served, and get nothing but what a program sent."""
import contextlib
import signal
import socket
import subprocess
import sys
import threading

import harness
from harness import HERE, HOST, LIMIT_S, EndToEndTest, built, make_messages, poll_until

ACCEPTING = {"RUDP_ACCEPT_PLAIN": "yes"}
SIZES = (1, 100, 1200, 9000)
LOSS = ("--loss", "20", "--reorder", "3", "--duplicate", "3")
PYTHON_SERVER = [sys.executable, f"{HERE}/echo.py"]
PYTHON_CLIENT = [sys.executable, f"{HERE}/call.py"]


class PlainPeer:
    """A socket of this very process, which has no shim: sees every byte that arrives there."""

    def __init__(self, port=0, host=HOST):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.socket.settimeout(LIMIT_S)
        self.port = self.socket.getsockname()[1]

    def call(self, port, messages, host=HOST):
        """Sends each when the one before was answered. True when nothing but the answers came."""
        for message in messages:
            self.socket.sendto(message, (host, port))
            if self.socket.recv(65536) != message:
                return False
        return self.is_silent()

    def is_silent(self):
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(65536)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(LIMIT_S)

    def close(self):
        self.socket.close()


class AcceptPlainTest(EndToEndTest):
    def serve(self, command=None, settings=None):
        port = harness.free_port()
        command = command(port) if command else [built("udp_rpc"), "serve", HOST, str(port)]
        self.server = self.start(command, environment={**ACCEPTING, **(settings or {})})
        self.server.wait_bound(port)
        return port

    def peer(self, port=0):
        peer = PlainPeer(port)
        self.addCleanup(peer.close)
        return peer

    def run_plain_peers(self, port, count, message_count):
        """In threads, which the caller joins. Each leaves whether it saw what it should."""
        verdicts = [None] * count

        def run(index):
            peer = PlainPeer()
            with contextlib.closing(peer):
                verdicts[index] = peer.call(port, make_messages(index, message_count, SIZES))

        threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
        for thread in threads:
            thread.start()
        return threads, verdicts

    def serve_both_kinds(self, port, calls=40, callers=10):
        relay = self.start_relay(port, *LOSS)
        threads, verdicts = self.run_plain_peers(port, callers, calls)
        shimmed = [self.start([built("udp_rpc"), "call", HOST, str(relay.port), str(calls),
                               str(seed)]) for seed in range(callers)]
        plain = [self.start([built("udp_rpc"), "call", HOST, str(port), str(calls), str(seed)],
                            plain=True) for seed in range(callers)]
        for client in shimmed + plain:
            self.assertEqual(client.wait(), 0, client.read_errors())
        for thread in threads:
            thread.join()
        self.assertEqual(verdicts, [True] * callers)
        self.assertGreater(relay.stop()["up"]["lost"], 0)

    def test_clients_of_both_kinds_at_once(self):
        self.serve_both_kinds(self.serve())

    def test_python_server(self):
        self.serve_both_kinds(self.serve(lambda port: [*PYTHON_SERVER, HOST, str(port)]))

    def test_server_that_forks(self):
        # By default socat drops the answer of a program that takes half a second to start.
        port = self.serve(lambda port: ["socat", "-t", "60", "-b", "65536",
                                        f"UDP4-RECVFROM:{port},bind={HOST},fork", "EXEC:cat"])
        self.serve_both_kinds(port, calls=5, callers=4)

    def test_programs_as_plain_clients(self):
        port = self.serve(lambda port: [*PYTHON_SERVER, HOST, str(port)])
        for command in (["socat", "-t", "20", "STDIO", f"UDP4:{HOST}:{port}"],
                        ["nc.openbsd", "-u", HOST, str(port)],
                        ["ncat", "-u", HOST, str(port)]):
            with self.subTest(command[0]):
                pipe = subprocess.PIPE
                client = self.start(command, plain=True, stdin=pipe)
                client.process.stdin.write(b"a request\n")
                client.process.stdin.flush()
                client.wait_output(len(b"a request\n"))
                client.process.stdin.close()
                self.assertEqual(client.read(), b"a request\n")

    def test_client_changes_its_kind(self):
        """The same address speaks plainly, by a session, and plainly again."""
        port = self.serve()
        with contextlib.closing(PlainPeer()) as peer:
            client_port = peer.port
            self.assertTrue(peer.call(port, [b"plain"]))
        client = self.start([*PYTHON_CLIENT, str(client_port), HOST, str(port), "10"])
        self.assertEqual(client.wait(), 0, client.read_errors())
        # Until then the server's last words of it may come to whoever has the port.
        poll_until(lambda: not harness.sessions_of(self.server), "the session is over")
        self.assertTrue(self.peer(client_port).call(port, [b"plain", b"again"]))

    def test_session_survives_plain_datagrams_in_its_name(self):
        """Anybody can send them: they reach the program, but its answers stay in the session."""
        port = self.serve()
        client_port = harness.free_port()
        client = self.start([*PYTHON_CLIENT, str(client_port), HOST, str(port), "2", "wait"],
                            stdin=subprocess.PIPE)
        client.wait_output(1)  # one call is done: there is a session
        forger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(forger.close)
        forger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        forger.bind((HOST, client_port))  # the client allows it
        forger.sendto(b"forged", (HOST, port))
        forger.close()
        client.process.stdin.close()
        self.assertNotEqual(client.wait(), 0)
        self.assertIn("b'forged' instead of b'request 1'", client.read_errors())

    def test_dead_client_replaced_by_a_plain_one(self):
        """When the session with the old one has ended, the new one is answered."""
        port = self.serve(settings={"RUDP_RETRIES": "2", "RUDP_KEEPALIVE": "200ms"})
        client_port = harness.free_port()
        client = self.start([*PYTHON_CLIENT, str(client_port), HOST, str(port), "2", "wait"],
                            stdin=subprocess.PIPE)
        client.wait_output(1)
        client.process.send_signal(signal.SIGKILL)
        client.wait()
        peer = self.peer(client_port)
        peer.socket.settimeout(0.05)

        def answered():
            peer.socket.sendto(b"request", (HOST, port))
            with contextlib.suppress(TimeoutError):
                return peer.socket.recv(65536) == b"request"
            return False

        poll_until(answered, "the plain client is answered")


if __name__ == "__main__":
    harness.main()
